//! Where a received packet goes (net/ipv4/route.c, `ip_route_input_slow`; net/ipv4/fib_frontend.c,
//! `fib_validate_source`).

use std::net::IpAddr;

use super::{After, Ctx, Dst, Next, Stage, hook, icmp};
use crate::capture::Decision;
use crate::dev::Devices;
use crate::engine::arena::DevId;
use crate::engine::trail::DropReason;
use crate::netfilter::hooks::Hook;
use crate::netns::Netns;
use crate::netns::fib::{FibKey, Route, RouteKind, is_limited_broadcast, is_zeronet};
use crate::wire::icmp::{DEST_UNREACH, HOST_UNREACH, NET_UNREACH, PKT_FILTERED};
use crate::wire::ip::IpHeader;
use crate::wire::packet::Packet;

/// What routing decided for a received packet.
pub(super) enum InputRoute {
    /// For this host.
    Local,
    /// For somebody else.
    Forward(Dst),
    /// For nobody: an ICMP error with this code, or silence.
    Unreachable { code: Option<u8>, reason: DropReason },
    /// It must not be.
    Drop(DropReason),
}

/// PREROUTING is over: deliver, forward or refuse.
pub(super) fn route_input(ns: &mut Netns, ctx: &mut Ctx<'_>, packet: Packet) -> Next {
    let Some(ip) = packet.ip() else { return Next::Drop(DropReason::IpInHdr, packet) };
    if has_source_route(&packet, &ip) {
        return Next::Drop(DropReason::IpInHdr, packet);
    }
    let Some(dev) = packet.iif else { return Next::Drop(DropReason::DevDown, packet) };
    let route = if packet.looped { InputRoute::Local } else { lookup_input(ns, &ip, dev, packet.mark) };
    match route {
        InputRoute::Local => Next::Go(hook::begin(Hook::Input, (Some(dev), None), After::Deliver, packet)),
        InputRoute::Forward(dst) => {
            ctx.decided(packet.id, || Some(Decision::Forwarded { dev: dst.dev, via: dst.via }));
            Next::Go(Stage::Forward(dst, packet))
        }
        InputRoute::Drop(reason) => Next::Drop(reason, packet),
        InputRoute::Unreachable { code, reason } => {
            let answer = code.and_then(|code| icmp::error(ns, ctx, &packet, DEST_UNREACH, code, 0));
            Next::DropAnd(reason, packet, answer.into_iter().collect())
        }
    }
}

/// Loose and strict source routes are refused (`accept_source_route` is 0, net/ipv4/ip_options.c); a broken
/// option list reads as one.
fn has_source_route(packet: &Packet, ip: &IpHeader) -> bool {
    let Some(mut options) = packet.l3().get(20..usize::from(ip.header_len)) else { return false };
    loop {
        match options {
            [] | [0, ..] => return false,
            [1, rest @ ..] => options = rest,
            [131 | 137, ..] => return true,
            [_, len, ..] if *len >= 2 && usize::from(*len) <= options.len() => options = &options[usize::from(*len)..],
            _ => return true,
        }
    }
}

/// The lookup alone.
pub(super) fn lookup_input(ns: &Netns, ip: &IpHeader, dev: DevId, mark: u32) -> InputRoute {
    let (src, dst) = (ip.src, ip.dst);
    if src.is_multicast() || is_limited_broadcast(src) || (is_zeronet(src) && !src.is_unspecified()) {
        return InputRoute::Drop(DropReason::IpMartianSource);
    }
    let localnet = ns.sysctl.route_localnet(dev) || dev == Devices::LO;
    if src.is_loopback() && !localnet {
        return InputRoute::Drop(DropReason::IpMartianSource);
    }
    if is_limited_broadcast(dst) || (src.is_unspecified() && dst.is_unspecified()) {
        return InputRoute::Local;
    }
    if is_zeronet(dst) || src.is_unspecified() || (dst.is_loopback() && !localnet) {
        return InputRoute::Drop(DropReason::IpInvalidDest);
    }
    if dst.is_multicast() {
        return InputRoute::Drop(DropReason::IpInvalidDest);
    }
    let key = FibKey { dst, src: Some(src), mark, iif: Some(dev), oif: None };
    let forwarding = ns.sysctl.forwarding(dev);
    let Some(route) = ns.fib.lookup(&key) else { return no_route(forwarding, NET_UNREACH) };
    match route.kind {
        RouteKind::Local | RouteKind::Broadcast => match source_refused(ns, src, dev) {
            Some(reason) => InputRoute::Drop(reason),
            None => InputRoute::Local,
        },
        RouteKind::Blackhole => InputRoute::Drop(DropReason::IpInNoRoutes),
        RouteKind::Unreachable => no_route(forwarding, HOST_UNREACH),
        RouteKind::Prohibit => no_route(forwarding, PKT_FILTERED),
        RouteKind::Unicast if !forwarding => no_route(false, HOST_UNREACH),
        RouteKind::Unicast => match (source_refused(ns, src, dev), dst_of(ns, route)) {
            (Some(reason), _) => InputRoute::Drop(reason),
            (None, Some(dst)) => InputRoute::Forward(dst),
            (None, None) => no_route(true, NET_UNREACH),
        },
    }
}

/// A host that does not forward stays silent.
fn no_route(forwarding: bool, code: u8) -> InputRoute {
    let reason = if forwarding { DropReason::IpInNoRoutes } else { DropReason::ForwardingOff };
    InputRoute::Unreachable { code: forwarding.then_some(code), reason }
}

/// A route as a destination; `None` if its device is down.
pub(super) fn dst_of(ns: &Netns, route: &Route) -> Option<Dst> {
    let dev = ns.devs.get(route.dev?).filter(|d| d.up)?;
    let mtu = route.mtu.unwrap_or(dev.mtu).min(dev.mtu);
    Some(Dst {
        kind: route.kind,
        dev: dev.id,
        via: route.via,
        src: route.src,
        mtu,
        advmss: route.advmss,
        mtu_locked: false,
    })
}

/// Why a source address must not come in by `dev`, if so.
fn source_refused(ns: &Netns, src: IpAddr, dev: DevId) -> Option<DropReason> {
    let mode = ns.sysctl.rp_filter(dev);
    if mode == 0 {
        let own = !src.is_unspecified() && ns.addrs.contains(src) && !ns.sysctl.accept_local(dev);
        return own.then_some(DropReason::IpLocalSource);
    }
    // `src_valid_mark` is 0: the mark takes no part in the reverse lookup.
    match ns.fib.lookup(&FibKey::to(src)) {
        None => Some(DropReason::IpRpFilter),
        Some(r) if r.kind == RouteKind::Local && !ns.sysctl.accept_local(dev) => Some(DropReason::IpLocalSource),
        Some(r) if r.kind != RouteKind::Unicast && r.kind != RouteKind::Local => Some(DropReason::IpRpFilter),
        Some(r) if mode == 1 && r.dev != Some(dev) => Some(DropReason::IpRpFilter),
        Some(_) => None,
    }
}
