//! Redirects that came in: a router tells of a nearer one, and a host goes by it for one destination (net/ipv4/route.c,
//! `__ip_do_redirect`; net/ipv6/route.c, `rt6_do_redirect`). Whose redirect is believed is judged by the packet it quotes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::output::route_output;
use super::{Ctx, Stage, resolve};
use crate::engine::arena::DevId;
use crate::netns::Netns;
use crate::netns::fib::{FibKey, NextHop, RouteKind, is_limited_broadcast, is_zeronet};
use crate::netns::mib::Icmp;
use crate::netns::neigh::{Heard, Replaces};
use crate::wire::icmp::{self, IcmpHeader};
use crate::wire::ip::{Family, ICMP, ICMPV6, IpHeader, TCP, UDP};
use crate::wire::l4;
use crate::wire::nd::Redirect;

/// The last code that means something: for a host, with its type of service (`ICMP_REDIR_HOSTTOS`).
const LAST_CODE: u8 = 3;

/// A redirect of IPv4 from `router` names a gateway for the packet `quoted` (`icmp_redirect`). Its hardware address must be
/// known, or it is asked for and this redirect forgotten.
pub(super) fn by_icmp(
    ns: &mut Netns,
    ctx: &mut Ctx<'_>,
    (dev, router): (DevId, IpAddr),
    header: IcmpHeader,
    quoted: &[u8],
) -> Option<Stage> {
    let inner = whose(ns, ctx, Family::V4, quoted)?;
    let gateway = Ipv4Addr::from(header.rest);
    if header.code & 7 > LAST_CODE || !may_name(ns, dev, router, gateway.into()) {
        return None;
    }
    let key = FibKey { src: Some(inner.src), ..FibKey::to(inner.dst) };
    let (dst, _) = route_output(ns, key).ok().filter(|_| ns.fib.kind_of(inner.src) == RouteKind::Local)?;
    if dst.via != Some(router) {
        return None;
    }
    let neigh = (dst.dev, IpAddr::V4(gateway));
    if !ns.neighs.get(neigh).is_some_and(|neigh| neigh.state.is_valid()) {
        return resolve::probe(ns, ctx, neigh);
    }
    let from = ns.fib.lookup(&key)?.next_hop();
    ns.exceptions.learn_redirect(inner.dst, from, (Some(dst.dev), Some(gateway.into())));
    None
}

/// Whether `router` may name this gateway on the device, by the device's sysctls and the gateway's address.
fn may_name(ns: &Netns, dev: DevId, router: IpAddr, gateway: IpAddr) -> bool {
    let nobody = gateway.is_multicast() || is_limited_broadcast(gateway) || is_zeronet(gateway);
    if gateway == router || nobody || !ns.sysctl.accept_redirects(dev) {
        return false;
    }
    if ns.sysctl.shared_media(dev) {
        return ns.fib.kind_of(gateway) == RouteKind::Unicast;
    }
    let on_link = ns.addrs.of(dev).any(|own| own.net.contains(&gateway) && own.net.contains(&router));
    on_link && (!ns.sysctl.secure_redirects(dev) || ns.fib.has_next_hop((Some(dev), Some(gateway))))
}

/// A redirect of IPv6 (`ndisc_redirect_rcv`). The packets that waited for the hardware address it tells go on.
pub(super) fn by_nd(ns: &mut Netns, ctx: &mut Ctx<'_>, dev: DevId, router: IpAddr, told: &Redirect<'_>) -> Vec<Stage> {
    let from_router = matches!(router, IpAddr::V6(router) if router.is_unicast_link_local());
    let on_link = told.target == told.dst;
    let conf = ns.sysctl.ipv6(dev);
    let from = match from_router.then(|| current(ns, ctx, (dev, router), told)).flatten() {
        Some(from) if conf.forwarding == 0 && conf.accept_redirects != 0 => from,
        _ => return Vec::new(),
    };
    if told.dst.is_multicast() || !(on_link || told.target.is_unicast_link_local()) {
        return Vec::new();
    }
    let neigh = (dev, IpAddr::V6(told.target));
    let known = ns.neighs.get(neigh).filter(|neigh| neigh.state.is_valid()).map(|neigh| neigh.mac);
    let router = if on_link { None } else { Some(true) };
    let heard = Heard { confirms: false, replaces: Replaces::Always, create: true, router };
    let mac = told.target_link.or(known);
    let waiting = mac.map(|mac| resolve::hear(ns, ctx, neigh, mac, heard)).unwrap_or_default();
    let via = (!on_link).then_some(IpAddr::V6(told.target));
    ns.exceptions.learn_redirect(told.dst.into(), from, (from.0, via));
    waiting
}

/// The next hop of the route that a redirect of IPv6 is about, if it comes from there (`__ip6_route_redirect`). A connection
/// of TCP believes every router (`tcp_v6_err`); a socket of UDP or a raw one looks for a route by no device and finds none
/// (`ip6_sk_redirect`).
fn current(ns: &mut Netns, ctx: &mut Ctx<'_>, (dev, router): (DevId, IpAddr), told: &Redirect<'_>) -> Option<NextHop> {
    let (dst, proto) = match told.quoted {
        Some(quoted) => whose(ns, ctx, Family::V6, quoted).map(|inner| (inner.dst, inner.proto))?,
        None => (told.dst.into(), ICMPV6),
    };
    let key = FibKey { oif: Some(dev), ..FibKey::to(dst) };
    let from = ns.fib.lookup(&key).filter(|route| route.kind == RouteKind::Unicast)?.next_hop();
    let redirected = ns.exceptions.get(dst, from).and_then(|exception| exception.redirect);
    let from_there = [Some(from), redirected].contains(&Some((Some(dev), Some(router))));
    (proto == TCP || (proto == ICMPV6 && from_there)).then_some(from)
}

/// The header of the quoted packet, if somebody here has sent it and is told (`icmp_socket_deliver`, `icmpv6_notify`). Of
/// ICMP, IPv4 believes about an echo request only if a socket may have sent it (`icmp_err`).
fn whose(ns: &mut Netns, ctx: &mut Ctx<'_>, family: Family, quoted: &[u8]) -> Option<IpHeader> {
    let inner = IpHeader::read(quoted).filter(|inner| inner.family() == family);
    let l4 = inner.and_then(|inner| quoted.get(usize::from(inner.header_len)..)).filter(|l4| l4.len() >= 8);
    let (Some(inner), Some(l4)) = (inner, l4) else {
        ns.mibs.icmp(family, Icmp::InErrors);
        return None;
    };
    let ports = l4::ports(inner.proto, l4).unwrap_or_default();
    let (local, remote): (SocketAddr, SocketAddr) = ((inner.src, ports.0).into(), (inner.dst, ports.1).into());
    let (known, told) = match inner.proto {
        UDP => (ns.sockets.udp.lookup(local, remote).is_some(), true),
        TCP => {
            let seq = u32::from_be_bytes([l4[4], l4[5], l4[6], l4[7]]);
            (ns.tcp.knows(local, remote), ns.tcp.has_sent(ctx.now, (local, remote), seq))
        }
        ICMP => (true, l4[0] == icmp::ECHO_REPLY || ns.sockets.has_raw(inner.src)),
        ICMPV6 => (true, true),
        _ => (true, false),
    };
    if !known {
        ns.mibs.icmp(family, Icmp::InErrors);
    }
    (known && told).then_some(inner)
}
