//! The IP header by value, one type for both families: IPv4 (RFC 791), IPv6 with its extension headers (RFC 8200).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Deref;

use ipnet::IpNet;

use super::checksum::Sum;
use super::eth::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};
use super::ext::{self, FRAGMENT, FRAGMENT_LEN, IPV6_LEN, NEXT_HEADER_AT};

/// Protocol number of ICMP for IPv4.
pub const ICMP: u8 = 1;
/// Protocol number of IGMP.
pub const IGMP: u8 = 2;
/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// Protocol number of ICMP for IPv6.
pub const ICMPV6: u8 = 58;
/// Protocol number of SCTP.
pub const SCTP: u8 = 132;
/// Mobility header (RFC 6275).
pub const MOBILITY: u8 = 135;

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

/// Length of an IPv4 header without options.
pub const IPV4_LEN: usize = 20;

/// An address family. What is different between the two is asked of it, at the place where it differs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub const fn of(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The family of an EtherType; `None` if that is not IP.
    pub const fn of_ethertype(ethertype: u16) -> Option<Self> {
        match ethertype {
            ETHERTYPE_IPV4 => Some(Self::V4),
            ETHERTYPE_IPV6 => Some(Self::V6),
            _ => None,
        }
    }

    /// Its EtherType.
    pub const fn ethertype(self) -> u16 {
        match self {
            Self::V4 => ETHERTYPE_IPV4,
            Self::V6 => ETHERTYPE_IPV6,
        }
    }

    /// How long its addresses are, in bits.
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// Length of an IP header without options or extension headers.
    pub const fn header_len(self) -> usize {
        match self {
            Self::V4 => IPV4_LEN,
            Self::V6 => IPV6_LEN,
        }
    }

    /// The protocol number of its ICMP.
    pub const fn icmp(self) -> u8 {
        match self {
            Self::V4 => ICMP,
            Self::V6 => ICMPV6,
        }
    }

    /// The family of a network.
    pub fn of_net(net: IpNet) -> Self {
        Self::of(net.addr())
    }

    /// Whether `addr` is of this family.
    pub fn has(self, addr: &IpAddr) -> bool {
        Self::of(*addr) == self
    }

    /// Whether `net` is of this family.
    pub fn has_net(self, net: &IpNet) -> bool {
        Self::of_net(*net) == self
    }

    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// The address that stands for every address.
    pub const fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::V4 { "IPv4" } else { "IPv6" })
    }
}

/// Whether a protocol number is that of one of the two ICMPs.
pub const fn is_icmp(proto: u8) -> bool {
    matches!(proto, ICMP | ICMPV6)
}

/// An IP header by value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IpHeader {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// L4 protocol number: what follows the extension headers.
    pub proto: u8,
    /// Time to live (hop limit).
    pub ttl: u8,
    /// Type of service (traffic class).
    pub tos: u8,
    /// Flow label of IPv6, 20 bits; else 0.
    pub flow: u32,
    /// Identification; of IPv6 that of the fragment header, or 0.
    pub id: u32,
    /// Routers must not fragment it: always so for IPv6.
    pub df: bool,
    /// More fragments.
    pub mf: bool,
    /// Offset of this fragment in bytes.
    pub frag_offset: u16,
    /// Length of the header with options or extension headers, in bytes: there the L4 header begins.
    pub header_len: u16,
    /// Length of header and payload, in bytes, as the header says (it may lie).
    pub total_len: u32,
}

