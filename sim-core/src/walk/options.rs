//! Options in the extension headers of IPv6, and headers this host cannot take (net/ipv6/exthdrs.c).

use super::{Ctx, Next, Stage, icmp};
use crate::engine::trail::DropReason;
use crate::netns::Netns;
use crate::wire::ext::{self, DESTINATION, Extension, HOP_BY_HOP, ROUTING};
use crate::wire::icmp::Notice;
use crate::wire::icmpv6::{HEADER_FIELD, UNKNOWN_NEXT_HEADER, UNKNOWN_OPTION};
use crate::wire::packet::{Packet, PacketType};

/// One byte of padding.
const PAD1: u8 = 0;
/// Padding.
const PADN: u8 = 1;
/// Options that are known and change nothing here: router alert, home address.
const HARMLESS: [u8; 2] = [5, 201];

/// What is wrong with a list of options.
enum Fault {
    /// It is not a list of options.
    Broken,
    /// The option at this offset from the IP header is not known.
    Unknown { at: usize, kind: u8 },
}

/// The options of hop-by-hop headers, which every node looks at, before any hook (`ipv6_parse_hopopts`).
///
/// # Errors
/// What becomes of the packet instead.
pub(super) fn hop_by_hop(ns: &mut Netns, ctx: &mut Ctx<'_>, packet: Packet) -> Result<Packet, Next> {
    let first = ext::each(packet.l3()).next().filter(|extension| extension.kind == HOP_BY_HOP);
    match first.and_then(|extension| fault(packet.l3(), &extension)) {
        None => Ok(packet),
        Some(fault) => Err(refuse(ns, ctx, packet, &fault)),
    }
}

/// The extension headers of a packet for this host, after INPUT (`ip6_protocol_deliver_rcu`): destination options,
/// routing headers, and hop-by-hop options where they must not be.
///
/// # Errors
/// What becomes of the packet instead.
pub(super) fn at_destination(ns: &mut Netns, ctx: &mut Ctx<'_>, packet: Packet) -> Result<Packet, Next> {
    let headers: Vec<Extension> = ext::each(packet.l3()).collect();
    for (number, header) in headers.iter().enumerate() {
        let problem = match header.kind {
            HOP_BY_HOP if number > 0 => Some((UNKNOWN_NEXT_HEADER, header.named_at)),
            ROUTING => routing(packet.l3(), header),
            DESTINATION => match fault(packet.l3(), header) {
                Some(fault) => return Err(refuse(ns, ctx, packet, &fault)),
                None => None,
            },
            _ => None,
        };
        if let Some((code, pointer)) = problem {
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
    let mut at = header.at + 2;
    while at < end {
        let Some(&kind) = packet.get(at) else { return Some(Fault::Broken) };
        if kind == PAD1 {
            at += 1;
            continue;
        }
        let len = packet.get(at + 1).map(|len| usize::from(*len) + 2).filter(|len| at + len <= end);
        let Some(len) = len else { return Some(Fault::Broken) };
        // Option types whose two highest bits are 00 are skipped (RFC 8200 4.2).
        if kind != PADN && !HARMLESS.contains(&kind) && kind >> 6 != 0 {
            return Some(Fault::Unknown { at, kind });
        }
        at += len;
    }
    None
}

/// An unknown option asks for what happens (RFC 8200 4.2): 01 nothing is said, 10 the sender is told, 11 unless the
/// packet was for a group (`ip6_tlvopt_unknown`).
fn refuse(ns: &mut Netns, ctx: &mut Ctx<'_>, packet: Packet, fault: &Fault) -> Next {
    let Fault::Unknown { at, kind } = *fault else { return Next::Drop(DropReason::IpInHdr, packet) };
    let for_group = packet.pkt_type == PacketType::Multicast;
    match kind >> 6 {
        2 => parameter_problem(ns, ctx, packet, UNKNOWN_OPTION, at),
        3 if !for_group => parameter_problem(ns, ctx, packet, UNKNOWN_OPTION, at),
        _ => Next::Drop(DropReason::IpInHdr, packet),
    }
}
