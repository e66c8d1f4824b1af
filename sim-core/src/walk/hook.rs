//! A netfilter hook: its functions one after the other, in the order of their priorities
//! (include/uapi/linux/netfilter_ipv4.h, `enum nf_ip_hook_priorities`; net/netfilter/core.c, `nf_hook_slow`).
//! Each function is a stage of its own.

mod facts;
mod mss;
mod nat;
mod reject;

use super::{After, Ctx, HookWalk, Next, Stage, after_hook, fragment, output};
use crate::capture::{Asked, Decision, Ruled};
use crate::engine::arena::DevId;
use crate::engine::mutant::{Mutant, Planted};
use crate::engine::trail::DropReason;
use crate::netfilter::conntrack::{Conntrack, Verdict as Tracked, Zone};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::targets::ct::CtTemplate;
use crate::netfilter::rules::{self, CtFacts, Decider, TableName, TraceStep, Trail, Verdict};
use crate::netns::Netns;
use crate::netns::frag::USER_CONNTRACK;
use crate::wire::edit;
use crate::wire::ip::Family;
use crate::wire::packet::{CtRef, Packet};

/// A function registered at a hook.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Function {
    /// Puts fragments together (`nf_defrag_ipv4`, -400).
    Defrag,
    /// Asks a table (raw -300, mangle -150, filter 0, security 50).
    Table(TableName),
    /// Finds or makes the conntrack entry (-200).
    Conntrack,
    /// Translates (destination -100, source 100).
    Nat,
    /// Confirms the entry (last).
    Confirm,
}

use Function::{Confirm, Conntrack as Track, Defrag, Nat, Table};
use TableName::{Filter, Mangle, Raw, Security};

/// The functions of a hook by priority.
const fn functions(hook: Hook) -> &'static [Function] {
    match hook {
        Hook::Prerouting => &[Defrag, Table(Raw), Track, Table(Mangle), Nat],
        Hook::Input => &[Table(Mangle), Table(Filter), Table(Security), Nat, Confirm],
        Hook::Forward => &[Table(Mangle), Table(Filter), Table(Security)],
        Hook::Output => &[Defrag, Table(Raw), Track, Table(Mangle), Nat, Table(Filter), Table(Security)],
        Hook::Postrouting => &[Table(Mangle), Nat, Confirm],
    }
}

/// As [`functions`], if it is not the order itself that is wrong.
fn planted_functions(planted: Planted, hook: Hook) -> &'static [Function] {
    match hook {
        Hook::Forward if planted.is(Mutant::FilterBeforeMangle) => &[Table(Filter), Table(Mangle), Table(Security)],
        Hook::Prerouting if planted.is(Mutant::ConfirmedEarly) => {
            &[Defrag, Table(Raw), Track, Confirm, Table(Mangle), Nat]
        }
        Hook::Input if planted.is(Mutant::ConfirmForgotten) => &[Table(Mangle), Table(Filter), Table(Security), Nat],
        _ => functions(hook),
    }
}

/// What a function said.
enum Said {
    /// The packet goes on to the next function.
    Accept,
    /// It is gone, and these go out because of it.
    Drop(DropReason, Vec<Stage>),
}

impl Said {
    const fn drop(reason: DropReason) -> Self {
        Self::Drop(reason, Vec::new())
    }
}

/// The rules one table asked a traced packet.
#[derive(Clone, Debug)]
pub struct TraceGroup {
    /// In which netns.
    pub netns: crate::engine::arena::NetnsId,
    /// At which hook.
    pub hook: Hook,
    /// The packet as the table saw it; `None` if these steps belong to the group before the last answer.
    pub packet: Option<TracedPacket>,
    /// The steps, as `xtables-monitor --trace` and as the legacy backend's log print them.
    pub steps: Vec<(Option<String>, Option<String>)>,
}

