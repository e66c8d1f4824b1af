//! SCTP packets between the table and the walk (net/sctp/protocol.c, input.c).

use std::net::{IpAddr, SocketAddr};

use super::super::output::route_output;
use super::super::{Ctx, Next, Stage, Timer, flow_label, icmp, run};
use super::{can_bind, route_connection};
use crate::engine::arena::SocketId;
use crate::engine::errno::Errno;
use crate::engine::time::Instant;
use crate::engine::trail::{DropPlace, DropReason};
use crate::netns::Netns;
use crate::netns::fib::FibKey;
use crate::netns::mib::Icmp;
use crate::netns::socket::Socket;
use crate::netns::socket::sctp::{IcmpError, OutPacket};
use crate::wire::build;
use crate::wire::checksum::sctp_checksum_ok;
use crate::wire::icmp::IcmpHeader;
use crate::wire::ip::{Family, IpHeader, SCTP};
use crate::wire::packet::{Packet, PacketType};
use crate::wire::sctp::{CHUNK_HEADER, HEADER};

/// Begins an association: the route chooses the source address and bounds the packets (`sctp_connect`).
///
/// # Errors
/// What the route says, or that the port is in use.
pub(crate) fn sctp_connect(
    ns: &mut Netns,
    now: Instant,
    local: SocketAddr,
    peer: SocketAddr,
) -> Result<SocketId, Errno> {
    let (dst, local, peer) = route_connection(ns, local, peer)?;
    ns.sctp.connect(now, local, peer, dst.mtu, ns.sysctl.local_port_range)
}

/// Listens on `local` (`sctp_inet_listen`).
///
/// # Errors
/// `EADDRNOTAVAIL`, `EADDRINUSE`.
pub(crate) fn sctp_listen(ns: &mut Netns, local: SocketAddr, backlog: u32) -> Result<SocketId, Errno> {
    can_bind(ns, local.ip())?;
    ns.sctp.listen(local, backlog, ns.sysctl.bindv6only != 0, ns.sysctl.local_port_range)
}

/// A packet for this host (`sctp_rcv`).
pub(crate) fn sctp_receive(ns: &mut Netns, ctx: &Ctx<'_>, ip: &IpHeader, packet: Packet) -> Next {
    if packet.pkt_type != PacketType::Host {
        return Next::Drop(DropReason::OtherHost, packet);
    }
    let l4 = packet.l3().get(usize::from(ip.header_len)..).unwrap_or(&[]);
    if l4.len() < HEADER + CHUNK_HEADER {
        return Next::Drop(DropReason::HdrTrunc, packet);
    }
    if !sctp_checksum_ok(l4) {
        ns.sctp.on_broken_packet();
        return Next::Drop(DropReason::SctpCsum, packet);
    }
    if ns.fib.is_for_many(ip.dst) || ns.fib.is_for_many(ip.src) {
        return Next::Drop(DropReason::NoSocket, packet);
    }
    let mtu = path_mtu(ns, ip.dst, ip.src);
    ns.sctp.on_packet(ctx.now, ip.src, ip.dst, l4, mtu);
    Next::Delivered
}

fn path_mtu(ns: &Netns, from: IpAddr, to: IpAddr) -> u32 {
    let route = route_output(ns, FibKey { src: Some(from), ..FibKey::to(to) });
    route.map_or(1500, |(dst, _)| dst.mtu)
}

/// An ICMP error about a packet of ours, which `quoted` begins with (`sctp_v4_err`).
pub(crate) fn sctp_error(
    ns: &mut Netns,
    ctx: &Ctx<'_>,
    ends: (SocketAddr, SocketAddr),
    quoted: &[u8],
    header: IcmpHeader,
) {
    let to = ends.1.ip();
    let error = IcmpError::of(Family::of(to), header);
    if !ns.sctp.on_icmp_error(ctx.now, ends, quoted, error) {
        return ns.mibs.icmp(Family::of(to), Icmp::InErrors);
    }
    if let Some(IcmpError::TooBig(mtu)) = error {
        icmp::learn_mtu(ns, (ends.0.ip(), to), mtu);
    }
}

/// The table's timer is due. An event that an earlier deadline has overtaken does nothing.
pub(crate) fn sctp_timer(ns: &mut Netns, ctx: &Ctx<'_>) {
    if ctx.now < ns.sctp_timer {
        return;
    }
    ns.sctp_timer = Instant::NEVER;
    ns.sctp.on_timer(ctx.now);
}

/// Sends what the table has to send, and asks for its next timer.
pub(crate) fn flush_sctp(ns: &mut Netns, ctx: &mut Ctx<'_>) {
    while let Some(out) = ns.sctp.poll_output() {
        send(ns, ctx, &out);
    }
    let next = ns.sctp.next_timer();
    if next < ns.sctp_timer {
        ns.sctp_timer = next;
        ctx.out.timers.push((next, Timer::Sctp));
    }
}

/// Hands the table's wake-ups to the sockets.
pub(super) fn collect_wakes(ns: &mut Netns) {
    while let Some(id) = ns.sctp.poll_wake() {
        ns.sockets.wake(Socket::Sctp(id));
    }
}

/// `sctp_v4_xmit`, `sctp_v6_xmit`
fn send(ns: &mut Netns, ctx: &mut Ctx<'_>, out: &OutPacket) {
    let (src, dst) = (out.src.ip(), out.dst.ip());
    let Ok((route, _)) = route_output(ns, FibKey { src: Some(src), ..FibKey::to(dst) }) else {
        let reason = DropReason::IpOutNoRoutes;
        ctx.out.lose(ctx.now, None, DropPlace { netns: ns.id, dev: None, stage: "output", reason });
        return;
    };
    let family = Family::of(dst);
    let mut header = IpHeader::new(src, dst, SCTP, 0);
    header.df = out.df && !route.mtu_locked;
    header.ttl = ns.default_ttl(family, route.dev);
    header.flow = flow_label(ns, &header, (out.src.port(), out.dst.port()));
    header.id = if out.socket.is_none() && header.df { 0 } else { ns.draw_ip_id(family) };
    let mut packet = build::ip(ctx.out.packet_id(), header, &out.l4);
    packet.ignore_df = !out.df;
    run(ns, ctx, Stage::LocalOut(route, packet));
}
