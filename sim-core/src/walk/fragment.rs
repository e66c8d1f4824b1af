//! Too big for the device: fragments; fragments: put together (net/ipv4/ip_output.c `ip_fragment`,
//! net/ipv4/ip_fragment.c).

use super::{Ctx, Dst, Next, Stage, Timer, icmp, run};
use crate::engine::arena::DevId;
use crate::engine::time::Duration;
use crate::engine::trail::{DropPlace, DropReason};
use crate::netns::Netns;
use crate::netns::frag::Gathered;
use crate::wire::build;
use crate::wire::icmp::{DEST_UNREACH, FRAG_NEEDED, TIME_EXCEEDED};
use crate::wire::packet::Packet;

/// Code of time exceeded: reassembly.
const EXC_FRAGTIME: u8 = 1;

/// POSTROUTING is over (`ip_finish_output`): whole, or in fragments, to the neighbour.
pub(super) fn finish_output(ns: &mut Netns, ctx: &mut Ctx<'_>, dst: Dst, packet: Packet) -> Next {
    let Some(ip) = packet.ip() else { return Next::Drop(DropReason::IpInHdr, packet) };
    let limit = if packet.frag_max != 0 { dst.mtu.min(u32::from(packet.frag_max)) } else { dst.mtu };
    if packet.l3().len() <= dst.mtu as usize
        && (packet.frag_max == 0 || packet.l3().len() <= usize::from(packet.frag_max))
    {
        return Next::Go(Stage::Resolve(dst, packet));
    }
    if ip.df && packet.frag_max == 0 {
        let answer = icmp::error(ns, ctx, &packet, DEST_UNREACH, FRAG_NEEDED, dst.mtu as u16);
        return Next::DropAnd(DropReason::PktTooBig, packet, answer.into_iter().collect());
    }
    let pieces = split(&packet, limit as usize);
    Next::Several(pieces.into_iter().map(|p| Stage::Resolve(dst, p)).collect())
}

/// POSTROUTING at a bridge port is over (net/bridge/br_netfilter_hooks.c, `br_nf_dev_queue_xmit`): what was put
/// together before conntrack leaves in fragments again, each with the frame's own L2 header.
pub(super) fn finish_bridged(ns: &Netns, port: DevId, packet: Packet) -> Next {
    let mtu = ns.devs.get(port).map_or(0, |d| d.mtu as usize);
    let limit = if packet.frag_max == 0 { mtu } else { mtu.min(usize::from(packet.frag_max)) };
    if packet.frag_max == 0 || packet.l3().len() <= limit {
        return Next::Go(Stage::Transmit(port, packet));
    }
    let l2 = packet.data()[..packet.len() - packet.l3().len()].to_vec();
    let mut pieces = split(&packet, limit);
    pieces.iter_mut().for_each(|p| p.push_l2(&l2));
    Next::Several(pieces.into_iter().map(|p| Stage::Transmit(port, p)).collect())
}

/// Cuts a packet into fragments of at most `mtu` bytes, the payload of all but the last a multiple of eight
/// (RFC 791 3.2). DF is kept only on fragments of a packet that came in with it.
fn split(packet: &Packet, mtu: usize) -> Vec<Packet> {
    let Some(ip) = packet.ip() else { return Vec::new() };
    let header_len = usize::from(ip.header_len);
    let Some(payload) = packet.l3().get(header_len..) else { return Vec::new() };
    let step = (mtu.saturating_sub(header_len) / 8 * 8).max(8);
    let mut out = Vec::new();
    for (n, chunk) in payload.chunks(step).enumerate() {
        let mut header = ip;
        header.frag_offset = ip.frag_offset + (n * step) as u16;
        header.mf = ip.mf || (n + 1) * step < payload.len();
        let mut piece = build::ip(packet.id, header, chunk);
        piece.mark = packet.mark;
        piece.flow_hash = packet.flow_hash;
        piece.ct = packet.ct;
        out.push(piece);
    }
    out
}

/// A fragment to be put together before conntrack or a local socket sees it (`ip_defrag`).
///
/// # Errors
/// What becomes of it instead: it waits for the rest, or is dropped.
pub(super) fn defrag(ns: &mut Netns, ctx: &mut Ctx<'_>, packet: Packet, user: u8) -> Result<Packet, Next> {
    let Some(ip) = packet.ip() else { return Err(Next::Drop(DropReason::IpInHdr, packet)) };
    if !ip.is_fragment() {
        return Ok(packet);
    }
    let timeout = Duration::from_secs(u64::try_from(ns.sysctl.ipfrag_time).unwrap_or(0));
    match ns.frags.gather(packet, &ip, user, ctx.now + timeout) {
        Gathered::Whole(packet) => Ok(packet),
        Gathered::Waiting => {
            arm(ns, ctx);
            Err(Next::Held)
        }
        Gathered::Refused(reason, packet) => Err(Next::Drop(reason, packet)),
    }
}

fn arm(ns: &mut Netns, ctx: &mut Ctx<'_>) {
    if let Some(at) = ns.frags.take_deadline() {
        ctx.out.timers.push((at, Timer::Fragments));
    }
}

/// Incomplete packets whose time is up; an end host that has the first fragment says so (`ip_expire`).
pub(super) fn expire(ns: &mut Netns, ctx: &mut Ctx<'_>) {
    for lost in ns.frags.expire(ctx.now) {
        let place = DropPlace { netns: ns.id, dev: lost.dev, stage: "defrag", reason: DropReason::FragReasm };
        ctx.out.lose(ctx.now, lost.first.as_ref(), place);
        if let Some(first) = lost.first
            && let Some(stage) = icmp::error(ns, ctx, &first, TIME_EXCEEDED, EXC_FRAGTIME, 0)
        {
            run(ns, ctx, stage);
        }
    }
    arm(ns, ctx);
}
