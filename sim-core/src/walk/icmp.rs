//! ICMP: answers, errors sent and errors received (net/ipv4/icmp.c, net/ipv6/icmp.c).

use std::net::{IpAddr, SocketAddr};

use super::output::route_output;
use super::{Ctx, Dst, Next, Stage, TcpError, flow_label, hook, nd, redirect, socket_io};
use crate::dev::Devices;
use crate::engine::arena::DevId;
use crate::engine::mutant::Mutant;
use crate::engine::time::Instant;
use crate::engine::trail::DropReason;
use crate::netns::Netns;
use crate::netns::addr::Scope;
use crate::netns::fib::{FibKey, RouteKind};
use crate::netns::mib::{Icmp, Way};
use crate::netns::socket::SocketError;
use crate::wire::icmp::{self, IcmpHeader, Notice};
use crate::wire::icmpv6::{self, NEIGH_ADVERT, NEIGH_SOLICIT, UNKNOWN_OPTION};
use crate::wire::ip::{Family, IpHeader, SCTP, TCP, UDP};
use crate::wire::packet::{Packet, PacketType};
use crate::wire::{build, edit, l4};

/// Type of service of errors of IPv4: internetwork control (RFC 1812 4.3.2.5).
const ERROR_TOS: u8 = 0xc0;

/// Largest ICMP error, with its IP header (RFC 1812 4.3.2.3; RFC 4443 2.4).
const fn max_error(family: Family) -> usize {
    match family {
        Family::V4 => 576,
        Family::V6 => 1280,
    }
}

/// The last type of IPv4 that somebody knows (`NR_ICMP_TYPES`).
const LAST_TYPE: u8 = 18;
/// The least message that asks for a timestamp: the header and the asker's own (`icmp_timestamp`).
const TIMESTAMP_ASKED: usize = 12;

/// A message came in.
pub(super) fn receive(ns: &mut Netns, ctx: &mut Ctx<'_>, ip: &IpHeader, packet: Packet) -> Next {
    let l4 = packet.l3().get(usize::from(ip.header_len)..).unwrap_or(&[]);
    let family = ip.family();
    ns.mibs.icmp(family, Icmp::InMsgs);
    if icmp::checksum(ip.src, ip.dst, l4) != 0 {
        ns.mibs.icmp(family, Icmp::InCsumErrors);
        ns.mibs.icmp(family, Icmp::InErrors);
        return Next::Drop(DropReason::IcmpCsum, packet);
    }
    let Some(header) = IcmpHeader::read(l4) else {
        ns.mibs.icmp(family, Icmp::InErrors);
        return Next::Drop(DropReason::HdrTrunc, packet);
    };
    ns.mibs.icmp_type(family, Way::In, header.kind);
    if family == Family::V4 && header.kind > LAST_TYPE {
        ns.mibs.icmp(family, Icmp::InErrors);
    }
    if header.kind == icmp::echo(family) {
        let ignored = family == Family::V4 && ns.sysctl.icmp_echo_ignore_all != 0;
        return if ignored { Next::Drop(DropReason::NotSpecified, packet) } else { reply(ns, ctx, ip, header, packet) };
    }
    if family == Family::V4 && header.kind == icmp::TIMESTAMP && l4.len() >= TIMESTAMP_ASKED {
        return reply(ns, ctx, ip, header, packet);
    }
    if family == Family::V6 && matches!(header.kind, NEIGH_SOLICIT | NEIGH_ADVERT | icmpv6::REDIRECT) {
        return nd::receive(ns, ctx, ip, packet);
    }
    if (family, header.kind) == (Family::V4, icmp::REDIRECT) {
        let asked = packet.iif.and_then(|dev| redirect::by_icmp(ns, ctx, (dev, ip.src), header, &l4[8..]));
        return asked.map_or(Next::Delivered, Next::Go);
    }
    if icmp::is_error(ip.proto, header.kind) {
        let quoted = l4[8..].to_vec();
        error_received(ns, ctx, ip.src, header, &quoted);
    }
    Next::Delivered
}

