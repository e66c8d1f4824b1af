//! ipsets: named sets of addresses, networks, ports and other sets, which rules ask and change.
//!
//! The words are those of `ipset` 7.17 and so are the answers; what a set holds is decided as by net/netfilter/ipset.
//! Of the types there are `hash:ip`, `hash:net`, `hash:ip,port`, `bitmap:port` and `list:set`, all of them for addresses of
//! either family.
//!
//! [`IpSets`] holds the sets of one netns, [`set`] one of them, [`header`] what it was created with, [`element`] what is in
//! it and its text, [`words`] the commands, [`ask`] how rules ask.

pub mod ask;
pub mod element;
pub mod header;
mod list;
pub mod set;
#[cfg(test)]
mod tests;
pub mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::ask::{Asking, Sides, Subject};
use self::element::Entry;
use self::header::{Header, Type};
use self::set::IpSet;
use self::words::{Command, Form};
use crate::engine::time::Instant;

/// Longest name of a set (`IPSET_MAXNAMELEN` 32, with the final zero).
pub const MAX_NAME: usize = 31;
/// Most sets of a netns (`IPSET_INVALID_ID` less one).
const MAX_SETS: usize = 65_534;

/// Why a command was refused, in `ipset`'s words.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SetError {
    /// It is not understood: exit status 2.
    #[error("{0}")]
    Usage(String),
    /// The set refuses it, or there is none: exit status 1.
    #[error("{0}")]
    Refused(String),
    /// `test`: the element is not there. Exit status 1.
    #[error("{0}")]
    NotThere(String),
}

/// What the kernel or `ipset` refuses.
pub(crate) fn refused<T>(message: impl Into<String>) -> Result<T, SetError> {
    Err(SetError::Refused(message.into()))
}

/// What a command answered.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// Lines of standard output.
    pub lines: Vec<String>,
    /// A line of standard error though all is well.
    pub remark: Option<String>,
}

/// The sets of one netns.
#[derive(Clone, Debug, Default)]
pub struct IpSets {
    /// In the order in which they were made, as they are listed.
    sets: Vec<(Arc<str>, IpSet)>,
    by_name: BTreeMap<Arc<str>, usize>,
}

const NO_SET: &str = "The set with the given name does not exist";
const IN_USE: &str = "Set cannot be destroyed: it is in use by a kernel component";

