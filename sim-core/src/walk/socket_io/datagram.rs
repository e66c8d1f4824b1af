//! UDP datagrams and ICMP echo requests of applications (net/ipv4/udp.c, raw.c, `ip_append_data`; net/ipv6/udp.c,
//! raw.c, `ip6_append_data`).

use std::net::{IpAddr, SocketAddr};

use super::super::fragment::cuts_for;
use super::super::output::{route_output, route_socket};
use super::super::{Ctx, Dst, Stage, flow_label, run};
use super::{can_bind, check_link_named, check_peer, dont_fragment, ephemeral_port, this_host};
use crate::dev::Devices;
use crate::engine::arena::SocketId;
use crate::engine::errno::Errno;
use crate::netns::Netns;
use crate::netns::fib::{FibKey, RouteKind};
use crate::netns::mib::Udp;
use crate::netns::socket::udp::UdpSocket;
use crate::netns::socket::{PmtuDiscovery, SocketError, tx_hash};
use crate::wire::icmp::{self, IcmpHeader};
use crate::wire::ip::{Family, IPV4_LEN, IpHeader, UDP, is_icmp};
use crate::wire::{build, l4};

/// Packets for groups stay on their link unless an application asks for more (`IPV6_DEFAULT_MCASTHOPS`, `mc_ttl`).
const MULTICAST_TTL: u8 = 1;

/// Largest payload of a UDP datagram: the length of an IPv4 packet counts its header, that of IPv6 does not.
const fn max_udp(family: Family) -> usize {
    let header = match family {
        Family::V4 => IPV4_LEN,
        Family::V6 => 0,
    };
    65535 - 8 - header
}

/// What of a socket shapes its packets.
#[derive(Clone, Copy, Default)]
struct Shape {
    ttl: Option<u8>,
    tos: u8,
    pmtu: PmtuDiscovery,
    tx_hash: u32,
}

/// Opens a UDP socket bound to `local`; port 0 takes an ephemeral one.
///
/// # Errors
/// `EADDRNOTAVAIL`, `EADDRINUSE`.
pub(crate) fn udp_bind(ns: &mut Netns, mut local: SocketAddr, reuse: bool) -> Result<SocketId, Errno> {
    can_bind(ns, local.ip())?;
    if local.port() == 0 {
        local.set_port(ephemeral_port(ns, |ns, port| ns.sockets.udp.port_in_use(port))?);
    }
    let id = ns.sockets.new_id();
    let mut socket = UdpSocket::bound(local);
    socket.reuse = reuse;
    socket.v6only = ns.sysctl.bindv6only != 0;
    ns.sockets.udp.insert(id, socket)?;
    Ok(id)
}

/// Connects a UDP socket: the route must exist, and fixes the source address (`ip4_datagram_connect`).
///
/// # Errors
/// What the route says, `EINVAL` for an address that cannot be a peer, `ENOENT` for a closed socket.
pub(crate) fn udp_connect(ns: &mut Netns, id: SocketId, peer: SocketAddr) -> Result<(), Errno> {
    check_peer(peer)?;
    check_link_named(peer)?;
    let socket = ns.sockets.udp_mut(id).ok_or(Errno::ENOENT)?;
    let (local, mut peer) = (socket.local, socket.reaches(peer).ok_or(Errno::ENETUNREACH)?);
    peer.set_ip(this_host(peer.ip(), local.ip()));
    let src = Some(local.ip()).filter(|ip| !ip.is_unspecified());
    let (dst, src) = route_socket(ns, FibKey { src, ..FibKey::to(peer.ip()) })?;
    check_broadcast(&dst)?;
    if let Some(socket) = ns.sockets.udp_mut(id) {
        socket.local.set_ip(src);
        socket.remote = Some(peer);
        socket.tx_hash = tx_hash(socket.local, peer, id.0);
    }
    Ok(())
}

/// No socket here has asked for broadcasts (`SO_BROADCAST`).
fn check_broadcast(dst: &Dst) -> Result<(), Errno> {
    if dst.kind == RouteKind::Broadcast { Err(Errno::EACCES) } else { Ok(()) }
}

/// Sends a datagram to `to`, or to the connected peer.
///
/// # Errors
/// What the route says, `EMSGSIZE` for what must not be cut and is too big, `EPERM` if OUTPUT dropped it.
pub(crate) fn send_udp(
    ns: &mut Netns,
    ctx: &mut Ctx<'_>,
    id: SocketId,
    to: Option<SocketAddr>,
    data: &[u8],
) -> Result<(), SocketError> {
    let refused = |errno| SocketError::local(errno, 0);
    let socket = ns.sockets.udp_mut(id).ok_or(refused(Errno::ENOENT))?;
    let peer = to.or(socket.remote).ok_or(refused(Errno::EINVAL))?;
    let mut peer = socket.reaches(peer).ok_or(refused(Errno::ENETUNREACH))?;
    peer.set_ip(this_host(peer.ip(), socket.local.ip()));
    let mut shape = Shape { ttl: socket.ttl, tos: socket.tos, pmtu: socket.pmtu, tx_hash: socket.tx_hash };
    // What was set for IPv6 is not for IPv4, to which a mapped address leads (`ip_cmsg_send` reads `inet_sk` alone).
    if socket.family == Family::V6 && peer.is_ipv4() {
        shape = Shape { tx_hash: shape.tx_hash, ..Shape::default() };
    }
    let local = socket.local;
    check_peer(peer).map_err(refused)?;
    if data.len() > max_udp(Family::of(peer.ip())) {
        return Err(refused(Errno::EMSGSIZE));
    }
    let src = Some(local.ip()).filter(|ip| !ip.is_unspecified());
    let (dst, src) = route_socket(ns, FibKey { src, ..FibKey::to(peer.ip()) }).map_err(refused)?;
    let segment = build::udp_segment(&IpHeader::new(src, peer.ip(), UDP, 0), local.port(), peer.port(), data);
    send(ns, ctx, dst, (src, peer.ip(), UDP), shape, &segment)
}

