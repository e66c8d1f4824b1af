//! Connection tracking: the table of flows and what a packet does to it.
//!
//! A packet meets this room twice. [`Conntrack::track_in`] (PREROUTING, OUTPUT) finds its entry or makes a
//! *tentative* one, and updates the protocol's state. [`Conntrack::confirm`] (INPUT, POSTROUTING, last) puts a
//! tentative entry into the hash, where other packets find it by either tuple. Between the two, NAT may
//! change the reply tuple ([`crate::netfilter::nat`]). An entry that never comes that far is gone with its
//! packet: [`Conntrack::discard_tentative`].
//!
//! Nothing ticks: an entry whose time is over is never shown, and removed when a lookup meets it, when the table
//! has grown, or by [`Conntrack::expire`].
//!
//! Map: [`mod@tuple`] names flows, [`entry`] is one flow, `track` and `confirm` are the two visits, `udp`, `icmp`,
//! [`tcp`] and [`sctp`] the protocols, [`config`] the sysctls, [`stats`] the counters, `filter` and `show` what
//! `conntrack -D` and `conntrack -L` need.

#[cfg(test)]
pub(crate) mod bench;
pub mod config;
mod confirm;
mod create;
pub mod entry;
mod filter;
mod icmp;
pub mod sctp;
mod show;
pub mod stats;
pub mod tcp;
mod track;
pub mod tuple;
mod udp;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

pub use config::ConntrackConfig;
pub(in crate::netfilter) use confirm::allows_clash;
pub use create::Creation;
pub use entry::{Counter, Entry, Proto, Status};
pub use filter::Filter;
pub use stats::Stats;
pub use tuple::{Dir, L4, Tuple, Zone, ZoneDir};

use crate::engine::arena::{CtId, DevId, Map};
use crate::engine::time::Instant;
use crate::kernel::Kernel;
use crate::wire::packet::{CtInfo, CtRef, Packet};

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Verdict {
    /// It goes on.
    Accept,
    /// It is dropped.
    Drop,
}

/// A tuple in the hash: a flow is found by the tuple of either direction, in that direction's zone number.
type HashKey = (Tuple, Dir, u16);

/// Flows that share their source: address, port or identifier, protocol, zone number (`nf_nat_bysource`).
type SourceKey = (IpAddr, u16, u8, u16);

/// The conntrack table of one netns.
#[derive(Clone, Debug, Default)]
pub struct Conntrack {
    /// The sysctls.
    pub config: ConntrackConfig,
    /// The kernel it is a part of.
    pub kernel: Kernel,
    stats: Stats,
    next: u32,
    /// All entries, in the order they were made.
    entries: BTreeMap<CtId, Entry>,
    hash: Map<HashKey, CtId>,
    /// Entries whose source translation is decided, the newest last; the kernel looks from the newest.
    by_source: Map<SourceKey, Vec<CtId>>,
    /// Tentative and dying entries: they live as long as a packet refers to them.
    unhashed: Vec<CtId>,
    /// Entries of packets whose walk has not come to its end: they wait for a neighbour, or for their CPU. One of several
    /// packets is here as often.
    held: Vec<CtId>,
    /// At this many entries the expired ones are swept out, so that they never outnumber the others for long.
    sweep_at: usize,
}

impl Conntrack {
    /// An empty table with these sysctls.
    pub fn new(config: ConntrackConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// An entry, tentative and dying ones included.
    pub fn get(&self, id: CtId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// An entry, to decide its translation.
    pub(in crate::netfilter) fn get_mut(&mut self, id: CtId) -> Option<&mut Entry> {
        self.entries.get_mut(&id)
    }

    /// Sets the connection mark (`-j CONNMARK`).
    pub fn set_mark(&mut self, id: CtId, mark: u32) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.mark = mark;
        }
    }

