//! Edits in place, checksums updated incrementally (RFC 1624).
//!
//! All functions work on bytes that begin with an IP header whose presence the caller has checked;
//! on bytes too short for the field they change nothing.

use std::net::IpAddr;

use super::checksum::{Sum, set_sctp_checksum, update};
use super::ip::{IpHeader, SCTP, UDP};
use super::l4::checksum_offset;

/// Which end of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The source.
    Src,
    /// The destination.
    Dst,
}

fn header_len(ip: &[u8]) -> usize {
    usize::from(ip[0] & 0x0f) * 4
}

fn replace(ip: &mut [u8], at: usize, new: &[u8]) {
    let Some(field) = ip.get_mut(at..at + new.len()) else { return };
    field.copy_from_slice(new);
}

/// Replaces bytes covered by the IP header checksum. `at` and the length are even.
fn replace_in_header(ip: &mut [u8], at: usize, new: &[u8]) {
    let check = u16::from_be_bytes([ip[10], ip[11]]);
    let check = update(check, &ip[at..at + new.len()], new);
    replace(ip, at, new);
    replace(ip, 10, &check.to_be_bytes());
}

/// Decrements the TTL (include/net/ip.h, `ip_decrease_ttl`).
pub fn decrement_ttl(ip: &mut [u8]) {
    set_ttl(ip, ip[8].wrapping_sub(1));
}

/// Sets the TTL.
pub fn set_ttl(ip: &mut [u8], ttl: u8) {
    let proto = ip[9];
    replace_in_header(ip, 8, &[ttl, proto]);
}

/// Sets the type-of-service byte.
pub fn set_tos(ip: &mut [u8], tos: u8) {
    let first = ip[0];
    replace_in_header(ip, 0, &[first, tos]);
}

/// Sets the identification.
pub fn set_id(ip: &mut [u8], id: u16) {
    replace_in_header(ip, 4, &id.to_be_bytes());
}

/// Replaces an address; the L4 checksum follows where the header is in this fragment
/// (net/netfilter/nf_nat_proto.c, `nf_nat_ipv4_manip_pkt`).
pub fn set_addr(ip: &mut [u8], end: End, addr: IpAddr) {
    let IpAddr::V4(addr) = addr else { return };
    let at = if end == End::Src { 12 } else { 16 };
    let old: [u8; 4] = [ip[at], ip[at + 1], ip[at + 2], ip[at + 3]];
    let first_fragment = u16::from_be_bytes([ip[6], ip[7]]) & 0x1fff == 0;
    let proto = ip[9];
    replace_in_header(ip, at, &addr.octets());
    if first_fragment {
        let from = header_len(ip);
        if let Some(l4) = ip.get_mut(from..) {
            fix_l4_checksum(l4, proto, &old, &addr.octets());
        }
    }
}

/// Replaces a port of a UDP, TCP or SCTP packet; its checksum follows. That of SCTP is computed anew, be it right or
/// not before, and needs the whole packet (`sctp_manip_pkt`).
pub fn set_port(ip: &mut [u8], end: End, port: u16) {
    let (from, proto) = (header_len(ip), ip[9]);
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
    let from = header_len(ip);
    let Some(l4) = ip.get_mut(from..).filter(|l4| l4.len() >= 8) else { return };
    let check = update(u16::from_be_bytes([l4[2], l4[3]]), &l4[4..6], &id.to_be_bytes());
    replace(l4, 4, &id.to_be_bytes());
    replace(l4, 2, &check.to_be_bytes());
}

/// Recomputes the checksum of an ICMP message after its quoted packet was edited.
pub fn refresh_icmp_checksum(ip: &mut [u8]) {
    let from = header_len(ip);
    let Some(l4) = ip.get_mut(from..).filter(|l4| l4.len() >= 8) else { return };
    replace(l4, 2, &[0, 0]);
    let check = Sum::default().bytes(l4).finish();
    replace(l4, 2, &check.to_be_bytes());
}

/// Puts the sum of the pseudo header alone where the L4 checksum belongs: what the kernel leaves there until a
/// device computes the rest (`CHECKSUM_PARTIAL`, include/linux/skbuff.h).
pub fn leave_checksum_partial(ip: &mut [u8]) {
    let (from, proto) = (header_len(ip), ip[9]);
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

    proptest! {
        /// Whatever is edited, checksums that were right stay right.
        #[test]
        fn edits_keep_checksums_right(a in any::<u32>(), b in any::<u32>(), c in any::<u32>(), port in any::<u16>(),
                                      ttl in any::<u8>(), tos in any::<u8>(), is_tcp in any::<bool>(),
                                      data in proptest::collection::vec(any::<u8>(), 0..60)) {
            let header = IpHeader::new(addr(a), addr(b), if is_tcp { TCP } else { UDP }, 0);
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
            prop_assert_eq!(Sum::default().bytes(&p.l3()[..20]).finish(), 0);
            prop_assert!(checksum_ok(h.src, h.dst, h.proto, &p.l3()[20..]));
            prop_assert_eq!((h.src, h.ttl, h.tos, h.id), (addr(c), ttl, tos, port));
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
    fn an_absent_udp_checksum_stays_absent() {
        let header = IpHeader::new(addr(1), addr(2), UDP, 0);
        let mut p = build::udp(PacketId(0), header, 1, 2, b"x");
        p.l3_mut()[26..28].copy_from_slice(&[0, 0]);
        set_addr(p.l3_mut(), End::Dst, addr(9));
        assert_eq!(p.l3()[26..28], [0, 0]);
    }
}