/// An echo request is answered with its own data, one for a timestamp with three of them; type of service and (if unicast) destination as source;
/// without DF (`icmp_echo`, `icmp_timestamp`, `icmp_reply`, `icmpv6_echo_reply`). IPv4 answers
/// one to a group or broadcast only if told to.
fn reply(ns: &mut Netns, ctx: &mut Ctx<'_>, ip: &IpHeader, header: IcmpHeader, packet: Packet) -> Next {
    let own = ns.fib.kind_of(ip.dst) == RouteKind::Local;
    if !own && ip.family() == Family::V4 && ns.sysctl.icmp_echo_ignore_broadcasts != 0 {
        ns.mibs.icmp(Family::V4, Icmp::InErrors);
        return Next::Drop(DropReason::NotSpecified, packet);
    }
    let key = FibKey { src: own.then_some(ip.dst), oif: on_link(ip.src, &packet), ..FibKey::to(ip.src) };
    let Ok((dst, src)) = route_output(ns, key) else { return Next::Drop(DropReason::IpOutNoRoutes, packet) };
    let body = &packet.l3()[usize::from(ip.header_len) + 8..];
    let stamps = (header.kind == icmp::TIMESTAMP && ip.family() == Family::V4).then(|| stamps(ctx.now, body));
    // The code of an echo request comes back.
    let (kind, code, body) = match &stamps {
        Some(stamps) => (icmp::TIMESTAMP_REPLY, 0, &stamps[..]),
        None => (icmp::echo_reply(ip.family()), header.code, body),
    };
    let message = IcmpHeader { kind, code, ..header };
    let mut out = header_of(ns, &dst, (src, ip.src), message);
    out.tos = if ns.planted.is(Mutant::EchoTosLost) { 0 } else { ip.tos };
    let mut answer = build::icmp(ctx.out.packet_id(), out, message, body);
    answer.ignore_df = true;
    answer.said_by = Some(ip.family());
    Next::Go(Stage::LocalOut(dst, answer))
}

/// The asker's timestamp and ours twice, in milliseconds since midnight: a run begins at one (`inet_current_timestamp`).
fn stamps(now: Instant, asked: &[u8]) -> [u8; 12] {
    let now = ((now.as_nanos() / 1_000_000 % 86_400_000) as u32).to_be_bytes();
    let mut stamps = [0; 12];
    stamps[..4].copy_from_slice(&asked[..4]);
    stamps[4..8].copy_from_slice(&now);
    stamps[8..].copy_from_slice(&now);
    stamps
}

/// A link-local address is reached by the device its packet came in by.
fn on_link(addr: IpAddr, packet: &Packet) -> Option<DevId> {
    packet.iif.filter(|_| matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local()))
}

/// The IP header of a message of this host.
fn header_of(ns: &mut Netns, dst: &Dst, (src, to): (IpAddr, IpAddr), message: IcmpHeader) -> IpHeader {
    let family = Family::of(to);
    let mut out = IpHeader::new(src, to, family.icmp(), 0);
    out.ttl = ns.default_ttl(family, dst.dev);
    out.flow = flow_label(ns, &out, (u16::from_be_bytes([message.kind, message.code]), 0));
    out.id = ns.draw_ip_id(family);
    out
}

