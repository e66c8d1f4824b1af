//! A device got a frame: `__netif_receive_skb_core` (net/core/dev.c), then `ip_rcv` (net/ipv4/ip_input.c).

use super::{After, Ctx, Next, Stage, hook};
use crate::capture::Direction;
use crate::engine::arena::DevId;
use crate::engine::trail::DropReason;
use crate::netfilter::hooks::Hook;
use crate::netns::Netns;
use crate::wire::checksum::Sum;
use crate::wire::eth::{ETHERTYPE_ARP, ETHERTYPE_IPV4, EthHeader, MacAddr};
use crate::wire::packet::{Packet, PacketType};

/// To whom a frame is addressed, seen from a device (net/ethernet/eth.c, `eth_type_trans`).
pub(super) fn packet_type(dst: MacAddr, own: MacAddr) -> PacketType {
    if dst == MacAddr::BROADCAST {
        PacketType::Broadcast
    } else if dst.is_multicast() {
        PacketType::Multicast
    } else if dst == own {
        PacketType::Host
    } else {
        PacketType::OtherHost
    }
}

/// The frame is tapped, then goes to the bridge if the device is a port, else to its protocol.
pub(super) fn receive(ns: &mut Netns, ctx: &mut Ctx<'_>, dev: DevId, mut packet: Packet) -> Next {
    let Some(device) = ns.devs.get(dev).filter(|d| d.up) else { return Next::Drop(DropReason::DevDown, packet) };
    packet.set_l2();
    packet.iif = Some(dev);
    let Some(eth) = EthHeader::read(packet.data()) else { return Next::Drop(DropReason::HdrTrunc, packet) };
    packet.pkt_type = packet_type(eth.dst, device.mac);
    let is_port = device.port.is_some();
    ctx.tap(ns, dev, Direction::In, &packet);
    if is_port {
        return Next::Go(Stage::BridgeInput(dev, packet));
    }
    match eth.ethertype {
        ETHERTYPE_ARP => Next::Go(Stage::ArpReceive(dev, packet)),
        ETHERTYPE_IPV4 => Next::Go(Stage::IpReceive(dev, packet)),
        _ => Next::Drop(DropReason::UnhandledProto, packet),
    }
}

/// Checks the IP header and hands the packet to PREROUTING, unless br_netfilter has run that hook at the
/// bridge port already (net/bridge/br_netfilter_hooks.c, `ip_sabotage_in`).
pub(super) fn ip_receive(ns: &Netns, dev: DevId, mut packet: Packet) -> Next {
    if packet.pkt_type == PacketType::OtherHost {
        return Next::Drop(DropReason::OtherHost, packet);
    }
    if let Err(reason) = check_header(&mut packet) {
        return Next::Drop(reason, packet);
    }
    packet.pull_l2();
    let hooked = packet.bridge.is_some() && ns.devs.get(dev).is_some_and(|d| d.bridge().is_some());
    let mut stage = hook::begin(Hook::Prerouting, (Some(dev), None), After::Route, packet);
    if let (true, Stage::Hook(walk)) = (hooked, &mut stage) {
        walk.step = usize::MAX;
    }
    Next::Go(stage)
}

/// Version, lengths and header checksum (`ip_rcv_core`); cuts what follows the IP packet.
pub(super) fn check_header(packet: &mut Packet) -> Result<(), DropReason> {
    let Some(ip) = packet.ip() else { return Err(DropReason::IpInHdr) };
    let (header_len, total_len) = (usize::from(ip.header_len), usize::from(ip.total_len));
    let Some(header) = packet.l3().get(..header_len) else { return Err(DropReason::IpInHdr) };
    if Sum::default().bytes(header).finish() != 0 {
        return Err(DropReason::IpCsum);
    }
    if total_len < header_len {
        return Err(DropReason::IpInHdr);
    }
    if packet.l3().len() < total_len {
        return Err(DropReason::HdrTrunc);
    }
    packet.trim_l3(total_len);
    Ok(())
}
