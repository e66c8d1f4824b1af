//! Edits in place, checksums updated incrementally (RFC 1624).
//!
//! All functions work on bytes that begin with an IP header whose presence the caller has checked;
//! on bytes too short for the field they change nothing.

use std::net::IpAddr;

use super::checksum::{Sum, set_sctp_checksum, update};
use super::ip::{Family, IpHeader, SCTP, UDP, is_icmp};
use super::l4::checksum_offset;
use super::{ext, icmp};

/// Which end of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The source.
    Src,
    /// The destination.
    Dst,
}

/// The family a packet says it is of.
fn family(ip: &[u8]) -> Family {
    if ip[0] >> 4 == 6 { Family::V6 } else { Family::V4 }
}

/// Where the L4 header stands, its protocol, and whether it is there and not in an earlier fragment.
fn l4_of(ip: &[u8]) -> (usize, u8, bool) {
    if family(ip) == Family::V4 {
        let first_fragment = u16::from_be_bytes([ip[6], ip[7]]) & 0x1fff == 0;
        return (usize::from(ip[0] & 0x0f) * 4, ip[9], first_fragment);
    }
    let cut = (ip.len(), 0, false);
    IpHeader::read(ip).map_or(cut, |h| (usize::from(h.header_len), h.proto, h.frag_offset == 0))
}

fn replace(ip: &mut [u8], at: usize, new: &[u8]) {
    let Some(field) = ip.get_mut(at..at + new.len()) else { return };
    field.copy_from_slice(new);
}

/// Replaces bytes covered by the checksum of an IPv4 header. `at` and the length are even.
fn replace_in_header(ip: &mut [u8], at: usize, new: &[u8]) {
    let check = u16::from_be_bytes([ip[10], ip[11]]);
    let check = update(check, &ip[at..at + new.len()], new);
    replace(ip, at, new);
    replace(ip, 10, &check.to_be_bytes());
}

/// Decrements the TTL (include/net/ip.h, `ip_decrease_ttl`; net/ipv6/ip6_output.c, `ip6_forward`).
pub fn decrement_ttl(ip: &mut [u8]) {
    let at = if family(ip) == Family::V6 { 7 } else { 8 };
    set_ttl(ip, ip[at].wrapping_sub(1));
}

/// Sets the TTL (hop limit).
pub fn set_ttl(ip: &mut [u8], ttl: u8) {
    let proto = ip[9];
    match family(ip) {
        Family::V4 => replace_in_header(ip, 8, &[ttl, proto]),
        Family::V6 => replace(ip, 7, &[ttl]),
    }
}

/// Sets the type-of-service byte (traffic class).
pub fn set_tos(ip: &mut [u8], tos: u8) {
    let (first, second) = (ip[0], ip[1]);
    match family(ip) {
        Family::V4 => replace_in_header(ip, 0, &[first, tos]),
        Family::V6 => replace(ip, 0, &[first & 0xf0 | tos >> 4, tos << 4 | second & 0x0f]),
    }
}

/// Sets the identification of an IPv4 packet; IPv6 has one only in fragments.
pub fn set_id(ip: &mut [u8], id: u16) {
    if family(ip) == Family::V4 {
        replace_in_header(ip, 4, &id.to_be_bytes());
    }
}

/// Sets the length field to what is there.
pub fn set_total_len(ip: &mut [u8]) {
    match family(ip) {
        Family::V4 => {
            let len = ip.len().min(usize::from(u16::MAX)) as u16;
            replace_in_header(ip, 2, &len.to_be_bytes());
        }
        Family::V6 => ext::set_payload_len(ip),
    }
}

