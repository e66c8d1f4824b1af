//! A packet for this host reaches its protocol (net/ipv4/ip_input.c, `ip_local_deliver_finish`).

use super::{Ctx, Next, Stage, fragment, icmp, socket_io, tunnel};
use crate::engine::trail::DropReason;
use crate::netns::Netns;
use crate::netns::frag::USER_LOCAL;
use crate::wire::icmp::{DEST_UNREACH, PORT_UNREACH, PROT_UNREACH};
use crate::wire::ip::{ICMP, IpHeader, TCP, UDP};
use crate::wire::l4;
use crate::wire::packet::Packet;

/// INPUT is over: raw sockets get a copy, then the protocol the packet.
pub(super) fn deliver(ns: &mut Netns, ctx: &mut Ctx<'_>, packet: Packet) -> Next {
    let packet = match fragment::defrag(ns, ctx, packet, USER_LOCAL) {
        Ok(packet) => packet,
        Err(next) => return next,
    };
    let Some(ip) = packet.ip() else { return Next::Drop(DropReason::IpInHdr, packet) };
    let raw = ns.sockets.raw_deliver(&ip, packet.l3());
    match ip.proto {
        ICMP => icmp::receive(ns, ctx, &ip, packet),
        UDP => udp(ns, ctx, &ip, packet),
        TCP => socket_io::tcp_receive(ns, ctx, &ip, packet),
        _ if raw => Next::Delivered,
        _ => refuse(ns, ctx, packet, PROT_UNREACH, DropReason::IpNoProto),
    }
}

/// `__udp4_lib_rcv`
fn udp(ns: &mut Netns, ctx: &mut Ctx<'_>, ip: &IpHeader, packet: Packet) -> Next {
    let header_len = usize::from(ip.header_len);
    let l4 = packet.l3().get(header_len..).unwrap_or(&[]);
    let Some((src_port, dst_port)) = l4::ports(UDP, l4) else { return Next::Drop(DropReason::HdrTrunc, packet) };
    let said = l4.get(4..6).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
    if said < 8 || said > l4.len() {
        return Next::Drop(DropReason::HdrTrunc, packet);
    }
    if !l4::checksum_ok(ip.src, ip.dst, UDP, &l4[..said]) {
        return Next::Drop(DropReason::UdpCsum, packet);
    }
    if tunnel::listens(ns, dst_port) {
        return tunnel::decapsulate(ns, ctx, header_len, packet);
    }
    match ns.sockets.udp_deliver((ip.src, src_port).into(), (ip.dst, dst_port).into(), &l4[8..said]) {
        Some(true) => Next::Delivered,
        Some(false) => Next::Drop(DropReason::SocketRcvBuff, packet),
        None => refuse(ns, ctx, packet, PORT_UNREACH, DropReason::NoSocket),
    }
}

fn refuse(ns: &mut Netns, ctx: &mut Ctx<'_>, packet: Packet, code: u8, reason: DropReason) -> Next {
    let answer: Option<Stage> = icmp::error(ns, ctx, &packet, DEST_UNREACH, code, 0);
    Next::DropAnd(reason, packet, answer.into_iter().collect())
}
