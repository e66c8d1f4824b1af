//! br_netfilter: bridged IP packets pass the IP hooks (net/bridge/br_netfilter_hooks.c).

use std::net::IpAddr;

use super::route::{self, InputRoute};
use super::{After, Ctx, Next, Stage, hook, options};
use crate::engine::arena::DevId;
use crate::engine::trail::DropReason;
use crate::netfilter::conntrack::Verdict;
use crate::netfilter::hooks::Hook;
use crate::netns::Netns;
use crate::netns::fib::RouteKind;
use crate::wire::eth::{EthHeader, MacAddr};
use crate::wire::ip::Family;
use crate::wire::packet::{BridgePorts, Packet, PacketType};

/// A frame arrived at a bridge port (`br_handle_frame`): PREROUTING runs here if the sysctl says so.
pub(super) fn input(ns: &mut Netns, port: DevId, mut packet: Packet) -> Next {
    let Some(eth) = EthHeader::read(packet.data()) else { return Next::Drop(DropReason::HdrTrunc, packet) };
    if eth.src.is_multicast() || eth.src == MacAddr::ZERO || is_link_local(eth.dst) {
        return Next::Drop(DropReason::BridgeIngress, packet);
    }
    let Some(bridge) = bridge_of(ns, port) else { return Next::Drop(DropReason::DevDown, packet) };
    if ns.devs.get(bridge).is_some_and(|b| b.mac == eth.dst) {
        packet.pkt_type = PacketType::Host;
    }
    let family = Family::of_ethertype(eth.ethertype).filter(|family| ns.sysctl.bridge_nf(*family));
    let Some(family) = family else { return Next::Go(Stage::Switch(port, packet)) };
    // Options are looked at before what is beyond the packet's length is cut off (`br_validate_ipv6`).
    let pass = options::pass_bridge(packet.l3());
    let checked = super::receive::check_header(ns, family, &mut packet).ok();
    let Some(ip) = checked.filter(|_| pass) else {
        return Next::Drop(DropReason::BridgeNfInvalid, packet);
    };
    packet.bridge = Some(BridgePorts { physin: Some(port), ..BridgePorts::default() });
    packet.iif = Some(bridge);
    hide_other_host(&mut packet);
    let after = After::BridgePrerouting { port, daddr: ip.dst };
    Next::Go(hook::begin(Hook::Prerouting, (Some(bridge), None), after, packet))
}

/// 01:80:c2:00:00:0x is for the bridge itself, never forwarded; with STP off 01:80:c2:00:00:00 is flooded.
fn is_link_local(dst: MacAddr) -> bool {
    dst.0[..5] == [0x01, 0x80, 0xc2, 0, 0] && dst.0[5] != 0 && dst.0[5] <= 0x0f
}

/// The bridge a port belongs to.
pub(super) fn bridge_of(ns: &Netns, port: DevId) -> Option<DevId> {
    Some(ns.devs.get(port)?.port?.bridge)
}

/// PREROUTING is over (`br_nf_pre_routing_finish`). If NAT changed the destination the frame goes either to
/// the bridge's own address, to be routed, or straight to a neighbour on the same bridge.
pub(super) fn prerouting_done(ns: &Netns, port: DevId, daddr: IpAddr, mut packet: Packet) -> Next {
    packet.iif = Some(port);
    show_other_host(&mut packet);
    let Some(bridge) = bridge_of(ns, port) else { return Next::Drop(DropReason::DevDown, packet) };
    let Some(ip) = packet.ip() else { return Next::Drop(DropReason::IpInHdr, packet) };
    if ip.dst == daddr {
        return Next::Go(Stage::Switch(port, packet));
    }
    match route::lookup_input(ns, &ip, bridge, packet.mark) {
        InputRoute::Forward(dst) if dst.kind == RouteKind::Unicast && dst.dev == bridge => {
            to_neighbour(ns, port, dst, packet)
        }
        InputRoute::Drop(reason) => Next::Drop(reason, packet),
        InputRoute::Unreachable { .. } | InputRoute::Forward(_) | InputRoute::Local | InputRoute::Ignore => {
            let mac = ns.devs.get(bridge).map_or(MacAddr::ZERO, |b| b.mac);
            packet.data_mut()[..6].copy_from_slice(&mac.0);
            packet.pkt_type = PacketType::Host;
            Next::Go(Stage::Switch(port, packet))
        }
    }
}

/// The new destination is on the same bridge (`br_nf_pre_routing_finish_bridge`): the frame keeps its source
/// address and TTL. With a cached neighbour header it goes on at once; else by the bridge device's output.
fn to_neighbour(ns: &Netns, port: DevId, dst: super::Dst, mut packet: Packet) -> Next {
    let Some(ip) = packet.ip() else { return Next::Drop(DropReason::IpInHdr, packet) };
    let key = (dst.dev, dst.via.unwrap_or(ip.dst));
    if let Some(n) = ns.neighs.get(key)
        && n.state.is_connected()
        && n.header_cached
    {
        let mac = n.mac;
        // `neigh_hh_bridge` copies the destination only; the source stays the client's.
        packet.data_mut()[..6].copy_from_slice(&mac.0);
        return Next::Go(Stage::Switch(port, packet));
    }
    let src = EthHeader::read(packet.data()).map(|e| e.src);
    if let Some(ports) = &mut packet.bridge {
        ports.bridged_dnat = src;
    }
    packet.pull_l2();
    Next::Go(Stage::Resolve(dst, packet))
}

/// A frame to be bridged leaves by `port` (`br_nf_forward_ip`): FORWARD with the bridge as both devices.
pub(super) fn forward(ns: &Netns, port: DevId, mut packet: Packet) -> Next {
    let Some(ports) = &mut packet.bridge else { return Next::Go(Stage::Transmit(port, packet)) };
    ports.physout = Some(port);
    hide_other_host(&mut packet);
    let bridge = bridge_of(ns, port);
    packet.iif = bridge;
    Next::Go(hook::begin(Hook::Forward, (bridge, bridge), After::BridgeForward(port), packet))
}

/// A frame for the host itself (`br_pass_frame_up`). One that others were to get as well is not for INPUT to confirm
/// (`br_nf_local_in`).
pub(super) fn up(ns: &mut Netns, ctx: &Ctx<'_>, bridge: DevId, mut packet: Packet) -> Next {
    if packet.pkt_type != PacketType::Host && ns.conntrack.confirm(ctx.now, &mut packet) == Verdict::Drop {
        return Next::Drop(DropReason::ConntrackDrop, packet);
    }
    Next::Go(Stage::Receive(bridge, packet))
}

/// To IP hooks a bridged frame is addressed to this host (`setup_pre_routing`, `br_nf_forward_ip`) …
fn hide_other_host(packet: &mut Packet) {
    let is_other = packet.pkt_type == PacketType::OtherHost;
    if let Some(ports) = packet.bridge.as_mut().filter(|_| is_other) {
        ports.other_host = true;
        packet.pkt_type = PacketType::Host;
    }
}

/// … and afterwards to whom it was addressed before.
fn show_other_host(packet: &mut Packet) {
    if let Some(ports) = packet.bridge.as_mut().filter(|p| p.other_host) {
        ports.other_host = false;
        packet.pkt_type = PacketType::OtherHost;
    }
}

/// FORWARD accepted (`br_nf_post_routing`): POSTROUTING, which sees no incoming device.
pub(super) fn postrouting(ns: &Netns, port: DevId, packet: Packet) -> Next {
    Next::Go(hook::begin(Hook::Postrouting, (None, bridge_of(ns, port)), After::BridgePostrouting(port), packet))
}
