//! The first visit: which flow does this packet belong to, and what does it do to it?

use super::{Conntrack, Dir, Entry, Proto, Status, Tuple, Verdict, Zone, icmp, sctp, tcp, udp};
use crate::engine::arena::CtId;
use crate::engine::time::{Duration, Instant};
use crate::netfilter::hooks::Hook;
use crate::wire::ext::changeable_sum;
use crate::wire::ip::{ICMP, ICMPV6, IpHeader, SCTP, TCP, UDP};
use crate::wire::packet::{CtInfo, CtRef, Packet};

/// One packet as the protocols see it.
pub(super) struct Segment<'a> {
    pub(super) now: Instant,
    pub(super) hook: Hook,
    pub(super) ip: IpHeader,
    /// From the L4 header on.
    pub(super) l4: &'a [u8],
    pub(super) info: CtInfo,
    /// Length of the whole IP packet, for accounting.
    pub(super) len: usize,
}

impl Segment<'_> {
    pub(super) fn dir(&self) -> Dir {
        Dir::of(self.info)
    }
}

/// What a protocol says about a packet of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tracked {
    /// It belongs to the flow.
    Valid,
    /// It belongs to no flow: INVALID (`-NF_ACCEPT`).
    Invalid,
    /// It ends the flow, as its last packet (`nf_ct_kill_acct`).
    Last,
    /// It begins the flow anew: the old entry goes, and the packet is looked at again (`-NF_REPEAT`).
    Reopen,
}

/// An eviction looks into this many buckets from the new entry's own (`NF_CT_EVICTION_RANGE`).
const EVICTION_RANGE: u32 = 8;

/// A table smaller than this is not swept.
const SWEEP_MIN: usize = 1024;

impl Conntrack {
    /// Finds or makes the entry of a packet and updates it (`nf_conntrack_in`); sets `packet.ct`, which stays
    /// [`CtRef::None`] for an INVALID packet.
    ///
    /// `hook` is PREROUTING or OUTPUT; `zone` is what a `CT --zone` rule of the raw table said. Fragments are
    /// reassembled before. A packet that has an entry (loopback, an error made here) or is untracked is left
    /// alone. Dropped is only what would need an entry in a full table.
    pub fn track_in(&mut self, now: Instant, packet: &mut Packet, hook: Hook, zone: Zone) -> Verdict {
        if packet.ct != CtRef::None {
            return Verdict::Accept;
        }
        let bytes = packet.l3();
        let Some((ip, l4)) = packet.ip().filter(|ip| ip.frag_offset == 0).and_then(|ip| ip.behind_headers(bytes))
        else {
            self.stats.invalid += 1;
            return Verdict::Accept;
        };
        let mut segment = Segment { now, hook, ip, l4, info: CtInfo::New, len: bytes.len() };
        if ip.proto == ip.family().icmp() {
            match icmp::classify(&segment, self.config.checksum) {
                icmp::Message::Query => {}
                icmp::Message::Error(quoted) => {
                    packet.ct = self.related(now, zone, &ip, quoted);
                    self.stats.error += u64::from(packet.ct == CtRef::None);
                    return Verdict::Accept;
                }
                icmp::Message::Link => {
                    packet.ct = CtRef::Untracked;
                    return Verdict::Accept;
                }
                icmp::Message::Broken => {
                    self.stats.error += 1;
                    return Verdict::Accept;
                }
            }
        }
        let Some(tuple) = Tuple::of_parts(&ip, l4) else {
            self.stats.invalid += 1;
            return Verdict::Accept;
        };
        match self.track_tuple(&mut segment, zone, &tuple) {
            Ok(ct) => {
                let sums_up = udp::sums_up(&segment, &self.config) && !packet.csum_partial;
                packet.summed = sums_up.then(|| changeable_sum(packet.l3()));
                packet.ct = ct;
                Verdict::Accept
            }
            Err(TableFull) => {
                self.stats.drop += 1;
                Verdict::Drop
            }
        }
    }

    /// Resolves the tuple and lets the protocol judge the packet, twice if that reopens a connection.
    fn track_tuple(&mut self, segment: &mut Segment, zone: Zone, tuple: &Tuple) -> Result<CtRef, TableFull> {
        loop {
            let Some((id, info)) = self.resolve(segment.now, zone, tuple)? else {
                self.stats.invalid += 1;
                return Ok(CtRef::None);
            };
            segment.info = info;
            let Some(entry) = self.entries.get_mut(&id) else { return Ok(CtRef::None) };
            let tracked = match entry.orig.proto {
                UDP => udp::track(entry, segment, &self.config),
                TCP => tcp::track(entry, segment, &self.config),
                SCTP => sctp::track(entry, segment, &self.config),
                ICMP | ICMPV6 => icmp::track(entry, segment, &self.config),
                _ => track_generic(entry, segment, self.config.generic_timeout),
            };
            match tracked {
                Tracked::Reopen => {
                    self.kill(id);
                    continue;
                }
                Tracked::Invalid => {
                    if !entry.is_confirmed() {
                        self.free(id);
                    }
                    self.stats.invalid += 1;
                    return Ok(CtRef::None);
                }
                Tracked::Last => {
                    entry.count(segment.dir(), segment.len);
                    self.kill(id);
                }
                Tracked::Valid => {}
            }
            if info == CtInfo::EstablishedReply
                && let Some(entry) = self.entries.get_mut(&id)
            {
                entry.status |= Status::SEEN_REPLY;
            }
            return Ok(CtRef::Entry(id, info));
        }
    }