    /// Somebody has reset a TCP connection in the name of an end (`nf_conntrack_tcp_set_closing`).
    pub fn set_closing(&mut self, now: Instant, id: CtId) {
        let lifetime = self.config.tcp_timeout_close;
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.is_confirmed()) else { return };
        let fixed = entry.status.has(Status::FIXED_TIMEOUT);
        if let Proto::Tcp(tcp) = &mut entry.proto
            && tcp.close()
            && !fixed
        {
            entry.timeout = now + lifetime;
        }
    }

    /// The entry of a packet and how the packet relates to it.
    pub fn of(&self, packet: &Packet) -> Option<(CtId, CtInfo, &Entry)> {
        let CtRef::Entry(id, info) = packet.ct else { return None };
        Some((id, info, self.entries.get(&id)?))
    }

    /// What `conntrack -S` shows.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How many entries there are, tentative and expired ones included (`nf_conntrack_count`).
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries `conntrack -L` lists, in the order they were made.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = (CtId, &Entry)> {
        self.entries
            .iter()
            .map(|(&id, entry)| (id, entry))
            .filter(move |(_, e)| e.is_confirmed() && !e.status.has_any(Status::DYING | Status::NAT_CLASH))
            .filter(move |(_, e)| !e.is_expired(now))
    }

    /// Finds a flow by the tuple of a packet (`nf_conntrack_find_get`); the direction is the packet's.
    pub fn lookup(&mut self, now: Instant, zone: Zone, tuple: &Tuple) -> Option<(CtId, Dir)> {
        let (orig, reply) = (zone.id(Dir::Orig), zone.id(Dir::Reply));
        self.find_in_bucket(now, zone, tuple, orig)
            .or_else(|| if reply == orig { None } else { self.find_in_bucket(now, zone, tuple, reply) })
    }

    /// The flow with this original tuple, if it is in the hash.
    pub fn find(&self, now: Instant, zone: Zone, tuple: &Tuple) -> Option<&Entry> {
        self.find_of(Dir::Orig, now, zone, tuple)
    }

    /// The flow that has this tuple in one of its directions, if it is in the hash (`nf_conntrack_find_get`).
    pub fn find_either(&self, now: Instant, zone: Zone, tuple: &Tuple) -> Option<&Entry> {
        [Dir::Orig, Dir::Reply].into_iter().find_map(|dir| self.find_of(dir, now, zone, tuple))
    }

    fn find_of(&self, dir: Dir, now: Instant, zone: Zone, tuple: &Tuple) -> Option<&Entry> {
        let id = self.hash.get(&(*tuple, dir, zone.id(dir)))?;
        self.entries.get(id).filter(|entry| !entry.is_expired(now))
    }

    /// Removes the entries whose time is over.
    pub fn expire(&mut self, now: Instant) {
        self.remove_where(|entry| entry.is_expired(now));
    }

    /// Frees the entries no packet refers to any more: tentative ones whose packets were dropped or
    /// consumed, and dying ones. To be called at the end of a walk.
    pub fn discard_tentative(&mut self) {
        for id in std::mem::take(&mut self.unhashed) {
            if self.is_unhashed(id) {
                self.free(id);
            }
        }
    }

    /// A packet waits, for a neighbour or for its CPU: its entry must not be freed meanwhile (`nf_conntrack_get`).
    pub fn hold(&mut self, packet: &Packet) {
        if let CtRef::Entry(id, _) = packet.ct {
            self.held.push(id);
        }
    }

    /// A packet that waited goes on or is gone: its entry is freed at the end of this walk unless it is in the hash.
    pub fn release(&mut self, packet: &Packet) {
        let CtRef::Entry(id, _) = packet.ct else { return };
        if let Some(at) = self.held.iter().rposition(|held| *held == id) {
            self.held.swap_remove(at);
        }
        if self.is_unhashed(id) {
            self.unhashed.push(id);
        }
    }

    /// Whether an entry lives only as long as a packet refers to it.
    fn is_unhashed(&self, id: CtId) -> bool {
        self.entries.get(&id).is_some_and(|entry| !entry.is_confirmed() || entry.status.has(Status::DYING))
    }

    /// Removes all entries (`conntrack -F`); returns how many were in the hash.
    pub fn flush(&mut self) -> usize {
        self.remove_where(Entry::is_confirmed)
    }

    /// Removes the entries that `filter` describes (`conntrack -D`); returns how many.
    pub fn delete(&mut self, now: Instant, filter: &Filter) -> usize {
        self.expire(now);
        self.remove_where(|e| e.is_confirmed() && !e.status.has(Status::NAT_CLASH) && filter.matches(e))
    }

    /// Removes the flows masqueraded behind a device that went down or lost its address
    /// (net/netfilter/nf_nat_masquerade.c, `masq_device_event`).
    pub fn masq_device_down(&mut self, dev: DevId) {
        self.remove_where(|e| e.is_confirmed() && e.masq_dev == Some(dev));
    }

    /// Ties a packet made about another one to that one's flow, in the other direction, tentative or not
    /// (net/netfilter/nf_conntrack_core.c, `nf_conntrack_attach`): ICMP errors and RSTs of this host.
    pub fn attach(made: &mut Packet, about: &Packet) {
        if let CtRef::Entry(id, info) = about.ct {
            made.ct = CtRef::Entry(id, if info.is_reply() { CtInfo::Related } else { CtInfo::RelatedReply });
        }
    }

    /// The entry in the bucket of (`tuple`, `zone_id`) that has `tuple` in a direction where the zones agree
    /// (`____nf_conntrack_find`, `nf_ct_key_equal`). Reply first: of a flow to itself the kernel meets that tuple
    /// first, as it is put at the head of the bucket last.
    fn find_in_bucket(&mut self, now: Instant, zone: Zone, tuple: &Tuple, zone_id: u16) -> Option<(CtId, Dir)> {
        for dir in [Dir::Reply, Dir::Orig] {
            if zone.id(dir) != zone_id {
                continue;
            }
            let Some(&id) = self.hash.get(&(*tuple, dir, zone_id)) else { continue };
            if !self.entries[&id].is_expired(now) {
                return Some((id, dir));
            }
            self.free(id);
        }
        None
    }

    /// Whether a flow other than `by` would get packets with `tuple` (`nf_conntrack_tuple_taken`). A flow with
    /// the same original tuple does not count: confirmation will settle that.
    pub(in crate::netfilter) fn is_taken(&mut self, now: Instant, tuple: &Tuple, by: CtId) -> bool {
        let ours = &self.entries[&by];
        let (zone, orig) = (ours.zone, ours.orig);
        let Some((id, _)) = self.find_in_bucket(now, zone, tuple, zone.id(Dir::Reply)) else { return false };
        let theirs = &self.entries[&id];
        let same_flow = theirs.orig == orig && theirs.zone.id(Dir::Orig) == zone.id(Dir::Orig);
        if id == by || (same_flow && self.kernel.nat_keeps_same_origin) {
            return false;
        }
        self.stats.found += 1;
        true
    }

    /// Makes a tentative entry.
    fn insert_tentative(&mut self, entry: Entry) -> CtId {
        let id = self.insert(entry);
        self.unhashed.push(id);
        id
    }

    fn insert(&mut self, entry: Entry) -> CtId {
        let id = CtId(self.next);
        self.next = self.next.checked_add(1).expect("fewer than 2^32 flows in one run");
        self.entries.insert(id, entry);
        id
    }

    /// Puts an entry into the hash, by the tuples of `dirs`.
    fn insert_hash(&mut self, id: CtId, dirs: &[Dir]) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.status |= Status::CONFIRMED;
        for &dir in dirs {
            self.hash.insert((*entry.tuple(dir), dir, entry.zone.id(dir)), id);
        }
    }

    /// Takes an entry out of the hash; packets that refer to it keep it until the end of their walk
    /// (`nf_ct_delete`).
    pub(in crate::netfilter) fn kill(&mut self, id: CtId) {
        self.remove_hash(id);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.status |= Status::DYING;
            self.unhashed.push(id);
        }
    }

    fn remove_hash(&mut self, id: CtId) {
        let Some(entry) = self.entries.get(&id) else { return };
        for dir in [Dir::Orig, Dir::Reply] {
            let key = (*entry.tuple(dir), dir, entry.zone.id(dir));
            if self.hash.get(&key) == Some(&id) {
                self.hash.remove(&key);
            }
        }
    }

    /// Forgets an entry altogether (`nf_conntrack_free`), or as soon as the last packet that waits with it goes on.
    fn free(&mut self, id: CtId) {
        self.remove_hash(id);
        if self.held.contains(&id) {
            if let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.is_confirmed()) {
                entry.status |= Status::DYING;
            }
            return;
        }
        let Some(entry) = self.entries.remove(&id) else { return };
        if !entry.status.has(Status::SRC_NAT_DONE) {
            return;
        }
        let key = source_key(&entry.orig, entry.zone);
        if let Some(ids) = self.by_source.get_mut(&key) {
            ids.retain(|&other| other != id);
            if ids.is_empty() {
                self.by_source.remove(&key);
            }
        }
    }

    fn remove_where(&mut self, doomed: impl Fn(&Entry) -> bool) -> usize {
        let ids: Vec<CtId> = {
            let doomed = |entry: &Entry| !entry.status.has(Status::DYING) && doomed(entry);
            self.entries.iter().filter(|(_, entry)| doomed(entry)).map(|(&id, _)| id).collect()
        };
        for &id in &ids {
            self.free(id);
        }
        ids.len()
    }

    /// The flows with the source of `tuple` whose source translation is decided, the newest first.
    pub(in crate::netfilter) fn same_source(
        &self,
        now: Instant,
        tuple: &Tuple,
        zone: Zone,
    ) -> impl Iterator<Item = &Entry> {
        let ids = self.by_source.get(&source_key(tuple, zone)).map_or(&[][..], Vec::as_slice);
        ids.iter().rev().filter_map(|id| self.entries.get(id)).filter(move |entry| !entry.is_expired(now))
    }

    /// Notes that the source translation of an entry is decided.
    pub(in crate::netfilter) fn index_source(&mut self, id: CtId) {
        let Some(entry) = self.entries.get(&id) else { return };
        self.by_source.entry(source_key(&entry.orig, entry.zone)).or_default().push(id);
    }
}

fn source_key(tuple: &Tuple, zone: Zone) -> SourceKey {
    (tuple.src, tuple.src_key(), tuple.proto, zone.id(Dir::Orig))
}