/// An ICMP error about `packet` (`__icmp_send`, `icmp6_send`), or `None` where none may be sent: about fragments but the
/// first, about errors, to groups and broadcasts or from groups, about what ICMP itself is sending, beyond the rate limit.
pub(super) fn error(ns: &mut Netns, ctx: &mut Ctx<'_>, packet: &Packet, notice: Notice) -> Option<Stage> {
    let ip = packet.ip()?;
    if packet.said_by == Some(ip.family()) || !may_answer(ns, packet, &ip, notice) {
        return None;
    }
    let family = ip.family();
    let bridged = is_bridged(packet);
    // Also as one of several hosts (`ipv6_chk_acast_addr_src`). IPv4 goes by the packet's route.
    let known = !bridged || family == Family::V6;
    let own =
        matches!(ns.fib.kind_of(ip.dst), RouteKind::Local | RouteKind::Anycast).then_some(ip.dst).filter(|_| known);
    let key = FibKey { src: own, oif: on_link(ip.src, packet), ..FibKey::to(ip.src) };
    let (dst, chosen) = route_output(ns, key).ok()?;
    // IPv6 speaks with an address of where the packet came from, unless the route prefers one (`icmpv6_rt_has_prefsrc`).
    // What a bridge passes on came by nothing that counts (`br_validate_ipv6` clears `IP6CB(skb)->iif`).
    let came_by = packet.iif.filter(|_| family == Family::V6 && own.is_none() && dst.src.is_none() && !bridged);
    let src = came_by.and_then(|dev| ns.addrs.source(dev, None, ip.src, Scope::Universe)).unwrap_or(chosen);
    if limited(ns, ctx, notice, ip.src, dst.dev) {
        return None;
    }
    let room = (dst.mtu as usize).min(max_error(family)) - family.header_len() - 8;
    let mut quote = packet.l3().to_vec();
    if packet.csum_partial {
        edit::leave_checksum_partial(&mut quote);
    }
    quote.truncate(room);
    quote.truncate(quote.len() - usize::from(ns.planted.is(Mutant::QuoteOneLess)));
    let message = notice.header(family);
    let mut out = header_of(ns, &dst, (src, ip.src), message);
    if family == Family::V4 {
        out.tos = (ip.tos & 0x1e) | ERROR_TOS;
    }
    let mut answer = build::icmp(ctx.out.packet_id(), out, message, &quote);
    answer.said_by = Some(family);
    hook::attach_related(packet, &mut answer);
    Some(Stage::LocalOut(dst, answer))
}

/// Whether a bridge passes the packet on. Of IPv4 it has a route that says nothing of its destination (net/bridge/br_nf_core.c,
/// `fake_rtable`).
fn is_bridged(packet: &Packet) -> bool {
    packet.bridge.is_some_and(|ports| ports.physout.is_some())
}

fn may_answer(ns: &Netns, packet: &Packet, ip: &IpHeader, notice: Notice) -> bool {
    // About a group only what helps its sender is told (RFC 4443 2.4 e.3; net/ipv6/icmp.c, `opt_unrec`).
    let for_group = ip.family() == Family::V6
        && match notice {
            Notice::TooBig(_) => true,
            Notice::ParameterProblem { code: UNKNOWN_OPTION, pointer } => {
                packet.l3().get(pointer as usize).is_some_and(|option| option & 0xc0 == 0x80)
            }
            _ => false,
        };
    let host = packet.pkt_type == PacketType::Host || ns.planted.is(Mutant::ErrorAboutBroadcast);
    // A later fragment does not say what it is part of: IPv4 is silent about it, IPv6 is not (`is_ineligible`).
    let later_fragment = ip.frag_offset != 0;
    if (!host && !for_group) || (later_fragment && ip.family() == Family::V4) || ip.src.is_unspecified() {
        return false;
    }
    let for_many = ns.fib.is_for_many(ip.dst) && !(is_bridged(packet) && ip.family() == Family::V4);
    if (for_many && !for_group) || ip.src.is_multicast() || ns.fib.kind_of(ip.src) == RouteKind::Anycast {
        return false;
    }
    let kind = packet.l3().get(usize::from(ip.header_len));
    later_fragment || ip.proto != ip.family().icmp() || kind.is_some_and(|kind| !icmp::may_be_error(ip.proto, *kind))
}

/// `icmpv4_xrlim_allow`, `icmpv6_xrlim_allow`: `icmp_ratelimit` milliseconds apart per destination, after a burst of
/// six; the default masks limit all errors but "too big", of IPv4 no redirect, and nothing on `lo`.
fn limited(ns: &mut Netns, ctx: &mut Ctx<'_>, notice: Notice, to: IpAddr, dev: DevId) -> bool {
    let exempt = matches!(notice, Notice::Redirect(_) | Notice::TooBig(_)) || dev == Devices::LO;
    let ms = ns.sysctl.error_interval(Family::of(to));
    let limited = !exempt && !ns.icmp_limits.allow(to, ms, ctx.now);
    if limited {
        ns.mibs.icmp(Family::of(to), Icmp::OutRateLimitHost);
    }
    limited
}

