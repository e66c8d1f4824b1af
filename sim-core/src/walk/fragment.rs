//! Too big for the device: fragments; fragments: put together (net/ipv4/ip_output.c `ip_fragment`,
//! net/ipv4/ip_fragment.c; net/ipv6/ip6_output.c `ip6_fragment`, net/ipv6/reassembly.c).

use std::ops::Range;

use super::{Ctx, Dst, Next, Stage, Timer, icmp, mcast_loop, options, run};
use crate::engine::arena::DevId;
use crate::engine::mutant::Mutant;
use crate::engine::trail::{DropPlace, DropReason};
use crate::netns::Netns;
use crate::netns::fib::RouteKind;
use crate::netns::frag::{Gathered, USER_CONNTRACK, USER_LOCAL};
use crate::netns::mib::Ip;
use crate::wire::build;
use crate::wire::ext::{self, FRAGMENT, FRAGMENT_LEN, Fragment};
use crate::wire::icmp::Notice;
use crate::wire::icmpv6::{HEADER_FIELD, HEADER_INCOMPLETE};
use crate::wire::ip::{Family, ICMPV6, IpHeader, TCP, UDP};
use crate::wire::packet::Packet;

/// Every link carries so many bytes (RFC 8200 section 5): what was in smaller fragments leaves in larger ones.
const IPV6_MIN_MTU: u32 = 1280;
/// Where the length stands in an IPv6 header.
const PAYLOAD_LEN_AT: usize = 4;
/// Where the offset stands in a fragment header.
const FRAGMENT_OFFSET_AT: usize = 2;

/// POSTROUTING is over (`ip_finish_output`): whole, or in fragments, to the neighbour.
pub(super) fn finish_output(ns: &mut Netns, ctx: &mut Ctx<'_>, dst: Dst, packet: Packet) -> Next {
    let Some(ip) = packet.ip() else { return Next::Drop(DropReason::IpInHdr, packet) };
    let len = packet.l3().len();
    if len <= dst.mtu as usize && (packet.frag_max == 0 || len <= packet.frag_max as usize) {
        count_transmit(ns, &dst, &ip, len);
        return Next::Go(mcast_loop::before_resolve(ns, dst, packet));
    }
    let whole_only = ip.df && packet.frag_max == 0 && !packet.ignore_df;
    if whole_only || (ip.family() == Family::V6 && packet.frag_max > dst.mtu) {
        ns.mibs.ip(ip.family(), Ip::FragFails);
        let answer = icmp::error(ns, ctx, &packet, Notice::TooBig(dst.mtu));
        return Next::DropAnd(DropReason::PktTooBig, packet, answer.into_iter().collect());
    }
    let pieces = split(ns, &packet, &ip, (dst.dev, dst.mtu));
    pieces.iter().for_each(|piece| count_transmit(ns, &dst, &ip, piece.l3().len()));
    Next::Several(pieces.into_iter().map(|p| mcast_loop::before_resolve(ns, dst, p)).collect())
}

/// `ip_finish_output2`, `ip6_finish_output2`
fn count_transmit(ns: &mut Netns, dst: &Dst, ip: &IpHeader, len: usize) {
    let family = ip.family();
    ns.mibs.ip_packet(family, Ip::OutTransmits, Ip::OutOctets, len);
    if ip.dst.is_multicast() {
        ns.mibs.ip_packet(family, Ip::OutMcastPkts, Ip::OutMcastOctets, len);
    } else if dst.kind == RouteKind::Broadcast {
        ns.mibs.ip_packet(family, Ip::OutBcastPkts, Ip::OutBcastOctets, len);
    }
}

/// POSTROUTING at a bridge port is over (net/bridge/br_netfilter_hooks.c, `br_nf_dev_queue_xmit`): what was put
/// together before conntrack leaves in fragments again, each with the frame's own L2 header.
pub(super) fn finish_bridged(ns: &mut Netns, port: DevId, packet: Packet) -> Next {
    let mtu = ns.devs.get(port).map_or(0, |d| d.mtu);
    let limit = if packet.frag_max == 0 { mtu } else { mtu.min(packet.frag_max) };
    let Some(ip) = packet.ip().filter(|_| packet.frag_max != 0 && packet.l3().len() > limit as usize) else {
        return Next::Go(Stage::Transmit(port, packet));
    };
    let l2 = packet.data()[..packet.len() - packet.l3().len()].to_vec();
    // DF is not kept: what the bridge knows of the fragments is their size (`br_validate_ipv4`).
    let mut pieces = split(ns, &packet, &IpHeader { df: false, ..ip }, (port, mtu));
    pieces.iter_mut().for_each(|p| p.push_l2(&l2));
    Next::Several(pieces.into_iter().map(|p| Stage::Transmit(port, p)).collect())
}

