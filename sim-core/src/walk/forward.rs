//! A packet for somebody else (net/ipv4/ip_forward.c; net/ipv6/ip6_output.c, `ip6_forward`).

use std::net::IpAddr;

use super::{After, Ctx, Dst, Next, hook, icmp, nd};
use crate::engine::mutant::Mutant;
use crate::engine::trail::DropReason;
use crate::netfilter::hooks::Hook;
use crate::netns::Netns;
use crate::netns::mib::Ip;
use crate::wire::edit;
use crate::wire::icmp::Notice;
use crate::wire::ip::Family;
use crate::wire::packet::{Packet, PacketType};

/// TTL, source, MTU, redirect, then FORWARD.
pub(super) fn forward(ns: &mut Netns, ctx: &mut Ctx<'_>, dst: Dst, mut packet: Packet) -> Next {
    let Some(ip) = packet.ip() else { return Next::Drop(DropReason::IpInHdr, packet) };
    if ip.family() == Family::V6 && packet.iif.is_some_and(|dev| !ns.sysctl.forwarding(dev, Family::V6)) {
        return Next::Drop(DropReason::ForwardingOff, packet);
    }
    if packet.pkt_type != PacketType::Host && !ns.planted.is(Mutant::BroadcastForwarded) {
        return Next::Drop(DropReason::NotForHost, packet);
    }
    let last_ttl = u8::from(!ns.planted.is(Mutant::TtlOneForwarded));
    let mtu = dst.mtu + u32::from(ns.planted.is(Mutant::MtuOneMore));
    // What stays on its link is not asked where it comes from (`ip6_forward`).
    let same_dev = packet.iif == Some(dst.dev);
    let refused = match (ip.ttl, beyond_scope(ip.src).filter(|_| !same_dev)) {
        (ttl, _) if ttl <= last_ttl => Some((DropReason::TtlExceeded, Some(Notice::TtlExceeded))),
        (_, Some(notice)) => Some((DropReason::IpMartianSource, notice)),
        _ if exceeds_mtu(&packet, ip.df, mtu) => Some((DropReason::PktTooBig, Some(Notice::TooBig(dst.mtu)))),
        _ => None,
    };
    // What is too big for the way on counts as forwarded, too.
    if refused.is_none_or(|(reason, _)| reason != DropReason::TtlExceeded) {
        ns.mibs.ip(ip.family(), Ip::ForwDatagrams);
    }
    if let Some((reason, notice)) = refused {
        count(ns, ip.family(), reason);
        let answer = notice.and_then(|notice| icmp::error(ns, ctx, &packet, notice));
        return Next::DropAnd(reason, packet, answer.into_iter().collect());
    }
    // IPv6 quotes the packet as it came, IPv4 as it goes on.
    let redirect = nd::send_redirect(ns, ctx, &dst, &packet);
    if !ns.planted.is(Mutant::TtlKept) {
        edit::decrement_ttl(packet.l3_mut());
    }
    let redirect = redirect.or_else(|| icmp::send_redirect(ns, ctx, &dst, &packet));
    let indev = packet.iif;
    let onward = hook::begin(Hook::Forward, (indev, Some(dst.dev)), After::ForwardDone(dst), packet);
    match redirect {
        Some(redirect) => Next::Several(vec![redirect, onward]),
        None => Next::Go(onward),
    }
}

fn count(ns: &mut Netns, family: Family, reason: DropReason) {
    match (reason, family) {
        (DropReason::TtlExceeded, _) => ns.mibs.ip(family, Ip::InHdrErrors),
        (DropReason::PktTooBig, Family::V4) => ns.mibs.ip(family, Ip::FragFails),
        (DropReason::PktTooBig, Family::V6) => {
            ns.mibs.ip(family, Ip::InTooBigErrors);
            ns.mibs.ip(family, Ip::FragFails);
        }
        _ => ns.mibs.ip(family, Ip::InAddrErrors),
    }
}

/// Whether an IPv6 source must not leave its link or host, and what is said about it.
fn beyond_scope(src: IpAddr) -> Option<Option<Notice>> {
    let IpAddr::V6(src) = src else { return None };
    if src.is_unspecified() || src.is_loopback() {
        return Some(None);
    }
    src.is_unicast_link_local().then_some(Some(Notice::BeyondScope))
}

/// `ip_exceeds_mtu`, `ip6_pkt_too_big`: only packets that must not be fragmented can be too big; one reassembled here
/// is judged by its largest fragment, or if the bridge did that not at all.
fn exceeds_mtu(packet: &Packet, df: bool, mtu: u32) -> bool {
    if !df || packet.l3().len() <= mtu as usize {
        return false;
    }
    match packet.frag_max {
        0 => !packet.ignore_df,
        largest => largest > mtu,
    }
}
