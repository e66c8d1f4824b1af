//! Neighbour discovery of IPv6: questions answered, answers believed, addresses probed for duplicates
//! (net/ipv6/ndisc.c; net/ipv6/addrconf.c, `addrconf_dad_work`).
//!
//! Its messages are packets like others: they pass the hooks, where conntrack does not track them.

use std::net::{IpAddr, Ipv6Addr};

use super::output::route_output;
use super::{Ctx, Dst, Next, Stage, Timer, redirect, resolve, run};
use crate::engine::arena::DevId;
use crate::engine::time::Duration;
use crate::engine::trail::DropReason;
use crate::netns::Netns;
use crate::netns::addr::{Addr, Dad, Scope};
use crate::netns::fib::{FibKey, RouteKind, TABLE_LOCAL};
use crate::netns::neigh::{Heard, Replaces};
use crate::wire::build;
use crate::wire::eth::MacAddr;
use crate::wire::ip::{Family, ICMPV6, IpHeader};
use crate::wire::nd::{self, ALL_NODES, Flags, HOP_LIMIT, Nd, Redirect, solicited_node};
use crate::wire::packet::{Packet, PacketType};

/// A probe for duplicates is sent within a second (RFC 4862 5.4.2, `MAX_RTR_SOLICITATION_DELAY`).
const MAX_DAD_DELAY: Duration = Duration::from_secs(1);

/// Redirects to one sender, and about one destination, after a burst (`ip6_forward`: `1 * HZ`).
const REDIRECT_INTERVAL_MS: u64 = 1000;

/// An answer for an anycast address waits so long at most (`net.ipv6.neigh.DEV.proxy_delay`).
const MAX_ANYCAST_DELAY: Duration = Duration::from_millis(800);

/// A solicitation, advertisement or redirect came in (`ndisc_rcv`). `packet` begins with its IP header, `message` is what follows.
pub(super) fn receive(ns: &mut Netns, ctx: &mut Ctx<'_>, ip: &IpHeader, packet: Packet) -> Next {
    let Some(dev) = packet.iif else { return Next::Drop(DropReason::DevDown, packet) };
    let message = packet.l3().get(usize::from(ip.header_len)..).unwrap_or(&[]);
    let from_link = ip.ttl == HOP_LIMIT && message.get(1) == Some(&0);
    let stages = match Nd::read(message).filter(|_| from_link) {
        Some(Nd::Solicit { target, source_link, nonce }) => {
            let question = Question { dev, target, source_link, nonce, pkt_type: packet.pkt_type };
            asked(ns, ctx, ip, &question)
        }
        // An answer is for who asked.
        Some(Nd::Advert { flags, .. }) if flags.solicited && ip.dst.is_multicast() => Vec::new(),
        Some(Nd::Advert { target, target_link, flags }) => told(ns, ctx, (dev, target), target_link, flags),
        None => match Redirect::read(message).filter(|_| from_link) {
            Some(told) => redirect::by_nd(ns, ctx, dev, ip.src, &told),
            None => return Next::Drop(DropReason::NdInvalid, packet),
        },
    };
    if stages.is_empty() { Next::Delivered } else { Next::Several(stages) }
}

/// A solicitation that came in.
struct Question {
    dev: DevId,
    target: Ipv6Addr,
    source_link: Option<MacAddr>,
    nonce: Option<[u8; 6]>,
    pkt_type: PacketType,
}

/// Somebody asks for an address (`ndisc_recv_ns`): unlike ARP a device answers only for its own addresses.
fn asked(ns: &mut Netns, ctx: &mut Ctx<'_>, ip: &IpHeader, q: &Question) -> Vec<Stage> {
    let probe = ip.src.is_unspecified();
    let for_group = ip.dst.is_multicast();
    if q.target.is_multicast() || (probe && (!for_group || q.source_link.is_some())) {
        return Vec::new();
    }
    let own = ns.addrs.of(q.dev).find(|a| a.net.addr() == IpAddr::V6(q.target)).map(|a| a.dad);
    match own {
        Some(Dad::Tentative { nonce, .. }) => {
            // What a hairpin port brings back is no other node's (RFC 7527 4.2).
            if probe && (q.nonce.is_none() || q.nonce != nonce) {
                duplicate(ns, q.dev, q.target);
            }
            return Vec::new();
        }
        Some(Dad::Failed) => return Vec::new(),
        None if !is_anycast(ns, q.dev, q.target) => return Vec::new(),
        _ => {}
    }
    let router = ns.sysctl.ipv6(q.dev).forwarding != 0;
    if probe {
        let flags = Flags { router, solicited: false, overrides: own.is_some() };
        return advertise(ns, ctx, (q.dev, q.target), ALL_NODES, flags, true).into_iter().collect();
    }
    let IpAddr::V6(asker) = ip.src else { return Vec::new() };
    let mut stages = Vec::new();
    if let Some(mac) = q.source_link {
        let heard = Heard { confirms: false, replaces: Replaces::Always, create: true, router: None };
        stages = resolve::hear(ns, ctx, (q.dev, ip.src), mac, heard);
    }
    let flags = Flags { router, solicited: true, overrides: own.is_some() && for_group };
    if own.is_none() && q.pkt_type != PacketType::Host && for_group {
        let delay = Duration::from_micros(u64::from(ns.streams.nd.below(MAX_ANYCAST_DELAY.as_micros() as u32)));
        ctx.out.timers.push((ctx.now + delay, Timer::Anycast { dev: q.dev, target: q.target, asker }));
        return stages;
    }
    stages.extend(advertise(ns, ctx, (q.dev, q.target), asker, flags, for_group));
    stages
}

