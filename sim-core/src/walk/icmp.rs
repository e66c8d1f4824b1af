//! ICMP: answers, errors sent and errors received (net/ipv4/icmp.c).

use std::net::{IpAddr, SocketAddr};

use super::output::route_output;
use super::{Ctx, Dst, Next, Stage, hook, socket_io};
use crate::engine::trail::DropReason;
use crate::netns::Netns;
use crate::netns::fib::{FibKey, RouteKind};
use crate::netns::socket::SocketError;
use crate::wire::checksum::Sum;
use crate::wire::icmp::{self, IcmpHeader};
use crate::wire::ip::{ICMP, IpHeader, TCP, UDP};
use crate::wire::packet::{Packet, PacketType};
use crate::wire::{build, edit, l4};

/// Largest ICMP error, with its IP header (`__icmp_send`: RFC 1812 4.3.2.3).
const MAX_ERROR: usize = 576;
/// Type of service of errors: internetwork control (RFC 1812 4.3.2.5).
const ERROR_TOS: u8 = 0xc0;

/// A message came in.
pub(super) fn receive(ns: &mut Netns, ctx: &mut Ctx<'_>, ip: &IpHeader, packet: Packet) -> Next {
    let l4 = packet.l3().get(usize::from(ip.header_len)..).unwrap_or(&[]);
    let Some(header) = IcmpHeader::read(l4) else { return Next::Drop(DropReason::HdrTrunc, packet) };
    if Sum::default().bytes(l4).finish() != 0 {
        return Next::Drop(DropReason::IcmpCsum, packet);
    }
    match header.kind {
        icmp::ECHO if ns.sysctl.icmp_echo_ignore_all != 0 => Next::Drop(DropReason::NotSpecified, packet),
        icmp::ECHO => reply(ns, ctx, ip, header, packet),
        icmp::DEST_UNREACH | icmp::TIME_EXCEEDED | icmp::PARAMETER_PROBLEM | icmp::SOURCE_QUENCH => {
            let quoted = l4[8..].to_vec();
            error_received(ns, ctx, ip.src, header, &quoted);
            Next::Delivered
        }
        _ => Next::Delivered,
    }
}

/// An echo request is answered with its own data, type of service and (if unicast) destination as source;
/// without DF (`icmp_echo`, `icmp_reply`). A request to a group or broadcast is not answered.
fn reply(ns: &mut Netns, ctx: &mut Ctx<'_>, ip: &IpHeader, header: IcmpHeader, packet: Packet) -> Next {
    if ns.fib.kind_of(ip.dst) != RouteKind::Local {
        return Next::Drop(DropReason::NotSpecified, packet);
    }
    let key = FibKey { src: Some(ip.dst), mark: 0, ..FibKey::to(ip.src) };
    let Ok((dst, src)) = route_output(ns, key) else { return Next::Drop(DropReason::IpOutNoRoutes, packet) };
    let body = &packet.l3()[usize::from(ip.header_len) + 8..];
    let message = IcmpHeader { kind: icmp::ECHO_REPLY, code: 0, ..header }.to_bytes(body);
    let mut out = IpHeader::new(src, ip.src, ICMP, message.len());
    out.tos = ip.tos;
    out.ttl = ns.default_ttl();
    out.id = ns.ip_ids.draw();
    Next::Go(Stage::LocalOut(dst, build::ip(ctx.out.packet_id(), out, &message)))
}

/// An ICMP error about `packet` (`__icmp_send`), or `None` where none may be sent: about fragments but the
/// first, about errors, to or from groups and broadcasts, beyond the rate limit.
pub(super) fn error(ns: &mut Netns, ctx: &mut Ctx<'_>, packet: &Packet, kind: u8, code: u8, mtu: u16) -> Option<Stage> {
    let rest = [0, 0, (mtu >> 8) as u8, mtu as u8];
    message(ns, ctx, packet, IcmpHeader { kind, code, rest })
}

fn message(ns: &mut Netns, ctx: &mut Ctx<'_>, packet: &Packet, header: IcmpHeader) -> Option<Stage> {
    let ip = packet.ip()?;
    if !may_answer(ns, packet, &ip) {
        return None;
    }
    let own = (ns.fib.kind_of(ip.dst) == RouteKind::Local).then_some(ip.dst);
    let key = FibKey { src: own, ..FibKey::to(ip.src) };
    let (dst, src) = route_output(ns, key).ok()?;
    if limited(ns, ctx, &header, ip.src, dst.dev) {
        return None;
    }
    let room = (dst.mtu as usize).min(MAX_ERROR) - 28;
    let mut quote = packet.l3().to_vec();
    if packet.csum_partial {
        edit::leave_checksum_partial(&mut quote);
    }
    quote.truncate(room);
    let body = header.to_bytes(&quote);
    let mut out = IpHeader::new(src, ip.src, ICMP, body.len());
    out.tos = (ip.tos & 0x1e) | ERROR_TOS;
    out.ttl = ns.default_ttl();
    out.id = ns.ip_ids.draw();
    let mut answer = build::ip(ctx.out.packet_id(), out, &body);
    hook::attach_related(packet, &mut answer);
    Some(Stage::LocalOut(dst, answer))
}