/// What a trace shows of a packet.
#[derive(Clone, Debug)]
pub struct TracedPacket {
    /// IP header and what follows, at the moment the table was asked.
    pub l3: bytes::Bytes,
    /// Incoming device; empty if none.
    pub indev: String,
    /// Outgoing device; empty if none.
    pub outdev: String,
    /// Mark.
    pub mark: u32,
}

/// Runs the next function of a hook, or what comes after it.
pub(super) fn step(ns: &mut Netns, ctx: &mut Ctx<'_>, mut walk: HookWalk) -> Next {
    let rules = &ns.rules[walk.family];
    if rules.is_untouched() {
        walk.step = usize::MAX;
    }
    let Some(function) = planted_functions(ns.planted, walk.hook).get(walk.step) else {
        return after_hook(ns, ctx, walk.after, walk.packet);
    };
    walk.step += 1;
    let said = match function {
        Defrag if rules.tracks() => return defrag(ns, ctx, walk),
        Table(name) if rules.asks(*name, walk.hook) => ask_table(ns, ctx, *name, &mut walk),
        Track if rules.tracks() => track(ns, ctx, &mut walk),
        Nat if rules.has_nat() => nat::run(ns, ctx, &mut walk),
        Confirm if rules.tracks() => confirm(ns, ctx, &mut walk),
        _ => Said::Accept,
    };
    match said {
        Said::Accept => Next::Go(Stage::Hook(walk)),
        Said::Drop(reason, answers) => Next::DropAnd(reason, walk.packet, answers),
    }
}

fn tracked(verdict: Tracked) -> Said {
    match verdict {
        Tracked::Accept => Said::Accept,
        Tracked::Drop => Said::drop(DropReason::ConntrackDrop),
    }
}

/// What conntrack has seen, because this host sent it to itself, is left in its fragments (`ipv4_conntrack_defrag`,
/// `ipv6_defrag`).
fn defrag(ns: &mut Netns, ctx: &mut Ctx<'_>, mut walk: HookWalk) -> Next {
    if walk.packet.ct != CtRef::None {
        return Next::Go(Stage::Hook(walk));
    }
    match fragment::defrag(ns, ctx, walk.packet, USER_CONNTRACK) {
        Ok(packet) => {
            walk.packet = packet;
            Next::Go(Stage::Hook(walk))
        }
        Err(next) => next,
    }
}

fn track(ns: &mut Netns, ctx: &mut Ctx<'_>, walk: &mut HookWalk) -> Said {
    let verdict = ns.conntrack.track_in(ctx.now, &mut walk.packet, walk.hook, walk.zone);
    ctx.decided(walk.packet.id, || {
        let facts = CtFacts::of(&ns.conntrack, &walk.packet);
        Some(Decision::Tracked(walk.hook, facts.state, facts.flow.map(|(_, dir)| dir)))
    });
    tracked(verdict)
}

/// Lets the entry of a new connection into the table.
fn confirm(ns: &mut Netns, ctx: &mut Ctx<'_>, walk: &mut HookWalk) -> Said {
    let tentative = |ns: &Netns, packet: &Packet| ns.conntrack.of(packet).is_some_and(|(_, _, e)| !e.is_confirmed());
    let was_tentative = ctx.out.taps.on && tentative(ns, &walk.packet);
    let verdict = ns.conntrack.confirm(ctx.now, &mut walk.packet);
    let confirmed = was_tentative && !tentative(ns, &walk.packet);
    ctx.decided(walk.packet.id, || confirmed.then_some(Decision::Confirmed(walk.hook)));
    tracked(verdict)
}

/// Asks a table. A change of what routing depends on makes OUTPUT route the packet again.
fn ask_table(ns: &mut Netns, ctx: &mut Ctx<'_>, name: TableName, walk: &mut HookWalk) -> Said {
    let routed = (name == Mangle && walk.hook == Hook::Output).then(|| route_inputs(&walk.packet));
    let (verdict, group) = evaluate(ns, ctx, name, walk);
    if let Verdict::Reject(with) = verdict {
        return reject::reject(ns, ctx, walk, with, group);
    }
    ctx.out.traces.extend(group);
    if verdict == Verdict::Drop {
        return Said::drop(DropReason::NetfilterDrop);
    }
    if routed.is_some_and(|before| before != route_inputs(&walk.packet)) {
        return reroute(ns, walk);
    }
    Said::Accept
}

