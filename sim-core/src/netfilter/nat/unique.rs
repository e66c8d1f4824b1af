//! The choice of a tuple that no other flow uses (net/netfilter/nf_nat_core.c, `get_unique_tuple`).

use super::{Manip, NatRange, range_addr};
use crate::engine::arena::CtId;
use crate::engine::rng::Stream;
use crate::engine::time::Instant;
use crate::netfilter::conntrack::{Conntrack, Dir, L4, Proto, Status, Tuple, Zone, allows_clash, tcp::TcpState};

/// Ports tried in the first round (`NF_NAT_MAX_ATTEMPTS`).
const MAX_ATTEMPTS: u32 = 128;
/// In the last attempts of a round a TCP connection in TIME_WAIT may be evicted (`NF_NAT_HARDER_THRESH`).
const HARDER: u32 = MAX_ATTEMPTS / 4;
/// A round of fewer attempts is the last one.
const MIN_ATTEMPTS: u32 = 16;

/// One decision under way.
struct Choice<'a> {
    ct: &'a mut Conntrack,
    now: Instant,
    id: CtId,
    zone: Zone,
    manip: Manip,
    range: &'a NatRange,
}

/// The tuple `current` becomes when `manip`'s end is mapped into `range`: kept if it can be, that of an earlier
/// flow from the same source if it has one, else new. It is not unique if nothing free was found.
pub(super) fn tuple(
    ct: &mut Conntrack,
    now: Instant,
    id: CtId,
    current: &Tuple,
    manip: Manip,
    range: &NatRange,
    rng: &mut Stream,
) -> Tuple {
    let zone = ct.get(id).map_or(Zone::default(), |entry| entry.zone);
    let mut choice = Choice { ct, now, id, zone, manip, range };
    if manip == Manip::Src && !range.random {
        if in_range(current, range) {
            if !choice.is_used_unchanged(current) {
                return *current;
            }
        } else if let Some(mapped) = choice.earlier_mapping(current)
            && !choice.is_used(&mapped)
        {
            return mapped;
        }
    }
    let mut tuple = *current;
    choice.map_addr(&mut tuple);
    if !range.random && choice.keeps_port(&tuple) {
        return tuple;
    }
    choice.map_port(&mut tuple, rng);
    tuple
}

