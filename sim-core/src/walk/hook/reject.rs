//! REJECT: the packet ends, its sender is told (net/ipv4/netfilter/nf_reject_ipv4.c,
//! net/ipv6/netfilter/nf_reject_ipv6.c).

use super::{Said, TraceGroup, attach_related, output};
use crate::engine::mutant::Mutant;
use crate::engine::trail::DropReason;
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::targets::reject::RejectWith;
use crate::netns::Netns;
use crate::netns::fib::{FibKey, RouteKind};
use crate::walk::{Ctx, HookWalk, Stage, icmp};
use crate::wire::build;
use crate::wire::eth::EthHeader;
use crate::wire::ext;
use crate::wire::icmp::{HOST_UNREACH, Notice};
use crate::wire::ip::{Family, IpHeader, TCP, UDP};
use crate::wire::l4::{self, ACK, RST, TcpHeader};
use crate::wire::packet::{CtRef, Packet};

/// Drops the packet and sends what `with` says. The answer goes out before the rule's verdict is final, so a
/// trace shows the rule itself after the answer's walk (net/netfilter/nf_tables_core.c, `nft_do_chain`).
pub(super) fn reject(
    ns: &mut Netns,
    ctx: &mut Ctx<'_>,
    walk: &HookWalk,
    with: RejectWith,
    trace: Option<TraceGroup>,
) -> Said {
    let answer = match with.icmp_code() {
        Some(code) => unreachable(ns, ctx, walk, code),
        None => reset(ns, ctx, walk),
    };
    let mut stages: Vec<Stage> = answer.into_iter().collect();
    if let Some(mut group) = trace {
        let last = if group.steps.len() > 1 {
            let steps = group.steps.split_off(group.steps.len() - 1);
            let last = TraceGroup { packet: None, steps, ..group };
            ctx.out.traces.push(group);
            last
        } else {
            group
        };
        // In a system call the answer is even received before: `icmp_xmit_unlock` lets softirqs run.
        if ctx.out.in_syscall {
            ctx.out.late_traces.push(last);
        } else {
            stages.push(Stage::TraceEnd(last));
        }
    }
    Said::Drop(DropReason::NetfilterReject, stages)
}

/// Whether something follows the headers of an IPv6 packet, and begins in it (`reject6_csum_ok`).
fn has_upper_layer(packet: &Packet) -> bool {
    let l3 = packet.l3();
    let end = l3.get(ext::NEXT_HEADER_AT).and_then(|first| ext::skip(l3, ext::IPV6_LEN, *first));
    end.is_some_and(|(at, number)| at < l3.len() && number != ext::FRAGMENT)
}

/// Whether a datagram has no checksum, be it of IPv6 (`nf_reject_verify_csum`).
fn is_left_out(proto: u8, l4: &[u8]) -> bool {
    proto == UDP && l4.get(6..8) == Some(&[0, 0])
}

/// Nothing is sent about a packet whose own checksum is wrong (`nf_send_unreach`, `nf_reject_verify_csum`).
fn unreachable(ns: &mut Netns, ctx: &mut Ctx<'_>, walk: &HookWalk, code: u8) -> Option<Stage> {
    let ip = walk.packet.ip()?;
    let l4 = walk.packet.l3().get(usize::from(ip.header_len)..)?;
    if ip.family() == Family::V6 && !has_upper_layer(&walk.packet) {
        return None;
    }
    let checked = ip.frag_offset == 0 && l4::checksum_offset(ip.proto).is_some() && !is_left_out(ip.proto, l4);
    if checked && !l4::checksum_ok(ip.src, ip.dst, ip.proto, l4) {
        return None;
    }
    let code = if ns.planted.is(Mutant::RejectAnotherCode) { HOST_UNREACH } else { code };
    icmp::error(ns, ctx, &walk.packet, Notice::Unreachable(code))
}

/// Whether a reset can have these ends: of IPv6 only single hosts (`nf_reject_ip6_tcphdr_get`).
fn between_hosts(ip: &IpHeader) -> bool {
    ip.src.is_ipv4() || [ip.src, ip.dst].iter().all(|end| !end.is_multicast() && !end.is_unspecified())
}

/// `nf_send_reset`: sequence 0 (or what the packet acknowledged), id 0, DF, from the packet's destination.
fn reset(ns: &mut Netns, ctx: &mut Ctx<'_>, walk: &HookWalk) -> Option<Stage> {
    let ip = walk.packet.ip().filter(|ip| ip.proto == TCP && ip.frag_offset == 0 && between_hosts(ip))?;
    let l4 = walk.packet.l3().get(usize::from(ip.header_len)..)?;
    let tcp = TcpHeader::read(l4).filter(|t| !t.has(RST))?;
    // One for many hosts that was routed here is not answered either (`nf_send_reset`, `RTCF_BROADCAST`, `RTCF_MULTICAST`).
    let for_many = walk.hook == Hook::Input && ns.fib.is_for_many(ip.dst);
    let broadcast = ns.fib.kind_of(ip.src) == RouteKind::Broadcast;
    if for_many || broadcast || !l4::checksum_ok(ip.src, ip.dst, TCP, l4) {
        return None;
    }
    let flags = u32::from(tcp.has(l4::SYN)) + u32::from(tcp.has(l4::FIN));
    let len = l4.len().saturating_sub(usize::from(tcp.header_len)) as u32;
    let (seq, ack, answer_flags) =
        if tcp.has(ACK) { (tcp.ack, 0, RST) } else { (0, tcp.seq.wrapping_add(flags + len), RST | ACK) };
    let more = u32::from(ns.planted.is(Mutant::RejectAnotherSequence));
    let head = TcpHeader {
        src: tcp.dst,
        dst: tcp.src,
        seq: seq.wrapping_add(more),
        ack,
        flags: answer_flags,
        ..TcpHeader::default()
    };
    let key = FibKey { src: (ns.fib.kind_of(ip.dst) == RouteKind::Local).then_some(ip.dst), ..FibKey::to(ip.src) };
    let (dst, _) = output::route_output(ns, key).ok()?;
    let mut header = IpHeader::new(ip.dst, ip.src, TCP, 20);
    header.df = true;
    header.ttl = ns.default_ttl(ip.family(), dst.dev);
    let mut answer = build::tcp(ctx.out.packet_id(), header, head, &[], &[]);
    // That of IPv6 is summed up at once (`nf_reject_ip6_tcphdr_put`).
    answer.csum_partial = ip.src.is_ipv4();
    attach_related(&walk.packet, &mut answer);
    if let CtRef::Entry(id, _) = walk.packet.ct {
        ns.conntrack.set_closing(ctx.now, id);
    }
    match walk.packet.bridge.and_then(|b| b.physin).filter(|_| walk.hook != Hook::Output) {
        Some(port) => swap_back(&walk.packet, port, answer),
        None => Some(Stage::LocalOut(dst, answer)),
    }
}

/// A bridged packet is answered on the port it came in by, with its addresses swapped.
fn swap_back(packet: &Packet, port: crate::engine::arena::DevId, mut answer: Packet) -> Option<Stage> {
    let eth = packet.last_eth()?;
    answer.push_l2(&EthHeader { dst: eth.src, src: eth.dst, ethertype: eth.ethertype }.to_bytes());
    Some(Stage::Transmit(port, answer))
}
