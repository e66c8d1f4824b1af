//! Fragments waiting for the rest of their packet (net/ipv4/ip_fragment.c, inet_fragment.c; net/ipv6/reassembly.c;
//! net/ipv6/netfilter/nf_conntrack_reasm.c).

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::engine::arena::DevId;
use crate::engine::time::Instant;
use crate::engine::trail::DropReason;
use crate::wire::ext::{self, Extension};
use crate::wire::ip::{Family, IpHeader};
use crate::wire::packet::Packet;
use crate::wire::{build, edit};

/// Most bytes of fragments in a netns (`net.ipv4.ipfrag_high_thresh`, 4 MiB).
pub const HIGH_THRESH: usize = 4 << 20;
/// Congestion was seen on the way.
const CE: u8 = 3;
/// Reassembly before conntrack (`IP_DEFRAG_CONNTRACK_IN`).
pub const USER_CONNTRACK: u8 = 1;
/// Reassembly for a local socket (`IP_DEFRAG_LOCAL_DELIVER`).
pub const USER_LOCAL: u8 = 0;

/// What belongs together (RFC 791 3.2, RFC 8200 4.5), and who asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    src: IpAddr,
    dst: IpAddr,
    id: u32,
    /// 0 for IPv6.
    proto: u8,
    user: u8,
}

impl Key {
    fn of(ip: &IpHeader, user: u8) -> Self {
        let proto = if ip.family() == Family::V4 { ip.proto } else { 0 };
        Self { src: ip.src, dst: ip.dst, id: ip.id, proto, user }
    }
}

#[derive(Clone, Debug)]
struct Partial {
    deadline: Instant,
    /// Payload pieces by offset.
    pieces: BTreeMap<u16, Vec<u8>>,
    /// Length of the payload, once the last fragment is here.
    total: Option<usize>,
    /// The first fragment: the header of the whole.
    first: Option<Packet>,
    max_size: u32,
    /// Which values its fragments had for congestion (RFC 3168 5), a bit each.
    ecn: u8,
    /// Of those with DF (`max_df_size`).
    max_df: u32,
    dev: Option<DevId>,
}

/// What a fragment led to.
#[derive(Debug)]
pub enum Gathered {
    /// The packet is whole.
    Whole(Packet),
    /// More is missing.
    Waiting,
    /// The fragment (and on overlap all its packet) is dropped.
    Refused(DropReason, Packet),
}

/// A packet that never became whole.
#[derive(Debug)]
pub struct Lost {
    /// Whose it was.
    pub family: Family,
    /// Its first fragment, if that came and its sender is told: conntrack is silent about IPv4 (`ip_expire`).
    pub first: Option<Packet>,
    /// Where its fragments came in.
    pub dev: Option<DevId>,
}

/// The fragments of a netns.
#[derive(Clone, Debug)]
pub struct Frags {
    partial: BTreeMap<Key, Partial>,
    bytes: usize,
    /// The deadline for which an event is scheduled.
    scheduled: Instant,
}

impl Default for Frags {
    fn default() -> Self {
        Self { partial: BTreeMap::new(), bytes: 0, scheduled: Instant::NEVER }
    }
}

impl Frags {
    /// Takes one fragment. What is there already is ignored, an overlap drops the whole packet (RFC 5722 for both
    /// families; `inet_frag_queue_insert`).
    pub fn gather(&mut self, packet: Packet, ip: &IpHeader, user: u8, deadline: Instant) -> Gathered {
        let key = Key::of(ip, user);
        let from = ext::fragment(packet.l3()).map_or(usize::from(ip.header_len), |header| header.at + header.len);
        let Some(payload) = packet.l3().get(from..).map(<[u8]>::to_vec) else {
            return Gathered::Refused(DropReason::IpInHdr, packet);
        };
        let (start, end) = (usize::from(ip.frag_offset), usize::from(ip.frag_offset) + payload.len());
        if end > 65535 || (ip.mf && payload.len() % 8 != 0) || payload.is_empty() {
            return Gathered::Refused(DropReason::FragReasm, packet);
        }
        if self.bytes + payload.len() > HIGH_THRESH {
            return Gathered::Refused(DropReason::FragTooFar, packet);
        }
        let new = || Partial {
            deadline,
            pieces: BTreeMap::new(),
            total: None,
            first: None,
            max_size: 0,
            ecn: 0,
            max_df: 0,
            dev: packet.iif,
        };
        let partial = self.partial.entry(key).or_insert_with(new);
        match partial.fit(start, end, ip.mf) {
            Fit::Duplicate => return Gathered::Waiting,
            Fit::Overlap => {
                self.forget(&key);
                return Gathered::Refused(DropReason::FragReasm, packet);
            }
            Fit::New => {}
        }
        partial.max_size = partial.max_size.max(ip.total_len);
        partial.ecn |= 1 << (ip.tos & CE);
        if ip.df {
            partial.max_df = partial.max_df.max(ip.total_len);
        }
        self.bytes += payload.len();
        partial.pieces.insert(ip.frag_offset, payload);
        if start == 0 {
            partial.first = Some(packet);
        }
        if !partial.is_whole() {
            return Gathered::Waiting;
        }
        // It is whole, so its first fragment is there.
        match self.forget(&key) {
            Some(Partial { ecn, first: Some(first), .. }) if congestion(ecn).is_none() => {
                Gathered::Refused(DropReason::FragReasm, first)
            }
            partial => partial.and_then(Partial::join).map_or(Gathered::Waiting, Gathered::Whole),
        }
    }