/// Replaces an address by one of the same family; the L4 checksum follows where the header is in this fragment
/// (net/netfilter/nf_nat_proto.c, `nf_nat_ipv4_manip_pkt`, `nf_nat_ipv6_manip_pkt`).
pub fn set_addr(ip: &mut [u8], end: End, addr: IpAddr) {
    match (addr, family(ip)) {
        (IpAddr::V4(addr), Family::V4) => {
            let at = if end == End::Src { 12 } else { 16 };
            let old: [u8; 4] = std::array::from_fn(|i| ip[at + i]);
            replace_in_header(ip, at, &addr.octets());
            fix_checksum(ip, &old, &addr.octets());
        }
        (IpAddr::V6(addr), Family::V6) => {
            let at = if end == End::Src { 8 } else { 24 };
            let old: [u8; 16] = std::array::from_fn(|i| ip[at + i]);
            replace(ip, at, &addr.octets());
            fix_checksum(ip, &old, &addr.octets());
        }
        _ => {}
    }
}

/// Lets the L4 checksum follow a change of an address.
fn fix_checksum(ip: &mut [u8], old: &[u8], new: &[u8]) {
    let (from, proto, here) = l4_of(ip);
    if let Some(l4) = ip.get_mut(from..).filter(|_| here) {
        fix_l4_checksum(l4, proto, old, new);
    }
}

/// Replaces a port of a UDP, TCP or SCTP packet; its checksum follows. That of SCTP is computed anew, be it right or
/// not before, and needs the whole packet (`sctp_manip_pkt`).
pub fn set_port(ip: &mut [u8], end: End, port: u16) {
    let (from, proto, _) = l4_of(ip);
    let at = if end == End::Src { 0 } else { 2 };
    let Some(l4) = ip.get_mut(from..) else { return };
    let Some(field) = l4.get(at..at + 2) else { return };
    let old = [field[0], field[1]];
    replace(l4, at, &port.to_be_bytes());
    match proto {
        SCTP => set_sctp_checksum(l4),
        _ => fix_l4_checksum(l4, proto, &old, &port.to_be_bytes()),
    }
}

/// Replaces the identifier of an ICMP echo or timestamp message.
pub fn set_icmp_id(ip: &mut [u8], id: u16) {
    let (from, ..) = l4_of(ip);
    let Some(l4) = ip.get_mut(from..).filter(|l4| l4.len() >= 8) else { return };
    let check = update(u16::from_be_bytes([l4[2], l4[3]]), &l4[4..6], &id.to_be_bytes());
    replace(l4, 4, &id.to_be_bytes());
    replace(l4, 2, &check.to_be_bytes());
}

/// Recomputes the checksum of an ICMP message after its quoted packet was edited.
pub fn refresh_icmp_checksum(ip: &mut [u8]) {
    let Some(header) = IpHeader::read(ip).filter(|header| is_icmp(header.proto)) else { return };
    let Some(l4) = ip.get_mut(usize::from(header.header_len)..).filter(|l4| l4.len() >= 8) else { return };
    replace(l4, 2, &[0, 0]);
    let check = icmp::checksum(header.src, header.dst, l4);
    replace(l4, 2, &check.to_be_bytes());
}

/// Puts the sum of the pseudo header alone where the L4 checksum belongs: what the kernel leaves there until a
/// device computes the rest (`CHECKSUM_PARTIAL`, include/linux/skbuff.h).
pub fn leave_checksum_partial(ip: &mut [u8]) {
    let (from, proto, _) = l4_of(ip);
    let (Some(header), Some(at)) = (IpHeader::read(ip), checksum_offset(proto)) else { return };
    let len = ip.len().saturating_sub(from);
    let sum = Sum::default().pseudo(header.src, header.dst, proto, len).fold();
    if let Some(l4) = ip.get_mut(from..) {
        replace(l4, at, &sum.to_be_bytes());
    }
}

