//! `-j HMARK` (net/netfilter/xt_HMARK.c): the packet's mark becomes a hash of its flow, the same in both directions.
//! With it and policy routing a host spreads flows over others.

use std::fmt;
use std::net::IpAddr;

use super::Kind;
use crate::netfilter::conntrack::Tuple;
use crate::netfilter::jhash::{jhash, scale};
use crate::netfilter::rules::evaluate::Verdict;
use crate::netfilter::rules::packet::RulePacket;
use crate::netfilter::text::rule::network;
use crate::netfilter::text::{Given, TextError};
use crate::wire::icmp::is_error;
use crate::wire::ip::{Family, ICMP, IpHeader, SCTP, TCP, UDP};

/// Protocols with four bytes of ports or a number of a security association, and where those stand
/// (net/core/utils.c and include/net/ip.h, `proto_ports_offset`): DCCP, ESP, UDP-Lite, AH beside the known ones.
const PORTS_OFFSET: [(u8, usize); 7] = [(TCP, 0), (UDP, 0), (SCTP, 0), (33, 0), (50, 0), (136, 0), (51, 4)];

/// What `--hmark-tuple` takes, in the order in which it is compared; a beginning is enough (`hmark_parse`).
const TUPLE: [&str; 7] = ["ct", "src", "dst", "sport", "dport", "proto", "spi"];

/// Marks packets by a hash of their flow. A part without a mask does not count.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hmark {
    /// Length of the source's prefix that counts.
    pub src_prefix: Option<u8>,
    /// Length of the destination's prefix that counts.
    pub dst_prefix: Option<u8>,
    /// Bits of the source port that count.
    pub sport_mask: Option<u16>,
    /// Bits of the destination port that count.
    pub dport_mask: Option<u16>,
    /// Bits of the security association that count.
    pub spi_mask: Option<u32>,
    /// Bits set in the source port before.
    pub sport: Option<u16>,
    /// Bits set in the destination port before.
    pub dport: Option<u16>,
    /// Bits set in the security association before.
    pub spi: Option<u32>,
    /// Bits of the protocol that count.
    pub proto_mask: Option<u16>,
    /// What the hash begins with.
    pub rnd: Option<u32>,
    /// How many marks there are; at least 1.
    pub modulus: Option<u32>,
    /// The smallest mark.
    pub offset: Option<u32>,
    /// The flow is what conntrack says it is, before any translation.
    pub ct: bool,
}

/// A flow as it is hashed (`struct hmark_tuple`).
struct Flow {
    src: u32,
    dst: u32,
    ports: u32,
    proto: u8,
}

impl Hmark {
    /// Takes one word of `--hmark-tuple`.
    fn part(&mut self, word: &str) -> bool {
        let begins = |name: &&&str| name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        match TUPLE.iter().find(begins).copied() {
            Some("ct") => self.ct = true,
            Some("src") => self.src_prefix = Some(32),
            Some("dst") => self.dst_prefix = Some(32),
            Some("sport") => self.sport_mask = Some(u16::MAX),
            Some("dport") => self.dport_mask = Some(u16::MAX),
            Some("proto") => self.proto_mask = Some(u16::MAX),
            Some("spi") => self.spi_mask = Some(u32::MAX),
            _ => return false,
        }
        true
    }

    fn tuple(&mut self, text: &str) -> Result<(), String> {
        let wrong = |word| format!("bad part {word:?} of a flow: {} are expected, with commas", TUPLE.join(", "));
        text.split(',').try_for_each(|word| if !word.is_empty() && self.part(word) { Ok(()) } else { Err(wrong(word)) })
    }

    /// The flow the packet shows, or for an ICMP error that of the packet it quotes (`hmark_pkt_set_htuple_ipv4`).
    fn flow_of(&self, ip: &IpHeader, l4: &[u8]) -> Option<Flow> {
        let quoted = (ip.proto == ICMP && l4.len() >= 8 && is_error(ip.proto, l4[0])).then(|| &l4[8..]);
        if let Some(quoted) = quoted {
            let ip = IpHeader::read(quoted)?;
            return Some(self.flow(&ip, &quoted[usize::from(ip.header_len)..]));
        }
        Some(self.flow(ip, l4))
    }