/// The answer for an anycast address, after its delay (`pneigh_enqueue`).
pub(super) fn answer_for_anycast(ns: &mut Netns, ctx: &mut Ctx<'_>, dev: DevId, target: Ipv6Addr, asker: Ipv6Addr) {
    let flags = Flags { router: ns.sysctl.ipv6(dev).forwarding != 0, solicited: true, overrides: false };
    if is_anycast(ns, dev, target)
        && let Some(stage) = advertise(ns, ctx, (dev, target), asker, flags, true)
    {
        run(ns, ctx, stage);
    }
}

/// Whether `target` is an anycast address of the device (`ipv6_chk_acast_addr`).
fn is_anycast(ns: &Netns, dev: DevId, target: Ipv6Addr) -> bool {
    let key = FibKey { oif: Some(dev), ..FibKey::to(target.into()) };
    ns.fib.lookup_in(TABLE_LOCAL, &key).is_some_and(|route| route.kind == RouteKind::Anycast)
}

/// A neighbour tells its hardware address (`ndisc_recv_na`): only about addresses that were asked for. If it is one of
/// ours, another node has it, too.
fn told(
    ns: &mut Netns,
    ctx: &mut Ctx<'_>,
    (dev, target): (DevId, Ipv6Addr),
    link: Option<MacAddr>,
    flags: Flags,
) -> Vec<Stage> {
    let own = ns.addrs.of(dev).find(|a| a.net.addr() == IpAddr::V6(target)).map(|a| a.dad);
    if let Some(dad) = own {
        if matches!(dad, Dad::Tentative { .. }) {
            duplicate(ns, dev, target);
        }
        return Vec::new();
    }
    let key = (dev, IpAddr::V6(target));
    let Some(known) = ns.neighs.get(key) else { return Vec::new() };
    let Some(mac) = link.or(known.state.is_valid().then_some(known.mac)) else { return Vec::new() };
    if known.state == crate::netns::neigh::Nud::Failed {
        return Vec::new();
    }
    let replaces = if flags.overrides { Replaces::Always } else { Replaces::Never };
    let heard = Heard { confirms: flags.solicited, replaces, create: false, router: Some(flags.router) };
    resolve::hear(ns, ctx, key, mac, heard)
}

/// Another node has the address: it is never used (`addrconf_dad_failure`).
fn duplicate(ns: &mut Netns, dev: DevId, ip: Ipv6Addr) {
    if let Some(addr) = ns.addrs.get_mut(dev, ip.into()) {
        addr.dad = Dad::Failed;
    }
}

/// Asks for `target` (`ndisc_solicit`): from the source of the waiting packet if that is the device's, else from the
/// link-local address; to all who might have it, or to the neighbour itself.
pub(super) fn solicit(
    ns: &Netns,
    ctx: &mut Ctx<'_>,
    (dev, target): (DevId, Ipv6Addr),
    unicast: bool,
    waiting: Option<IpAddr>,
) -> Option<Stage> {
    let own = waiting.filter(|src| ns.addrs.is_usable_on(dev, *src));
    let src = own.or_else(|| ns.addrs.link_local(dev))?;
    let to = if unicast { target } else { solicited_node(target) };
    let source_link = Some(ns.devs.get(dev)?.mac);
    Some(message(ns, ctx, dev, (src, to.into()), Nd::Solicit { target, source_link, nonce: None }))
}

/// Tells `to` about an address of this host (`ndisc_send_na`); `with_link`: with the hardware address.
fn advertise(
    ns: &Netns,
    ctx: &mut Ctx<'_>,
    (dev, target): (DevId, Ipv6Addr),
    to: Ipv6Addr,
    flags: Flags,
    with_link: bool,
) -> Option<Stage> {
    let own = ns.addrs.is_usable_on(dev, target.into()).then_some(IpAddr::V6(target));
    let src = own.or_else(|| ns.addrs.source(dev, None, to.into(), Scope::Universe))?;
    let target_link = with_link.then_some(ns.devs.get(dev)?.mac);
    Some(message(ns, ctx, dev, (src, to.into()), Nd::Advert { target, target_link, flags }))
}