/// Updates a UDP or TCP checksum that is there; a UDP checksum of zero means none and stays
/// (net/netfilter/nf_nat_proto.c, `__udp_manip_pkt`).
fn fix_l4_checksum(l4: &mut [u8], proto: u8, old: &[u8], new: &[u8]) {
    let Some(at) = checksum_offset(proto) else { return };
    let Some(field) = l4.get(at..at + 2) else { return };
    let check = u16::from_be_bytes([field[0], field[1]]);
    if proto == UDP && check == 0 {
        return;
    }
    let mut check = update(check, old, new);
    if proto == UDP && check == 0 {
        check = 0xffff;
    }
    replace(l4, at, &check.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::build;
    use crate::wire::checksum::Sum;
    use crate::wire::ip::TCP;
    use crate::wire::l4::{TcpHeader, checksum_ok};
    use crate::wire::packet::PacketId;
    use proptest::prelude::*;

    fn addr(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(n).into()
    }

    /// An address of either family.
    fn addr_of(family: Family, n: u32) -> IpAddr {
        match family {
            Family::V4 => addr(n),
            Family::V6 => std::net::Ipv6Addr::from(u128::from(n) * 0x1_0000_0001_0000_0001).into(),
        }
    }

    proptest! {
        /// Whatever is edited, checksums that were right stay right.
        #[test]
        fn edits_keep_checksums_right(a in any::<u32>(), b in any::<u32>(), c in any::<u32>(), port in any::<u16>(),
                                      ttl in any::<u8>(), tos in any::<u8>(), is_tcp in any::<bool>(), is_v6 in any::<bool>(),
                                      data in proptest::collection::vec(any::<u8>(), 0..60)) {
            let family = if is_v6 { Family::V6 } else { Family::V4 };
            let addr = |n| addr_of(family, n);
            let mut header = IpHeader::new(addr(a), addr(b), if is_tcp { TCP } else { UDP }, 0);
            header.flow = if is_v6 { 0xabcde } else { 0 };
            let mut p = if is_tcp {
                build::tcp(PacketId(0), header, TcpHeader { src: 1, dst: 2, ..Default::default() }, &[], &data)
            } else {
                build::udp(PacketId(0), header, 1, 2, &data)
            };
            let ip = p.l3_mut();
            set_addr(ip, End::Src, addr(c));
            set_port(ip, End::Dst, port);
            set_ttl(ip, ttl);
            set_tos(ip, tos);
            set_id(ip, port);
            let h = p.ip().unwrap();
            prop_assert!(is_v6 || Sum::default().bytes(&p.l3()[..20]).finish() == 0);
            prop_assert!(checksum_ok(h.src, h.dst, h.proto, &p.l3()[family.header_len()..]));
            prop_assert_eq!((h.src, h.ttl, h.tos, h.flow), (addr(c), ttl, tos, header.flow));
            prop_assert_eq!(h.id, if is_v6 { 0 } else { u32::from(port) });
        }

        /// Edits of bytes too short for the field do not panic.
        #[test]
        fn cut_packets_are_left_alone(len in 20usize..30) {
            let mut bytes = vec![0x45u8; len];
            set_port(&mut bytes, End::Dst, 7);
            set_icmp_id(&mut bytes, 7);
            set_addr(&mut bytes, End::Dst, addr(1));
            refresh_icmp_checksum(&mut bytes);
        }
    }

    #[test]
    fn an_icmp_message_of_ipv6_is_right_after_its_addresses_and_identifier_changed() {
        let [src, dst, other] = [1, 2, 3].map(|n| addr_of(Family::V6, n));
        let header = IpHeader::new(src, dst, crate::wire::ip::ICMPV6, 0);
        let echo = icmp::IcmpHeader { kind: crate::wire::icmpv6::ECHO, code: 0, rest: [0, 1, 0, 1] };
        let mut p = build::icmp(PacketId(0), header, echo, b"odd");
        set_addr(p.l3_mut(), End::Src, other);
        set_icmp_id(p.l3_mut(), 77);
        assert_eq!(icmp::checksum(other, dst, &p.l3()[40..]), 0);
        let before = p.l3().to_vec();
        refresh_icmp_checksum(p.l3_mut());
        assert_eq!(p.l3(), before);
    }

    #[test]
    fn an_absent_udp_checksum_stays_absent() {
        let header = IpHeader::new(addr(1), addr(2), UDP, 0);
        let mut p = build::udp(PacketId(0), header, 1, 2, b"x");
        p.l3_mut()[26..28].copy_from_slice(&[0, 0]);
        set_addr(p.l3_mut(), End::Dst, addr(9));
        assert_eq!(p.l3()[26..28], [0, 0]);
    }
}
