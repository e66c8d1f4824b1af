//! TCP segments between the table and the walk (net/ipv4/tcp_ipv4.c).

use std::net::{IpAddr, SocketAddr};

use super::super::output::{label_of, route_output};
use super::super::{Ctx, Dst, Next, Stage, Timer, flow_label, icmp, run};
use super::route_connection;
use crate::engine::arena::SocketId;
use crate::engine::errno::Errno;
use crate::engine::time::Instant;
use crate::engine::trail::{DropPlace, DropReason};
use crate::netns::Netns;
use crate::netns::fib::{FibKey, RouteKind};
use crate::netns::mib::{Icmp, Ip};
use crate::netns::socket::PmtuDiscovery;
use crate::netns::socket::tcp::{ECN, IcmpError, OutSegment, Path, Segment, SocketOptions};
use crate::netns::socket::{Socket, SocketError};
use crate::wire::icmp::IcmpHeader;
use crate::wire::ip::{Family, IpHeader, TCP};
use crate::wire::l4::SYN;
use crate::wire::packet::{Packet, PacketType};
use crate::wire::{build, l4};

/// Begins a connection: the route chooses the source address and bounds the segments (`tcp_v4_connect`).
///
/// # Errors
/// What the route says, or that the ends are in use.
pub(crate) fn tcp_connect(
    ns: &mut Netns,
    now: Instant,
    local: SocketAddr,
    peer: SocketAddr,
    mut options: SocketOptions,
) -> Result<SocketId, Errno> {
    let (dst, from, peer) = route_connection(ns, local, peer)?;
    // What was set for IPv6 is not for IPv4, to which a mapped address leads.
    let mapped = local.is_ipv6() && peer.is_ipv4();
    if mapped {
        options = SocketOptions { ttl: None, tos: 0, pmtu: PmtuDiscovery::default(), recverr: false, ..options };
    }
    let id = ns.tcp.connect(now, from, peer, path(&dst), options)?;
    if mapped {
        ns.tcp.is_of_ipv6(id);
    }
    Ok(id)
}

/// A segment for this host (`tcp_v4_rcv`).
pub(crate) fn tcp_receive(ns: &mut Netns, ctx: &Ctx<'_>, ip: &IpHeader, packet: Packet) -> Next {
    if packet.pkt_type != PacketType::Host {
        return Next::Drop(DropReason::OtherHost, packet);
    }
    let l4 = packet.l3().get(usize::from(ip.header_len)..).unwrap_or(&[]);
    if !l4::checksum_ok(ip.src, ip.dst, TCP, l4) {
        ns.tcp.on_broken_segment(true);
        return Next::Drop(DropReason::TcpCsum, packet);
    }
    let Some(segment) = Segment::parse(ip.src, ip.dst, l4) else {
        ns.tcp.on_broken_segment(false);
        return Next::Drop(DropReason::HdrTrunc, packet);
    };
    if is_for_several(ns, ip, &segment) {
        ns.tcp.on_segment_for_many(ctx.now, &Segment { tos: ip.tos, ..segment });
        return Next::Drop(DropReason::NoSocket, packet);
    }
    // To IPv6 an address of IPv4 is no sender (`tcp_v6_conn_request`).
    if matches!(ip.src, IpAddr::V6(src) if src.to_ipv4_mapped().is_some()) && ns.tcp.refuses(&segment) {
        ns.mibs.ip(ip.family(), Ip::InHdrErrors);
        return Next::Drop(DropReason::IpInHdr, packet);
    }
    let segment = Segment { tos: ip.tos, ..segment };
    let path = path_to(ns, ip.dst, ip.src);
    ns.tcp.on_segment(ctx.now, &segment, path);
    Next::Delivered
}

/// Whether it is for many hosts, or for any of them and no connection here (`ipv6_unicast_destination`).
fn is_for_several(ns: &Netns, ip: &IpHeader, segment: &Segment) -> bool {
    let anycast = || ns.fib.kind_of(ip.dst) == RouteKind::Anycast && !ns.tcp.knows(segment.dst, segment.src);
    ns.fib.is_for_many(ip.dst) || (ip.dst.is_ipv6() && anycast())
}

fn path_to(ns: &Netns, from: IpAddr, to: IpAddr) -> Path {
    let route = route_output(ns, FibKey { src: Some(from), ..FibKey::to(to) });
    route.map_or(Path::new(1500), |(dst, _)| path(&dst))
}

fn path(dst: &Dst) -> Path {
    Path { mtu: dst.mtu, advmss: dst.advmss, locked: dst.mtu_locked }
}

