//! One set: what it holds, and whether a packet is in it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::ask::{Asking, Sides, Subject};
use super::element::{Element, Entry, Place};
use super::header::{Family, Header, Type};
use super::{SetError, refused};
use crate::engine::time::{Duration, Instant};
use crate::wire::ip::{TCP, UDP};

/// Most elements of one set, whatever its `maxelem`.
const MOST_ELEMENTS: usize = 1 << 20;

/// What is kept of an element beside itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Extras {
    /// When it vanishes; `None`: never.
    pub(super) expires: Option<Instant>,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) comment: Option<Arc<str>>,
    /// `nomatch`: an exception.
    pub(super) nomatch: bool,
}

impl Extras {
    fn is_over(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// Counts a packet, then asks for what was counted (`ip_set_match_extensions`).
    fn says(&mut self, header: &Header, subject: &Subject<'_>, asking: Asking) -> bool {
        if !header.counters {
            return true;
        }
        if asking.count {
            self.packets += 1;
            self.bytes += subject.len;
        }
        asking.packets.is_none_or(|c| c.holds(self.packets)) && asking.bytes.is_none_or(|c| c.holds(self.bytes))
    }
}

/// A set.
#[derive(Clone, Debug)]
pub struct IpSet {
    /// What it was created with.
    pub header: Header,
    pub(super) elements: BTreeMap<Element, Extras>,
    /// The members of a list in order.
    pub(super) order: Vec<Arc<str>>,
    /// Of a hash of networks: prefix lengths in use, longest first, and by how many.
    lengths: BTreeMap<Reverse<u8>, usize>,
    /// The elements that vanish, the next one first.
    ends: BTreeSet<(Instant, Element)>,
}

impl IpSet {
    /// An empty set.
    pub(super) fn new(header: Header) -> Self {
        let (elements, order, lengths, ends) = Default::default();
        Self { header, elements, order, lengths, ends }
    }

    pub(super) fn flush(&mut self) {
        *self = Self::new(self.header.clone());
    }

