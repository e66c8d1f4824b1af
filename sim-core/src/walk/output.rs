//! A packet leaves the host: its own through OUTPUT, all through POSTROUTING (net/ipv4/ip_output.c,
//! net/ipv6/ip6_output.c).

use std::net::IpAddr;

use xxhash_rust::xxh3::xxh3_64;

use super::route::{bind_exception, dst_of};
use super::{After, Dst, Next, hook};
use crate::engine::arena::DevId;
use crate::engine::errno::Errno;
use crate::engine::trail::DropReason;
use crate::netfilter::hooks::Hook;
use crate::netns::Netns;
use crate::netns::addr::Scope;
use crate::netns::fib::{FibKey, RouteKind, is_limited_broadcast};
use crate::netns::mib::{Icmp, Ip, Way};
use crate::wire::icmp;
use crate::wire::ip::{Family, IpHeader, TCP};
use crate::wire::packet::Packet;

/// All groups of IPv4 are 224.0.0.0/4.
const GROUPS_PREFIX: u8 = 4;

/// The route of a packet of this host, with its source address (`ip_route_output_key_hash_rcu`).
///
/// # Errors
/// What the route's kind says: `ENETUNREACH`, `EHOSTUNREACH`, `EACCES`, `EINVAL`.
pub(super) fn route_output(ns: &Netns, key: FibKey) -> Result<(Dst, IpAddr), Errno> {
    if let Some(routed) = route_by_source(ns, key) {
        return routed;
    }
    let route = ns.fib.lookup(&key).ok_or_else(|| no_route(ns, key))?;
    match route.kind {
        RouteKind::Unicast | RouteKind::Local | RouteKind::Broadcast | RouteKind::Anycast | RouteKind::Multicast => {}
        RouteKind::Blackhole => return Err(Errno::EINVAL),
        RouteKind::Unreachable => return Err(Errno::EHOSTUNREACH),
        RouteKind::Prohibit => return Err(Errno::EACCES),
        RouteKind::Throw => return Err(Errno::ENETUNREACH),
    }
    let mut dst = dst_of(ns, route).ok_or(Errno::ENETUNREACH)?;
    let src = match key.src.filter(|s| !s.is_unspecified()) {
        Some(src) => src,
        None if route.kind == RouteKind::Local => route.src.unwrap_or(key.dst),
        None => source_for(ns, &dst, key.dst)?,
    };
    dst.kind = kind_for(key.dst, dst.kind);
    if key.dst.is_ipv4() && forgets_route(&dst, route.dst.prefix_len()) {
        return Ok((bare(ns, dst), src));
    }
    if matches!(route.kind, RouteKind::Local | RouteKind::Anycast) {
        dst.dev = crate::dev::Devices::LO;
        dst.mtu = ns.devs.get(dst.dev).map_or(dst.mtu, |lo| lo.mtu);
    } else if src.is_loopback() && src.is_ipv4() && !ns.sysctl.route_localnet(dst.dev) {
        return Err(Errno::EINVAL);
    }
    let learned = bind_exception(ns, route, key.dst, &mut dst);
    if let Some(learned) = learned.and_then(|exception| exception.path_mtu) {
        dst.mtu = dst.mtu.min(learned.mtu);
        dst.mtu_locked = learned.locked;
    }
    Ok((dst, src))
}

/// What is sent to a group or everyone on a link needs no route if its source is known: it leaves by the device that has it.
fn route_by_source(ns: &Netns, key: FibKey) -> Option<Result<(Dst, IpAddr), Errno>> {
    let src = key.src.filter(|src| src.is_ipv4() && !src.is_unspecified())?;
    if src.is_multicast() || is_limited_broadcast(src) {
        return Some(Err(Errno::EINVAL));
    }
    if key.oif.is_some() || !(key.dst.is_multicast() || is_limited_broadcast(key.dst)) {
        return None;
    }
    let owner = ns.addrs.iter().find(|addr| addr.net.addr() == src).map(|addr| addr.dev);
    let Some(dev) = owner.and_then(|dev| ns.devs.get(dev)).filter(|dev| dev.up) else {
        return Some(Err(Errno::ENETUNREACH));
    };
    let kind = kind_for(key.dst, RouteKind::Unicast);
    let dst = Dst { kind, dev: dev.id, via: None, src: None, mtu: dev.mtu, mtu_locked: false, advmss: None };
    Some(Ok((dst, src)))
}

