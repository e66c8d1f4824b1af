//! What a host sends to a group it is in comes back to it by the same device, beside what leaves (`IP_MULTICAST_LOOP`, on by
//! default; net/ipv4/ip_output.c, `ip_mc_output`; net/ipv6/ip6_output.c, `ip6_finish_output2`). It passes POSTROUTING a second
//! time, then PREROUTING and INPUT, and no tap: packet sockets do not take `PACKET_LOOPBACK`.

use std::net::IpAddr;

use super::{After, Ctx, Dst, Next, Stage, Target, hook, mld, output, route};
use crate::engine::arena::DevId;
use crate::engine::trail::DropReason;
use crate::netfilter::hooks::Hook;
use crate::netns::Netns;
use crate::netns::fib::RouteKind;
use crate::wire::packet::{Packet, PacketType};

/// Groups of IPv6 up to this scope do not leave a device (`IPV6_ADDR_SCOPE_NODELOCAL`).
const NODE_LOCAL: u8 = 1;

/// A packet of this host with its route is to leave by `dst`: POSTROUTING. What is for this host as well goes there first
/// (`ip_mc_output`); what is for many, but goes by a tunnel or a bridge port, does not (`sk_mc_loop`).
pub(super) fn output(ns: &Netns, dst: Dst, packet: Packet) -> Next {
    let Some(ip) = packet.ip().filter(|ip| ip.dst.is_ipv4() && returns(ns, &dst, ip.dst, &packet)) else {
        return output::output(dst, packet);
    };
    let first = come_back(&dst, packet.clone());
    if ip.ttl == 0 && dst.kind == RouteKind::Multicast {
        return Next::Several(vec![first]);
    }
    Next::Several(vec![
        first,
        hook::begin(Hook::Postrouting, (None, Some(dst.dev)), After::PostroutingDone(dst), packet),
    ])
}

/// The last stage before the neighbour: a packet or fragment that comes back as well, if it is one (`ip6_finish_output2`).
pub(super) fn before_resolve(ns: &Netns, dst: Dst, packet: Packet) -> Stage {
    let group = packet.ip().filter(|ip| ip.dst.is_ipv6() && ip.dst.is_multicast());
    match group {
        Some(ip) if returns(ns, &dst, ip.dst, &packet) => Stage::ComeBack(dst, packet),
        _ => Stage::Resolve(dst, packet),
    }
}

/// A packet or fragment of IPv6 comes back, then leaves, if it may.
pub(super) fn back_and_out(dst: Dst, packet: Packet) -> Next {
    let Some(ip) = packet.ip() else { return Next::Drop(DropReason::IpInHdr, packet) };
    let near = matches!(ip.dst, IpAddr::V6(group) if group.octets()[1] & 0x0f <= NODE_LOCAL);
    let first = come_back(&dst, packet.clone());
    if ip.ttl == 0 || near {
        return Next::Several(vec![first]);
    }
    Next::Several(vec![first, Stage::Resolve(dst, packet)])
}

/// Whether this host is among those that a packet of its own is for.
fn returns(ns: &Netns, dst: &Dst, to: IpAddr, packet: &Packet) -> bool {
    let for_many = to.is_multicast() || dst.kind == RouteKind::Broadcast;
    for_many && packet.nested == 0 && dst.dev != crate::dev::Devices::LO && is_member(ns, dst, to)
}

fn is_member(ns: &Netns, dst: &Dst, to: IpAddr) -> bool {
    match to {
        IpAddr::V6(group) => mld::is_member(ns, group, dst.dev),
        IpAddr::V4(_) => dst.kind == RouteKind::Broadcast || to == IpAddr::V4(route::ALL_HOSTS),
    }
}

/// Once more POSTROUTING, with no incoming device.
fn come_back(dst: &Dst, packet: Packet) -> Stage {
    hook::begin(Hook::Postrouting, (None, Some(dst.dev)), After::ComeBack(dst.dev), packet)
}

/// The packet is received where it left, with the route it has (`dev_loopback_xmit`).
pub(super) fn receive_own(ctx: &mut Ctx<'_>, ns: &Netns, dev: DevId, mut packet: Packet) -> Next {
    packet.pkt_type = PacketType::Loopback;
    packet.looped = true;
    packet.pieces.clear();
    ctx.out.frames.push((Target::Dev(ns.id, dev), packet));
    Next::Transmitted
}
