//! ARP: questions answered, answers believed (net/ipv4/arp.c, `arp_process`).

use std::net::{IpAddr, Ipv4Addr};

use super::{Ctx, Next, Stage, resolve, run};
use crate::engine::arena::DevId;
use crate::engine::errno::Errno;
use crate::engine::mutant::Mutant;
use crate::engine::trail::DropReason;
use crate::netns::Netns;
use crate::netns::addr::Scope;
use crate::netns::fib::{FibKey, RouteKind};
use crate::netns::neigh::{Heard, Replaces};
use crate::netns::netlink::Op;
use crate::wire::arp::{Arp, REPLY, REQUEST};
use crate::wire::eth::{ETHERTYPE_ARP, EthHeader, MacAddr};
use crate::wire::ip::Family;
use crate::wire::packet::{Packet, PacketType};

/// An ARP message came in.
pub(super) fn receive(ns: &mut Netns, ctx: &mut Ctx<'_>, dev: DevId, packet: Packet) -> Next {
    let unwanted = matches!(packet.pkt_type, PacketType::OtherHost);
    let Some(arp) = Arp::read(packet.l3()).filter(|_| !unwanted) else {
        return Next::Drop(DropReason::OtherHost, packet);
    };
    let bad_target = arp.tpa.is_multicast() || (arp.tpa.is_loopback() && !ns.sysctl.route_localnet(dev));
    if bad_target || !matches!(arp.op, REQUEST | REPLY) {
        return Next::Drop(DropReason::NotSpecified, packet);
    }
    if arp.op == REQUEST && answers_for(ns, dev, arp.tpa, arp.spa) {
        return answer(ns, ctx, dev, &arp, packet);
    }
    let key = (dev, IpAddr::V4(arp.spa));
    let confirms = arp.op == REPLY && packet.pkt_type == PacketType::Host;
    let gratuitous = arp.spa == arp.tpa;
    let replaces = if gratuitous { Replaces::Always } else { Replaces::AfterLocktime };
    let heard = Heard { confirms, replaces, create: false, router: None };
    let released = resolve::hear(ns, ctx, key, arp.sha, heard);
    if released.is_empty() { Next::Delivered } else { Next::Several(released) }
}

/// The target is ours: we learn who asks, send what has waited for that, and answer (a probe from 0.0.0.0 teaches nothing).
fn answer(ns: &mut Netns, ctx: &mut Ctx<'_>, dev: DevId, arp: &Arp, packet: Packet) -> Next {
    let Some(own) = ns.devs.get(dev).map(|d| d.mac) else { return Next::Drop(DropReason::DevDown, packet) };
    let mut stages = Vec::new();
    if !arp.spa.is_unspecified() {
        let heard = Heard { confirms: false, replaces: Replaces::Always, create: true, router: None };
        stages = resolve::hear(ns, ctx, (dev, IpAddr::V4(arp.spa)), arp.sha, heard);
    }
    let reply = Arp { op: REPLY, sha: own, spa: arp.tpa, tha: arp.sha, tpa: arp.spa };
    stages.push(Stage::Transmit(dev, frame(ctx, own, arp.sha, reply)));
    Next::Several(stages)
}

/// Whether a question for `target` on `dev` is answered: any local unicast address unless arp_ignore forbids,
/// or a routed one with proxy_arp. Our own question that a hairpin port brings back has a sender no route takes
/// (net/ipv4/fib_frontend.c, `__fib_validate_source`).
fn answers_for(ns: &Netns, dev: DevId, target: Ipv4Addr, sender: Ipv4Addr) -> bool {
    let target = IpAddr::V4(target);
    if ns.addrs.contains(IpAddr::V4(sender)) && !ns.sysctl.accept_local(dev) {
        return false;
    }
    if ns.fib.kind_of(target) == RouteKind::Local {
        let on_dev = || ns.addrs.of(dev).any(|a| a.net.addr() == target);
        return ns.sysctl.arp_ignore(dev) == 0 || on_dev();
    }
    if ns.planted.is(Mutant::ArpForForeign) {
        return true;
    }
    if !ns.sysctl.proxy_arp(dev) || !ns.sysctl.forwarding(dev, Family::V4) {
        return false;
    }
    let key = FibKey { src: Some(IpAddr::V4(sender)), iif: Some(dev), ..FibKey::to(target) };
    ns.fib.lookup(&key).is_some_and(|r| r.kind == RouteKind::Unicast && r.dev != Some(dev))
}

/// Asks for `target` on `dev` (`arp_solicit`): the sender is the source of the waiting packet if that is
/// ours, else an address of the device.
pub(super) fn solicit(
    ns: &Netns,
    ctx: &mut Ctx<'_>,
    (dev, tpa): (DevId, Ipv4Addr),
    to: Option<MacAddr>,
    src: Option<IpAddr>,
) -> Option<Stage> {
    let target = IpAddr::V4(tpa);
    let own = ns.devs.get(dev)?.mac;
    let ours = src.filter(|s| ns.fib.kind_of(*s) == RouteKind::Local);
    let spa = ours.or_else(|| ns.addrs.source(dev, Some(target), target, Scope::Link));
    let Some(IpAddr::V4(spa)) = spa else { return None };
    let arp = Arp { op: REQUEST, sha: own, spa, tha: to.unwrap_or(MacAddr::ZERO), tpa };
    Some(Stage::Transmit(dev, frame(ctx, own, to.unwrap_or(MacAddr::BROADCAST), arp)))
}

/// Carries out an operation, then announces the addresses of a device that came up or changed its hardware address,
/// where `arp_notify` asks for it (net/ipv4/devinet.c, `inetdev_event`, `inetdev_send_gratuitous_arp`).
pub(crate) fn apply(ns: &mut Netns, ctx: &mut Ctx<'_>, op: &Op) -> Result<(), Errno> {
    let face = |ns: &Netns| match op {
        Op::LinkSet(name, _) => ns.devs.by_name(name).filter(|dev| dev.up).map(|dev| (dev.id, dev.mac)),
        _ => None,
    };
    let before = face(ns);
    ns.apply(op, ctx.now)?;
    let Some((dev, own)) = face(ns).filter(|after| before != Some(*after) && ns.sysctl.arp_notify(after.0)) else {
        return Ok(());
    };
    let addrs: Vec<_> = ns.addrs.of(dev).map(|a| a.net.addr()).collect();
    for addr in addrs {
        let IpAddr::V4(ip) = addr else { continue };
        let arp = Arp { op: REQUEST, sha: own, spa: ip, tha: MacAddr::ZERO, tpa: ip };
        let frame = frame(ctx, own, MacAddr::BROADCAST, arp);
        run(ns, ctx, Stage::Transmit(dev, frame));
    }
    Ok(())
}

fn frame(ctx: &mut Ctx<'_>, src: MacAddr, dst: MacAddr, arp: Arp) -> Packet {
    let mut packet = Packet::new(ctx.out.packet_id(), &arp.to_bytes());
    packet.push_l2(&EthHeader { dst, src, ethertype: ETHERTYPE_ARP }.to_bytes());
    packet
}
