//! The nat function of a hook: the first packet of a connection asks the rules, every packet is translated
//! (net/netfilter/nf_nat_core.c `nf_nat_inet_fn`, nf_nat_proto.c).

use std::net::IpAddr;

use super::{Said, evaluate, facts, reroute, tracked};
use crate::capture::{Decision, End, Translated};
use crate::engine::arena::DevId;
use crate::engine::mutant::Mutant;
use crate::engine::trail::DropReason;
use crate::netfilter::conntrack::Verdict as Tracked;
use crate::netfilter::hooks::Hook;
use crate::netfilter::nat::{self, Manip, NatRange};
use crate::netfilter::rules::targets::nat::{Nat, NatKind};
use crate::netfilter::rules::{TableName, Verdict};
use crate::netns::Netns;
use crate::netns::addr::Scope;
use crate::walk::{After, Ctx, HookWalk, output};
use crate::wire::ip::Family;
use crate::wire::l4;
use crate::wire::packet::CtRef;

pub(super) fn run(ns: &mut Netns, ctx: &mut Ctx<'_>, walk: &mut HookWalk) -> Said {
    let before = walk.packet.ip().map(|ip| (ip.dst, walk.packet.mark));
    if nat::wants_rules(&ns.conntrack, &walk.packet, walk.hook)
        && let Err(reason) = decide(ns, ctx, walk)
    {
        return Said::drop(reason);
    }
    let ends = ctx.out.taps.on.then(|| End::both(&walk.packet)).flatten();
    let verdict = translate(ns, walk);
    ctx.decided(walk.packet.id, || {
        Translated::between(walk.hook, ends?, End::both(&walk.packet)?).map(Decision::Translated)
    });
    if let end @ Said::Drop(..) = tracked(verdict) {
        return end;
    }
    let after = walk.packet.ip().map(|ip| (ip.dst, walk.packet.mark));
    if walk.hook == Hook::Output && before != after { reroute(ns, walk) } else { Said::Accept }
}

fn translate(ns: &mut Netns, walk: &mut HookWalk) -> Tracked {
    if ns.planted.is(Mutant::ReplyNotTranslated) && matches!(walk.packet.ct, CtRef::Entry(_, info) if info.is_reply()) {
        return Tracked::Accept;
    }
    let checksum = walk.packet.ip().filter(|_| ns.planted.is(Mutant::NatChecksumKept)).and_then(|ip| {
        let at = usize::from(ip.header_len) + l4::checksum_offset(ip.proto)?;
        Some((at, walk.packet.l3().get(at..at + 2)?.to_vec()))
    });
    let verdict = nat::translate(&mut ns.conntrack, &mut walk.packet, walk.hook, walk.outdev);
    if let Some((at, before)) = checksum {
        walk.packet.l3_mut()[at..at + 2].copy_from_slice(&before);
    }
    verdict
}

/// Asks the nat table and decides this end of the connection.
fn decide(ns: &mut Netns, ctx: &mut Ctx<'_>, walk: &mut HookWalk) -> Result<(), DropReason> {
    let (CtRef::Entry(id, _), Some(manip)) = (walk.packet.ct, Manip::of(walk.hook)) else { return Ok(()) };
    let (verdict, group) = evaluate(ns, ctx, TableName::Nat, walk);
    ctx.out.traces.extend(group);
    let range = match verdict {
        Verdict::Accept => None,
        Verdict::Drop | Verdict::Reject(_) => return Err(DropReason::NetfilterDrop),
        Verdict::Nat(nat) => Some(range_of(ns, walk, &nat).ok_or(DropReason::NetfilterDrop)?),
    };
    nat::setup(&mut ns.conntrack, ctx.now, id, manip, range.as_ref(), &mut ns.streams.nat);
    Ok(())
}

/// A target's ranges, with the device's address filled in; `None` if the device has none.
fn range_of(ns: &Netns, walk: &HookWalk, nat: &Nat) -> Option<NatRange> {
    let fixed = |addr| Some((addr, addr));
    let (addrs, masq_dev) = match nat.kind {
        NatKind::Dnat | NatKind::Snat => (nat.addrs, None),
        NatKind::Masquerade => (fixed(masquerade_address(ns, walk)?), walk.outdev),
        NatKind::Redirect if walk.hook == Hook::Output => (fixed(facts::localhost(walk.family)), None),
        NatKind::Redirect => (fixed(first_address(ns, walk.indev?, walk.packet.ip()?.dst)?), None),
        NatKind::Netmap => (fixed(nat.mapped(changed_address(walk)?)), None),
    };
    let random = nat.random || nat.random_fully;
    let more = u16::from(ns.planted.is(Mutant::NatPortOneMore));
    let ports = nat.ports.map(|(low, high)| (low.saturating_add(more), high.saturating_add(more)));
    let (base_port, persistent) = (nat.base_port, nat.persistent);
    Some(NatRange { addrs, ports, base_port, random, persistent, masq_dev })
}

/// The address of the leaving device, chosen by the next hop (`nf_nat_masquerade_ipv4`), of IPv6 by the
/// destination (`nf_nat_masquerade_ipv6`).
fn masquerade_address(ns: &Netns, walk: &HookWalk) -> Option<IpAddr> {
    let to = walk.packet.ip()?.dst;
    match walk.after {
        After::PostroutingDone(dst) => output::masquerade_address(ns, &dst, to),
        _ => ns.addrs.source(walk.outdev?, Some(to), to, Scope::Universe),
    }
}

/// The address that the nat chains of this hook change.
fn changed_address(walk: &HookWalk) -> Option<IpAddr> {
    let ip = walk.packet.ip()?;
    Some(if Manip::of(walk.hook)? == Manip::Src { ip.src } else { ip.dst })
}

/// The first address of a device (`nf_nat_redirect_ipv4`), of IPv6 the first that reaches as far as `dst` and may be used
/// (`nf_nat_redirect_ipv6_usable`).
fn first_address(ns: &Netns, dev: DevId, dst: IpAddr) -> Option<IpAddr> {
    let of_link = |addr: IpAddr| matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local());
    let mut usable = ns.addrs.of(dev).filter(|a| a.is_usable()).map(|a| a.net.addr());
    usable.find(|addr| Family::of(*addr) == Family::of(dst) && (addr.is_ipv4() || of_link(*addr) == of_link(dst)))
}