fn may_answer(ns: &Netns, packet: &Packet, ip: &IpHeader) -> bool {
    if packet.pkt_type != PacketType::Host || ip.frag_offset != 0 || ip.src.is_unspecified() {
        return false;
    }
    let group = |a: IpAddr| a.is_multicast() || ns.fib.kind_of(a) == RouteKind::Broadcast;
    if group(ip.dst) || group(ip.src) || crate::netns::fib::is_limited_broadcast(ip.dst) {
        return false;
    }
    let about_error =
        ip.proto == ICMP && packet.l3().get(usize::from(ip.header_len)).is_none_or(|k| icmp::is_error(*k));
    !about_error
}

/// `icmpv4_xrlim_allow`: `icmp_ratelimit` milliseconds apart per destination, after a burst of six; the default
/// mask limits unreachable, source quench, time exceeded and parameter problem, never on `lo`, never "fragmentation needed".
fn limited(
    ns: &mut Netns,
    ctx: &mut Ctx<'_>,
    header: &IcmpHeader,
    to: IpAddr,
    dev: crate::engine::arena::DevId,
) -> bool {
    let exempt = header.kind == icmp::REDIRECT
        || (header.kind == icmp::DEST_UNREACH && header.code == icmp::FRAG_NEEDED)
        || dev == crate::dev::Devices::LO;
    let ms = u64::try_from(ns.sysctl.icmp_ratelimit).unwrap_or(0);
    if exempt || ms == 0 {
        return false;
    }
    !ns.icmp_limits.allow(to, ms, ctx.now)
}

/// Tells the sender that a neighbour of its own is nearer (`ip_rt_send_redirect`): only for packets that leave
/// by the device they came in by to a next hop on the sender's subnet, never for translated ones.
pub(super) fn redirect(ns: &mut Netns, ctx: &mut Ctx<'_>, dst: &Dst, packet: &Packet) -> Option<Stage> {
    let ip = packet.ip()?;
    let same_dev = packet.iif == Some(dst.dev);
    if !same_dev || !ns.sysctl.send_redirects(dst.dev) || hook::is_translated(ns, packet) {
        return None;
    }
    let gateway = dst.via.unwrap_or(ip.dst);
    let on_link = ns.addrs.of(dst.dev).any(|a| a.net.contains(&ip.src) && a.net.contains(&gateway));
    let IpAddr::V4(gateway) = gateway else { return None };
    if !on_link {
        return None;
    }
    message(ns, ctx, packet, IcmpHeader { kind: icmp::REDIRECT, code: 1, rest: gateway.octets() })
}

/// An error about a packet of ours (`icmp_unreach`, `icmp_socket_deliver`): the path MTU is learned, the
/// socket that sent the quoted packet is told.
fn error_received(ns: &mut Netns, ctx: &Ctx<'_>, from: IpAddr, header: IcmpHeader, quoted: &[u8]) {
    let Some(inner) = IpHeader::read(quoted) else { return };
    let l4 = quoted.get(usize::from(inner.header_len)..).unwrap_or(&[]);
    let too_big = header.kind == icmp::DEST_UNREACH && header.code == icmp::FRAG_NEEDED;
    if too_big && inner.proto != TCP {
        ns.pmtu.learn(inner.dst, u32::from(header.mtu()));
    }
    let mtu = if too_big { u32::from(header.mtu()) } else { 0 };
    let told = SocketError::icmp(header.kind, header.code, from, mtu);
    ns.sockets.raw_error(&inner, told);
    let Some((sport, dport)) = l4::ports(inner.proto, l4) else { return };
    let (local, remote): (SocketAddr, SocketAddr) = ((inner.src, sport).into(), (inner.dst, dport).into());
    match inner.proto {
        UDP => ns.sockets.udp_error(local, remote, told),
        TCP if l4.len() >= 8 => {
            let seq = u32::from_be_bytes([l4[4], l4[5], l4[6], l4[7]]);
            socket_io::tcp_error(ns, ctx.now, (local, remote), seq, header, told);
        }
        _ => {}
    }
}
