//! Which rules were looked at for a packet, table by table.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use sim_core::capture::{Asked, Decision, Seen};
use sim_core::netfilter::rules::{Chain, Step, Target};
use sim_core::netfilter::text::rule;
use sim_core::wire::packet::PacketId;

use crate::run::Run;

/// Rules that did not fit are shown one by one up to this many in a row; of more, how many they are.
const SHOWN: usize = 10;

/// What one table did with a packet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TableWalk {
    /// In which netns, by name.
    pub netns: String,
    /// At which hook: `PREROUTING`.
    pub hook: &'static str,
    /// Which table: `nat`.
    pub table: String,
    /// Each rule that was looked at, in that order.
    pub rules: Vec<LookedAt>,
    /// The policy of the built-in chain, if it decided: `ACCEPT`.
    pub policy: Option<String>,
}

/// A rule that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LookedAt {
    /// Its chain.
    pub chain: String,
    /// Its number there, from 1.
    pub number: usize,
    /// How many jumps led to the chain.
    pub depth: usize,
    /// Whether it fitted the packet.
    pub fits: bool,
    /// The rule, as iptables-save prints it.
    pub rule: String,
}

/// The tables that were asked about a packet, in that order.
pub(super) fn of(packet: PacketId, seen: &[Seen], run: &Run) -> Vec<TableWalk> {
    let frames = seen.iter().filter(|seen| seen.packet() == packet);
    let asked = frames.flat_map(|seen| {
        let netns = run.world().netns_name(seen.tap().0);
        seen.decisions().iter().filter_map(move |decision| match decision {
            Decision::Asked(asked) => Some((netns, asked)),
            _ => None,
        })
    });
    asked.map(|(netns, asked)| TableWalk::of(netns, asked)).collect()
}

impl TableWalk {
    fn of(netns: &str, asked: &Asked) -> Self {
        let mut walk = Self {
            netns: netns.to_owned(),
            hook: asked.hook.chain(),
            table: asked.table.to_string(),
            rules: Vec::new(),
            policy: None,
        };
        let mut places: BTreeMap<&str, Place> = BTreeMap::new();
        for (chain, step) in &asked.steps {
            let number = step.number as usize;
            let place = places.get(chain.name.as_ref()).copied().unwrap_or_default();
            let mut look = |number: usize, fits: bool| walk.rules.extend(looked_at(chain, number, place.depth, fits));
            (place.next..number).for_each(|number| look(number, false));
            match step.step {
                Step::Policy(policy) => walk.policy = Some(policy.to_string()),
                Step::Return => {}
                Step::Rule | Step::Hotdrop => {
                    look(number, true);
                    go_on(&mut places, chain, number, place.depth);
                }
            }
        }
        walk
    }
}

/// Where the walk is in a chain. A chain is never inside itself, so one place in each is enough.
#[derive(Clone, Copy, Default)]
struct Place {
    /// The rule that is looked at next.
    next: usize,
    depth: usize,
}

fn looked_at(chain: &Chain, number: usize, depth: usize, fits: bool) -> Option<LookedAt> {
    let rule = rule::print(&chain.name, &chain.rules.get(number)?.rule);
    Some(LookedAt { chain: chain.name.to_string(), number: number + 1, depth, fits, rule })
}

/// Where it goes on after a rule that fitted.
fn go_on<'a>(places: &mut BTreeMap<&'a str, Place>, chain: &'a Chain, number: usize, depth: usize) {
    let target = chain.rules.get(number).and_then(|entry| entry.rule.target.as_ref());
    let (to, left) = match target {
        Some(Target::Jump(to)) => (Some((to, depth + 1)), false),
        Some(Target::Goto(to)) => (Some((to, depth)), true),
        Some(Target::Return) => (None, true),
        _ => (None, false),
    };
    if let Some((to, depth)) = to {
        places.insert(to, Place { next: 0, depth });
    }
    places.insert(&chain.name, Place { next: if left { chain.rules.len() } else { number + 1 }, depth });
}

impl fmt::Display for TableWalk {
    /// A line for the table, and one for each rule: `yes` if it fitted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { netns, hook, table, rules, policy } = self;
        write!(f, "  {netns}: {hook} {table}")?;
        if let (true, Some(policy)) = (rules.is_empty(), policy) {
            return writeln!(f, " policy {policy}");
        }
        writeln!(f)?;
        for run in rules.chunk_by(|a, b| !a.fits && !b.fits && a.chain == b.chain) {
            let line = |f: &mut fmt::Formatter<'_>, rule: &LookedAt| {
                let (fits, LookedAt { number, depth, rule, .. }) = (if rule.fits { "yes" } else { "no" }, rule);
                writeln!(f, "    {fits:<4} {:1$}{number} {rule}", "", 2 * depth)
            };
            match run {
                [first, .., last] if run.len() > SHOWN => {
                    let LookedAt { chain, number, depth, .. } = first;
                    writeln!(f, "    no   {:1$}{number} to {2} of {chain}", "", 2 * depth, last.number)?;
                }
                run => run.iter().try_for_each(|rule| line(f, rule))?,
            }
        }
        policy.iter().try_for_each(|policy| writeln!(f, "    policy {policy}"))
    }
}
