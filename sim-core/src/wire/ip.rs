//! The IP header by value, one type for both families.
//!
//! IPv4 (RFC 791) is read and written; an IPv6 header reads as `None` until IPv6 is switched on.

use std::net::{IpAddr, Ipv4Addr};

use super::checksum::Sum;

/// Protocol number of ICMP for IPv4.
pub const ICMP: u8 = 1;
/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// Protocol number of ICMP for IPv6.
pub const ICMPV6: u8 = 58;
/// Protocol number of SCTP.
pub const SCTP: u8 = 132;

/// TTL of packets made by a socket (`net.ipv4.ip_default_ttl`, include/uapi/linux/ip.h `IPDEFTTL`).
pub const DEFAULT_TTL: u8 = 64;

/// The name of a protocol as iptables prints it; `None` for numbers without one here.
pub const fn protocol_name(proto: u8) -> Option<&'static str> {
    match proto {
        ICMP => Some("icmp"),
        TCP => Some("tcp"),
        UDP => Some("udp"),
        ICMPV6 => Some("ipv6-icmp"),
        SCTP => Some("sctp"),
        _ => None,
    }
}

/// An IP header by value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IpHeader {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// L4 protocol number.
    pub proto: u8,
    /// Time to live (hop limit).
    pub ttl: u8,
    /// Type of service (traffic class).
    pub tos: u8,
    /// Identification.
    pub id: u16,
    /// Don't fragment.
    pub df: bool,
    /// More fragments.
    pub mf: bool,
    /// Offset of this fragment in bytes.
    pub frag_offset: u16,
    /// Length of the header with options, in bytes.
    pub header_len: u8,
    /// Length of header and payload, in bytes, as the header says (it may lie).
    pub total_len: u16,
}

impl IpHeader {
    /// Reads the header at the start of `bytes`; `None` if there is no whole header of a known version.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let h = etherparse::Ipv4HeaderSlice::from_slice(bytes).ok()?;
        Some(Self {
            src: IpAddr::V4(h.source_addr()),
            dst: IpAddr::V4(h.destination_addr()),
            proto: h.protocol().0,
            ttl: h.ttl(),
            tos: bytes[1],
            id: h.identification(),
            df: h.dont_fragment(),
            mf: h.more_fragments(),
            frag_offset: h.fragments_offset().value() * 8,
            header_len: h.ihl() * 4,
            total_len: h.total_len(),
        })
    }

    /// A header as a socket of this host would send it: default TTL, nothing else set.
    pub fn new(src: IpAddr, dst: IpAddr, proto: u8, payload_len: usize) -> Self {
        Self {
            src,
            dst,
            proto,
            ttl: DEFAULT_TTL,
            tos: 0,
            id: 0,
            df: false,
            mf: false,
            frag_offset: 0,
            header_len: 20,
            total_len: (20 + payload_len).min(usize::from(u16::MAX)) as u16,
        }
    }

    /// Whether this is one fragment of a bigger packet.
    pub fn is_fragment(&self) -> bool {
        self.mf || self.frag_offset != 0
    }

    /// Length of what follows the header, as the header says.
    pub fn payload_len(&self) -> usize {
        usize::from(self.total_len).saturating_sub(usize::from(self.header_len))
    }

    /// The bytes of an IPv4 header without options, checksum set.
    pub fn to_bytes(&self) -> [u8; 20] {
        let v4 = |a: IpAddr| match a {
            IpAddr::V4(a) => a,
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        };
        let mut b = [0u8; 20];
        b[0] = 0x45;
        b[1] = self.tos;
        b[2..4].copy_from_slice(&self.total_len.to_be_bytes());
        b[4..6].copy_from_slice(&self.id.to_be_bytes());
        let flags = u16::from(self.df) << 14 | u16::from(self.mf) << 13 | (self.frag_offset / 8);
        b[6..8].copy_from_slice(&flags.to_be_bytes());
        b[8] = self.ttl;
        b[9] = self.proto;
        b[12..16].copy_from_slice(&v4(self.src).octets());
        b[16..20].copy_from_slice(&v4(self.dst).octets());
        let check = Sum::default().bytes(&b).finish();
        b[10..12].copy_from_slice(&check.to_be_bytes());
        b
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_as_written_and_its_checksum_is_right() {
        let mut h = IpHeader::new("10.244.1.2".parse().unwrap(), "10.96.0.10".parse().unwrap(), UDP, 13);
        h.df = true;
        h.id = 7;
        let bytes = h.to_bytes();
        assert_eq!(Sum::default().bytes(&bytes).finish(), 0);
        let mut whole = bytes.to_vec();
        whole.extend([0; 13]);
        assert_eq!(IpHeader::read(&whole), Some(h));
    }

    #[test]
    fn a_cut_or_foreign_header_is_none() {
        assert_eq!(IpHeader::read(&[]), None);
        assert_eq!(IpHeader::read(&[0x45; 19]), None);
        assert_eq!(IpHeader::read(&[0x60; 40]), None);
        assert_eq!(IpHeader::read(&[0x44; 40]), None, "header shorter than 20 bytes");
    }
}
