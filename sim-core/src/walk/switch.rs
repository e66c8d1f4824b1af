//! The learning bridge: where a frame goes (net/bridge/br_input.c `br_handle_frame_finish`, br_forward.c,
//! br_device.c `br_dev_xmit`).

use super::bridge_hooks::bridge_of;
use super::{Ctx, Next, Stage};
use crate::capture::Decision;
use crate::engine::arena::DevId;
use crate::engine::mutant::Mutant;
use crate::engine::trail::DropReason;
use crate::netns::Netns;
use crate::wire::eth::EthHeader;
use crate::wire::packet::Packet;

/// A frame that came in by a port: the source is learned, the destination decides.
pub(super) fn switch(ns: &mut Netns, ctx: &mut Ctx<'_>, port: DevId, packet: Packet) -> Next {
    let Some(eth) = EthHeader::read(packet.data()) else { return Next::Drop(DropReason::HdrTrunc, packet) };
    let Some(bridge) = bridge_of(ns, port) else { return Next::Drop(DropReason::DevDown, packet) };
    let learning = ns.devs.get(port).and_then(|d| d.port).is_some_and(|p| p.learning);
    let Some(own) = ns.devs.get(bridge).map(|d| d.mac) else { return Next::Drop(DropReason::DevDown, packet) };
    let planted = ns.planted;
    let Some(table) = ns.devs.get_mut(bridge).and_then(|d| d.bridge_mut()) else {
        return Next::Drop(DropReason::DevDown, packet);
    };
    if learning && eth.src != own && !planted.is(Mutant::FdbNotLearned) {
        table.learn(eth.src, port, ctx.now);
    }
    if eth.dst.is_multicast() {
        return flood(ns, ctx, bridge, Some(port), packet, true);
    }
    if eth.dst == own {
        return Next::Go(Stage::BridgeUp(bridge, packet));
    }
    match table.lookup(eth.dst, ctx.now).map(|e| e.port) {
        Some(None) => Next::Go(Stage::BridgeUp(bridge, packet)),
        Some(Some(to)) => one_port(ns, ctx, to, Some(port), packet),
        None => flood(ns, ctx, bridge, Some(port), packet, false),
    }
}

/// A frame the host itself sends by the bridge device.
pub(super) fn bridge_xmit(ns: &mut Netns, ctx: &mut Ctx<'_>, bridge: DevId, mut packet: Packet) -> Next {
    if let Some(Some(src)) = packet.bridge.map(|b| b.bridged_dnat) {
        return resume_bridged_dnat(packet, src);
    }
    packet.bridge = None;
    let Some(eth) = EthHeader::read(packet.data()) else { return Next::Drop(DropReason::HdrTrunc, packet) };
    let Some(table) = ns.devs.get(bridge).and_then(|d| d.bridge()) else {
        return Next::Drop(DropReason::DevDown, packet);
    };
    if !eth.dst.is_multicast()
        && let Some(Some(port)) = table.lookup(eth.dst, ctx.now).map(|e| e.port)
    {
        return one_port(ns, ctx, port, None, packet);
    }
    flood(ns, ctx, bridge, None, packet, false)
}

/// The neighbour of a bridged DNAT answered: the frame goes on from the port it came in by, with its own
/// source address (`br_nf_pre_routing_finish_bridge_slow`).
fn resume_bridged_dnat(mut packet: Packet, src: crate::wire::eth::MacAddr) -> Next {
    packet.data_mut()[6..12].copy_from_slice(&src.0);
    let Some(ports) = &mut packet.bridge else { return Next::Drop(DropReason::NotSpecified, packet) };
    ports.bridged_dnat = None;
    let Some(port) = ports.physin else { return Next::Drop(DropReason::NotSpecified, packet) };
    packet.iif = Some(port);
    Next::Go(Stage::Switch(port, packet))
}

/// May a frame leave by `to` (`should_deliver`)? Not by the port it came in by, unless that is a hairpin port.
fn may_leave(ns: &Netns, to: DevId, from: Option<DevId>) -> bool {
    let Some(dev) = ns.devs.get(to).filter(|d| d.up) else { return false };
    Some(to) != from || dev.port.is_some_and(|p| p.hairpin) && !ns.planted.is(Mutant::HairpinOff)
}

fn one_port(ns: &Netns, ctx: &mut Ctx<'_>, to: DevId, from: Option<DevId>, packet: Packet) -> Next {
    if !may_leave(ns, to, from) {
        return Next::Drop(DropReason::BridgeSamePort, packet);
    }
    ctx.decided(packet.id, || Some(Decision::Switched(to)));
    Next::Go(Stage::BridgeForward { port: to, packet })
}

/// A copy shares its data with the packet, so it cannot be cut along its old fragments (`skb_cloned` in `ip_do_fragment`).
fn copy(packet: &Packet) -> Packet {
    let mut copy = packet.clone();
    copy.pieces.clear();
    copy
}

/// To every port, newest first, then up to the host if `and_up` (`br_flood`, then `br_pass_frame_up`).
fn flood(ns: &Netns, ctx: &mut Ctx<'_>, bridge: DevId, from: Option<DevId>, packet: Packet, and_up: bool) -> Next {
    let id = packet.id;
    let Some(table) = ns.devs.get(bridge).and_then(|d| d.bridge()) else {
        return Next::Drop(DropReason::DevDown, packet);
    };
    let ports = table.ports.iter().filter(|p| may_leave(ns, **p, from));
    let mut stages: Vec<Stage> =
        ports.map(|port| Stage::BridgeForward { port: *port, packet: copy(&packet) }).collect();
    if let (false, Some(Stage::BridgeForward { packet: last, .. })) = (and_up, stages.last_mut()) {
        last.pieces.clone_from(&packet.pieces);
    }
    if and_up {
        stages.push(Stage::BridgeUp(bridge, packet));
    } else if stages.is_empty() {
        return Next::Drop(DropReason::BridgeNoPort, packet);
    }
    ctx.decided(id, || Some(Decision::Flooded));
    Next::Several(stages)
}
