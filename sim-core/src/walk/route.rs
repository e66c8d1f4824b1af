//! Where a received packet goes (net/ipv4/route.c, `ip_route_input_slow`; net/ipv4/fib_frontend.c,
//! `fib_validate_source`; net/ipv6/route.c, `ip6_route_input`).

use std::net::{IpAddr, Ipv4Addr};

use super::{After, Ctx, Dst, Next, Stage, hook, icmp, mld};
use crate::capture::Decision;
use crate::dev::Devices;
use crate::engine::arena::DevId;
use crate::engine::mutant::Mutant;
use crate::engine::trail::DropReason;
use crate::netfilter::hooks::Hook;
use crate::netns::Netns;
use crate::netns::exception::Exception;
use crate::netns::fib::{FibKey, Route, RouteKind, is_limited_broadcast, is_zeronet};
use crate::netns::mib::Ip;
use crate::wire::icmp::Notice;
use crate::wire::ip::{Family, IpHeader, TCP};
use crate::wire::packet::Packet;

/// The one group of IPv4 that every device is in (RFC 1112 4).
pub(super) const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

/// Bytes of a TCP header without options.
const TCP_HEADER_LEN: u16 = 20;

/// What routing decided for a received packet.
pub(super) enum InputRoute {
    /// For this host.
    Local,
    /// For somebody else.
    Forward(Dst),
    /// For nobody: an ICMP error, or silence.
    Unreachable { notice: Option<Notice>, reason: DropReason },
    /// For a group that nobody here is in: it was flooded to everyone, and nothing is lost (`ip6_mc_input`).
    Ignore,
    /// It must not be.
    Drop(DropReason),
}

/// PREROUTING is over: deliver, forward or refuse.
pub(super) fn route_input(ns: &mut Netns, ctx: &mut Ctx<'_>, mut packet: Packet) -> Next {
    let Some(ip) = packet.ip() else { return Next::Drop(DropReason::IpInHdr, packet) };
    if has_source_route(&packet, &ip) {
        return Next::Drop(DropReason::IpInHdr, packet);
    }
    let Some(dev) = packet.iif else { return Next::Drop(DropReason::DevDown, packet) };
    let route = if packet.looped { InputRoute::Local } else { lookup_input(ns, &ip, dev, packet.mark) };
    count(ns, &ip, &route, &packet);
    match route {
        InputRoute::Local => Next::Go(hook::begin(Hook::Input, (Some(dev), None), After::Deliver, packet)),
        InputRoute::Forward(dst) => {
            early_demux(&mut packet, &ip);
            ctx.decided(packet.id, || Some(Decision::Forwarded { dev: dst.dev, via: dst.via }));
            Next::Go(Stage::Forward(dst, packet))
        }
        InputRoute::Ignore => Next::Delivered,
        InputRoute::Drop(reason) => Next::Drop(reason, packet),
        InputRoute::Unreachable { notice, reason } => {
            let may = ip.family() == Family::V6 || ns.icmp_limits.allow_route_error(ip.src, ctx.now);
            let answer = notice.filter(|_| may).and_then(|notice| icmp::error(ns, ctx, &packet, notice));
            Next::DropAnd(reason, packet, answer.into_iter().collect())
        }
    }
}

/// Who looks for the socket of a TCP packet reads its whole header (`tcp_v4_early_demux`). If the first fragment it came in
/// ended before, that now ends where the header does, not at a multiple of eight: the packet will be cut anew.
fn early_demux(packet: &mut Packet, ip: &IpHeader) {
    if ip.proto == TCP && packet.pieces.first().is_some_and(|len| *len < TCP_HEADER_LEN) {
        packet.pieces.clear();
    }
}

/// What routing counts (`ip_rcv_finish_core`, `ip_error`; `ip6_mc_input`, `ip6_pkt_drop`, `ip6_forward`).
fn count(ns: &mut Netns, ip: &IpHeader, route: &InputRoute, packet: &Packet) {
    let (family, len) = (ip.family(), packet.l3().len());
    match route {
        InputRoute::Local | InputRoute::Ignore if ip.dst.is_multicast() => {
            ns.mibs.ip_packet(family, Ip::InMcastPkts, Ip::InMcastOctets, len);
        }
        InputRoute::Local if ns.fib.is_for_many(ip.dst) => {
            ns.mibs.ip_packet(family, Ip::InBcastPkts, Ip::InBcastOctets, len);
        }
        InputRoute::Unreachable { reason: DropReason::ForwardingOff, .. } => ns.mibs.ip(family, Ip::InAddrErrors),
        InputRoute::Unreachable { notice, .. } if family == Family::V6 || *notice == Some(Notice::NoRoute) => {
            ns.mibs.ip(family, Ip::InNoRoutes);
        }
        InputRoute::Drop(DropReason::IpRpFilter) => ns.tcp.count_rp_filter(),
        _ => {}
    }
}

