//! What random cases met: matches and targets that packets reached, hooks, drop reasons, states of connections;
//! of scripts, which segments came in which states, and what was counted.

mod script;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sim_core::engine::rng::Seed;
use sim_core::engine::trail::DropReason;
use sim_core::netfilter::hooks::Hook;
use sim_core::netfilter::rules::Match;
use sim_core::netfilter::rules::targets::Action;
use sim_core::wire::ip::Family;
use sim_core::world::{RulesOf, World};

use crate::lab::kernel::Kernel;
use crate::lab::run::{self, RunError};
use crate::lab::script::run as run_script;
use crate::lab::spec::Asked;
use crate::lab::world::LabWorld;

/// In how many cases each thing was met. What never was is there too, with 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Coverage {
    rows: BTreeMap<Thing, u64>,
}

/// A kind of thing and its name: `("match", "conntrack")`.
pub type Thing = (&'static str, String);

/// States of connections as `conntrack -L` shows them, with their protocol.
const STATES: &[&str] = &[
    "icmp",
    "icmp UNREPLIED",
    "icmpv6",
    "icmpv6 UNREPLIED",
    "tcp CLOSE",
    "tcp CLOSE_WAIT",
    "tcp ESTABLISHED",
    "tcp FIN_WAIT",
    "tcp LAST_ACK",
    "tcp SYN_RECV",
    "tcp SYN_SENT",
    "tcp SYN_SENT2",
    "tcp TIME_WAIT",
    "udp",
    "udp ASSURED",
    "udp UNREPLIED",
];

/// Targets that are no more than a verdict.
const VERDICTS: &[&str] = &["ACCEPT", "DROP", "RETURN"];

impl Default for Coverage {
    fn default() -> Self {
        let named = |kind: &'static str, names: &[&str]| names.iter().map(|name| (kind, (*name).to_owned())).collect();
        let hooks: Vec<&str> = Hook::ALL.iter().map(|hook| hook.chain()).collect();
        let reasons: Vec<&str> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        let targets = [Action::NAMES, VERDICTS, &["jump", "goto"]].concat();
        let kinds: [Vec<Thing>; 7] = [
            named("match", Match::NAMES),
            named("target", &targets),
            named("hook", &hooks),
            named("drop", &reasons),
            named("conntrack", STATES),
            named("counter", super::script::COUNTERS),
            script::all().collect(),
        ];
        Self { rows: kinds.into_iter().flatten().map(|thing| (thing, 0)).collect() }
    }
}

impl Coverage {
    /// Counts one case more for each of `things`.
    pub fn add(&mut self, things: BTreeSet<Thing>) {
        for thing in things {
            *self.rows.entry(thing).or_default() += 1;
        }
    }

    /// All rows, by kind and name.
    pub fn rows(&self) -> impl Iterator<Item = (&Thing, u64)> {
        self.rows.iter().map(|(thing, cases)| (thing, *cases))
    }
}

/// The emulator; it remembers what its last run met.
#[derive(Clone, Debug)]
pub struct Covered {
    /// The seed of what is drawn.
    pub seed: Seed,
    /// What the last run met.
    pub met: BTreeSet<Thing>,
}

impl Covered {
    /// Everything random comes from `seed`.
    pub const fn new(seed: Seed) -> Self {
        Self { seed, met: BTreeSet::new() }
    }
}

impl Kernel for Covered {
    fn run(&mut self, asked: &Asked, stop: &dyn Fn() -> bool) -> Result<Value, RunError> {
        self.met.clear();
        let mut bench = LabWorld::new(self.seed);
        match asked {
            Asked::Steps(spec) => {
                let result = run::run(spec, &mut bench, stop)?;
                self.met = met(bench.world(), &result);
                Ok(result)
            }
            Asked::Script(script) => {
                let result = run_script(script, &mut bench, stop)?.result;
                self.met = script::met(script, &result);
                Ok(result)
            }
        }
    }
}

/// What a run met: `world` is how it ended, `result` what was told of it.
fn met(world: &World, result: &Value) -> BTreeSet<Thing> {
    let mut things: BTreeSet<Thing> = BTreeSet::new();
    things.extend(world.drops().iter().map(|(place, _)| ("drop", place.reason.name().to_owned())));
    for netns in world.all_netns().filter(|netns| netns.name.starts_with('n')) {
        for family in Family::ALL {
            let saved = world.iptables_save(RulesOf { netns: netns.id, family }, true);
            saved.lines().for_each(|line| of_rule(line, &mut things));
        }
    }
    let tables = result.as_array().into_iter().flatten().filter_map(|step| step["ct"].as_object());
    let entries = tables.flat_map(|tables| tables.values()).filter_map(Value::as_array).flatten();
    things.extend(entries.map(|entry| ("conntrack", state(entry))));
    things
}

/// The matches, the target and the hook of a rule that fitted a packet; the hook of a chain that let one through.
fn of_rule(line: &str, things: &mut BTreeSet<Thing>) {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        [chain, _, counters] if chain.starts_with(':') && !counters.starts_with("[0:") => {
            things.extend(
                Hook::ALL
                    .iter()
                    .filter(|hook| hook.chain() == &chain[1..])
                    .map(|hook| ("hook", hook.chain().to_owned())),
            );
        }
        [counters, "-A", ..] if !counters.starts_with("[0:") => {
            for pair in words.windows(2) {
                match *pair {
                    ["-m", name] => things.insert(("match", name.to_owned())),
                    ["-g", _] => things.insert(("target", "goto".to_owned())),
                    ["-j", name] => things.insert(("target", if is_chain(name) { "jump" } else { name }.to_owned())),
                    _ => false,
                };
            }
        }
        _ => {}
    }
}

fn is_chain(name: &str) -> bool {
    !Action::NAMES.contains(&name) && !VERDICTS.contains(&name)
}

fn state(entry: &Value) -> String {
    let proto = entry["p"].as_str().unwrap_or("other");
    let has = |status: &str| entry["st"].as_array().is_some_and(|all| all.iter().any(|one| one == status));
    match entry["state"].as_str() {
        Some(state) => format!("{proto} {state}"),
        None if has("UNREPLIED") => format!("{proto} UNREPLIED"),
        None if has("ASSURED") => format!("{proto} ASSURED"),
        None => proto.to_owned(),
    }
}
