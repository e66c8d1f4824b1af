//! Neighbour discovery for IPv6 (RFC 4861): solicitations and advertisements, which are ICMP messages.

use std::net::{IpAddr, Ipv6Addr};

use super::eth::MacAddr;
use super::icmp::IcmpHeader;
use super::icmpv6::{NEIGH_ADVERT, NEIGH_SOLICIT, REDIRECT};

/// Hop limit of every message: what comes from elsewhere has less (RFC 4861 7.1).
pub const HOP_LIMIT: u8 = 255;
/// All nodes of a link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers of a link.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// Option: the sender's hardware address.
const SOURCE_LINK: u8 = 1;
/// Option: the target's hardware address.
const TARGET_LINK: u8 = 2;
/// Option: the packet that was redirected (RFC 4861 4.6.3).
pub const REDIRECTED: u8 = 4;
/// Option: a number by which a node knows its own question again (RFC 7527).
const NONCE: u8 = 14;

/// The flags of an advertisement (RFC 4861 4.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags {
    /// The sender forwards packets.
    pub router: bool,
    /// It answers a solicitation.
    pub solicited: bool,
    /// It may replace another hardware address.
    pub overrides: bool,
}

/// A neighbour solicitation or advertisement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nd {
    /// Who has `target`?
    Solicit {
        /// The address asked for.
        target: Ipv6Addr,
        /// The asker's hardware address; a unicast question may leave it out, a probe for duplicates must.
        source_link: Option<MacAddr>,
        /// By which a probe for duplicates is known again.
        nonce: Option<[u8; 6]>,
    },
    /// `target` is at `target_link`.
    Advert {
        /// The address told about.
        target: Ipv6Addr,
        /// Its hardware address, unless the asker knows it.
        target_link: Option<MacAddr>,
        /// What it claims.
        flags: Flags,
    },
}

impl Nd {
    /// Reads an ICMP message; `None` if it is another message, cut, or has an option without a length.
    pub fn read(message: &[u8]) -> Option<Self> {
        let header = IcmpHeader::read(message)?;
        let octets: [u8; 16] = message.get(8..24)?.try_into().ok()?;
        let target = Ipv6Addr::from(octets);
        let options = Options::read(message.get(24..)?)?;
        match header.kind {
            NEIGH_SOLICIT => Some(Self::Solicit { target, source_link: options.source_link, nonce: options.nonce }),
            NEIGH_ADVERT => {
                let [first, ..] = header.rest;
                let flags =
                    Flags { router: first & 0x80 != 0, solicited: first & 0x40 != 0, overrides: first & 0x20 != 0 };
                Some(Self::Advert { target, target_link: options.target_link, flags })
            }
            _ => None,
        }
    }

    /// The ICMP message from `src` to `dst`, checksum set.
    pub fn to_bytes(self, ends: (IpAddr, IpAddr)) -> Vec<u8> {
        let (kind, first, target, options) = match self {
            Self::Solicit { target, source_link, nonce } => {
                let link = source_link.map(|mac| (SOURCE_LINK, mac.0));
                (NEIGH_SOLICIT, 0, target, [link, nonce.map(|nonce| (NONCE, nonce))])
            }
            Self::Advert { target, target_link, flags } => {
                let link = target_link.map(|mac| (TARGET_LINK, mac.0));
                let bits = [(flags.router, 0x80), (flags.solicited, 0x40), (flags.overrides, 0x20)];
                let first = bits.into_iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum();
                (NEIGH_ADVERT, first, target, [link, None])
            }
        };
        let mut body = target.octets().to_vec();
        for (option, value) in options.into_iter().flatten() {
            body.extend([option, 1]);
            body.extend(value);
        }
        IcmpHeader { kind, code: 0, rest: [first, 0, 0, 0] }.to_bytes(ends, &body)
    }
}

/// A redirect that came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Redirect<'a> {
    /// Where packets are to go: a router, or the destination itself.
    pub target: Ipv6Addr,
    /// Which packets: those for this destination.
    pub dst: Ipv6Addr,
    /// The target's hardware address.
    pub target_link: Option<MacAddr>,
    /// The packet that was redirected.
    pub quoted: Option<&'a [u8]>,
}

impl<'a> Redirect<'a> {
    /// Reads an ICMP message; `None` if it is another message, cut, or has an option without a length.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        IcmpHeader::read(message).filter(|header| header.kind == REDIRECT)?;
        let target: [u8; 16] = message.get(8..24)?.try_into().ok()?;
        let dst: [u8; 16] = message.get(24..40)?.try_into().ok()?;
        let Options { target_link, redirected, .. } = Options::read(message.get(40..)?)?;
        Some(Self { target: target.into(), dst: dst.into(), target_link, quoted: redirected })
    }
}

