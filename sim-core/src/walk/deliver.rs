//! A packet for this host reaches its protocol (net/ipv4/ip_input.c, `ip_local_deliver_finish`;
//! net/ipv6/ip6_input.c, `ip6_protocol_deliver_rcu`).

use super::{Ctx, Next, Stage, fragment, icmp, options, socket_io, tunnel};
use crate::engine::mutant::Mutant;
use crate::engine::trail::DropReason;
use crate::netns::Netns;
use crate::netns::frag::USER_LOCAL;
use crate::netns::mib::{Ip, Udp};
use crate::wire::ext;
use crate::wire::icmp::{HOST_UNREACH, Notice, PROT_UNREACH};
use crate::wire::icmpv6::{HEADER_FIELD, UNKNOWN_NEXT_HEADER};
use crate::wire::ip::{Family, IGMP, IpHeader, SCTP, TCP, UDP};
use crate::wire::l4;
use crate::wire::packet::{CtRef, Packet};

/// What stands before the protocol, in its order: options before a fragment, the fragment put together, options in it.
///
/// # Errors
/// What becomes of the packet instead.
fn headers(ns: &mut Netns, ctx: &mut Ctx<'_>, mut packet: Packet) -> Result<Packet, Next> {
    if ext::fragment(packet.l3()).is_some() && packet.ip().is_some_and(|ip| ip.is_fragment()) {
        packet = options::at_destination(ns, ctx, packet)?;
    }
    let packet = fragment::defrag(ns, ctx, packet, USER_LOCAL)?;
    options::at_destination(ns, ctx, packet)
}

/// INPUT is over: raw sockets get a copy, then the protocol the packet.
pub(super) fn deliver(ns: &mut Netns, ctx: &mut Ctx<'_>, mut packet: Packet) -> Next {
    ctx.arrived(&mut packet);
    let packet = match headers(ns, ctx, packet) {
        Ok(packet) => packet,
        Err(next) => return next,
    };
    let Some(ip) = packet.ip() else { return Next::Drop(DropReason::IpInHdr, packet) };
    let raw = ns.sockets.raw_deliver(&ip, packet.l3());
    let known = match ip.proto {
        UDP | TCP => true,
        IGMP => ip.family() == Family::V4,
        SCTP => ns.sctp.is_loaded(),
        proto => proto == ip.family().icmp(),
    };
    ns.mibs.ip(ip.family(), if known || raw { Ip::InDelivers } else { Ip::InUnknownProtos });
    match ip.proto {
        proto if proto == ip.family().icmp() => icmp::receive(ns, ctx, &ip, packet),
        UDP => udp(ns, ctx, &ip, packet),
        TCP => socket_io::tcp_receive(ns, ctx, &ip, packet),
        SCTP if known => socket_io::sctp_receive(ns, ctx, &ip, packet),
        IGMP if known => Next::Delivered,
        _ if raw => Next::Delivered,
        _ => no_protocol(ns, ctx, &ip, packet),
    }
}

/// Nobody speaks the protocol: IPv6 points at the number that names it. A header that is cut short is none either, but known:
/// of a fragment the sender is told where it is (`ipv6_rthdr_rcv`, `ipv6_destopt_rcv`, `ipv6_frag_rcv`).
fn no_protocol(ns: &mut Netns, ctx: &mut Ctx<'_>, ip: &IpHeader, packet: Packet) -> Next {
    let notice = match ip.family() {
        Family::V4 => Notice::Unreachable(PROT_UNREACH),
        Family::V6 if ip.proto == ext::NO_NEXT => return Next::Drop(DropReason::IpNoProto, packet),
        Family::V6 if matches!(ip.proto, ext::ROUTING | ext::DESTINATION) => {
            return Next::Drop(DropReason::IpInHdr, packet);
        }
        Family::V6 => {
            let last = ext::each(packet.l3()).last();
            let (code, pointer) = match ip.proto {
                ext::FRAGMENT => (HEADER_FIELD, last.map_or(ext::IPV6_LEN, |extension| extension.at + extension.len)),
                _ => (UNKNOWN_NEXT_HEADER, last.map_or(6, |extension| extension.at)),
            };
            Notice::ParameterProblem { code, pointer: pointer as u32 }
        }
    };
    refuse(ns, ctx, packet, notice, DropReason::IpNoProto)
}

/// Longer datagrams are not summed up again by a socket (`CHECKSUM_BREAK`).
const CHECKSUM_BREAK: usize = 76;

/// Whether the header was changed after conntrack had summed up the packet (by `DSCP`, `HL`): to a socket of IPv6 the
/// checksum is wrong then (`udp6_csum_init`).
fn has_stale_sum(packet: &Packet) -> bool {
    packet.summed.is_some_and(|sum| sum != ext::changeable_sum(packet.l3()))
}

/// `__udp4_lib_rcv`, `__udp6_lib_rcv`
fn udp(ns: &mut Netns, ctx: &mut Ctx<'_>, ip: &IpHeader, mut packet: Packet) -> Next {
    let header_len = usize::from(ip.header_len);
    let l4 = packet.l3().get(header_len..).unwrap_or(&[]);
    let family = ip.family();
    let Some((src_port, dst_port)) = l4::ports(UDP, l4) else {
        ns.mibs.udp(family, Udp::InErrors);
        return Next::Drop(DropReason::HdrTrunc, packet);
    };
    let said = l4.get(4..6).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
    if said < 8 || said > l4.len() {
        ns.mibs.udp(family, Udp::InErrors);
        return Next::Drop(DropReason::HdrTrunc, packet);
    }
    if !l4::checksum_ok(ip.src, ip.dst, UDP, &l4[..said]) || (said > CHECKSUM_BREAK && has_stale_sum(&packet)) {
        ns.mibs.udp(family, Udp::InCsumErrors);
        ns.mibs.udp(family, Udp::InErrors);
        return Next::Drop(DropReason::UdpCsum, packet);
    }
    if tunnel::listens(ns, ip.family(), dst_port) {
        ns.mibs.udp(family, Udp::InDatagrams);
        return tunnel::decapsulate(ns, ctx, header_len, packet);
    }
    let (from, to, data) = ((ip.src, src_port).into(), (ip.dst, dst_port).into(), &l4[8..said]);
    let for_many = ns.fib.is_for_many(ip.dst);
    let full = match for_many {
        true => ns.sockets.udp_deliver_to_all(from, to, data),
        false => ns.sockets.udp_deliver(from, to, data).map(|taken| usize::from(!taken)),
    };
    match full {
        Some(0) => Next::Delivered,
        Some(full) => {
            for _ in 0..full {
                ns.mibs.udp(family, Udp::RcvbufErrors);
                ns.mibs.udp(family, Udp::InErrors);
            }
            Next::Drop(DropReason::SocketRcvBuff, packet)
        }
        None => {
            ns.mibs.udp(family, if for_many { Udp::IgnoredMulti } else { Udp::NoPorts });
            // The error belongs to no connection until conntrack finds it (`nf_reset_ct` in `__udp4_lib_rcv`).
            packet.ct = CtRef::None;
            refuse(ns, ctx, packet, Notice::PortUnreachable, DropReason::NoSocket)
        }
    }
}

fn refuse(ns: &mut Netns, ctx: &mut Ctx<'_>, packet: Packet, notice: Notice, reason: DropReason) -> Next {
    let notice = if ns.planted.is(Mutant::ClosedPortIsNoHost) { Notice::Unreachable(HOST_UNREACH) } else { notice };
    let answer: Option<Stage> = icmp::error(ns, ctx, &packet, notice);
    Next::DropAnd(reason, packet, answer.into_iter().collect())
}