/// Cuts a packet into fragments of at most `mtu` bytes for `dev`, and none larger than those it came in; the payload of all but the
/// last is a multiple of eight (RFC 791 3.2, RFC 8200 4.5). What came in fragments that all fit leaves in the
/// same ones, of IPv6 under another identification.
fn split(ns: &mut Netns, packet: &Packet, ip: &IpHeader, (dev, mtu): (DevId, u32)) -> Vec<Packet> {
    let came_in = if packet.frag_max == 0 { mtu } else { packet.frag_max };
    let (from, limit, id) = match ip.family() {
        Family::V4 => (usize::from(ip.header_len), mtu.min(came_in), ip.id),
        Family::V6 => {
            let (from, _) = ext::fragment_place(packet.l3());
            (from, mtu.min(came_in.max(IPV6_MIN_MTU)), ns.streams.fragments.next_u32())
        }
    };
    let own_header = if ip.family() == Family::V4 { 0 } else { FRAGMENT_LEN };
    let room = (limit as usize).saturating_sub(from + own_header);
    let payload = packet.l3().len().saturating_sub(from);
    // Not before a tunnel: the old fragments have no room for its headers.
    let tunnel = ns.devs.get(dev).is_some_and(|dev| dev.vxlan().is_some());
    // Nor where a header was found in the first that every fragment must have: there is no room for it (`ip6_fragment`).
    let fits = packet.pieces.iter().map(|len| usize::from(*len)).sum::<usize>() == payload;
    let same =
        !tunnel && fits && !packet.pieces.is_empty() && packet.pieces.iter().all(|len| usize::from(*len) <= room);
    let steps = if same { packet.pieces.clone() } else { cuts(payload, room) };
    // Only what is cut anew of a packet that came in with DF has it again (`IPSKB_FRAG_PMTU`, `ip_frag_init`).
    let ip = &IpHeader { df: ip.df && packet.frag_max != 0 && !same, ..*ip };
    let skew = if ns.planted.is(Mutant::FragmentOffset) { 8 } else { 0 };
    let mut out = Vec::new();
    let mut offset = 0;
    for len in steps {
        let end = (offset + usize::from(len)).min(payload);
        let fragment = Fragment { offset: offset as u16 + if offset > 0 { skew } else { 0 }, more: end < payload, id };
        let mut piece = cut_out(packet, ip, (from, offset..end), fragment);
        piece.mark = packet.mark;
        piece.flow_hash = packet.flow_hash;
        piece.nested = packet.nested;
        piece.said_by = packet.said_by;
        piece.ct = packet.ct;
        out.push(piece);
        offset = end;
        ns.mibs.ip(ip.family(), Ip::FragCreates);
    }
    ns.mibs.ip(ip.family(), Ip::FragOKs);
    out
}

/// Where a datagram of this host is cut for a path of `mtu`, and so leaves even if its route is another in the end
/// (`ip_append_data`, `ip6_append_data`).
pub(super) fn cuts_for(family: Family, payload: usize, mtu: u32) -> Vec<u16> {
    let own_header = if family == Family::V4 { 0 } else { FRAGMENT_LEN };
    cuts(payload, (mtu as usize).saturating_sub(family.header_len() + own_header))
}

/// The lengths of fragments that have `room` each: the last may be any, the others are multiples of eight (`ip_frag_next`).
fn cuts(mut payload: usize, room: usize) -> Vec<u16> {
    let mut cuts = Vec::new();
    while payload > 0 {
        let len = if payload > room { (room / 8 * 8).max(8).min(payload) } else { payload };
        cuts.push(len as u16);
        payload -= len;
    }
    cuts
}

