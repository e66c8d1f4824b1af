//! The trail of a packet that TRACE has marked, as the two backends of iptables show it.

use super::rule::{Rule, Target};
use super::table::{ChainId, Policy, Table, TableName};
use super::targets::Action;

/// What was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A rule fitted.
    Rule,
    /// The end of a user's chain was reached.
    Return,
    /// The policy of a built-in chain decided.
    Policy(Policy),
    /// A match of the rule dropped the packet by itself (`hotdrop`). No trace of the kernel shows it.
    Hotdrop,
}

/// One step of the trail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceStep {
    /// In which table.
    pub table: TableName,
    /// In which chain.
    pub chain: ChainId,
    /// Which rule, from 0; the number of rules at a chain's end.
    pub number: u32,
    /// What was seen.
    pub step: Step,
    /// The packet's mark at that moment, before the rule's target acted.
    pub mark: u32,
    /// Whether TRACE had marked the packet: what the kernel would show.
    pub traced: bool,
}

/// The steps of a packet through one table.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trail {
    /// Whether each step is noted, not only those of a packet that TRACE has marked. Default no.
    pub whole: bool,
    /// The steps, in order.
    pub steps: Vec<TraceStep>,
}

impl TraceStep {
    /// The line of `xtables-monitor --trace` without its head, for example `filter INPUT policy ACCEPT`; `None` for
    /// what it does not show: ends of users' chains, and TRACE itself.
    pub fn nft(&self, table: &Table) -> Option<String> {
        let chain = table.chain(self.chain)?;
        let place = format!("{} {}", self.table, chain.name);
        match self.step {
            Step::Return | Step::Hotdrop => None,
            Step::Policy(policy) => Some(format!("{place} policy {policy}")),
            Step::Rule => {
                let rule = &chain.rules.get(self.number as usize)?.rule;
                if matches!(rule.target, Some(Target::Action(Action::Trace(_)))) {
                    return None;
                }
                let text = crate::netfilter::text::rule::print(&chain.name, rule);
                Some(format!("{place} rule {}  {text}", nft_verdict(rule)))
            }
        }
    }

    /// The line of the legacy backend's log, for example `filter INPUT policy 3`; rules count from 1. A rule without
    /// any condition that ends or leaves the chain is shown as if it were the chain's end
    /// (net/ipv4/netfilter/ip_tables.c, `get_chainname_rulenum`).
    pub fn legacy(&self, table: &Table) -> Option<String> {
        if self.step == Step::Hotdrop {
            return None;
        }
        let chain = table.chain(self.chain)?;
        let end = if chain.base.is_some() { "policy" } else { "return" };
        let rule = chain.rules.get(self.number as usize).map(|e| &*e.rule);
        let plain =
            |r: &Rule| r.is_unconditional() && matches!(r.target, Some(Target::Accept | Target::Drop | Target::Return));
        let kind = match (self.step, rule) {
            (Step::Rule, Some(rule)) if !plain(rule) => "rule",
            _ => end,
        };
        Some(format!("{} {} {kind} {}", self.table, chain.name, self.number + 1))
    }
}

/// What nft calls the verdict of a rule: a target that translates accepts, one that rejects drops.
fn nft_verdict(rule: &Rule) -> String {
    match &rule.target {
        Some(
            Target::Accept
            | Target::Action(Action::Dnat(_) | Action::Snat(_) | Action::Masquerade(_) | Action::Redirect(_)),
        ) => "ACCEPT".into(),
        Some(Target::Drop | Target::Action(Action::Reject(_))) => "DROP".into(),
        Some(Target::Return) => "RETURN".into(),
        Some(Target::Jump(chain)) => format!("JUMP:{chain}"),
        Some(Target::Goto(chain)) => format!("GOTO:{chain}"),
        None | Some(Target::Action(_)) => "CONTINUE".into(),
    }
}