/// What an address of IPv4 is says more than the route that was found for it (`__mkroute_output`).
fn kind_for(to: IpAddr, found: RouteKind) -> RouteKind {
    match to {
        _ if is_limited_broadcast(to) => RouteKind::Broadcast,
        IpAddr::V4(to) if to.is_multicast() => RouteKind::Multicast,
        _ => found,
    }
}

/// Broadcasts, and groups for which nobody made a route of their own, take of the route no more than the device
/// (`__mkroute_output`).
fn forgets_route(dst: &Dst, prefix_len: u8) -> bool {
    match dst.kind {
        RouteKind::Broadcast => true,
        RouteKind::Multicast => prefix_len < GROUPS_PREFIX,
        _ => false,
    }
}

/// The device of a destination alone.
fn bare(ns: &Netns, dst: Dst) -> Dst {
    let mtu = ns.devs.get(dst.dev).map_or(dst.mtu, |dev| dev.mtu);
    Dst { via: None, mtu, advmss: None, mtu_locked: false, ..dst }
}

/// The route of what a socket sends (`ip_route_output_flow`, `ip6_dst_lookup_tail`).
///
/// # Errors
/// As [`route_output`]; that there is no route is counted.
pub(super) fn route_socket(ns: &mut Netns, key: FibKey) -> Result<(Dst, IpAddr), Errno> {
    let route = route_output(ns, key);
    if route.as_ref().err() == Some(&Errno::ENETUNREACH) {
        ns.mibs.ip(Family::of(key.dst), Ip::OutNoRoutes);
    }
    route
}

/// Without a route IPv6 looks for a source address first (`ip6_dst_lookup_tail`), and may have none.
fn no_route(ns: &Netns, key: FibKey) -> Errno {
    let sourceless = key.dst.is_ipv6() && key.src.is_none() && !ns.addrs.iter().any(|addr| addr.net.addr().is_ipv6());
    if sourceless { Errno::EADDRNOTAVAIL } else { Errno::ENETUNREACH }
}

/// The preferred source of a route (`fib_result_prefsrc`, `ip6_route_get_saddr`).
fn source_for(ns: &Netns, dst: &Dst, to: IpAddr) -> Result<IpAddr, Errno> {
    let none = if to.is_ipv4() { Errno::ENETUNREACH } else { Errno::EADDRNOTAVAIL };
    dst.src.or_else(|| ns.addrs.source(dst.dev, dst.via, to, Scope::Universe)).ok_or(none)
}

/// The address MASQUERADE gives to packets that leave by `dst` (net/netfilter/nf_nat_masquerade.c).
pub(super) fn masquerade_address(ns: &Netns, dst: &Dst, to: IpAddr) -> Option<IpAddr> {
    ns.addrs.source(dst.dev, Some(dst.via.unwrap_or(to)), to, Scope::Universe)
}

/// The flow label of a packet of this host: a hash of its flow, so that it stays the same (include/net/ipv6.h,
/// `ip6_make_flowlabel`): its ports, of ICMP type and code in the place of the first. 0 for IPv4.
pub(super) fn flow_label(ns: &Netns, header: &IpHeader, (src_port, dst_port): (u16, u16)) -> u32 {
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (header.src, header.dst) else { return 0 };
    let mut key = [0u8; 41];
    key[..16].copy_from_slice(&src.octets());
    key[16..32].copy_from_slice(&dst.octets());
    key[32..34].copy_from_slice(&src_port.to_be_bytes());
    key[34..36].copy_from_slice(&dst_port.to_be_bytes());
    key[36] = header.proto;
    key[37..].copy_from_slice(&ns.id.0.to_be_bytes());
    label_of(xxh3_64(&key) as u32)
}