    fn flow(&self, ip: &IpHeader, l4: &[u8]) -> Flow {
        let offset = PORTS_OFFSET.iter().find(|(proto, _)| *proto == ip.proto).map(|(_, offset)| *offset);
        let ports = offset.filter(|_| !ip.is_fragment()).and_then(|at| l4.get(at..at + 4)?.try_into().ok());
        Flow {
            src: masked(ip.src, self.src_prefix),
            dst: masked(ip.dst, self.dst_prefix),
            ports: ports.map_or(0, |ports| self.ports(u32::from_be_bytes(ports))),
            proto: ip.proto,
        }
    }

    /// The flow that conntrack sees: who began it, and who answers (`hmark_ct_set_htuple`).
    fn tracked(&self, orig: &Tuple, reply: &Tuple) -> Flow {
        let ports = u32::from(orig.src_key()) << 16 | u32::from(reply.src_key());
        Flow {
            src: masked(orig.src, self.src_prefix),
            dst: masked(reply.src, self.dst_prefix),
            ports: if orig.proto == ICMP { 0 } else { self.ports(ports) },
            proto: orig.proto,
        }
    }

    /// Both ports under their masks, the greater one first (`hmark_swap_ports`).
    fn ports(&self, ports: u32) -> u32 {
        let pair = |src: Option<u16>, dst: Option<u16>| u32::from(src.unwrap_or(0)) << 16 | u32::from(dst.unwrap_or(0));
        let mask = self.spi_mask.unwrap_or_else(|| pair(self.sport_mask, self.dport_mask));
        let set = self.spi.unwrap_or_else(|| pair(self.sport, self.dport));
        let ports = ports & mask | set;
        ports.max(ports.rotate_left(16))
    }

    /// The mark of a flow (`hmark_hash`).
    fn mark(&self, flow: &Flow) -> u32 {
        let words = [flow.src.min(flow.dst), flow.src.max(flow.dst), flow.ports];
        let hash = jhash(&words, self.rnd.unwrap_or(0));
        let hash = hash ^ (u32::from(flow.proto) & u32::from(self.proto_mask.unwrap_or(0)));
        scale(hash, self.modulus.unwrap_or(1)).wrapping_add(self.offset.unwrap_or(0))
    }
}

/// An address under a prefix, as one word (`hmark_addr_mask`).
fn masked(ip: IpAddr, prefix: Option<u8>) -> u32 {
    let prefix = u32::from(prefix.unwrap_or(0));
    match ip {
        IpAddr::V4(ip) => ip.to_bits() & u32::MAX.checked_shl(32 - prefix.min(32)).unwrap_or(0),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits() & u128::MAX.checked_shl(128 - prefix.min(128)).unwrap_or(0);
            [96, 64, 32, 0].iter().fold(0, |word, shift| word ^ (bits >> shift) as u32)
        }
    }
}