impl Choice<'_> {
    /// Whether answers to `tuple` would belong to another flow (`nf_nat_used_tuple`).
    fn is_used(&mut self, tuple: &Tuple) -> bool {
        self.ct.is_taken(self.now, &tuple.inverse(), self.id)
    }

    /// The same for a tuple that is not changed (`nf_nat_used_tuple_new`): a flow that is this one seen from
    /// its other end does not count, as confirmation will merge the two.
    fn is_used_unchanged(&mut self, tuple: &Tuple) -> bool {
        if !self.is_used(tuple) {
            return false;
        }
        let nat = Status::SRC_NAT | Status::DST_NAT;
        let Some(ours) = self.ct.get(self.id) else { return true };
        let reply = ours.reply;
        if !allows_clash(tuple.proto) || ours.status.has_any(nat) {
            return true;
        }
        let found = self.ct.lookup(self.now, self.zone, tuple);
        let found = found.or_else(|| self.ct.lookup(self.now, self.zone, &tuple.inverse()));
        let Some(theirs) = found.and_then(|(id, _)| self.ct.get(id)) else { return false };
        theirs.status.has_any(nat) || theirs.orig != reply
    }

    /// The same in the search for a port (`nf_nat_used_tuple_harder`): in the last attempts, a connection that
    /// is over gives its port to a newer one.
    fn is_used_in_search(&mut self, tuple: &Tuple, attempts_left: u32) -> bool {
        let ours = match self.ct.get(self.id).map(|entry| &entry.proto) {
            Some(Proto::Tcp(tcp)) if tcp.state() == TcpState::SynSent && attempts_left <= HARDER => tcp.clone(),
            _ => return self.is_used(tuple),
        };
        let reply = tuple.inverse();
        let Some((id, dir)) = self.ct.lookup(self.now, self.zone, &reply) else { return false };
        let Some(theirs) = self.ct.get(id) else { return false };
        let Proto::Tcp(tcp) = &theirs.proto else { return true };
        let fixed = theirs.status.has_any(Status::FIXED_TIMEOUT | Status::DYING);
        let evict = dir == Dir::Reply && !fixed && theirs.status.has(Status::SRC_NAT) && tcp.gives_way_to(&ours);
        if evict {
            self.ct.kill(id);
        }
        !evict
    }

    /// The source that an earlier flow from the same source was mapped to, if it is in the range
    /// (`find_appropriate_src`).
    fn earlier_mapping(&self, current: &Tuple) -> Option<Tuple> {
        let mut mapped = self.ct.same_source(self.now, current, self.zone).map(|earlier| {
            let mapped = earlier.reply.inverse();
            Tuple { src: mapped.src, l4: with_src_key(current.l4, mapped.src_key()), ..*current }
        });
        mapped.find(|tuple| in_range(tuple, self.range))
    }

    /// Chooses the address, so that one client always comes from the same one.
    fn map_addr(&self, tuple: &mut Tuple) {
        let Some(range) = self.range.addrs else { return };
        let addr = range_addr::choose(range, (tuple.src, tuple.dst), self.range.persistent, self.zone.id);
        match self.manip {
            Manip::Src => tuple.src = addr,
            Manip::Dst => tuple.dst = addr,
        }
    }

    /// Whether the tuple can stay as it is now.
    fn keeps_port(&mut self, tuple: &Tuple) -> bool {
        match self.range.ports {
            None => !self.is_used(tuple),
            Some(ports) => {
                self.range.base_port.is_none()
                    && key_in_range(tuple, self.manip, ports)
                    && (ports.0 == ports.1 || !self.is_used(tuple))
            }
        }
    }

    /// Searches a free port or identifier (`nf_nat_l4proto_unique_tuple`).
    fn map_port(&mut self, tuple: &mut Tuple, rng: &mut Stream) {
        let Some((min, size)) = self.candidates(tuple) else { return };
        let mut offset = match self.range.base_port {
            Some(base) => self.key(tuple).wrapping_sub(base),
            None if self.range.random || self.manip == Manip::Src => rng.next_u32() as u16,
            None => 0,
        };
        let mut attempts = size.min(MAX_ATTEMPTS);
        loop {
            for attempt in 0..attempts {
                let port = min + (u32::from(offset) % size) as u16;
                self.set_key(tuple, port);
                if !self.is_used_in_search(tuple, attempts - attempt) {
                    return;
                }
                offset = offset.wrapping_add(1);
            }
            if attempts >= size || attempts < MIN_ATTEMPTS {
                return;
            }
            attempts /= 2;
            offset = rng.next_u32() as u16;
        }
    }

    /// The lowest port and how many there are: the range's, else the class of the port there is. `None` if the
    /// protocol has no ports, or a destination port is to be kept.
    fn candidates(&self, tuple: &Tuple) -> Option<(u16, u32)> {
        let size = |low: u16, high: u16| (low, u32::from(high - low) + 1);
        match (tuple.l4, self.range.ports) {
            (L4::Generic, _) => None,
            (_, Some((a, b))) => Some(size(a.min(b), a.max(b))),
            (L4::Icmp { .. }, None) => Some(size(0, u16::MAX)),
            (L4::Ports { .. }, None) if self.manip == Manip::Dst => None,
            (L4::Ports { src, .. }, None) => Some(match src {
                0..=511 => size(1, 511),
                512..=1023 => size(600, 1023),
                1024.. => size(1024, u16::MAX),
            }),
        }
    }

    fn key(&self, tuple: &Tuple) -> u16 {
        if self.manip == Manip::Src { tuple.src_key() } else { tuple.dst_key() }
    }

    fn set_key(&self, tuple: &mut Tuple, key: u16) {
        tuple.l4 = match (tuple.l4, self.manip) {
            (L4::Ports { src, .. }, Manip::Dst) => L4::Ports { src, dst: key },
            (l4, _) => with_src_key(l4, key),
        };
    }
}

/// `l4` with another source port or identifier.
fn with_src_key(l4: L4, key: u16) -> L4 {
    match l4 {
        L4::Ports { dst, .. } => L4::Ports { src: key, dst },
        L4::Icmp { kind, code, .. } => L4::Icmp { kind, code, id: key },
        L4::Generic => L4::Generic,
    }
}

/// Whether the source is one the range allows (`nf_in_range`).
fn in_range(tuple: &Tuple, range: &NatRange) -> bool {
    let addr_fits = range.addrs.is_none_or(|(a, b)| (a.min(b)..=a.max(b)).contains(&tuple.src));
    addr_fits && range.ports.is_none_or(|ports| key_in_range(tuple, Manip::Src, ports))
}

/// Whether the port or identifier is between both, inclusive (`l4proto_in_range`).
fn key_in_range(tuple: &Tuple, manip: Manip, (min, max): (u16, u16)) -> bool {
    let key = if manip == Manip::Src { tuple.src_key() } else { tuple.dst_key() };
    tuple.l4 == L4::Generic || (min..=max).contains(&key)
}