/// Loose and strict source routes of IPv4 are refused (`accept_source_route` is 0, net/ipv4/ip_options.c); a broken
/// option list reads as one.
fn has_source_route(packet: &Packet, ip: &IpHeader) -> bool {
    let own = (ip.family() == Family::V4).then_some(20..usize::from(ip.header_len));
    let Some(mut options) = own.and_then(|range| packet.l3().get(range)) else { return false };
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
    if let Some(decided) = before_lookup(ns, ip, dev) {
        return decided;
    }
    let (src, dst) = (ip.src, ip.dst);
    // What is link-local is so on the link it came by, and ::1 on `lo` (`rt6_need_strict`).
    let strict = matches!(dst, IpAddr::V6(dst) if dst.is_unicast_link_local() || dst.is_loopback());
    let oif = strict.then_some(dev);
    let key = FibKey { dst, src: Some(src), mark, iif: Some(dev), oif };
    // IPv6 asks whether it is a router when it forwards (`ip6_forward`), and a host tells of routes, too (`ip6_pkt_drop`).
    let forwarding = ip.family() == Family::V6 || ns.sysctl.forwarding(dev, Family::V4);
    let Some(route) = ns.fib.lookup(&key) else { return no_route(forwarding, Notice::NoRoute) };
    match route.kind {
        RouteKind::Local | RouteKind::Broadcast | RouteKind::Anycast | RouteKind::Multicast => {
            source_refused(ns, src, dev).map_or(InputRoute::Local, InputRoute::Drop)
        }
        RouteKind::Blackhole => InputRoute::Drop(DropReason::IpInNoRoutes),
        RouteKind::Unreachable => no_route(forwarding, Notice::RouteUnreachable),
        RouteKind::Prohibit => no_route(forwarding, Notice::Prohibited),
        RouteKind::Throw => no_route(forwarding, Notice::NoRoute),
        RouteKind::Unicast if !forwarding => no_route(false, Notice::HostUnreachable),
        RouteKind::Unicast => match (source_refused(ns, src, dev), dst_of(ns, route)) {
            (Some(reason), _) => InputRoute::Drop(reason),
            (None, Some(mut to)) => {
                bind_exception(ns, route, dst, &mut to);
                InputRoute::Forward(to)
            }
            (None, None) => no_route(true, Notice::NoRoute),
        },
    }
}

/// What the addresses alone decide. A group of IPv6 is for this host if it is a member on that device
/// (net/ipv6/ip6_input.c, `ip6_mc_input`).
fn before_lookup(ns: &Netns, ip: &IpHeader, dev: DevId) -> Option<InputRoute> {
    let (src, dst) = (ip.src, ip.dst);
    if let IpAddr::V6(group) = dst {
        let member = group.is_multicast() && mld::is_member(ns, group, dev);
        return match (member, group.is_multicast()) {
            (true, _) => Some(InputRoute::Local),
            (false, true) => Some(InputRoute::Ignore),
            (false, false) => None,
        };
    }
    let martian = Some(InputRoute::Drop(DropReason::IpMartianSource));
    if src.is_multicast() || is_limited_broadcast(src) {
        return martian;
    }
    if is_limited_broadcast(dst) || (src.is_unspecified() && dst.is_unspecified()) {
        let refused = source_refused(ns, src, dev).filter(|_| !is_zeronet(src));
        return Some(refused.map_or(InputRoute::Local, InputRoute::Drop));
    }
    let localnet = ns.sysctl.route_localnet(dev) || dev == Devices::LO;
    if is_zeronet(src) || (src.is_loopback() && !localnet) {
        return martian;
    }
    if dst == IpAddr::V4(ALL_HOSTS) {
        let refused = source_refused(ns, src, dev).filter(|_| !is_zeronet(src));
        return Some(refused.map_or(InputRoute::Local, InputRoute::Drop));
    }
    let nowhere = is_zeronet(dst) || (dst.is_loopback() && !localnet) || dst.is_multicast();
    nowhere.then_some(InputRoute::Drop(DropReason::IpInvalidDest))
}

/// A host of IPv4 that does not forward stays silent (`ip_error`).
fn no_route(forwarding: bool, notice: Notice) -> InputRoute {
    let reason = if forwarding { DropReason::IpInNoRoutes } else { DropReason::ForwardingOff };
    InputRoute::Unreachable { notice: forwarding.then_some(notice), reason }
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

/// What was learned about the destination `to` of a route. Packets go by the next hop that a redirect named, if one did
/// (`rt_bind_exception`, `rt6_find_cached_rt`).
pub(super) fn bind_exception<'n>(ns: &'n Netns, route: &Route, to: IpAddr, dst: &mut Dst) -> Option<&'n Exception> {
    let exception = ns.exceptions.get(to, route.next_hop())?;
    if let Some((_, via)) = exception.redirect {
        dst.via = via;
    }
    Some(exception)
}

/// Why a source address must not come in by `dev`, if so. IPv6 has no such check.
fn source_refused(ns: &Netns, src: IpAddr, dev: DevId) -> Option<DropReason> {
    if src.is_ipv6() {
        return None;
    }
    let mode = ns.sysctl.rp_filter(dev);
    if mode == 0 || ns.planted.is(Mutant::RpFilterSkipped) {
        let own = !src.is_unspecified() && ns.addrs.contains(src) && !ns.sysctl.accept_local(dev);
        return own.then_some(DropReason::IpLocalSource);
    }
    // `src_valid_mark` is 0: the mark takes no part in the reverse lookup.
    match ns.fib.lookup(&FibKey::to(src)) {
        None => Some(DropReason::IpRpFilter),
        Some(r) if r.kind == RouteKind::Local && !ns.sysctl.accept_local(dev) => Some(DropReason::IpLocalSource),
        Some(r) if r.kind != RouteKind::Unicast && r.kind != RouteKind::Local => Some(DropReason::IpLocalSource),
        Some(r) if mode == 1 && r.dev != Some(dev) => Some(DropReason::IpRpFilter),
        Some(_) => None,
    }
}
