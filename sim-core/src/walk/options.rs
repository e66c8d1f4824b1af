//! Options in the extension headers of IPv6, and headers this host cannot take (net/ipv6/exthdrs.c).

use super::{Ctx, Next, Stage, icmp};
use crate::engine::trail::DropReason;
use crate::netns::Netns;
use crate::netns::mib::Ip;
use crate::wire::ext::{self, AUTH, DESTINATION, Extension, HOP_BY_HOP, NEXT_HEADER_AT, ROUTING};
use crate::wire::icmp::Notice;
use crate::wire::icmpv6::{HEADER_FIELD, UNKNOWN_NEXT_HEADER, UNKNOWN_OPTION};
use crate::wire::ip::Family;
use crate::wire::packet::{Packet, PacketType};

/// One byte of padding.
const PAD1: u8 = 0;
/// Padding.
const PADN: u8 = 1;
/// Bytes of padding in a row: more align nothing (RFC 8200 4.2).
const MOST_PADDING: usize = 7;
/// Options besides padding in one header (`net.ipv6.max_hbh_opts_number`, `net.ipv6.max_dst_opts_number`).
const MOST_OPTIONS: usize = 8;
/// Router alert (RFC 2711).
const ROUTER_ALERT: u8 = 5;
/// Security labels (RFC 5570).
const CALIPSO: u8 = 7;
/// In situ measurements (RFC 9486).
const IOAM: u8 = 0x31;
/// Jumbo payload (RFC 2675).
const JUMBO: u8 = 0xc2;
/// Bytes that a jumbo payload has more than.
const IPV6_MAXPLEN: u32 = 65_535;

/// Routing headers of segments (RFC 8754) and of RPL (RFC 6554), which no device accepts unless it is told to.
const REFUSED_ROUTES: [u8; 2] = [4, 3];

/// What is wrong with a list of options.
enum Fault {
    /// It is not a list of options, or one of them says what cannot be.
    Broken,
    /// The option at this offset from the IP header is not known.
    Unknown { at: usize, kind: u8 },
    /// The number at this offset cannot be.
    Wrong { at: usize },
}

/// The options of hop-by-hop headers, which every node looks at, before any hook (`ipv6_parse_hopopts`).
///
/// # Errors
/// What becomes of the packet instead.
pub(super) fn hop_by_hop(ns: &mut Netns, ctx: &mut Ctx<'_>, packet: Packet) -> Result<Packet, Next> {
    let named = begins_with_options(packet.l3());
    let first = ext::each(packet.l3()).next().filter(|_| named);
    if named && first.is_none() {
        return Err(Next::Drop(DropReason::IpInHdr, packet));
    }
    match first.and_then(|extension| fault(packet.l3(), &extension)) {
        None => Ok(packet),
        Some(fault) => Err(refuse(ns, ctx, packet, &fault)),
    }
}

/// The extension headers of a packet for this host, after INPUT (`ip6_protocol_deliver_rcu`): destination options,
/// routing headers, and hop-by-hop options where they must not be. Of a fragment those before it is put together.
///
/// # Errors
/// What becomes of the packet instead.
pub(super) fn at_destination(ns: &mut Netns, ctx: &mut Ctx<'_>, packet: Packet) -> Result<Packet, Next> {
    if ext::each(packet.l3()).next().is_none() {
        return Ok(packet);
    }
    let is_fragment = packet.ip().is_some_and(|ip| ip.is_fragment());
    let now = |extension: &Extension| !is_fragment || extension.kind != ext::FRAGMENT;
    let headers: Vec<Extension> = ext::each(packet.l3()).take_while(now).collect();
    for (number, header) in headers.iter().enumerate() {
        // Nobody here speaks them (`ip6_protocol_deliver_rcu`).
        if header.kind == AUTH || (header.kind == HOP_BY_HOP && number > 0) {
            ns.mibs.ip(Family::V6, Ip::InUnknownProtos);
            return Err(parameter_problem(ns, ctx, packet, UNKNOWN_NEXT_HEADER, header.named_at));
        }
        let problem = match header.kind {
            ROUTING if packet.l3().get(header.at + 2).is_some_and(|kind| REFUSED_ROUTES.contains(kind)) => {
                ns.mibs.ip(Family::V6, Ip::InHdrErrors);
                return Err(Next::Drop(DropReason::IpInHdr, packet));
            }
            ROUTING => routing(packet.l3(), header),
            DESTINATION => match fault(packet.l3(), header) {
                Some(fault) => {
                    ns.mibs.ip(Family::V6, Ip::InHdrErrors);
                    return Err(refuse(ns, ctx, packet, &fault));
                }
                None => None,
            },
            _ => None,
        };
        if let Some((code, pointer)) = problem {
            ns.mibs.ip(Family::V6, Ip::InHdrErrors);
            return Err(parameter_problem(ns, ctx, packet, code, pointer));
        }
    }
    Ok(packet)
}

/// A parameter problem is told to the sender, and the packet is gone (`icmpv6_param_prob`).
pub(super) fn parameter_problem(ns: &mut Netns, ctx: &mut Ctx<'_>, packet: Packet, code: u8, pointer: usize) -> Next {
    let notice = Notice::ParameterProblem { code, pointer: pointer as u32 };
    let answer: Option<Stage> = icmp::error(ns, ctx, &packet, notice);
    Next::DropAnd(DropReason::IpInHdr, packet, answer.into_iter().collect())
}