/// An ICMP error about a segment of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcpError {
    /// This host's end of the connection, and the other.
    pub ends: (SocketAddr, SocketAddr),
    /// The sequence number of the quoted segment.
    pub seq: u32,
    /// The message.
    pub header: IcmpHeader,
    /// What the socket is told.
    pub told: SocketError,
}

/// An ICMP error about a segment of ours (`tcp_v4_err`). A path MTU waits for a `send()` that is under way
/// (`TCP_MTU_REDUCED_DEFERRED`).
pub(crate) fn tcp_error(ns: &mut Netns, ctx: &mut Ctx<'_>, message: TcpError) {
    let TcpError { ends: (local, remote), seq, header, told } = message;
    let Some(error) = IcmpError::of(Family::of(remote.ip()), header) else { return };
    let sending = ctx.out.sending.filter(|(netns, _)| *netns == ns.id);
    let is_busy = sending.is_some_and(|(_, socket)| ns.tcp.endpoints(socket) == Some(message.ends));
    if is_busy && matches!(error, IcmpError::TooBig { .. }) {
        return ctx.out.told_late.push((ns.id, message));
    }
    if !ns.tcp.knows(local, remote) {
        return ns.mibs.icmp(Family::of(remote.ip()), Icmp::InErrors);
    }
    let was_opening = ns.tcp.is_opening(local, remote);
    if let Some(path) = ns.tcp.on_icmp_error(ctx.now, local, remote, seq, error) {
        icmp::learn_mtu(ns, (local.ip(), remote.ip()), told.mtu);
        ns.tcp.set_path(ctx.now, remote.ip(), path);
    }
    // Only what ends a handshake is kept for who asks (`ip_icmp_error`).
    if was_opening && !ns.tcp.is_opening(local, remote) {
        ns.sockets.tcp_told((local, remote), told);
    }
}

/// The table's timer is due. An event that an earlier deadline has overtaken does nothing, or each such event
/// would ask for another.
pub(crate) fn tcp_timer(ns: &mut Netns, ctx: &Ctx<'_>) {
    if ctx.now < ns.tcp_timer {
        return;
    }
    ns.tcp_timer = Instant::NEVER;
    ns.tcp.on_timer(ctx.now);
}

/// Sends what the table has to send, and asks for its next timer.
pub(crate) fn flush_tcp(ns: &mut Netns, ctx: &mut Ctx<'_>) {
    while let Some(out) = ns.tcp.poll_output() {
        send(ns, ctx, &out);
    }
    let next = ns.tcp.next_timer();
    if next < ns.tcp_timer {
        ns.tcp_timer = next;
        ctx.out.timers.push((next, Timer::Tcp));
    }
}

/// Hands the table's wake-ups to the sockets.
pub(super) fn collect_wakes(ns: &mut Netns) {
    while let Some((id, _)) = ns.tcp.poll_wake() {
        ns.sockets.wake(Socket::Tcp(id));
    }
}

/// `ip_queue_xmit`
fn send(ns: &mut Netns, ctx: &mut Ctx<'_>, out: &OutSegment) {
    let (src, dst) = (out.segment.src.ip(), out.segment.dst.ip());
    let Ok((route, _)) = route_output(ns, FibKey { src: Some(src), ..FibKey::to(dst) }) else {
        let reason = DropReason::IpOutNoRoutes;
        ctx.out.lose(ctx.now, None, DropPlace { netns: ns.id, dev: None, stage: "output", reason });
        return;
    };
    let family = Family::of(dst);
    let mut header = IpHeader::new(src, dst, TCP, 0);
    header.df = out.df;
    header.tos = (out.tos & !ECN) | out.segment.tos;
    header.ttl = out.ttl.unwrap_or(ns.default_ttl(family, route.dev));
    header.flow = match (family, out.tx_hash) {
        // A socket's own hash says which flow it is, so a timeout changes the label (`sk_rethink_txhash`).
        (Family::V6, 1..) => label_of(out.tx_hash),
        _ => flow_label(ns, &header, (out.segment.src.port(), out.segment.dst.port())),
    };
    header.id = if out.id_zero { 0 } else { ns.draw_ip_id(family) };
    let options = out.segment.options.to_bytes();
    let mut packet = build::tcp(ctx.out.packet_id(), header, out.segment.header(), &options, &out.segment.payload);
    packet.flow_hash = out.tx_hash;
    // What answers in no socket's name leaves when it is made, but a SYN-ACK; IPv4 sums it up by hand
    // (`ip_send_unicast_reply`; `tcp_v6_send_response` does not).
    packet.timed = out.socket.is_some() || out.segment.has(SYN);
    packet.csum_partial = packet.timed || family == Family::V6;
    run(ns, ctx, Stage::LocalOut(route, packet));
}