impl Kind for Hmark {
    const NAME: &'static str = "HMARK";

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        match given.name() {
            "--hmark-tuple" => given.value(|text| self.tuple(text))?,
            "--hmark-src-prefix" => once(given, &mut self.src_prefix, prefix)?,
            "--hmark-dst-prefix" => once(given, &mut self.dst_prefix, prefix)?,
            "--hmark-sport-mask" => once(given, &mut self.sport_mask, half)?,
            "--hmark-dport-mask" => once(given, &mut self.dport_mask, half)?,
            "--hmark-spi-mask" => once(given, &mut self.spi_mask, word)?,
            "--hmark-sport" => once(given, &mut self.sport, half)?,
            "--hmark-dport" => once(given, &mut self.dport, half)?,
            "--hmark-spi" => once(given, &mut self.spi, word)?,
            "--hmark-proto-mask" => once(given, &mut self.proto_mask, half)?,
            "--hmark-rnd" => once(given, &mut self.rnd, word)?,
            "--hmark-mod" => once(given, &mut self.modulus, |given| match word(given)? {
                0 => Err(given.fail("--hmark-mod needs at least 1")),
                modulus => Ok(modulus),
            })?,
            "--hmark-offset" => once(given, &mut self.offset, word)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        let port_mask = self.sport_mask.or(self.dport_mask).is_some();
        let port = self.sport.or(self.dport).is_some();
        let spi = self.spi_mask.or(self.spi).is_some();
        let other = self.src_prefix.or(self.dst_prefix).is_some() || self.proto_mask.is_some() || self.ct;
        match self {
            Self { modulus: None, .. } => Err("--hmark-mod is missing".into()),
            Self { rnd: None, .. } => Err("--hmark-rnd is missing".into()),
            Self { spi_mask: Some(_), .. } if port_mask => {
                Err("--hmark-spi-mask and a port's mask do not go together".into())
            }
            Self { spi: Some(_), .. } if port => Err("--hmark-spi and a port do not go together".into()),
            _ if !(port_mask || port || spi || other) => Err("--hmark-tuple is missing".into()),
            _ => Ok(()),
        }
    }

    fn act(&self, packet: &mut RulePacket<'_>) -> Option<Verdict> {
        let flow = if self.ct {
            packet.ct.flow.map(|(entry, _)| self.tracked(&entry.orig, &entry.reply))
        } else {
            self.flow_of(&packet.ip, packet.l4.unwrap_or(&[]))
        };
        packet.mark = flow.map_or(packet.mark, |flow| self.mark(&flow));
        None
    }
}

/// Reads an option's value, unless it or `--hmark-tuple` has set it before.
fn once<T>(
    given: &mut Given<'_, '_>,
    field: &mut Option<T>,
    read: impl FnOnce(&mut Given<'_, '_>) -> Result<T, TextError>,
) -> Result<(), TextError> {
    if field.is_some() {
        return Err(given.fail(format!("{} was set before", given.name())));
    }
    *field = Some(read(given)?);
    Ok(())
}

/// A length, or a mask without holes.
fn prefix(given: &mut Given<'_, '_>) -> Result<u8, TextError> {
    given.value(|text| network(Family::V4, &format!("0.0.0.0/{text}")).map(|network| network.prefix_len()))
}

fn half(given: &mut Given<'_, '_>) -> Result<u16, TextError> {
    given.number(u64::from(u16::MAX)).map(|n| n as u16)
}

fn word(given: &mut Given<'_, '_>) -> Result<u32, TextError> {
    given.number(u64::from(u32::MAX)).map(|n| n as u32)
}

impl fmt::Display for Hmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in [("src", self.src_prefix), ("dst", self.dst_prefix)] {
            value.map_or(Ok(()), |value| write!(f, " --hmark-{name}-prefix {value}"))?;
        }
        for (name, digits, value) in [
            ("sport-mask", 4, self.sport_mask.map(u32::from)),
            ("dport-mask", 4, self.dport_mask.map(u32::from)),
            ("spi-mask", 8, self.spi_mask),
            ("sport", 4, self.sport.map(u32::from)),
            ("dport", 4, self.dport.map(u32::from)),
            ("spi", 8, self.spi),
            ("proto-mask", 2, self.proto_mask.map(u32::from)),
            ("rnd", 8, self.rnd),
        ] {
            value.map_or(Ok(()), |value| write!(f, " --hmark-{name} 0x{value:0digits$x}"))?;
        }
        for (name, value) in [("mod", self.modulus), ("offset", self.offset)] {
            value.map_or(Ok(()), |value| write!(f, " --hmark-{name} {value}"))?;
        }
        f.write_str(if self.ct { " --hmark-tuple ct" } else { "" })
    }
}