/// Tells the sender that its neighbour `dst.via`, or the destination itself, is nearer (`ip6_forward`,
/// `ndisc_send_redirect`): if its packet leaves by the device it came in by.
pub(super) fn send_redirect(ns: &mut Netns, ctx: &mut Ctx<'_>, dst: &Dst, packet: &Packet) -> Option<Stage> {
    let ip = packet.ip().filter(|_| packet.iif == Some(dst.dev))?;
    let (IpAddr::V6(sender), IpAddr::V6(to)) = (ip.src, ip.dst) else { return None };
    let target = match dst.via {
        Some(IpAddr::V6(via)) => via,
        _ => to,
    };
    let src = ns.addrs.link_local(dst.dev)?;
    let allowed = ns.icmp_limits.allow(ip.dst, REDIRECT_INTERVAL_MS, ctx.now);
    if !allowed || (target != to && !target.is_unicast_link_local()) {
        return None;
    }
    let back = route_output(ns, FibKey { oif: Some(dst.dev), ..FibKey::to(sender.into()) }).ok()?;
    if back.0.via.is_some() || !ns.icmp_limits.allow(ip.src, REDIRECT_INTERVAL_MS, ctx.now) {
        return None;
    }
    let known = ns.neighs.get((dst.dev, target.into())).filter(|neigh| neigh.state.is_valid());
    let bytes = nd::redirect((src, ip.src), (target, to), known.map(|neigh| neigh.mac), packet.l3());
    Some(send(ns, ctx, dst.dev, (src, ip.src), &bytes))
}

/// A question or answer on its way to OUTPUT.
fn message(ns: &Netns, ctx: &mut Ctx<'_>, dev: DevId, ends: (IpAddr, IpAddr), nd: Nd) -> Stage {
    send(ns, ctx, dev, ends, &nd.to_bytes(ends))
}

/// A message on its way to OUTPUT (`ndisc_send_skb`).
fn send(ns: &Netns, ctx: &mut Ctx<'_>, dev: DevId, (src, to): (IpAddr, IpAddr), bytes: &[u8]) -> Stage {
    let mut header = IpHeader::new(src, to, ICMPV6, bytes.len());
    header.ttl = HOP_LIMIT;
    on_link(ns, dev, src, build::ip(ctx.out.packet_id(), header, bytes))
}

/// A packet from `src` that is not routed: it leaves by `dev` (`icmp6_dst_alloc`).
pub(super) fn on_link(ns: &Netns, dev: DevId, src: IpAddr, packet: Packet) -> Stage {
    let mtu = ns.devs.get(dev).map_or(0, |d| d.mtu);
    let dst = Dst { kind: RouteKind::Unicast, dev, via: None, src: Some(src), mtu, advmss: None, mtu_locked: false };
    Stage::LocalOut(dst, packet)
}

/// The search for duplicates of new addresses begins after a random delay (`addrconf_dad_kick`).
pub(crate) fn begin_dad(ns: &mut Netns, ctx: &mut Ctx<'_>) {
    for (dev, ip) in std::mem::take(&mut ns.tentative) {
        let delay = Duration::from_micros(u64::from(ns.streams.nd.below(MAX_DAD_DELAY.as_micros() as u32)));
        ctx.out.timers.push((ctx.now + delay, Timer::Dad(dev, ip)));
    }
}

/// Asks once more who has a tentative address, or takes it (`addrconf_dad_work`).
pub(super) fn dad_timer(ns: &mut Netns, ctx: &mut Ctx<'_>, dev: DevId, ip: Ipv6Addr) {
    let retrans = ns.sysctl.neigh(dev, Family::V6).retrans_time;
    let Some(Addr { dad, .. }) = ns.addrs.get_mut(dev, ip.into()) else { return };
    let Dad::Tentative { probes, nonce } = dad else { return };
    let Some(left) = probes.checked_sub(1) else {
        *dad = Dad::Done;
        ns.addr_usable(dev, ip.into());
        if ip.is_unicast_link_local() {
            // What nobody in particular has told is told in its name (`ipv6_mc_dad_complete`).
            ns.listening.push(dev);
        }
        return;
    };
    let drawn = ns.streams.nd.next_u64().to_be_bytes();
    let fresh = [drawn[0], drawn[1], drawn[2], drawn[3], drawn[4], drawn[5]];
    (*probes, *nonce) = (left, Some(fresh));
    ctx.out.timers.push((ctx.now + retrans, Timer::Dad(dev, ip)));
    let ask = Nd::Solicit { target: ip, source_link: None, nonce: Some(fresh) };
    let ends = (Ipv6Addr::UNSPECIFIED.into(), solicited_node(ip).into());
    let stage = message(ns, ctx, dev, ends, ask);
    run(ns, ctx, stage);
}