/// The flow label that goes with a hash of the flow.
pub(super) const fn label_of(hash: u32) -> u32 {
    match hash & 0xf_ffff {
        0 => 1,
        label => label,
    }
}

/// A packet of this host with its route: OUTPUT.
pub(super) fn local_out(ns: &mut Netns, dst: Dst, packet: Packet) -> Next {
    if let Some(ip) = packet.ip() {
        count_sent(ns, &ip, &packet);
    }
    if ns.devs.get(dst.dev).is_none_or(|d| !d.up) {
        return Next::Drop(DropReason::DevDown, packet);
    }
    Next::Go(hook::begin(Hook::Output, (None, Some(dst.dev)), After::OutputDone(dst), packet))
}

/// `__ip_local_out`, `icmp_out_count`
fn count_sent(ns: &mut Netns, ip: &IpHeader, packet: &Packet) {
    let family = ip.family();
    ns.mibs.ip(family, Ip::OutRequests);
    if let Some(&kind) = packet.l3().get(usize::from(ip.header_len)).filter(|_| ip.proto == family.icmp()) {
        // All answers of IPv4 count as those to an echo: the flow of an answer names no type (`__ip_make_skb`).
        let of_answer = family == Family::V4 && kind == icmp::TIMESTAMP_REPLY;
        let kind = if of_answer { icmp::echo_reply(family) } else { kind };
        ns.mibs.icmp(family, Icmp::OutMsgs);
        ns.mibs.icmp_type(family, Way::Out, kind);
    }
}

/// A packet of this host that netfilter has dropped: TCP does not count it, nor does a tunnel (`ip_send_skb`).
pub(super) fn count_discarded(ns: &mut Netns, packet: &Packet) {
    if let Some(ip) = packet.ip().filter(|ip| ip.proto != TCP && packet.nested == 0) {
        ns.mibs.ip(ip.family(), Ip::OutDiscards);
    }
}

/// The packet leaves by `dst` (`ip_output`): POSTROUTING. Its incoming device is still shown to rules.
pub(super) fn output(dst: Dst, mut packet: Packet) -> Next {
    let indev = packet.iif.take();
    Next::Go(hook::begin(Hook::Postrouting, (indev, Some(dst.dev)), After::PostroutingDone(dst), packet))
}

/// The route after a rule changed what it depends on (net/ipv4/netfilter.c, `ip_route_me_harder`; net/ipv6/netfilter.c,
/// `ip6_route_me_harder`). What IPv6 sends to a group or on a link stays on the device it was to leave by.
///
/// # Errors
/// As [`route_output`].
pub(super) fn route_again(ns: &Netns, packet: &Packet, outdev: Option<DevId>) -> Result<Dst, Errno> {
    let ip = packet.ip().ok_or(Errno::EINVAL)?;
    let src = (ns.fib.kind_of(ip.src) == RouteKind::Local).then_some(ip.src);
    let strict = matches!(ip.dst, IpAddr::V6(to) if to.is_multicast() || to.is_unicast_link_local());
    let key = FibKey { dst: ip.dst, src, mark: packet.mark, iif: None, oif: outdev.filter(|_| strict) };
    route_output(ns, key).map(|(dst, _)| dst)
}

/// What a sender is told of a packet that OUTPUT dropped: a rule or a full table says no more than EPERM, a translation for
/// which there is no route gives the route's error (`NF_DROP_ERR`).
pub(super) fn errno_of_drop(ns: &Netns, reason: DropReason, packet: &Packet) -> Option<Errno> {
    match reason {
        DropReason::NetfilterDrop | DropReason::NetfilterReject | DropReason::ConntrackDrop => Some(Errno::EPERM),
        DropReason::IpOutNoRoutes => route_again(ns, packet, None).err(),
        _ => None,
    }
}