/// A routing header that still leads elsewhere: no type is accepted (`ipv6_rthdr_rcv`, `accept_source_route` 0).
fn routing(packet: &[u8], header: &Extension) -> Option<(u8, usize)> {
    let segments_left = *packet.get(header.at + 3)?;
    (segments_left != 0).then_some((HEADER_FIELD, header.at + 2))
}

/// The first option that is not known, or that the list is broken (`ip6_parse_tlv`).
fn fault(packet: &[u8], header: &Extension) -> Option<Fault> {
    let end = header.at + header.len;
    let (mut at, mut padding, mut options) = (header.at + 2, 0, 0);
    while at < end {
        let Some(&kind) = packet.get(at) else { return Some(Fault::Broken) };
        let len = match packet.get(at + 1) {
            _ if kind == PAD1 => 1,
            Some(len) if at + usize::from(*len) + 2 <= end => usize::from(*len) + 2,
            _ => return Some(Fault::Broken),
        };
        let value = packet.get(at..at + len)?.get(2..).unwrap_or(&[]);
        if matches!(kind, PAD1 | PADN) {
            padding += len;
            if padding > MOST_PADDING || value.iter().any(|byte| *byte != 0) {
                return Some(Fault::Broken);
            }
        } else {
            (padding, options) = (0, options + 1);
            let hop_by_hop = header.kind == HOP_BY_HOP;
            let judged =
                if options > MOST_OPTIONS { Some(Fault::Broken) } else { judge(packet, at, value, hop_by_hop) };
            if judged.is_some() {
                return judged;
            }
        }
        at += len;
    }
    None
}

/// What is wrong with one option (`ipv6_hop_ra`, `ipv6_hop_ioam`, `ipv6_hop_jumbo`, `ipv6_hop_calipso`). Types whose two
/// highest bits are 00 are skipped if they are not known (RFC 8200 4.2); of destination options none is.
fn judge(packet: &[u8], at: usize, value: &[u8], hop_by_hop: bool) -> Option<Fault> {
    let kind = packet[at];
    match kind {
        ROUTER_ALERT if hop_by_hop => (value.len() != 2).then_some(Fault::Broken),
        CALIPSO if hop_by_hop => (value.len() < 8).then_some(Fault::Broken),
        IOAM if hop_by_hop => (!at.is_multiple_of(4)).then_some(Fault::Broken),
        JUMBO if hop_by_hop => Some(match jumbo_payload(at, value) {
            None => Fault::Broken,
            Some(..=IPV6_MAXPLEN) => Fault::Wrong { at: at + 2 },
            // What is longer than a packet here can be must not say its length in the IPv6 header, too.
            Some(_) if packet[4..6] != [0, 0] => Fault::Wrong { at },
            Some(_) => Fault::Broken,
        }),
        _ => (kind >> 6 != 0).then_some(Fault::Unknown { at, kind }),
    }
}

/// The length that a jumbo payload option says.
fn jumbo_payload(at: usize, value: &[u8]) -> Option<u32> {
    let octets: [u8; 4] = value.try_into().ok().filter(|_| at % 4 == 2)?;
    Some(u32::from_be_bytes(octets))
}

/// Whether hop-by-hop options follow the header of a packet of IPv6.
fn begins_with_options(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first >> 4 == 6) && packet.get(NEXT_HEADER_AT) == Some(&HOP_BY_HOP)
}

/// Whether hop-by-hop options pass a bridge port (net/bridge/br_netfilter_ipv6.c, `nf_ip6_check_hbh_len`): the list must
/// end where the header ends, and no packet here is a jumbo.
pub(super) fn pass_bridge(packet: &[u8]) -> bool {
    if !begins_with_options(packet) {
        return true;
    }
    let Some(header) = ext::each(packet).next() else { return false };
    let end = header.at + header.len;
    let mut at = header.at + 2;
    while at < end {
        at += match (packet[at], packet.get(at + 1)) {
            (PAD1, _) => 1,
            (JUMBO, _) | (_, None) => return false,
            (_, Some(len)) => usize::from(*len) + 2,
        };
    }
    at == end
}

/// An unknown option asks for what happens (RFC 8200 4.2): 01 nothing is said, 10 the sender is told, 11 unless the
/// packet was for a group (`ip6_tlvopt_unknown`).
fn refuse(ns: &mut Netns, ctx: &mut Ctx<'_>, packet: Packet, fault: &Fault) -> Next {
    let (at, kind) = match *fault {
        Fault::Broken => return Next::Drop(DropReason::IpInHdr, packet),
        Fault::Wrong { at } => return parameter_problem(ns, ctx, packet, HEADER_FIELD, at),
        Fault::Unknown { at, kind } => (at, kind),
    };
    let for_group = packet.pkt_type == PacketType::Multicast;
    match kind >> 6 {
        2 => parameter_problem(ns, ctx, packet, UNKNOWN_OPTION, at),
        3 if !for_group => parameter_problem(ns, ctx, packet, UNKNOWN_OPTION, at),
        _ => Next::Drop(DropReason::IpInHdr, packet),
    }
}
