//! A packet for somebody else (net/ipv4/ip_forward.c).

use super::{After, Ctx, Dst, Next, hook, icmp};
use crate::engine::trail::DropReason;
use crate::netfilter::hooks::Hook;
use crate::netns::Netns;
use crate::wire::edit;
use crate::wire::icmp::{DEST_UNREACH, FRAG_NEEDED, TIME_EXCEEDED};
use crate::wire::packet::{Packet, PacketType};

/// TTL, MTU, redirect, then FORWARD.
pub(super) fn forward(ns: &mut Netns, ctx: &mut Ctx<'_>, dst: Dst, mut packet: Packet) -> Next {
    if packet.pkt_type != PacketType::Host {
        return Next::Drop(DropReason::NotForHost, packet);
    }
    let Some(ip) = packet.ip() else { return Next::Drop(DropReason::IpInHdr, packet) };
    if ip.ttl <= 1 {
        let answer = icmp::error(ns, ctx, &packet, TIME_EXCEEDED, 0, 0);
        return Next::DropAnd(DropReason::TtlExceeded, packet, answer.into_iter().collect());
    }
    if exceeds_mtu(&packet, ip.df, dst.mtu) {
        let answer = icmp::error(ns, ctx, &packet, DEST_UNREACH, FRAG_NEEDED, dst.mtu as u16);
        return Next::DropAnd(DropReason::PktTooBig, packet, answer.into_iter().collect());
    }
    edit::decrement_ttl(packet.l3_mut());
    let redirect = icmp::redirect(ns, ctx, &dst, &packet);
    let indev = packet.iif;
    let onward = hook::begin(Hook::Forward, (indev, Some(dst.dev)), After::ForwardDone(dst), packet);
    match redirect {
        Some(redirect) => Next::Several(vec![redirect, onward]),
        None => Next::Go(onward),
    }
}

/// `ip_exceeds_mtu`: only packets that must not be fragmented can be too big; one reassembled here is judged by
/// its largest fragment.
fn exceeds_mtu(packet: &Packet, df: bool, mtu: u32) -> bool {
    if !df || packet.l3().len() <= mtu as usize {
        return false;
    }
    packet.frag_max == 0 || u32::from(packet.frag_max) > mtu
}
