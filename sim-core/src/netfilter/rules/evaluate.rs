//! One packet, one table, one hook: the walk over rules (net/ipv4/netfilter/ip_tables.c, `ipt_do_table`).

use super::matches::{Answer, Question};
use super::packet::RulePacket;
use super::rule::{Rule, Target};
use super::state::{ChainState, MatchMemory, RuleState};
use super::table::{ChainId, Policy, Table};
use super::targets::nat::Nat;
use super::targets::reject::RejectWith;
use super::trace::{Step, TraceStep, Trail};
use crate::engine::mutant::Mutant;
use crate::netfilter::hooks::Hook;

/// How deep jumps may nest (include/net/netfilter/nf_tables.h, `NFT_JUMP_STACK_SIZE`); deeper rulesets are refused
/// when they are applied.
pub const MAX_DEPTH: usize = 16;

/// What a table decided about a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It goes on.
    Accept,
    /// It ends here.
    Drop,
    /// It ends here, and its sender is told so.
    Reject(RejectWith),
    /// It goes on translated, as are all packets of its connection.
    Nat(Nat),
}

/// What gave a verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decider {
    /// The chain of the rule.
    pub chain: ChainId,
    /// Its number, from 0; the number of rules if it was the chain's policy.
    pub number: u32,
}

/// Asks `table` at `hook` about a packet; says who decided.
///
/// MARK, CONNMARK, CT, TCPMSS and TRACE write into `packet`; counters and memories of `state` move on. A table
/// without built-in chain for the hook accepts, and nobody decided. Steps are written to `trail`.
pub fn evaluate(
    table: &Table,
    state: &mut RuleState,
    hook: Hook,
    packet: &mut RulePacket<'_>,
    trail: &mut Trail,
) -> (Verdict, Option<Decider>) {
    let Some(base) = table.base_chain(hook) else { return (Verdict::Accept, None) };
    let states = &mut state.tables[table.name.index()];
    if states.len() < table.chains.len() {
        states.resize_with(table.chains.len(), ChainState::default);
    }
    let (verdict, decider) = Walk { table, state, packet, trail, stack: [(base, 0); MAX_DEPTH], depth: 0 }.run(base);
    (verdict, Some(decider))
}

/// How the walk leaves a chain.
enum Leave {
    /// With the verdict of the rule with this number.
    Verdict(Verdict, usize),
    /// For another chain.
    For(ChainId),
    /// By RETURN or by its end.
    Return,
}

struct Walk<'w, 'a> {
    table: &'w Table,
    state: &'w mut RuleState,
    packet: &'w mut RulePacket<'a>,
    trail: &'w mut Trail,
    /// Where to go on after the end of a chain.
    stack: [(ChainId, usize); MAX_DEPTH],
    depth: usize,
}

impl Walk<'_, '_> {
    fn run(mut self, base: ChainId) -> (Verdict, Decider) {
        let (mut at, mut next) = (base, 0);
        loop {
            match self.chain(at, next) {
                Leave::Verdict(verdict, number) => return (verdict, Decider { chain: at, number: number as u32 }),
                Leave::For(chain) => (at, next) = (chain, 0),
                Leave::Return if self.depth == 0 => return self.policy(base),
                Leave::Return => {
                    self.depth -= 1;
                    (at, next) = self.stack[self.depth];
                }
            }
        }
    }

    /// Asks the rules of one chain from number `first` on.
    fn chain(&mut self, at: ChainId, first: usize) -> Leave {
        let chain = self.table.chain(at).expect("a jump of an applied ruleset leads to a chain");
        self.state.tables[self.table.name.index()][at.index()].enter(chain);
        for (number, entry) in chain.rules.iter().enumerate().skip(first) {
            match self.ask(at, number, &entry.rule) {
                Answer::Yes => {}
                Answer::No => continue,
                Answer::Hotdrop => {
                    self.note(at, number, Step::Hotdrop);
                    return Leave::Verdict(Verdict::Drop, number);
                }
            }
            self.note(at, number, Step::Rule);
            match &entry.rule.target {
                None => {}
                Some(Target::Accept) => return Leave::Verdict(Verdict::Accept, number),
                Some(Target::Drop) => return Leave::Verdict(Verdict::Drop, number),
                Some(Target::Return) if self.packet.planted.is(Mutant::ReturnAccepts) => {
                    return Leave::Verdict(Verdict::Accept, number);
                }
                Some(Target::Return) => return Leave::Return,
                Some(target) if self.comes_back(target) => {
                    assert!(self.depth < MAX_DEPTH, "a ruleset that nests too deep was applied");
                    self.stack[self.depth] = (at, number + 1);
                    self.depth += 1;
                    return Leave::For(entry.jump.expect("a jump of an applied ruleset leads somewhere"));
                }
                Some(Target::Jump(_) | Target::Goto(_)) => {
                    return Leave::For(entry.jump.expect("a goto of an applied ruleset leads somewhere"));
                }
                Some(Target::Action(action)) => {
                    if let Some(verdict) = action.act(self.packet) {
                        return Leave::Verdict(verdict, number);
                    }
                }
            }
        }
        if chain.base.is_none() {
            self.note(at, chain.rules.len(), Step::Return);
        }
        Leave::Return
    }

    /// Whether the chain that a rule leads to is left for the next rule.
    fn comes_back(&self, target: &Target) -> bool {
        match target {
            Target::Jump(_) => true,
            Target::Goto(_) => self.packet.planted.is(Mutant::GotoComesBack),
            _ => false,
        }
    }

    /// Whether the packet fits a rule, which then counts it.
    fn ask(&mut self, at: ChainId, number: usize, rule: &Rule) -> Answer {
        if !rule.selector.fits(self.packet) {
            return Answer::No;
        }
        let cell = &mut self.state.tables[self.table.name.index()][at.index()].rules[number];
        for (i, ask) in rule.matches.iter().enumerate() {
            let mut nothing = MatchMemory::None;
            let memory = cell.memory.get_mut(i).unwrap_or(&mut nothing);
            let RuleState { recent, hashlimits, .. } = self.state;
            match ask.asks(&mut Question { packet: self.packet, memory, recent, hashlimits }) {
                Answer::Yes => {}
                other => return other,
            }
        }
        cell.counters.add(self.packet.ip.total_len);
        Answer::Yes
    }

    fn policy(&mut self, at: ChainId) -> (Verdict, Decider) {
        let chain = self.table.chain(at).expect("a base chain is never removed");
        let base = chain.base.expect("a walk begins in a base chain");
        self.state.tables[self.table.name.index()][at.index()].policy.add(self.packet.ip.total_len);
        self.note(at, chain.rules.len(), Step::Policy(base.policy));
        let verdict = match base.policy {
            Policy::Accept => Verdict::Accept,
            Policy::Drop if self.packet.planted.is(Mutant::PolicyIgnored) => Verdict::Accept,
            Policy::Drop => Verdict::Drop,
        };
        (verdict, Decider { chain: at, number: chain.rules.len() as u32 })
    }

    /// Writes a step, with the mark before the rule's target has acted.
    fn note(&mut self, chain: ChainId, number: usize, step: Step) {
        let (mark, traced) = (self.packet.mark, self.packet.traced);
        if traced || self.trail.whole {
            let table = self.table.name;
            self.trail.steps.push(TraceStep { table, chain, number: number as u32, step, mark, traced });
        }
    }
}