impl IpSets {
    /// The set called `name`.
    pub fn get(&self, name: &str) -> Option<&IpSet> {
        self.by_name.get(name).map(|at| &self.sets[*at].1)
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut IpSet> {
        self.by_name.get(name).map(|at| &mut self.sets[*at].1)
    }

    /// Carries out a command. `ruled` tells whether a rule names a set.
    ///
    /// # Errors
    /// What `ipset` answers; a range of elements is then added up to the one that was refused, all else is unchanged.
    pub fn apply(&mut self, command: &Command, now: Instant, ruled: &dyn Fn(&str) -> bool) -> Result<Told, SetError> {
        match command {
            Command::Create { name, header, exist } => self.create(name, header, *exist)?,
            Command::Add { set, words, exist } => {
                self.change(set, words, now, |sets, at, entry| sets.add(at, entry, *exist, now))?
            }
            Command::Del { set, words, exist } => {
                self.change(set, words, now, |sets, at, entry| sets.sets[at].1.del(entry, *exist))?;
            }
            Command::Test { set, words } => return self.test_entry(set, words, now),
            Command::Destroy(name) => self.destroy(name.as_deref(), ruled)?,
            Command::Flush(None) => self.sets.iter_mut().for_each(|(_, set)| set.flush()),
            Command::Flush(Some(name)) => {
                self.get_mut(name).ok_or_else(|| SetError::Refused(NO_SET.into()))?.flush();
            }
            Command::Rename(from, to) => self.rename(from, to, ruled)?,
            Command::Swap(from, to) => self.swap(from, to)?,
            Command::List(name, form) => return self.list(name.as_deref(), *form, now, ruled),
        }
        Ok(Told::default())
    }

    fn find(&self, name: &str) -> Result<usize, SetError> {
        self.by_name.get(name).copied().ok_or_else(|| SetError::Refused(NO_SET.into()))
    }

    fn create(&mut self, name: &Arc<str>, header: &Header, exist: bool) -> Result<(), SetError> {
        if let Some(there) = self.get(name) {
            let same = exist && there.header.same(header);
            return if same { Ok(()) } else { refused("Set cannot be created: set with the same name already exists") };
        }
        if self.sets.len() >= MAX_SETS {
            return refused("Kernel error received: maximal number of sets reached, cannot create more.");
        }
        self.by_name.insert(name.clone(), self.sets.len());
        self.sets.push((name.clone(), IpSet::new(header.clone())));
        Ok(())
    }

    /// Reads an entry for the set at hand and does `what` with it.
    fn change(
        &mut self,
        name: &str,
        words: &[String],
        now: Instant,
        what: impl FnOnce(&mut Self, usize, &Entry) -> Result<(), SetError>,
    ) -> Result<(), SetError> {
        let at = self.find(name)?;
        let entry = Entry::read(words, &self.sets[at].1.header)?;
        self.sets[at].1.expire(now);
        what(self, at, &entry)
    }

    fn add(&mut self, at: usize, entry: &Entry, exist: bool, now: Instant) -> Result<(), SetError> {
        if let Some(member) = entry.member() {
            match self.get(member) {
                None => return refused("Set to be added/deleted/tested as element does not exist."),
                Some(set) if set.header.kind.is_list() => {
                    return refused("Sets with list:set type cannot be added to the set.");
                }
                Some(_) => {}
            }
        }
        self.sets[at].1.add(entry, exist, now)
    }

    fn test_entry(&mut self, name: &str, words: &[String], now: Instant) -> Result<Told, SetError> {
        let at = self.find(name)?;
        let set = &mut self.sets[at].1;
        let entry = Entry::read(words, &set.header)?;
        set.expire(now);
        let shown = entry.show();
        if set.has(&entry) {
            return Ok(Told { lines: Vec::new(), remark: Some(format!("Warning: {shown} is in set {name}.")) });
        }
        Err(SetError::NotThere(format!("{shown} is NOT in set {name}.")))
    }

    /// Whether a list holds the set.
    fn listed(&self, name: &str) -> bool {
        self.sets.iter().any(|(_, set)| set.lists(name))
    }

    fn destroy(&mut self, name: Option<&str>, ruled: &dyn Fn(&str) -> bool) -> Result<(), SetError> {
        let Some(name) = name else {
            if self.sets.iter().any(|(name, _)| ruled(name)) {
                return refused(IN_USE);
            }
            *self = Self::default();
            return Ok(());
        };
        let at = self.find(name)?;
        if ruled(name) || self.listed(name) {
            return refused(IN_USE);
        }
        self.sets.remove(at);
        self.by_name = self.sets.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &Arc<str>, ruled: &dyn Fn(&str) -> bool) -> Result<(), SetError> {
        let at = self.find(from)?;
        if ruled(from) || self.listed(from) {
            return refused("Set cannot be renamed: it is in use by another system");
        }
        if self.by_name.contains_key(to) {
            return refused("Set cannot be renamed: a set with the new name already exists");
        }
        self.by_name.remove(from);
        self.by_name.insert(to.clone(), at);
        self.sets[at].0 = to.clone();
        Ok(())
    }

    /// `ip_set_swap`: names, and with them what rules and lists refer to, stay where they are; contents move.
    fn swap(&mut self, from: &str, to: &str) -> Result<(), SetError> {
        let (a, b) = (self.find(from)?, self.by_name.get(to).copied());
        let Some(b) = b else { return refused("Sets cannot be swapped: the second set does not exist") };
        let (one, other) = (&self.sets[a].1.header, &self.sets[b].1.header);
        if !one.kind.same_type(&other.kind) || one.family != other.family {
            return refused("The sets cannot be swapped: their type does not match");
        }
        if a != b {
            let (low, high) = (a.min(b), a.max(b));
            let (head, tail) = self.sets.split_at_mut(high);
            std::mem::swap(&mut head[low].1, &mut tail[0].1);
        }
        Ok(())
    }

    fn list(
        &mut self,
        name: Option<&str>,
        form: Form,
        now: Instant,
        ruled: &dyn Fn(&str) -> bool,
    ) -> Result<Told, SetError> {
        let only = name.map(|name| self.find(name)).transpose()?;
        self.sets.iter_mut().for_each(|(_, set)| set.expire(now));
        let wanted = self.sets.iter().enumerate().filter(|(at, _)| only.is_none_or(|only| only == *at)).map(|(_, s)| s);
        // `ip_set_dump_do`: lists come last, so that a restore finds their members.
        let (lists, others): (Vec<_>, Vec<_>) =
            wanted.partition(|(_, set)| matches!(set.header.kind, Type::ListSet { .. }));
        let mut lines = Vec::new();
        for (n, (name, set)) in others.into_iter().chain(lists).enumerate() {
            if n > 0 && matches!(form, Form::Plain | Form::Terse) {
                lines.push(String::new());
            }
            let references = self.sets.iter().filter(|(_, s)| s.lists(name)).count() + usize::from(ruled(name));
            list::set(name, set, form, references, now, &mut lines);
        }
        Ok(Told { lines, remark: None })
    }

    /// Whether a packet is in the set `name` (`ip_set_test`). A match counts where sets count.
    pub(crate) fn test(&mut self, name: &str, sides: Sides, subject: &Subject<'_>, asking: Asking) -> bool {
        let Some(&at) = self.by_name.get(name) else { return false };
        let set = &mut self.sets[at].1;
        if sides.dimension() < set.header.kind.dimension() {
            return false;
        }
        if !set.header.kind.is_list() {
            return set.test(sides, subject, asking);
        }
        // `list_set_ktest`: the members are asked without counting conditions.
        let inner = Asking { packets: None, bytes: None, count: asking.count && asking.count_members, ..asking };
        for member in set.members(subject.now) {
            if self.test(&member, sides, subject, inner) && self.sets[at].1.count_member(&member, subject, asking) {
                return true;
            }
        }
        false
    }

    /// A packet's address enters the set `name`, for `timeout` seconds if given (`ip_set_add`).
    pub(crate) fn enter(&mut self, name: &str, sides: Sides, subject: &Subject<'_>, exist: bool, timeout: Option<u32>) {
        for set in self.targets(name, sides, subject.now) {
            self.sets[set].1.enter(sides, subject, exist, timeout);
        }
    }

    /// A packet's address leaves the set `name` (`ip_set_del`).
    pub(crate) fn leave(&mut self, name: &str, sides: Sides, subject: &Subject<'_>) {
        for set in self.targets(name, sides, subject.now) {
            self.sets[set].1.leave(sides, subject);
        }
    }

    /// The sets that a change of `name` concerns: itself, or the members of a list until one takes it.
    fn targets(&self, name: &str, sides: Sides, now: Instant) -> Vec<usize> {
        let Some(&at) = self.by_name.get(name) else { return Vec::new() };
        let set = &self.sets[at].1;
        let fits = |at: &usize| sides.dimension() >= self.sets[*at].1.header.kind.dimension();
        if set.header.kind.is_list() {
            set.members(now)
                .iter()
                .filter_map(|member| self.by_name.get(member).copied())
                .filter(fits)
                .take(1)
                .collect()
        } else {
            Some(at).filter(fits).into_iter().collect()
        }
    }
}
