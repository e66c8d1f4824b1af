//! The second visit: a tentative entry goes into the hash, or loses a race for its place.

use super::{Conntrack, Dir, Entry, Status, Verdict};
use crate::engine::arena::CtId;
use crate::engine::time::{Duration, Instant};
use crate::wire::ip::{ICMP, ICMPV6, SCTP, TCP};
use crate::wire::packet::{CtInfo, CtRef, Packet};

/// Lifetime of an entry that lost a race (`nf_ct_resolve_clash_harder`).
const CLASH_LIFETIME: Duration = Duration::from_secs(1);

impl Conntrack {
    /// Puts the packet's entry into the hash if it is tentative (`__nf_conntrack_confirm`).
    ///
    /// If another flow took one of its tuples meanwhile, the packet joins that flow or the entry is kept by
    /// its reply tuple alone, where the protocol allows; else the packet is dropped. A second packet with the
    /// same entry (a flooded clone) finds it confirmed.
    pub fn confirm(&mut self, now: Instant, packet: &mut Packet) -> Verdict {
        let CtRef::Entry(id, info) = packet.ct else { return Verdict::Accept };
        let Some(entry) = self.entries.get(&id) else { return Verdict::Accept };
        if info.is_reply() || entry.is_confirmed() {
            return Verdict::Accept;
        }
        if entry.status.has(Status::DYING) {
            self.stats.insert_failed += 1;
            return Verdict::Drop;
        }
        let (zone, orig, reply) = (entry.zone, entry.orig, entry.reply);
        let winner = self
            .find_in_bucket(now, zone, &orig, zone.id(Dir::Orig))
            .or_else(|| self.find_in_bucket(now, zone, &reply, zone.id(Dir::Reply)));
        if let Some((winner, _)) = winner {
            return self.resolve_clash(now, packet, id, info, winner);
        }
        self.start_lifetime(now, id);
        self.insert_hash(id, &[Dir::Orig, Dir::Reply]);
        Verdict::Accept
    }

    fn start_lifetime(&mut self, now: Instant, id: CtId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.timeout = now + entry.timeout.since(Instant::START);
        }
    }

    /// Two packets of what may be one flow were new at the same time (`nf_ct_resolve_clash`).
    fn resolve_clash(&mut self, now: Instant, packet: &mut Packet, loser: CtId, info: CtInfo, winner: CtId) -> Verdict {
        let resolved = allows_clash(self.entries[&loser].orig.proto)
            && (self.merge(packet, loser, info, winner)
                || (self.kernel.keeps_clashing && self.insert_reply_only(now, packet, loser, info)));
        if resolved {
            self.stats.clash_resolve += 1;
            return Verdict::Accept;
        }
        self.stats.drop += 1;
        self.stats.insert_failed += 1;
        Verdict::Drop
    }

    /// Lets the packet join the winner's flow if both describe the same one (`__nf_ct_resolve_clash`).
    fn merge(&mut self, packet: &mut Packet, loser: CtId, info: CtInfo, winner: CtId) -> bool {
        let lost = &self.entries[&loser];
        let won = &self.entries[&winner];
        if !is_same_flow(won, lost) && !is_reversed_flow(won, lost) {
            return false;
        }
        let counters = lost.counters;
        if let (Some(counters), Some(won)) = (counters, self.entries.get_mut(&winner)) {
            won.count(Dir::of(info), counters[Dir::of(info) as usize].bytes as usize);
        }
        packet.ct = CtRef::Entry(winner, info);
        true
    }

    /// Keeps the loser by its reply tuple for a moment, so that the answer to its packet is translated back
    /// (`nf_ct_resolve_clash_harder`).
    fn insert_reply_only(&mut self, now: Instant, packet: &mut Packet, loser: CtId, info: CtInfo) -> bool {
        let (zone, reply) = (self.entries[&loser].zone, self.entries[&loser].reply);
        if let Some((winner, _)) = self.find_in_bucket(now, zone, &reply, zone.id(Dir::Reply)) {
            return self.merge(packet, loser, info, winner);
        }
        if let Some(entry) = self.entries.get_mut(&loser) {
            entry.timeout = now + CLASH_LIFETIME;
            entry.status |= Status::FIXED_TIMEOUT | Status::NAT_CLASH;
        }
        self.insert_hash(loser, &[Dir::Reply]);
        true
    }
}

/// Protocols for which a lost race need not cost a packet (`l4proto->allow_clash`).
pub(in crate::netfilter) const fn allows_clash(proto: u8) -> bool {
    !matches!(proto, TCP | SCTP | ICMP | ICMPV6)
}

/// Both directions equal (`nf_ct_match`).
fn is_same_flow(a: &Entry, b: &Entry) -> bool {
    let same = |dir| a.tuple(dir) == b.tuple(dir) && a.zone.id(dir) == b.zone.id(dir);
    same(Dir::Orig) && same(Dir::Reply)
}

/// The same flow seen from its other end (`nf_ct_match_reverse`).
fn is_reversed_flow(a: &Entry, b: &Entry) -> bool {
    let swapped = |dir: Dir| a.tuple(dir) == b.tuple(dir.opposite()) && a.zone.id(dir) == b.zone.id(dir.opposite());
    swapped(Dir::Orig) && swapped(Dir::Reply)
}
