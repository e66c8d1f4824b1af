//! A device got a frame: `__netif_receive_skb_core` (net/core/dev.c), then `ip_rcv` (net/ipv4/ip_input.c) or `ipv6_rcv`
//! (net/ipv6/ip6_input.c).

use std::net::IpAddr;

use super::{After, Ctx, Next, Stage, hook, options};
use crate::capture::Direction;
use crate::dev::{DevKind, Devices};
use crate::engine::arena::DevId;
use crate::engine::mutant::Mutant;
use crate::engine::trail::DropReason;
use crate::netfilter::hooks::Hook;
use crate::netns::Netns;
use crate::netns::mib::Ip;
use crate::wire::checksum::Sum;
use crate::wire::eth::{ETH_LEN, ETHERTYPE_ARP, EthHeader, MacAddr};
use crate::wire::ip::{Family, IpHeader};
use crate::wire::packet::{Packet, PacketType};

/// Bytes of a VLAN tag.
const VLAN_TAG: usize = 4;

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
    // What comes back from a group has no header of a link, and is not for a bridge (`br_handle_frame`).
    if packet.pkt_type == PacketType::Loopback {
        packet.iif = Some(dev);
        let family = packet.ip().map_or(Family::V4, |ip| ip.family());
        return Next::Go(Stage::IpReceive(dev, family, packet));
    }
    // A veth takes what fits its MTU with a VLAN tag more (`is_skb_forwardable`).
    if matches!(device.kind, DevKind::Veth(_)) && packet.len() > device.mtu as usize + ETH_LEN + VLAN_TAG {
        return Next::Drop(DropReason::PktTooBig, packet);
    }
    packet.iif = Some(dev);
    packet.set_l2();
    let Some(eth) = EthHeader::read(packet.data()) else { return Next::Drop(DropReason::HdrTrunc, packet) };
    packet.pkt_type = packet_type(eth.dst, device.mac);
    let is_port = device.port.is_some();
    ctx.tap(ns, dev, Direction::In, &packet);
    if is_port {
        return Next::Go(Stage::BridgeInput(dev, packet));
    }
    match (eth.ethertype, Family::of_ethertype(eth.ethertype)) {
        (ETHERTYPE_ARP, _) => Next::Go(Stage::ArpReceive(dev, packet)),
        (_, Some(family)) => Next::Go(Stage::IpReceive(dev, family, packet)),
        _ => Next::Drop(DropReason::UnhandledProto, packet),
    }
}

/// Checks the IP header and hands the packet to PREROUTING, unless br_netfilter has run that hook at the
/// bridge port already (net/bridge/br_netfilter_hooks.c, `ip_sabotage_in`).
pub(super) fn ip_receive(ns: &mut Netns, ctx: &mut Ctx<'_>, dev: DevId, family: Family, mut packet: Packet) -> Next {
    if packet.pkt_type == PacketType::OtherHost {
        return Next::Drop(DropReason::OtherHost, packet);
    }
    ns.mibs.ip_packet(family, Ip::InReceives, Ip::InOctets, packet.l3().len());
    if family == Family::V6 && ns.sysctl.ipv6(dev).disable_ipv6 != 0 {
        ns.mibs.ip(family, Ip::InDiscards);
        return Next::Drop(DropReason::Ipv6Disabled, packet);
    }
    if let Some(ip) = packet.ip().filter(|ip| ip.family() == family) {
        ns.mibs.ip_ecn(family, ip.tos);
    }
    let checked = check_header(ns, family, &mut packet).and_then(|ip| check_addresses(&ip, dev, packet.pkt_type));
    if let Err(DropReason::IpMartianSource | DropReason::IpInvalidDest) = checked {
        ns.mibs.ip(family, Ip::InHdrErrors);
    }
    if let Err(reason) = checked
        && !(reason == DropReason::IpCsum && ns.planted.is(Mutant::HeaderChecksumUnchecked))
    {
        return Next::Drop(reason, packet);
    }
    packet.pull_l2();
    // What the bridge put together is not remembered (`ip_rcv_core`, `ip6_rcv_core`: the control block is cleared).
    packet.frag_max = 0;
    let packet = match options::hop_by_hop(ns, ctx, packet) {
        Ok(packet) => packet,
        Err(next) => {
            ns.mibs.ip(family, Ip::InHdrErrors);
            return next;
        }
    };
    let hooked = packet.bridge.is_some() && ns.devs.get(dev).is_some_and(|d| d.bridge().is_some());
    let mut stage = hook::begin(Hook::Prerouting, (Some(dev), None), After::Route, packet);
    if let (true, Stage::Hook(walk)) = (hooked, &mut stage) {
        walk.step = usize::MAX;
    }
    Next::Go(stage)
}

/// Version, lengths and header checksum (`ip_rcv_core`, `ip6_rcv_core`), and counts what is wrong; cuts what follows the IP packet.
pub(super) fn check_header(ns: &mut Netns, family: Family, packet: &mut Packet) -> Result<IpHeader, DropReason> {
    let checked = header_fault(family, packet);
    match checked {
        Err(DropReason::HdrTrunc) => ns.mibs.ip(family, Ip::InTruncatedPkts),
        Err(reason) => {
            ns.mibs.ip(family, Ip::InHdrErrors);
            if reason == DropReason::IpCsum {
                ns.mibs.ip(family, Ip::InCsumErrors);
            }
        }
        Ok(_) => {}
    }
    checked
}

fn header_fault(family: Family, packet: &mut Packet) -> Result<IpHeader, DropReason> {
    let Some(ip) = packet.ip().filter(|ip| ip.family() == family) else { return Err(DropReason::IpInHdr) };
    let (header_len, total_len) = (usize::from(ip.header_len), ip.total_len as usize);
    let Some(header) = packet.l3().get(..header_len) else { return Err(DropReason::IpInHdr) };
    if family == Family::V4 && Sum::default().bytes(header).finish() != 0 {
        return Err(DropReason::IpCsum);
    }
    if total_len < family.header_len().max(if family == Family::V4 { header_len } else { 0 }) {
        return Err(DropReason::IpInHdr);
    }
    if packet.l3().len() < total_len {
        return Err(DropReason::HdrTrunc);
    }
    packet.trim_l3(total_len);
    Ok(ip)
}

/// Addresses of IPv6 that no packet from a wire has (`ip6_rcv_core`); those of IPv4 are judged by the route.
fn check_addresses(ip: &IpHeader, dev: DevId, pkt_type: PacketType) -> Result<(), DropReason> {
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (ip.src, ip.dst) else { return Ok(()) };
    let outside = dev != Devices::LO;
    if src.is_multicast() || (outside && src.is_loopback()) {
        return Err(DropReason::IpMartianSource);
    }
    // A group within this host, or one of the reserved scope 0.
    let [first, second, ..] = dst.octets();
    let nowhere =
        first == 0xff && (second & 0x0f == 0 || (outside && pkt_type != PacketType::Loopback && second & 0x0f == 1));
    if nowhere || (outside && dst.is_loopback()) {
        return Err(DropReason::IpInvalidDest);
    }
    Ok(())
}