    /// When the oldest incomplete packet is given up; [`Instant::NEVER`] if there is none.
    fn next_deadline(&self) -> Instant {
        self.partial.values().map(|p| p.deadline).min().unwrap_or(Instant::NEVER)
    }

    /// The next deadline, if no event for it or an earlier one is scheduled: whoever gets it schedules one.
    pub fn take_deadline(&mut self) -> Option<Instant> {
        let next = self.next_deadline();
        if next >= self.scheduled {
            return None;
        }
        self.scheduled = next;
        Some(next)
    }

    /// Gives up all packets whose time is over.
    pub fn expire(&mut self, now: Instant) -> Vec<Lost> {
        if now >= self.scheduled {
            self.scheduled = Instant::NEVER;
        }
        let due: Vec<Key> = self.partial.iter().filter(|(_, p)| p.deadline <= now).map(|(k, _)| *k).collect();
        let mut lost = Vec::new();
        for key in due {
            let told = key.user == USER_LOCAL || key.src.is_ipv6();
            if let Some(p) = self.forget(&key) {
                lost.push(Lost { family: Family::of(key.src), first: p.first.filter(|_| told), dev: p.dev });
            }
        }
        lost
    }

    fn forget(&mut self, key: &Key) -> Option<Partial> {
        let partial = self.partial.remove(key)?;
        self.bytes -= partial.pieces.values().map(Vec::len).sum::<usize>();
        Some(partial)
    }
}

/// What the whole packet says of congestion beyond its first fragment; `None` if only some of its senders' packets could
/// say it (RFC 3168 5.3; net/ipv4/ip_fragment.c, `ip_frag_ecn_table`).
const fn congestion(seen: u8) -> Option<u8> {
    match seen {
        // Not one of them could, or all say the same.
        1 | 2 | 4 | 6 | 8 => Some(0),
        _ if seen & 1 != 0 => None,
        _ => Some(CE),
    }
}

/// What stands before a fragment header, with the whole payload behind it.
fn without(first: &[u8], header: &Extension, payload: &[u8]) -> Vec<u8> {
    let mut whole = first[..header.at].to_vec();
    whole[header.named_at] = header.next;
    whole.extend_from_slice(payload);
    ext::set_payload_len(&mut whole);
    whole
}

enum Fit {
    New,
    Duplicate,
    Overlap,
}

impl Partial {
    fn fit(&mut self, start: usize, end: usize, more: bool) -> Fit {
        let within = |(at, p): (&u16, &Vec<u8>)| usize::from(*at) <= start && end <= usize::from(*at) + p.len();
        if self.pieces.iter().any(within) {
            return Fit::Duplicate;
        }
        let overlaps = |(at, p): (&u16, &Vec<u8>)| usize::from(*at) < end && start < usize::from(*at) + p.len();
        if self.pieces.iter().any(overlaps) || self.total.is_some_and(|t| end > t || (!more && end != t)) {
            return Fit::Overlap;
        }
        if !more {
            self.total = Some(end);
        }
        Fit::New
    }

    fn is_whole(&self) -> bool {
        self.total == Some(self.pieces.values().map(Vec::len).sum()) && self.first.is_some()
    }

