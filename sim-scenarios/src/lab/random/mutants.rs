//! How many random cases it takes to find each planted mistake.

use std::collections::BTreeMap;

use serde_json::Value;
use sim_core::engine::mutant::Mutant;
use sim_core::engine::rng::Seed;

use super::shrink::smallest;
use super::trial::{Trial, run};
use super::{Case, Kind};
use crate::lab::kernel::{Emulator, Kernel};
use crate::lab::run::{self, RunError};
use crate::lab::script::run as run_script;
use crate::lab::spec::Asked;
use crate::lab::world::LabWorld;

/// The emulator with a mistake.
struct Mutated(Mutant);

impl Kernel for Mutated {
    fn run(&mut self, asked: &Asked, stop: &dyn Fn() -> bool) -> Result<Value, RunError> {
        let mut bench = LabWorld::planted(Seed(1), self.0);
        match asked {
            Asked::Steps(spec) => run::run(spec, &mut bench, stop),
            Asked::Script(script) => run_script(script, &mut bench, stop).map(|done| done.result),
        }
    }
}

/// A result that is there already.
struct Recorded(Result<Value, RunError>);

impl Kernel for Recorded {
    fn run(&mut self, _: &Asked, _: &dyn Fn() -> bool) -> Result<Value, RunError> {
        self.0.clone()
    }
}

/// TCP's own mistakes come last.
fn kind(mutant: Mutant) -> Kind {
    if mutant < Mutant::TcpResetAnywhere { Kind::Cluster } else { Kind::Tcp }
}

/// Of the cases of one seed and kind the number of the first that shows each mutant of that kind, counted from 1; those
/// that none of the first `most` shows are left out.
fn found(kind_of_case: Kind, seed: Seed, most: u64) -> BTreeMap<Mutant, u64> {
    let mutants: Vec<Mutant> = Mutant::ALL.iter().copied().filter(|mutant| kind(*mutant) == kind_of_case).collect();
    let mut found = BTreeMap::new();
    for number in 0..most {
        let spec = Case { kind: kind_of_case, seed, number }.spec();
        let document = crate::lab::spec::Document::read(&spec.to_string()).unwrap();
        let mut right = Recorded(Emulator(Seed(1)).run(&document.asked, &|| false));
        for mutant in &mutants {
            if !found.contains_key(mutant)
                && let Trial::Differ(_) = run(&spec, &mut right, &mut Mutated(*mutant), &|| false).unwrap()
            {
                found.insert(*mutant, number + 1);
            }
        }
        if found.len() == mutants.len() {
            break;
        }
    }
    found
}

/// docs/parity.md has the table, and it is true.
#[test]
fn every_planted_mistake_is_found_within_a_hundred_cases() {
    let kinds = [Kind::Cluster, Kind::Tcp];
    let found: BTreeMap<_, _> = kinds.into_iter().flat_map(|kind| found(kind, Seed(1), 100)).collect();
    let missed: Vec<_> = Mutant::ALL.iter().filter(|mutant| !found.contains_key(mutant)).collect();
    assert!(missed.is_empty(), "{missed:?}");
    let table: String = found.iter().map(|(mutant, cases)| format!("| `{mutant:?}` | {cases} |\n")).collect();
    let docs = include_str!("../../../../docs/parity.md");
    assert!(docs.contains(&table), "docs/parity.md should have\n{table}");
}

#[test]
fn a_mistake_shrinks_to_one_packet() {
    let mut differs = |spec: &Value| match run(spec, &mut Emulator(Seed(1)), &mut Mutated(Mutant::TtlKept), &|| false) {
        Ok(Trial::Differ(found)) => found.kind() == "/hops/ip/ttl differs",
        _ => false,
    };
    let specs = (0..20).map(|number| Case { kind: Kind::Cluster, seed: Seed(1), number }.spec());
    let found = specs.into_iter().find(|spec| differs(spec)).unwrap();
    let small = smallest(found, &mut differs);
    assert_eq!(small["steps"].as_array().map(Vec::len), Some(1), "{small:#}");
    assert_eq!((small.get("rules"), small.get("sysctl"), small.get("servers")), (None, None, None));
}