/// One fragment: that range of what stands behind `from`. IPv6 repeats what every router looks at, and adds a fragment header.
fn cut_out(packet: &Packet, ip: &IpHeader, (from, range): (usize, Range<usize>), fragment: Fragment) -> Packet {
    let (head, payload) = packet.l3().split_at(from);
    if ip.family() == Family::V4 {
        let (frag_offset, mf) = (ip.frag_offset + fragment.offset, ip.mf || fragment.more);
        let header = IpHeader { frag_offset, mf, ..*ip };
        return build::ip(packet.id, header, &payload[range]);
    }
    let (_, named_at) = ext::fragment_place(packet.l3());
    let mut piece = head.to_vec();
    piece[named_at] = FRAGMENT;
    piece.extend_from_slice(&ext::fragment_bytes(head[named_at], fragment));
    piece.extend_from_slice(&payload[range]);
    ext::set_payload_len(&mut piece);
    Packet::new(packet.id, &piece)
}

/// A fragment to be put together before conntrack or a local socket sees it (`ip_defrag`, `nf_ct_frag6_gather`,
/// `ipv6_frag_rcv`). Conntrack takes the fragment header of IPv6 away, be there only one fragment.
///
/// # Errors
/// What becomes of it instead: it waits for the rest, or is dropped.
pub(super) fn defrag(ns: &mut Netns, ctx: &mut Ctx<'_>, packet: Packet, user: u8) -> Result<Packet, Next> {
    let Some(ip) = packet.ip().map(|ip| of_first_header(ip, &packet)) else {
        return Err(Next::Drop(DropReason::IpInHdr, packet));
    };
    let packet = match (user, ip.is_fragment()) {
        (USER_LOCAL, false) => not_fragmented_again(ns, ctx, packet)?,
        _ => packet,
    };
    let header = ext::fragment(packet.l3());
    // A fragment header that is cut short: the end host says so (`ipv6_frag_rcv`). As a first fragment it lacks what is behind
    // it, too, and is left to that host (`ipv6frag_thdr_truncated`).
    let is_cut = ip.family() == Family::V6 && ip.proto == FRAGMENT && header.is_none();
    let behind = ext::skip(packet.l3(), usize::from(ip.header_len), FRAGMENT);
    let begins_first = behind.is_some_and(|(_, proto)| proto != FRAGMENT);
    if user == USER_CONNTRACK && is_cut && packet.l3().len() > ext::IPV6_LEN && !begins_first {
        return Err(Next::Drop(DropReason::HdrTrunc, packet));
    }
    let atomic = || user == USER_CONNTRACK && header.is_some();
    let wanted = ip.is_fragment() || atomic();
    // What conntrack does with IPv6 is not counted (`nf_ct_frag6_gather`).
    let counts = (ip.family(), user) != (Family::V6, USER_CONNTRACK);
    if !wanted {
        if user == USER_LOCAL && header.is_some() {
            ns.mibs.ip(ip.family(), Ip::ReasmReqds);
            ns.mibs.ip(ip.family(), Ip::ReasmOKs);
        }
        return Ok(packet);
    }
    if counts {
        ns.mibs.ip(ip.family(), Ip::ReasmReqds);
    }
    let timeout = match (ip.family(), user) {
        (Family::V6, USER_CONNTRACK) => ns.conntrack.config.frag6_timeout,
        (family, _) => ns.sysctl.fragment_time(family),
    };
    match (user, is_headless(&packet, &ip)) {
        (USER_LOCAL, true) => return Err(options::parameter_problem(ns, ctx, packet, HEADER_INCOMPLETE, 0)),
        // What conntrack cannot put together it leaves to the end host (`nf_ct_frag6_gather`).
        (_, true) => return Ok(packet),
        (USER_CONNTRACK, _) if problem(&packet, &ip) == Some(PAYLOAD_LEN_AT) => return Ok(packet),
        _ => {}
    }
    let gathered = ns.frags.gather(packet, &ip, user, ctx.now + timeout);
    match &gathered {
        Gathered::Whole(_) if counts => ns.mibs.ip(ip.family(), Ip::ReasmOKs),
        Gathered::Refused(..) if counts => ns.mibs.ip(ip.family(), Ip::ReasmFails),
        _ => {}
    }
    match gathered {
        Gathered::Whole(packet) if user == USER_LOCAL => not_fragmented_again(ns, ctx, packet),
        Gathered::Whole(packet) => Ok(packet),
        Gathered::Waiting => {
            arm(ns, ctx);
            Err(Next::Held)
        }
        Gathered::Refused(reason, packet) => Err(match problem(&packet, &ip).filter(|_| user == USER_LOCAL) {
            Some(pointer) => options::parameter_problem(ns, ctx, packet, HEADER_FIELD, pointer),
            None => Next::Drop(reason, packet),
        }),
    }
}