    fn join(self) -> Option<Packet> {
        let first = self.first?;
        let mut header = first.ip()?;
        let pieces = self.pieces.values().map(|piece| piece.len() as u16).collect();
        let payload: Vec<u8> = self.pieces.into_values().flatten().collect();
        header.mf = false;
        // The whole must not be cut smaller than its largest fragment, if that one must not be (`ip_frag_reasm`).
        header.df = self.max_df == self.max_size;
        let mut whole = match ext::fragment(first.l3()) {
            None => build::ip(first.id, header, &payload),
            Some(header) => Packet::new(first.id, &without(first.l3(), &header, &payload)),
        };
        edit::set_tos(whole.l3_mut(), header.tos | congestion(self.ecn).unwrap_or(0));
        whole.pieces = pieces;
        whole.ignore_df = header.family() == Family::V6;
        whole.mark = first.mark;
        whole.iif = first.iif;
        whole.pkt_type = first.pkt_type;
        whole.bridge = first.bridge;
        whole.stamp = first.stamp;
        whole.flow_hash = first.flow_hash;
        whole.frag_max = self.max_size;
        if first.has_l2() {
            let l2 = first.len() - first.l3().len();
            whole.push_l2(&first.data()[..l2]);
        }
        Some(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ip::UDP;
    use crate::wire::packet::PacketId;

    fn fragment(offset: u16, len: usize, mf: bool) -> (Packet, IpHeader) {
        let mut h = IpHeader::new("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap(), UDP, len);
        (h.id, h.mf, h.frag_offset) = (7, mf, offset);
        (build::ip(PacketId(1), h, &vec![offset as u8; len]), h)
    }

    fn give(frags: &mut Frags, offset: u16, len: usize, mf: bool) -> Gathered {
        let (p, h) = fragment(offset, len, mf);
        frags.gather(p, &h, USER_LOCAL, Instant::from_nanos(9))
    }

    #[test]
    fn fragments_in_any_order_make_the_packet_whole() {
        let mut f = Frags::default();
        assert!(matches!(give(&mut f, 16, 4, false), Gathered::Waiting));
        assert!(matches!(give(&mut f, 8, 8, true), Gathered::Waiting));
        let Gathered::Whole(p) = give(&mut f, 0, 8, true) else { panic!() };
        assert_eq!(p.l3().len(), 40);
        assert_eq!(p.ip().unwrap().total_len, 40);
        assert_eq!(f.bytes, 0);
    }

    #[test]
    fn an_exact_duplicate_is_ignored_and_an_overlap_drops_everything() {
        let mut f = Frags::default();
        give(&mut f, 0, 16, true);
        assert!(matches!(give(&mut f, 0, 16, true), Gathered::Waiting));
        assert!(matches!(give(&mut f, 8, 16, true), Gathered::Refused(DropReason::FragReasm, _)));
        assert_eq!(f.take_deadline(), None);
    }

    #[test]
    fn a_packet_of_ipv6_loses_its_fragment_header_and_remembers_its_pieces() {
        let mut f = Frags::default();
        let mut give = |offset: u16, len: usize, mf: bool| {
            let mut h = IpHeader::new("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap(), UDP, len);
            (h.id, h.mf, h.frag_offset) = (7, mf, offset);
            let p = build::ip(PacketId(1), h, &vec![offset as u8; len]);
            let header = p.ip().unwrap();
            f.gather(p, &header, USER_CONNTRACK, Instant::from_nanos(9))
        };
        assert!(matches!(give(16, 4, false), Gathered::Waiting));
        let Gathered::Whole(p) = give(0, 16, true) else { panic!() };
        let ip = p.ip().unwrap();
        assert_eq!((ip.total_len, ip.header_len, ip.proto, ip.id), (60, 40, UDP, 0));
        assert_eq!((p.pieces.as_slice(), p.frag_max, p.ignore_df), (&[16, 4][..], 64, true));
    }

    #[test]
    fn what_never_becomes_whole_is_given_up() {
        let mut f = Frags::default();
        give(&mut f, 0, 8, true);
        assert_eq!(f.take_deadline(), Some(Instant::from_nanos(9)));
        assert_eq!(f.take_deadline(), None, "one event is enough");
        assert!(f.expire(Instant::from_nanos(8)).is_empty());
        let lost = f.expire(Instant::from_nanos(9));
        assert!(lost[0].first.is_some());
    }

    #[test]
    fn memory_is_bounded() {
        let mut f = Frags::default();
        let mut refused = 0;
        for id in 0..u16::MAX {
            let (p, mut h) = fragment(0, 1024, true);
            h.id = u32::from(id);
            refused += u32::from(matches!(f.gather(p, &h, 0, Instant::START), Gathered::Refused(..)));
        }
        assert!(refused > 0 && f.bytes <= HIGH_THRESH);
    }
}