    /// The entry of a tuple, made if there is none, and how the packet relates to it (`resolve_normal_ct`).
    /// `None` for a tuple that has no inverse.
    fn resolve(&mut self, now: Instant, zone: Zone, tuple: &Tuple) -> Result<Option<(CtId, CtInfo)>, TableFull> {
        if let Some((id, dir)) = self.lookup(now, zone, tuple) {
            let info = match dir {
                Dir::Reply => CtInfo::EstablishedReply,
                Dir::Orig if self.entries[&id].status.has(Status::SEEN_REPLY) => CtInfo::Established,
                Dir::Orig => CtInfo::New,
            };
            return Ok(Some((id, info)));
        }
        let Some(reply) = tuple.invert() else { return Ok(None) };
        self.make_room(now, tuple, zone)?;
        let entry = Entry::new(*tuple, reply, zone, self.config.acct);
        Ok(Some((self.insert_tentative(entry), CtInfo::New)))
    }

    /// The flow that an ICMP error is about (`nf_conntrack_inet_error`): it must know the quoted packet's
    /// answers, and the error must go to where the quoted packet came from.
    fn related(&mut self, now: Instant, zone: Zone, ip: &IpHeader, quoted: &[u8]) -> CtRef {
        let found = Tuple::of(quoted)
            .and_then(|tuple| tuple.invert())
            .and_then(|tuple| self.lookup(now, zone, &tuple))
            .filter(|&(id, dir)| self.entries[&id].tuple(dir).dst == ip.dst);
        match found {
            Some((id, Dir::Orig)) => CtRef::Entry(id, CtInfo::Related),
            Some((id, Dir::Reply)) => CtRef::Entry(id, CtInfo::RelatedReply),
            None => CtRef::None,
        }
    }

    /// Makes sure one more entry fits, evicting if need be (`__nf_conntrack_alloc`, `early_drop`): of the first
    /// bucket near the new tuple's that holds any, the entries that are not ASSURED go.
    pub(super) fn make_room(&mut self, now: Instant, tuple: &Tuple, zone: Zone) -> Result<(), TableFull> {
        if self.entries.len() >= self.sweep_at {
            self.expire(now);
            self.sweep_at = (2 * self.entries.len()).max(SWEEP_MIN);
        }
        let max = self.config.max as usize;
        if max == 0 || self.entries.len() < max {
            return Ok(());
        }
        self.expire(now);
        if self.entries.len() < max {
            return Ok(());
        }
        let buckets = self.config.buckets.max(1);
        let first = bucket(tuple, zone.id(Dir::Orig), buckets);
        let distance = |entry: &Entry, dir: Dir| {
            let at = bucket(entry.tuple(dir), entry.zone.id(dir), buckets);
            if at >= first { at - first } else { at + (buckets - first) }
        };
        let nearest = |e: &Entry| distance(e, Dir::Orig).min(distance(e, Dir::Reply));
        let evictable = |e: &Entry| e.is_confirmed() && !e.status.has_any(Status::ASSURED | Status::DYING);
        let chosen = self.entries.values().filter(|e| evictable(e)).map(nearest).min();
        let Some(chosen) = chosen.filter(|&d| d < EVICTION_RANGE) else { return Err(TableFull) };
        let evicted = self.remove_where(|e| evictable(e) && nearest(e) == chosen);
        self.stats.early_drop += evicted as u64;
        Ok(())
    }
}

/// A new entry was needed, and there is no room.
pub(super) struct TableFull;

/// The bucket of a tuple: a hash of ours in place of the kernel's keyed one.
fn bucket(tuple: &Tuple, zone_id: u16, buckets: u32) -> u32 {
    use std::hash::{Hash, Hasher};
    let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
    (tuple, zone_id).hash(&mut hasher);
    (((hasher.finish() >> 32) * u64::from(buckets)) >> 32) as u32
}

fn track_generic(entry: &mut Entry, segment: &Segment, lifetime: Duration) -> Tracked {
    entry.proto = Proto::Stateless;
    entry.refresh(segment.now, lifetime);
    entry.count(segment.dir(), segment.len);
    Tracked::Valid
}