/// Evaluates one table and stores back what its targets changed.
fn evaluate(ns: &mut Netns, ctx: &mut Ctx<'_>, name: TableName, walk: &mut HookWalk) -> (Verdict, Option<TraceGroup>) {
    let Some(ip) = walk.packet.ip() else { return (Verdict::Accept, None) };
    let set = std::sync::Arc::clone(&ns.rules[walk.family].set);
    let Some(table) = set.table(name) else { return (Verdict::Accept, None) };
    let ct = CtFacts::of(&ns.conntrack, &walk.packet);
    let fib = facts::NetnsFib { fib: &ns.fib, devs: &ns.devs };
    let ports = walk.packet.bridge.unwrap_or_default();
    let mut trail = Trail { whole: ctx.out.taps.rules, steps: Vec::new() };
    let behind = ip.behind_headers(walk.packet.l3());
    let mut asked = rules::RulePacket {
        ip: behind.map_or(ip, |(ip, _)| ip),
        upper: rules::upper(&ip, walk.packet.l3()),
        l3: walk.packet.l3(),
        l4: behind.map(|(_, l4)| l4),
        in_dev: ns.devs.name(walk.indev),
        out_dev: ns.devs.name(walk.outdev),
        physin: ns.devs.name(ports.physin),
        physout: ns.devs.name(ports.physout),
        pkt_type: facts::addressed(&walk.packet, ip.dst),
        mac: walk.packet.iif.and_then(|_| walk.packet.last_eth()).map(|eth| eth.src),
        ct,
        conntrack: &ns.conntrack,
        fib: &fib,
        sets: &mut ns.sets,
        now: ctx.now,
        rng: &mut ns.streams.rules,
        planted: ns.planted,
        mark: walk.packet.mark,
        traced: walk.packet.trace,
        template: None,
        mss: None,
    };
    let (verdict, decider) =
        rules::evaluate(table, &mut ns.rules[walk.family].state, walk.hook, &mut asked, &mut trail);
    let (mark, traced, connmark) = (asked.mark, asked.traced, asked.ct.mark);
    let (template, mss, asked_ip) = (asked.template, asked.mss, asked.ip);
    ctx.decided(walk.packet.id, || looked_at(table, walk.hook, &trail));
    trail.steps.retain(|step| step.traced);
    let group = (!trail.steps.is_empty()).then(|| group(ns, table, walk, &trail.steps, mark));
    let before = std::mem::replace(&mut walk.packet.mark, mark);
    ctx.decided(walk.packet.id, || ruled(table, walk, decider?, verdict, (before, mark)));
    walk.packet.trace = traced;
    if asked_ip.ttl != ip.ttl {
        edit::set_ttl(walk.packet.l3_mut(), asked_ip.ttl);
    }
    if asked_ip.tos != ip.tos {
        edit::set_tos(walk.packet.l3_mut(), asked_ip.tos);
    }
    if let CtRef::Entry(id, _) = walk.packet.ct {
        ns.conntrack.set_mark(id, connmark);
    }
    // An answer that belongs to a connection already, or what was looped back, keeps it (`xt_ct_target`).
    let seen = walk.packet.ct != CtRef::None;
    match template.filter(|_| !seen && !ns.planted.is(Mutant::NotrackIgnored)) {
        Some(CtTemplate::Notrack) => walk.packet.ct = CtRef::Untracked,
        Some(CtTemplate::Zone(zone)) => walk.zone = zone,
        Some(CtTemplate::ZoneOfMark(dir)) => walk.zone = Zone { id: walk.packet.mark as u16, dir },
        None => {}
    }
    if let Some(mss) = mss {
        mss::clamp(ns, walk, mss);
    }
    (verdict, group)
}