impl IpHeader {
    /// Reads the header at the start of `bytes`; `None` if there is no whole header of a known version. Extension
    /// headers that are cut end the header before them.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.first()? >> 4 != 6 {
            let h = etherparse::Ipv4HeaderSlice::from_slice(bytes).ok()?;
            return Some(Self {
                src: IpAddr::V4(h.source_addr()),
                dst: IpAddr::V4(h.destination_addr()),
                proto: h.protocol().0,
                ttl: h.ttl(),
                tos: bytes[1],
                flow: 0,
                id: u32::from(h.identification()),
                df: h.dont_fragment(),
                mf: h.more_fragments(),
                frag_offset: h.fragments_offset().value() * 8,
                header_len: u16::from(h.ihl()) * 4,
                total_len: u32::from(h.total_len()),
            });
        }
        let h = etherparse::Ipv6HeaderSlice::from_slice(bytes).ok()?;
        let alone = Self {
            src: IpAddr::V6(h.source_addr()),
            dst: IpAddr::V6(h.destination_addr()),
            proto: h.next_header().0,
            ttl: h.hop_limit(),
            tos: h.traffic_class(),
            flow: h.flow_label().value(),
            id: 0,
            df: true,
            mf: false,
            frag_offset: 0,
            header_len: IPV6_LEN as u16,
            total_len: u32::from(h.payload_length()) + IPV6_LEN as u32,
        };
        Some(alone.extended_by(bytes))
    }

    /// The header with what its extension headers say.
    fn extended_by(mut self, bytes: &[u8]) -> Self {
        for extension in ext::each(bytes) {
            self.proto = extension.next;
            self.header_len = u16::try_from(extension.at + extension.len).unwrap_or(u16::MAX);
            if extension.kind == FRAGMENT
                && let Some(fragment) = ext::fragment_at(bytes, extension.at)
            {
                (self.frag_offset, self.mf, self.id) = (fragment.offset, fragment.more, fragment.id);
            }
        }
        self
    }

    /// The header with the protocol behind all extension headers, and the bytes of that protocol in `packet`; `None` if there is
    /// no such protocol (`ipv6_skip_exthdr`): a header that is cut short still says what would follow it.
    pub fn behind_headers(self, packet: &[u8]) -> Option<(Self, &[u8])> {
        let (at, proto) = match self.family() {
            Family::V4 => (usize::from(self.header_len), self.proto),
            Family::V6 => ext::skip(packet, IPV6_LEN, *packet.get(NEXT_HEADER_AT)?)?,
        };
        Some((Self { proto, ..self }, packet.get(at..).unwrap_or(&[])))
    }

    /// A header as a socket of this host would send it: default TTL, nothing else set.
    pub fn new(src: IpAddr, dst: IpAddr, proto: u8, payload_len: usize) -> Self {
        let header_len = Family::of(dst).header_len();
        Self {
            src,
            dst,
            proto,
            ttl: DEFAULT_TTL,
            tos: 0,
            flow: 0,
            id: 0,
            df: matches!(dst, IpAddr::V6(_)),
            mf: false,
            frag_offset: 0,
            header_len: header_len as u16,
            total_len: (header_len + payload_len) as u32,
        }
    }

    /// Its address family.
    pub const fn family(&self) -> Family {
        Family::of(self.dst)
    }

    /// Whether this is one fragment of a bigger packet.
    pub fn is_fragment(&self) -> bool {
        self.mf || self.frag_offset != 0
    }

    /// Length of what follows the header, as the header says.
    pub fn payload_len(&self) -> usize {
        (self.total_len as usize).saturating_sub(usize::from(self.header_len))
    }

    /// The bytes of a header before `payload_len` bytes: of IPv4 without options, checksum set; of IPv6 without
    /// extension headers but that of a fragment.
    pub fn to_bytes(&self, payload_len: usize) -> HeaderBytes {
        let mut out = HeaderBytes { bytes: [0; IPV6_LEN + FRAGMENT_LEN], len: IPV4_LEN };
        let b = &mut out.bytes;
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (self.src, self.dst) else {
            let fragment_len = if self.is_fragment() { FRAGMENT_LEN } else { 0 };
            let first = 6 << 28 | u32::from(self.tos) << 20 | (self.flow & 0xf_ffff);
            b[..4].copy_from_slice(&first.to_be_bytes());
            b[4..6].copy_from_slice(&short(fragment_len + payload_len));
            b[6] = if self.is_fragment() { FRAGMENT } else { self.proto };
            b[7] = self.ttl;
            b[8..24].copy_from_slice(&octets(self.src));
            b[24..40].copy_from_slice(&octets(self.dst));
            let fragment = ext::Fragment { offset: self.frag_offset, more: self.mf, id: self.id };
            b[IPV6_LEN..].copy_from_slice(&ext::fragment_bytes(self.proto, fragment));
            out.len = IPV6_LEN + fragment_len;
            return out;
        };
        b[0] = 0x45;
        b[1] = self.tos;
        b[2..4].copy_from_slice(&short(IPV4_LEN + payload_len));
        b[4..6].copy_from_slice(&(self.id as u16).to_be_bytes());
        let flags = u16::from(self.df) << 14 | u16::from(self.mf) << 13 | (self.frag_offset / 8);
        b[6..8].copy_from_slice(&flags.to_be_bytes());
        b[8] = self.ttl;
        b[9] = self.proto;
        b[12..16].copy_from_slice(&src.octets());
        b[16..20].copy_from_slice(&dst.octets());
        let check = Sum::default().bytes(&b[..IPV4_LEN]).finish();
        b[10..12].copy_from_slice(&check.to_be_bytes());
        out
    }
}

/// A length field; what is too long for it reads as the longest.
fn short(len: usize) -> [u8; 2] {
    (len.min(usize::from(u16::MAX)) as u16).to_be_bytes()
}

/// The address in a packet of IPv6 (RFC 4291 2.5.5.2 for one of IPv4, which no packet made here has).
pub(crate) const fn octets(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().octets(),
        IpAddr::V6(addr) => addr.octets(),
    }
}

/// The bytes of a header made here.
#[derive(Clone, Copy, Debug)]
pub struct HeaderBytes {
    bytes: [u8; IPV6_LEN + FRAGMENT_LEN],
    len: usize,
}

impl Deref for HeaderBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
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
        let bytes = h.to_bytes(13);
        assert_eq!(Sum::default().bytes(&bytes).finish(), 0);
        let mut whole = bytes.to_vec();
        whole.extend([0; 13]);
        assert_eq!(IpHeader::read(&whole), Some(h));
    }

    #[test]
    fn an_ipv6_header_reads_back_as_written_with_its_fragment_header() {
        let mut h = IpHeader::new("fd00::1".parse().unwrap(), "2001:db8::2".parse().unwrap(), UDP, 16);
        (h.tos, h.flow, h.ttl) = (0xb9, 0xabcde, 3);
        let mut whole = h.to_bytes(16).to_vec();
        whole.extend([0; 16]);
        assert_eq!(IpHeader::read(&whole), Some(h));
        (h.mf, h.frag_offset, h.id, h.header_len, h.total_len) = (true, 1400, 0x1234_5678, 48, 64);
        let mut fragment = h.to_bytes(16).to_vec();
        fragment.extend([0; 16]);
        assert_eq!(IpHeader::read(&fragment), Some(h));
    }

    #[test]
    fn a_cut_or_foreign_header_is_none() {
        assert_eq!(IpHeader::read(&[]), None);
        assert_eq!(IpHeader::read(&[0x45; 19]), None);
        assert_eq!(IpHeader::read(&[0x60; 39]), None);
        assert_eq!(IpHeader::read(&[0x44; 40]), None, "header shorter than 20 bytes");
    }
}