    /// Removes what is over.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((_, element)) = self.ends.first().filter(|(at, _)| *at <= now).cloned() {
            self.remove(&element);
        }
    }

    fn insert(&mut self, element: Element, extras: Extras) {
        self.remove_quietly(&element);
        if let Element::Net(_, length) = element {
            *self.lengths.entry(length).or_default() += 1;
        }
        if let Some(at) = extras.expires {
            self.ends.insert((at, element.clone()));
        }
        self.elements.insert(element, extras);
    }

    /// Removes an element; whether it was there.
    fn remove(&mut self, element: &Element) -> bool {
        if let Element::Set(name) = element {
            self.order.retain(|member| member != name);
        }
        self.remove_quietly(element)
    }

    /// Removes an element and leaves its place in a list.
    fn remove_quietly(&mut self, element: &Element) -> bool {
        let Some(old) = self.elements.remove(element) else { return false };
        if let Element::Net(_, length) = element
            && let Some(count) = self.lengths.get_mut(length)
        {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(length);
            }
        }
        if let Some(at) = old.expires {
            self.ends.remove(&(at, element.clone()));
        }
        true
    }

    /// Adds the elements of an entry, one after the other.
    pub(super) fn add(&mut self, entry: &Entry, exist: bool, now: Instant) -> Result<(), SetError> {
        let extras = self.extras(entry, now);
        for element in entry.elements() {
            self.add_one(element, extras.clone(), exist)?;
        }
        if let (Some(place), Some(member)) = (&entry.place, entry.member()) {
            self.order_member(member, place)?;
        }
        Ok(())
    }

    fn extras(&self, entry: &Entry, now: Instant) -> Extras {
        let seconds = entry.timeout.or(self.header.timeout).filter(|seconds| *seconds > 0);
        Extras {
            expires: seconds.map(|seconds| now + Duration::from_secs(u64::from(seconds))),
            packets: entry.packets,
            bytes: entry.bytes,
            comment: entry.comment.clone(),
            nomatch: entry.nomatch,
        }
    }

    fn add_one(&mut self, element: Element, extras: Extras, exist: bool) -> Result<(), SetError> {
        if self.elements.contains_key(&element) {
            if !exist {
                return refused("Element cannot be added to the set: it's already added");
            }
        } else {
            self.make_room()?;
            if let Element::Set(name) = &element {
                self.order.push(name.clone());
            }
        }
        self.insert(element, extras);
        Ok(())
    }

    /// A hash that is full refuses, or with `forceadd` gives one up (`mtype_add`).
    fn make_room(&mut self) -> Result<(), SetError> {
        let most = MOST_ELEMENTS.min(self.header.maxelem as usize);
        if !self.header.kind.is_hash() || self.elements.len() < most {
            return Ok(());
        }
        match self.elements.keys().next().cloned().filter(|_| self.header.forceadd) {
            Some(first) => drop(self.remove(&first)),
            None => return refused("Hash is full, cannot add more elements"),
        }
        Ok(())
    }

    /// Moves a member that was just added beside another (`list_set_uadd`).
    fn order_member(&mut self, member: &Arc<str>, place: &Place) -> Result<(), SetError> {
        let (Place::Before(beside) | Place::After(beside)) = place;
        let others: Vec<_> = self.order.iter().filter(|name| *name != member).cloned().collect();
        let Some(at) = others.iter().position(|name| name == beside) else {
            self.remove(&Element::Set(member.clone()));
            return refused("The set to which you referred with 'before' or 'after' does not exist.");
        };
        self.order = others;
        self.order.insert(at + usize::from(matches!(place, Place::After(_))), member.clone());
        Ok(())
    }

    /// Removes the elements of an entry, one after the other.
    pub(super) fn del(&mut self, entry: &Entry, exist: bool) -> Result<(), SetError> {
        for element in entry.elements() {
            if !self.remove(&element) && !exist {
                return refused("Element cannot be deleted from the set: it's not added");
            }
        }
        Ok(())
    }

    /// Whether an entry's first element is there; an address is looked for in all networks.
    pub(super) fn has(&self, entry: &Entry) -> bool {
        let around = |addr| self.around(addr).into_iter().find_map(|net| self.elements.get(&net));
        let found = entry.elements().next().and_then(|element| match element {
            Element::Net(addr, Reverse(length)) if length == Family::of(addr).bits() => around(addr),
            other => self.elements.get(&other),
        });
        found.is_some_and(|extras| !extras.nomatch)
    }

    /// Whether it is a list that holds the set `name`.
    pub(super) fn lists(&self, name: &str) -> bool {
        self.order.iter().any(|member| &**member == name)
    }

    /// The members of a list in order.
    pub(super) fn members(&self, now: Instant) -> Vec<Arc<str>> {
        let there =
            |name: &&Arc<str>| self.elements.get(&Element::Set((*name).clone())).is_some_and(|e| !e.is_over(now));
        self.order.iter().filter(there).cloned().collect()
    }

    /// A member of this list has matched: its counters say whether that holds.
    pub(super) fn count_member(&mut self, member: &Arc<str>, subject: &Subject<'_>, asking: Asking) -> bool {
        let header = &self.header;
        let extras = self.elements.get_mut(&Element::Set(member.clone()));
        extras.is_some_and(|extras| extras.says(header, subject, asking))
    }

    /// The networks around an address that may be there, the longest prefix first.
    fn around(&self, addr: IpAddr) -> Vec<Element> {
        self.lengths.keys().map(|length| Element::net(addr, length.0)).collect()
    }

    /// What of a packet is looked for.
    fn element_of(&self, sides: Sides, subject: &Subject<'_>) -> Option<Element> {
        let addr = subject.addr(sides);
        let of_family = self.header.family.is_none_or(|family| family == Family::of(addr));
        match self.header.kind {
            _ if !of_family => None,
            Type::HashIp { netmask } => Some(Element::ip(addr, netmask)).filter(|e| !e.is_null()),
            Type::HashNet => Some(Element::net(addr, Family::of(addr).bits())),
            Type::HashIpPort => Some(Element::IpPort(addr, subject.port(sides, 1)?)),
            Type::BitmapPort { first, last } => {
                let there = subject.port(sides, 0).filter(|p| matches!(p.proto, TCP | UDP))?;
                (first..=last).contains(&there.port).then_some(Element::Port(there.port))
            }
            Type::ListSet { .. } => None,
        }
    }

    /// Whether a packet is in this set, which is no list.
    pub(super) fn test(&mut self, sides: Sides, subject: &Subject<'_>, asking: Asking) -> bool {
        self.expire(subject.now);
        let Some(wanted) = self.element_of(sides, subject) else { return false };
        let candidates = match wanted {
            Element::Net(addr, _) => self.around(addr),
            other => vec![other],
        };
        let header = &self.header;
        for element in candidates {
            if let Some(extras) = self.elements.get_mut(&element)
                && extras.says(header, subject, asking)
            {
                return extras.nomatch == asking.nomatch_wanted(header.kind);
            }
        }
        false
    }

    /// A packet's element is added; a network is as long as the longest that is there (`hash_net4_kadt`).
    pub(super) fn enter(&mut self, sides: Sides, subject: &Subject<'_>, exist: bool, timeout: Option<u32>) {
        self.expire(subject.now);
        let Some(element) = self.element_to_change(sides, subject) else { return };
        let seconds = timeout.filter(|_| self.header.timeout.is_some()).or(self.header.timeout).filter(|s| *s > 0);
        let expires = seconds.map(|seconds| subject.now + Duration::from_secs(u64::from(seconds)));
        let extras = Extras { expires, packets: 1, bytes: subject.len, ..Extras::default() };
        // The packet goes on whether there was room or not.
        let _ = self.add_one(element, extras, exist);
    }

    /// A packet's element is removed.
    pub(super) fn leave(&mut self, sides: Sides, subject: &Subject<'_>) {
        self.expire(subject.now);
        if let Some(element) = self.element_to_change(sides, subject) {
            self.remove(&element);
        }
    }

    fn element_to_change(&self, sides: Sides, subject: &Subject<'_>) -> Option<Element> {
        let element = self.element_of(sides, subject)?;
        Some(match (&element, self.lengths.keys().next()) {
            (Element::Net(addr, _), Some(Reverse(length))) => Element::net(*addr, *length),
            _ => element,
        })
    }
}
