//! The next hop's hardware address (net/ipv4/ip_output.c `ip_finish_output2`, net/core/neighbour.c).

use std::net::IpAddr;

use super::{Ctx, Dst, Next, Stage, Timer, arp, icmp, run};
use crate::dev::DevKind;
use crate::engine::arena::DevId;
use crate::engine::trail::{DropPlace, DropReason};
use crate::netns::Netns;
use crate::netns::fib::RouteKind;
use crate::netns::neigh::{NeighKey, NeighOutput};
use crate::wire::eth::{ETHERTYPE_IPV4, EthHeader, MacAddr};
use crate::wire::icmp::{DEST_UNREACH, HOST_UNREACH};
use crate::wire::packet::Packet;

/// Writes the L2 header, or lets the packet wait until the neighbour has answered.
pub(super) fn resolve(ns: &mut Netns, ctx: &mut Ctx<'_>, dst: Dst, mut packet: Packet) -> Next {
    let Some(ip) = packet.ip() else { return Next::Drop(DropReason::IpInHdr, packet) };
    let Some(dev) = ns.devs.get(dst.dev).filter(|d| d.up) else { return Next::Drop(DropReason::DevDown, packet) };
    if packet.has_l2() {
        packet.pull_l2();
    }
    let own = dev.mac;
    if matches!(dev.kind, DevKind::Loopback) {
        return header(dst.dev, own, MacAddr::ZERO, packet);
    }
    let target = dst.via.unwrap_or(ip.dst);
    if dst.kind == RouteKind::Broadcast || crate::netns::fib::is_limited_broadcast(target) {
        return header(dst.dev, own, MacAddr::BROADCAST, packet);
    }
    if let IpAddr::V4(group) = target
        && group.is_multicast()
    {
        let [_, b, c, d] = group.octets();
        return header(dst.dev, own, MacAddr([0x01, 0x00, 0x5e, b & 0x7f, c, d]), packet);
    }
    let key = (dst.dev, target);
    let config = ns.sysctl.neigh(dst.dev);
    let src = ip.src;
    // A packet that waits keeps its tentative entry; one that is sent at once has it confirmed already.
    ns.conntrack.hold(&packet);
    match ns.neighs.output(key, packet, &config, ctx.now) {
        NeighOutput::Send(mac, packet) => {
            ns.conntrack.release(&packet);
            arm(ns, ctx, key);
            header(dst.dev, own, mac, packet)
        }
        NeighOutput::Refused(packet) => {
            ns.conntrack.release(&packet);
            Next::Drop(DropReason::NeighQueueFull, packet)
        }
        NeighOutput::Held { solicit, overflow } => {
            arm(ns, ctx, key);
            if let Some(oldest) = overflow {
                ns.conntrack.release(&oldest);
                let reason = DropReason::NeighQueueFull;
                let place = DropPlace { netns: ns.id, dev: Some(dst.dev), stage: "resolve", reason };
                ctx.out.lose(ctx.now, Some(&oldest), place);
            }
            let ask = solicit.and_then(|s| arp::solicit(ns, ctx, dst.dev, target, s.to, Some(src)));
            ask.map_or(Next::Held, Next::Go)
        }
    }
}

fn header(dev: DevId, src: MacAddr, dst: MacAddr, mut packet: Packet) -> Next {
    packet.push_l2(&EthHeader { dst, src, ethertype: ETHERTYPE_IPV4 }.to_bytes());
    Next::Go(Stage::Transmit(dev, packet))
}

/// A packet that waited for `key` tries again.
pub(super) fn again(ns: &mut Netns, key: NeighKey, packet: Packet) -> Stage {
    ns.conntrack.release(&packet);
    let mtu = ns.devs.get(key.0).map_or(0, |d| d.mtu);
    Stage::Resolve(
        Dst { kind: RouteKind::Unicast, dev: key.0, via: Some(key.1), src: None, mtu, advmss: None, mtu_locked: false },
        packet,
    )
}

/// Schedules the entry's timer.
pub(super) fn arm(ns: &mut Netns, ctx: &mut Ctx<'_>, key: NeighKey) {
    if let Some(at) = ns.neighs.take_deadline(key) {
        ctx.out.timers.push((at, Timer::Neigh(key)));
    }
}

/// The entry's timer is due: ask again, or tell the senders of all waiting packets (`arp_error_report`).
pub(super) fn neigh_timer(ns: &mut Netns, ctx: &mut Ctx<'_>, key: NeighKey) {
    let config = ns.sysctl.neigh(key.0);
    if ns.neighs.deadline(key) > ctx.now {
        return;
    }
    let done = ns.neighs.timer(key, &config, ctx.now);
    arm(ns, ctx, key);
    if let Some(ask) = done.solicit
        && let Some(stage) = arp::solicit(ns, ctx, key.0, key.1, ask.to, None)
    {
        run(ns, ctx, stage);
    }
    for packet in done.failed {
        ns.conntrack.release(&packet);
        let reason = DropReason::NeighFailed;
        let place = DropPlace { netns: ns.id, dev: Some(key.0), stage: "resolve", reason };
        ctx.out.lose(ctx.now, Some(&packet), place);
        if let Some(stage) = icmp::error(ns, ctx, &packet, DEST_UNREACH, HOST_UNREACH, 0) {
            run(ns, ctx, stage);
        }
    }
}
