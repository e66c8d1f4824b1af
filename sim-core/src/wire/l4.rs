//! UDP and TCP headers by value.

use std::net::IpAddr;

use super::checksum::Sum;
use super::ip::{ICMPV6, SCTP, TCP, UDP};
use super::sctp::{ABORT, HEADER};

/// TCP flag FIN.
pub const FIN: u8 = 0x01;
/// TCP flag SYN.
pub const SYN: u8 = 0x02;
/// TCP flag RST.
pub const RST: u8 = 0x04;
/// TCP flag PSH.
pub const PSH: u8 = 0x08;
/// TCP flag ACK.
pub const ACK: u8 = 0x10;
/// TCP flag URG.
pub const URG: u8 = 0x20;
/// TCP flag ECE.
pub const ECE: u8 = 0x40;
/// TCP flag CWR.
pub const CWR: u8 = 0x80;

/// The fixed part of a TCP header by value (RFC 9293 3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TcpHeader {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Flags ([`FIN`] … [`CWR`]).
    pub flags: u8,
    /// Window field, not scaled.
    pub window: u16,
    /// Length of the header with options, in bytes.
    pub header_len: u8,
}

impl TcpHeader {
    /// Reads the header at the start of `l4`; `None` if it is cut or its length is impossible.
    pub fn read(l4: &[u8]) -> Option<Self> {
        let h = etherparse::TcpHeaderSlice::from_slice(l4).ok()?;
        Some(Self {
            src: h.source_port(),
            dst: h.destination_port(),
            seq: h.sequence_number(),
            ack: h.acknowledgment_number(),
            flags: l4[13],
            window: h.window_size(),
            header_len: h.data_offset() * 4,
        })
    }

    /// Whether all of `flags` are set.
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }
}

/// Source and destination port of a UDP, TCP or SCTP packet; `None` for other protocols or a cut header.
pub fn ports(proto: u8, l4: &[u8]) -> Option<(u16, u16)> {
    if !matches!(proto, TCP | UDP | SCTP) || l4.len() < 4 {
        return None;
    }
    Some((u16::from_be_bytes([l4[0], l4[1]]), u16::from_be_bytes([l4[2], l4[3]])))
}

/// Whether a segment ends its connection by force: a RST, or an ABORT, which comes first if it comes at all.
pub fn resets(proto: u8, l4: &[u8]) -> bool {
    match proto {
        TCP => TcpHeader::read(l4).is_some_and(|tcp| tcp.has(RST)),
        SCTP => l4.get(HEADER) == Some(&ABORT),
        _ => false,
    }
}

/// Where the checksum field of a protocol stands in its header; `None` for protocols without a checksum over addresses.
pub const fn checksum_offset(proto: u8) -> Option<usize> {
    match proto {
        TCP => Some(16),
        UDP => Some(6),
        ICMPV6 => Some(2),
        _ => None,
    }
}

/// Whether a checksum over addresses is right. A UDP checksum of zero is "none", right over IPv4 (RFC 768) and not over
/// IPv6 (RFC 8200 8.1; net/ipv6/udp.c, `udp6_csum_init`).
pub fn checksum_ok(src: IpAddr, dst: IpAddr, proto: u8, l4: &[u8]) -> bool {
    if proto == UDP && l4.len() >= 8 && l4[6..8] == [0, 0] {
        return src.is_ipv4();
    }
    Sum::default().pseudo(src, dst, proto, l4.len()).bytes(l4).finish() == 0
}