/// With several fragment headers in a packet of IPv6 it is the first that says which fragment it is (`find_prev_fhdr`).
fn of_first_header(mut ip: IpHeader, packet: &Packet) -> IpHeader {
    if let Some(first) = ext::fragment(packet.l3()).and_then(|header| ext::fragment_at(packet.l3(), header.at)) {
        (ip.frag_offset, ip.mf, ip.id) = (first.offset, first.more, first.id);
    }
    ip
}

/// Behind the fragment header that is done with, be it of a packet that was no fragment, there must be no other
/// (`ipv6_frag_rcv`, `IP6SKB_FRAGMENTED`).
///
/// # Errors
/// There is; its sender is told.
fn not_fragmented_again(ns: &mut Netns, ctx: &mut Ctx<'_>, packet: Packet) -> Result<Packet, Next> {
    let done_with = usize::from(packet.frag_max == 0);
    let again = ext::each(packet.l3()).filter(|extension| extension.kind == FRAGMENT).nth(done_with);
    match again.map(|header| header.at) {
        None => Ok(packet),
        Some(at) => Err(options::parameter_problem(ns, ctx, packet, HEADER_FIELD, at)),
    }
}

/// The field of an IPv6 fragment that says what cannot be: it ends beyond the longest packet, or others follow and it does
/// not end at a multiple of eight (`ip6_frag_queue`).
fn problem(packet: &Packet, ip: &IpHeader) -> Option<usize> {
    let header = ext::fragment(packet.l3())?;
    let len = packet.l3().len() - header.at - header.len;
    if usize::from(ip.frag_offset) + len > usize::from(u16::MAX) {
        return Some(header.at + FRAGMENT_OFFSET_AT);
    }
    (ip.mf && !len.is_multiple_of(8)).then_some(PAYLOAD_LEN_AT)
}

/// Whether the first fragment of an IPv6 packet ends before its L4 header does (RFC 8200 4.5; `ipv6frag_thdr_truncated`).
fn is_headless(packet: &Packet, ip: &IpHeader) -> bool {
    let first = ext::fragment(packet.l3()).filter(|_| ip.frag_offset == 0);
    let Some((at, number)) = first.and_then(|header| ext::skip(packet.l3(), header.at, FRAGMENT)) else { return false };
    let least = match number {
        TCP => 20,
        UDP | ICMPV6 => 8,
        _ => 1,
    };
    number != FRAGMENT && packet.l3().len() < at + least
}

fn arm(ns: &mut Netns, ctx: &mut Ctx<'_>) {
    if let Some(at) = ns.frags.take_deadline() {
        ctx.out.timers.push((at, Timer::Fragments));
    }
}

/// Incomplete packets whose time is up; an end host that has the first fragment says so (`ip_expire`, `ip6frag_expire_frag_queue`).
pub(super) fn expire(ns: &mut Netns, ctx: &mut Ctx<'_>) {
    for lost in ns.frags.expire(ctx.now) {
        ns.mibs.ip(lost.family, Ip::ReasmFails);
        ns.mibs.ip(lost.family, Ip::ReasmTimeout);
        let place = DropPlace { netns: ns.id, dev: lost.dev, stage: "defrag", reason: DropReason::FragReasm };
        ctx.out.lose(ctx.now, lost.first.as_ref(), place);
        if let Some(first) = lost.first
            && let Some(stage) = icmp::error(ns, ctx, &first, Notice::ReassemblyTimeExceeded)
        {
            run(ns, ctx, stage);
        }
    }
    arm(ns, ctx);
}
