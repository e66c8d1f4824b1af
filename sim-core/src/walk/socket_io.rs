//! Between sockets and the walk: what applications send becomes packets, what is delivered becomes wake-ups.

mod association;
mod datagram;
mod stream;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Dst;
use super::output::route_socket;
use crate::engine::errno::Errno;
use crate::netns::Netns;
use crate::netns::fib::{FibKey, RouteKind};
use crate::netns::socket::{PmtuDiscovery, Socket};
use crate::wire::ip::Family;

pub(crate) use association::{flush_sctp, sctp_connect, sctp_error, sctp_listen, sctp_receive, sctp_timer};
pub(crate) use datagram::{send_icmp_echo, send_udp, udp_bind, udp_connect};
pub(crate) use stream::{TcpError, flush_tcp, tcp_connect, tcp_error, tcp_receive, tcp_timer};

/// Takes the sockets of all kinds something happened to.
pub(crate) fn take_woken(ns: &mut Netns) -> Vec<Socket> {
    stream::collect_wakes(ns);
    association::collect_wakes(ns);
    ns.sockets.take_woken()
}

/// A free ephemeral port: a random start in `ip_local_port_range`, then upwards.
pub(super) fn ephemeral_port(ns: &mut Netns, in_use: impl Fn(&Netns, u16) -> bool) -> Result<u16, Errno> {
    let (low, high) = ns.sysctl.local_port_range;
    let span = u32::from(high - low) + 1;
    let start = ns.streams.ports.below(span);
    (0..span).map(|n| low + ((start + n) % span) as u16).find(|port| !in_use(ns, *port)).ok_or(Errno::EADDRINUSE)
}

/// Whether DF is set on a packet of a socket (include/net/ip.h, `ip_dont_fragment`).
const fn dont_fragment(pmtu: PmtuDiscovery, dst: &Dst) -> bool {
    match pmtu {
        PmtuDiscovery::Do | PmtuDiscovery::Probe => true,
        PmtuDiscovery::Want => !dst.mtu_locked,
        PmtuDiscovery::Dont => false,
    }
}

/// Whether the address can be bound: unspecified, or ours.
fn can_bind(ns: &Netns, ip: IpAddr) -> Result<(), Errno> {
    let ours = ip.is_unspecified() || ns.fib.kind_of(ip) == crate::netns::fib::RouteKind::Local;
    if ours { Ok(()) } else { Err(Errno::EADDRNOTAVAIL) }
}

/// A peer on a link must be named with its device, which sockets here cannot do (`__ip6_datagram_connect`, `tcp_v6_connect`).
fn check_link_named(peer: SocketAddr) -> Result<(), Errno> {
    let on_link = matches!(peer.ip(), IpAddr::V6(to) if to.is_unicast_link_local() || to.octets()[..2] == [0xff, 0x02]);
    if on_link { Err(Errno::EINVAL) } else { Ok(()) }
}

/// An address that cannot be a peer.
const fn check_peer(peer: SocketAddr) -> Result<(), Errno> {
    if peer.port() == 0 { Err(Errno::EINVAL) } else { Ok(()) }
}

/// The route of a connection that begins, and its ends: it chooses the source address (`tcp_v4_connect`,
/// `sctp_transport_route`).
///
/// # Errors
/// What the route says, or that an address cannot be an end.
fn route_connection(
    ns: &mut Netns,
    mut local: SocketAddr,
    mut peer: SocketAddr,
) -> Result<(Dst, SocketAddr, SocketAddr), Errno> {
    check_peer(peer)?;
    // A socket for all of IPv6 reaches IPv4 by mapped addresses (`tcp_v6_connect`).
    if local.is_ipv6() && local.ip().is_unspecified() {
        peer.set_ip(peer.ip().to_canonical());
        local.set_ip(Family::of(peer.ip()).unspecified());
    }
    peer.set_ip(this_host(peer.ip(), local.ip()));
    // `tcp_v6_connect`
    if peer.is_ipv6() && peer.ip().is_multicast() {
        return Err(Errno::ENETUNREACH);
    }
    check_link_named(peer)?;
    can_bind(ns, local.ip())?;
    let src = Some(local.ip()).filter(|ip| !ip.is_unspecified());
    let (dst, src) = route_socket(ns, FibKey { src, ..FibKey::to(peer.ip()) })?;
    if dst.kind == RouteKind::Broadcast {
        return Err(Errno::ENETUNREACH);
    }
    local.set_ip(src);
    Ok((dst, local, peer))
}

/// Nobody's address means this host: the one it is bound to, else the loopback address (`ip_route_output_key_hash_rcu`); of
/// IPv6 always that (`udpv6_sendmsg`).
fn this_host(peer: IpAddr, local: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(to) if to.is_unspecified() && local.is_ipv4() && !local.is_unspecified() => local,
        IpAddr::V4(to) if to.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(to) if to.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        _ => peer,
    }
}
