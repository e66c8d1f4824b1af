//! The next hop's hardware address (net/ipv4/ip_output.c `ip_finish_output2`, net/ipv6/ip6_output.c
//! `ip6_finish_output2`, net/core/neighbour.c).

use std::net::IpAddr;

use super::{Ctx, Dst, Next, Stage, Timer, arp, icmp, nd, run};
use crate::dev::DevKind;
use crate::engine::arena::DevId;
use crate::engine::trail::{DropPlace, DropReason};
use crate::netns::Netns;
use crate::netns::fib::RouteKind;
use crate::netns::neigh::{Heard, NeighKey, NeighOutput};
use crate::wire::eth::{EthHeader, MacAddr};
use crate::wire::icmp::Notice;
use crate::wire::ip::Family;
use crate::wire::nd::group_mac;
use crate::wire::packet::Packet;

/// Writes the L2 header, or lets the packet wait until the neighbour has answered.
pub(super) fn resolve(ns: &mut Netns, ctx: &mut Ctx<'_>, dst: Dst, mut packet: Packet) -> Next {
    let Some(ip) = packet.ip() else { return Next::Drop(DropReason::IpInHdr, packet) };
    let Some(dev) = ns.devs.get(dst.dev).filter(|d| d.up) else { return Next::Drop(DropReason::DevDown, packet) };
    if packet.has_l2() {
        packet.pull_l2();
    }
    let own = dev.mac;
    let header = |mac: MacAddr, packet: Packet| header(dst.dev, (own, mac), ip.family(), packet);
    if matches!(dev.kind, DevKind::Loopback) {
        return header(MacAddr::ZERO, packet);
    }
    let target = dst.via.unwrap_or(ip.dst);
    if dst.kind == RouteKind::Broadcast || crate::netns::fib::is_limited_broadcast(target) {
        return header(MacAddr::BROADCAST, packet);
    }
    if target.is_multicast() {
        return header(group_mac(target), packet);
    }
    let key = (dst.dev, target);
    let config = ns.sysctl.neigh(dst.dev, ip.family());
    let src = ip.src;
    // A packet that waits keeps its tentative entry; one that is sent at once has it confirmed already.
    ns.conntrack.hold(&packet);
    match ns.neighs.output(key, packet, &config, ctx.now) {
        NeighOutput::Send(mac, packet) => {
            ns.conntrack.release(&packet);
            arm(ns, ctx, key);
            header(mac, packet)
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
            let asked = solicit.and_then(|s| ask(ns, ctx, key, s.to, Some(src)));
            asked.map_or(Next::Held, Next::Go)
        }
    }
}

fn header(dev: DevId, (src, dst): (MacAddr, MacAddr), family: Family, mut packet: Packet) -> Next {
    packet.push_l2(&EthHeader { dst, src, ethertype: family.ethertype() }.to_bytes());
    Next::Go(Stage::Transmit(dev, packet))
}

/// The question for a neighbour: to everyone, or to the address `to` it had. `src` is the source of a packet that waits.
fn ask(ns: &Netns, ctx: &mut Ctx<'_>, key: NeighKey, to: Option<MacAddr>, src: Option<IpAddr>) -> Option<Stage> {
    match key.1 {
        IpAddr::V4(target) => arp::solicit(ns, ctx, (key.0, target), to, src),
        IpAddr::V6(target) => nd::solicit(ns, ctx, (key.0, target), to.is_some(), src),
    }
}

/// A neighbour told its hardware address: the packets that waited for it go on.
pub(super) fn hear(ns: &mut Netns, ctx: &mut Ctx<'_>, key: NeighKey, mac: MacAddr, heard: Heard) -> Vec<Stage> {
    let config = ns.sysctl.neigh(key.0, Family::of(key.1));
    let packets = ns.neighs.heard(key, mac, heard, &config, ctx.now);
    arm(ns, ctx, key);
    packets.into_iter().map(|p| again(ns, key, p)).collect()
}

/// A packet that waited for `key` tries again.
fn again(ns: &mut Netns, key: NeighKey, packet: Packet) -> Stage {
    ns.conntrack.release(&packet);
    let mtu = ns.devs.get(key.0).map_or(0, |d| d.mtu);
    Stage::Resolve(
        Dst { kind: RouteKind::Unicast, dev: key.0, via: Some(key.1), src: None, mtu, advmss: None, mtu_locked: false },
        packet,
    )
}

/// Asks for a neighbour for whom no packet waits, unless it has been asked already (`neigh_event_send`).
pub(super) fn probe(ns: &mut Netns, ctx: &mut Ctx<'_>, key: NeighKey) -> Option<Stage> {
    let config = ns.sysctl.neigh(key.0, Family::of(key.1));
    let solicit = ns.neighs.probe(key, &config, ctx.now)?;
    arm(ns, ctx, key);
    ask(ns, ctx, key, solicit.to, None)
}

/// Schedules the entry's timer.
pub(super) fn arm(ns: &mut Netns, ctx: &mut Ctx<'_>, key: NeighKey) {
    if let Some(at) = ns.neighs.take_deadline(key) {
        ctx.out.timers.push((at, Timer::Neigh(key)));
    }
}

/// The entry's timer is due: ask again, or tell the senders of all waiting packets (`arp_error_report`,
/// `ndisc_error_report`).
pub(super) fn neigh_timer(ns: &mut Netns, ctx: &mut Ctx<'_>, key: NeighKey) {
    let config = ns.sysctl.neigh(key.0, Family::of(key.1));
    if ns.neighs.deadline(key) > ctx.now {
        return;
    }
    let done = ns.neighs.timer(key, &config, ctx.now);
    arm(ns, ctx, key);
    // ARP asks from the device's own address.
    let waiting = ns.neighs.last_waiting(key).filter(|_| key.1.is_ipv6());
    let src = waiting.and_then(|packet| packet.ip()).map(|ip| ip.src);
    if let Some(solicit) = done.solicit
        && let Some(stage) = ask(ns, ctx, key, solicit.to, src)
    {
        run(ns, ctx, stage);
    }
    for packet in done.failed {
        ns.conntrack.release(&packet);
        let reason = DropReason::NeighFailed;
        let place = DropPlace { netns: ns.id, dev: Some(key.0), stage: "resolve", reason };
        ctx.out.lose(ctx.now, Some(&packet), place);
        if let Some(stage) = icmp::error(ns, ctx, &packet, Notice::HostUnreachable) {
            run(ns, ctx, stage);
        }
    }
}