/// Sends an ICMP echo request from a raw socket. `id_seq` are identifier and sequence number.
///
/// # Errors
/// As [`send_udp`].
pub(crate) fn send_icmp_echo(
    ns: &mut Netns,
    ctx: &mut Ctx<'_>,
    socket: SocketId,
    to: IpAddr,
    (id, seq): (u16, u16),
    data: &[u8],
) -> Result<(), SocketError> {
    let refused = |errno| SocketError::local(errno, 0);
    let s = ns.sockets.raw_mut(socket).ok_or(refused(Errno::ENOENT))?;
    if Family::of(to) != Family::of(s.local) {
        return Err(refused(Errno::EINVAL));
    }
    let to = this_host(to, s.local);
    let local = Some(s.local).filter(|local| !local.is_unspecified());
    let shape = Shape { ttl: s.ttl, tos: s.tos, pmtu: s.pmtu, tx_hash: 0 };
    let (dst, src) = route_output(ns, FibKey { src: local, ..FibKey::to(to) }).map_err(refused)?;
    let [a, b] = id.to_be_bytes();
    let [c, d] = seq.to_be_bytes();
    let family = Family::of(to);
    let echo = IcmpHeader { kind: icmp::echo(family), code: 0, rest: [a, b, c, d] };
    send(ns, ctx, dst, (src, to, family.icmp()), shape, &echo.to_bytes((src, to), data))
}

/// Wraps `payload` into an IP packet and walks it out. Too big for the path it is cut into fragments without DF,
/// or refused if the socket demands DF.
fn send(
    ns: &mut Netns,
    ctx: &mut Ctx<'_>,
    dst: Dst,
    (src, to, proto): (IpAddr, IpAddr, u8),
    shape: Shape,
    payload: &[u8],
) -> Result<(), SocketError> {
    check_broadcast(&dst).map_err(|errno| SocketError::local(errno, 0))?;
    let family = Family::of(to);
    let device_mtu = ns.devs.get(dst.dev).map_or(dst.mtu, |d| d.mtu);
    let mtu = if shape.pmtu == PmtuDiscovery::Probe { device_mtu } else { dst.mtu };
    let dst = Dst { mtu, ..dst };
    let too_big = payload.len() + family.header_len() > mtu as usize;
    if too_big && matches!(shape.pmtu, PmtuDiscovery::Do | PmtuDiscovery::Probe) {
        return Err(SocketError::local(Errno::EMSGSIZE, mtu));
    }
    let mut header = IpHeader::new(src, to, proto, payload.len());
    header.df = dont_fragment(shape.pmtu, &dst) && !too_big;
    header.tos = shape.tos;
    // What a socket is told of hops is not for groups (`IP_MULTICAST_TTL`, `IPV6_MULTICAST_HOPS`).
    let own_ttl = if to.is_multicast() { Some(MULTICAST_TTL) } else { shape.ttl };
    header.ttl = own_ttl.unwrap_or(ns.default_ttl(family, dst.dev));
    let of_icmp = payload.first_chunk().map_or(0, |kind_code| u16::from_be_bytes(*kind_code));
    header.flow = flow_label(ns, &header, l4::ports(proto, payload).unwrap_or((of_icmp, 0)));
    // Raw sockets that demand DF send id 0 (`ip_select_ident_segs`: no id is needed where nothing is cut).
    let no_id = is_icmp(proto) && shape.pmtu == PmtuDiscovery::Do;
    header.id = if no_id { 0 } else { ns.draw_ip_id(family) };
    let mut packet = build::ip(ctx.out.packet_id(), header, payload);
    packet.flow_hash = shape.tx_hash;
    if too_big {
        packet.pieces = cuts_for(family, payload.len(), mtu);
    }
    packet.ignore_df = !matches!(shape.pmtu, PmtuDiscovery::Do);
    // A datagram that is not cut is left to a device that can compute checksums (`__ip_append_data`); `lo` can.
    packet.csum_partial = proto == UDP && dst.dev == Devices::LO && !too_big;
    let id = packet.id;
    ctx.out.forget_output_drop();
    run(ns, ctx, Stage::LocalOut(dst, packet));
    let dropped = ctx.out.take_output_drop(id);
    if proto == UDP && dropped.is_none() {
        ns.mibs.udp(family, Udp::OutDatagrams);
    }
    dropped.map_or(Ok(()), |errno| Err(SocketError::local(errno, 0)))
}