/// What a table decided, for the capture. A policy that lets pass what no rule spoke of decides nothing.
fn ruled(
    table: &rules::Table,
    walk: &HookWalk,
    decider: Decider,
    verdict: Verdict,
    mark: (u32, u32),
) -> Option<Decision> {
    let chain = table.chains.get(decider.chain.index())?.clone()?;
    let mark = (mark.0 != mark.1).then_some(mark);
    let by_rule = (decider.number as usize) < chain.rules.len();
    let decided = by_rule || verdict != Verdict::Accept || mark.is_some();
    let (hook, table, number) = (walk.hook, table.name, decider.number);
    decided.then_some(Decision::Ruled(Ruled { hook, table, chain, number, verdict, mark }))
}

/// Which rules a table looked at, for who wants to know.
fn looked_at(table: &rules::Table, hook: Hook, trail: &Trail) -> Option<Decision> {
    let chain = |step: &TraceStep| Some((table.chains.get(step.chain.index())?.clone()?, *step));
    let steps = || trail.steps.iter().filter_map(chain).collect();
    trail.whole.then(|| Decision::Asked(Asked { hook, table: table.name, steps: steps() }))
}

/// The packet of a trace is shown with the first step, whose target has acted by then (`nft_trace_notify`).
fn group(ns: &Netns, table: &rules::Table, walk: &HookWalk, steps: &[TraceStep], end_mark: u32) -> TraceGroup {
    let packet = TracedPacket {
        l3: bytes::Bytes::copy_from_slice(walk.packet.l3()),
        indev: ns.devs.name(walk.indev).to_owned(),
        outdev: ns.devs.name(walk.outdev).to_owned(),
        mark: steps.get(1).map_or(end_mark, |second| second.mark),
    };
    let steps = steps.iter().map(|s| (s.nft(table), s.legacy(table))).collect();
    TraceGroup { netns: ns.id, hook: walk.hook, packet: Some(packet), steps }
}

/// What the route of a packet of this host depends on.
fn route_inputs(packet: &Packet) -> Option<(std::net::IpAddr, std::net::IpAddr, u8, u32)> {
    packet.ip().map(|ip| (ip.src, ip.dst, ip.tos, packet.mark))
}

/// Finds the route again and goes on with it. The hook's own device stays what it was when the hook began: rules that follow
/// see that one (`nf_hook_state.out`).
fn reroute(ns: &Netns, walk: &mut HookWalk) -> Said {
    let outdev = if let After::OutputDone(dst) = &walk.after { Some(dst.dev) } else { walk.outdev };
    match output::route_again(ns, &walk.packet, outdev) {
        Ok(dst) => {
            walk.after = After::OutputDone(dst);
            Said::Accept
        }
        Err(_) => Said::drop(DropReason::IpOutNoRoutes),
    }
}

/// An answer about a packet belongs to the packet's connection, be it tentative (`nf_ct_attach`).
pub(super) fn attach_related(about: &Packet, answer: &mut Packet) {
    Conntrack::attach(answer, about);
}

/// Begins a hook.
pub(super) fn begin(hook: Hook, devs: (Option<DevId>, Option<DevId>), after: After, packet: Packet) -> Stage {
    let (indev, outdev) = devs;
    let family = packet.ip().map_or(Family::V4, |ip| ip.family());
    Stage::Hook(HookWalk { hook, step: 0, indev, outdev, after, zone: Zone::default(), family, packet })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conntrack_comes_after_raw_and_before_nat() {
        for hook in [Hook::Prerouting, Hook::Output] {
            let at = |f: Function| functions(hook).iter().position(|x| *x == f);
            assert!(at(Table(Raw)) < at(Track) && at(Track) < at(Nat), "{hook:?}");
        }
    }

    #[test]
    fn an_entry_is_confirmed_last_of_all() {
        for hook in [Hook::Input, Hook::Postrouting] {
            assert_eq!(functions(hook).last(), Some(&Confirm));
        }
    }
}