/// Tells the sender that a neighbour of its own is nearer (`ip_rt_send_redirect`): only for packets that leave
/// by the device they came in by. That about a translated connection counts as sent: it is NAT at OUTPUT that drops it.
pub(super) fn send_redirect(ns: &mut Netns, ctx: &mut Ctx<'_>, dst: &Dst, packet: &Packet) -> Option<Stage> {
    let ip = packet.ip()?;
    let same_dev = packet.iif == Some(dst.dev);
    if !same_dev || !ns.sysctl.send_redirects(dst.dev) {
        return None;
    }
    let gateway = dst.via.unwrap_or(ip.dst);
    // The sender is a neighbour (`fib_validate_source`), and so is the gateway, unless all on the link are.
    let back = ns.fib.lookup(&FibKey::to(ip.src)).filter(|route| route.kind == RouteKind::Unicast)?;
    let one_net = || ns.addrs.of(dst.dev).any(|own| own.net.contains(&ip.src) && own.net.contains(&gateway));
    if back.next_hop() != (Some(dst.dev), None) || !(ns.sysctl.shared_media(dst.dev) || one_net()) {
        return None;
    }
    let IpAddr::V4(gateway) = gateway else { return None };
    ns.icmp_limits.allow_redirect(ip.src, ctx.now).then(|| error(ns, ctx, packet, Notice::Redirect(gateway)))?
}

/// An error about a packet of ours (`icmp_unreach`, `icmp_socket_deliver`): the path MTU is learned, the
/// socket that sent the quoted packet is told.
fn error_received(ns: &mut Netns, ctx: &mut Ctx<'_>, from: IpAddr, header: IcmpHeader, quoted: &[u8]) {
    let Some(inner) = IpHeader::read(quoted) else { return };
    let l4 = quoted.get(usize::from(inner.header_len)..).unwrap_or(&[]);
    let told_mtu = header.too_big(inner.family());
    if let Some(mtu) = told_mtu.filter(|_| believes(ns, &inner, l4)) {
        learn_mtu(ns, (inner.src, inner.dst), mtu);
    }
    let told = SocketError::icmp(header.kind, header.code, from, told_mtu.unwrap_or(0));
    ns.sockets.raw_error(&inner, told);
    let Some((sport, dport)) = l4::ports(inner.proto, l4) else { return };
    let (local, remote): (SocketAddr, SocketAddr) = ((inner.src, sport).into(), (inner.dst, dport).into());
    match inner.proto {
        UDP if !ns.sockets.udp_error(local, remote, told) => ns.mibs.icmp(inner.family(), Icmp::InErrors),
        TCP if l4.len() >= 8 => {
            let seq = u32::from_be_bytes([l4[4], l4[5], l4[6], l4[7]]);
            socket_io::tcp_error(ns, ctx, TcpError { ends: (local, remote), seq, header, told });
        }
        SCTP if ns.sctp.is_loaded() => socket_io::sctp_error(ns, ctx, (local, remote), l4, header),
        _ => {}
    }
}

/// Remembers the path MTU from `src` to `dst`, if there is a route.
pub(super) fn learn_mtu(ns: &mut Netns, (src, dst): (IpAddr, IpAddr), mtu: u32) {
    if let Some(route) = ns.fib.lookup(&FibKey { src: Some(src), ..FibKey::to(dst) }) {
        ns.exceptions.learn_mtu(dst, route.next_hop(), mtu);
    }
}

/// Whether a path MTU is believed: TCP judges by the sequence number, SCTP by the tag, UDP only if a socket sent the packet
/// (`__udp4_lib_err`, `__udp6_lib_err`).
fn believes(ns: &Netns, quoted: &IpHeader, l4: &[u8]) -> bool {
    match (quoted.proto, quoted.family()) {
        (TCP | SCTP, _) => false,
        (UDP, _) => l4::ports(UDP, l4).is_some_and(|(src, dst)| {
            ns.sockets.udp.lookup((quoted.src, src).into(), (quoted.dst, dst).into()).is_some()
        }),
        _ => true,
    }
}