/// The ICMP message that tells the sender of `packet` to give what is for its destination to `target`, with the hardware
/// address of that if it is known (RFC 4861 4.5). No more of the packet is quoted than fits 1280 bytes
/// (`ndisc_fill_redirect_hdr_option`).
pub fn redirect(
    ends: (IpAddr, IpAddr),
    (target, dst): (Ipv6Addr, Ipv6Addr),
    link: Option<MacAddr>,
    packet: &[u8],
) -> Vec<u8> {
    const ROOM: usize = 1280 - 40 - 40;
    let mut body = [target.octets(), dst.octets()].concat();
    if let Some(MacAddr(mac)) = link {
        body.extend([TARGET_LINK, 1]);
        body.extend(mac);
    }
    let room = ROOM - if link.is_some() { 8 } else { 0 };
    let quoted = (packet.len() + 8).min(room) / 8 * 8 - 8;
    body.extend([REDIRECTED, (quoted / 8 + 1) as u8, 0, 0, 0, 0, 0, 0]);
    body.extend(packet.iter().take(quoted));
    IcmpHeader { kind: REDIRECT, code: 0, rest: [0; 4] }.to_bytes(ends, &body)
}

/// The options that are looked at (net/ipv6/ndisc.c, `ndisc_parse_options`).
#[derive(Default)]
struct Options<'a> {
    source_link: Option<MacAddr>,
    target_link: Option<MacAddr>,
    nonce: Option<[u8; 6]>,
    redirected: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn read(mut rest: &'a [u8]) -> Option<Self> {
        let mut found = Self::default();
        while let [kind, len, ..] = rest {
            let len = usize::from(*len) * 8;
            if len == 0 || len > rest.len() {
                return None;
            }
            let value: [u8; 6] = std::array::from_fn(|i| rest[2 + i]);
            match *kind {
                SOURCE_LINK => found.source_link = found.source_link.or(Some(MacAddr(value))),
                TARGET_LINK => found.target_link = found.target_link.or(Some(MacAddr(value))),
                REDIRECTED => found.redirected = found.redirected.or(rest.get(8..len)),
                NONCE => found.nonce = found.nonce.or(Some(value)),
                _ => {}
            }
            rest = &rest[len..];
        }
        Some(found)
    }
}

/// The group in which a node with address `addr` is asked for it (RFC 4291 2.7.1).
pub fn solicited_node(addr: Ipv6Addr) -> Ipv6Addr {
    let low = addr.to_bits() & 0xff_ffff;
    Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0000 | low)
}

/// The link-local address that follows from a hardware address (RFC 4291 appendix A).
pub fn link_local(MacAddr([a, b, c, d, e, f]): MacAddr) -> Ipv6Addr {
    let word = |high, low| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(0xfe80, 0, 0, 0, word(a ^ 2, b), word(c, 0xff), word(0xfe, d), word(e, f))
}

/// The Ethernet address of an IP group (RFC 1112 6.4, RFC 2464 7).
pub fn group_mac(group: IpAddr) -> MacAddr {
    match group {
        IpAddr::V4(group) => {
            let [_, b, c, d] = group.octets();
            MacAddr([0x01, 0x00, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V6(group) => {
            let [.., a, b, c, d] = group.octets();
            MacAddr([0x33, 0x33, a, b, c, d])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::icmp::checksum;
    use proptest::prelude::*;

    #[test]
    fn a_message_reads_back_as_written() {
        let (src, dst): (IpAddr, IpAddr) = ("fd00::1".parse().unwrap(), "ff02::1:ff00:2".parse().unwrap());
        let target: Ipv6Addr = "fd00::2".parse().unwrap();
        let ask = Nd::Solicit { target, source_link: Some(MacAddr([2; 6])), nonce: Some([7; 6]) };
        let flags = Flags { router: true, solicited: false, overrides: true };
        let tell = Nd::Advert { target, target_link: None, flags };
        for message in [ask, tell] {
            let bytes = message.to_bytes((src, dst));
            assert_eq!(checksum(src, dst, &bytes), 0);
            assert_eq!(Nd::read(&bytes), Some(message));
        }
    }

    #[test]
    fn addresses_follow_from_addresses() {
        let mac: MacAddr = "0a:58:0a:f4:01:02".parse().unwrap();
        assert_eq!(link_local(mac), "fe80::858:aff:fef4:102".parse::<Ipv6Addr>().unwrap());
        let group = solicited_node("fd00:10:244:1::a0b:c0d".parse().unwrap());
        assert_eq!(group, "ff02::1:ff0b:c0d".parse::<Ipv6Addr>().unwrap());
        assert_eq!(group_mac(group.into()), "33:33:ff:0b:0c:0d".parse().unwrap());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = (Nd::read(&bytes), Redirect::read(&bytes));
        }
    }
}
