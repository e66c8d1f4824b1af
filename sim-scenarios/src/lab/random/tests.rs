use sim_core::engine::rng::Seed;

use super::coverage::{Coverage, Covered};
use super::trial::{self, Trial};
use super::{Case, Dice, Kind};
use crate::lab::kernel::Emulator;

fn case(number: u64) -> Case {
    Case { kind: Kind::Cluster, seed: Seed(9), number }
}

/// What the first cases of a kind meet. They are run with two seeds of ours, and whatever these draw must not show.
fn coverage(kind: Kind, cases: u64) -> Coverage {
    let mut coverage = Coverage::default();
    let mut here = Covered::new(Seed(1));
    for number in 0..cases {
        let spec = Case { kind, ..case(number) }.spec();
        match trial::run(&spec, &mut Emulator(Seed(2)), &mut here, &|| false).unwrap() {
            Trial::Agree => {}
            Trial::Refused(why) => panic!("case {number}: {why}"),
            Trial::Differ(found) => panic!("case {number}: {}", found.at),
        }
        coverage.add(std::mem::take(&mut here.met));
    }
    coverage
}

#[test]
fn a_case_is_the_same_each_time_and_unlike_the_others() {
    assert_eq!(case(3).spec(), case(3).spec());
    assert_ne!(case(3).spec(), case(4).spec());
    assert_ne!(case(3).spec(), Case { kind: Kind::Cluster, seed: Seed(6), number: 3 }.spec());
}

/// Rules that the kernel would not load test nothing; and whatever our own seed draws must not show.
#[test]
fn every_case_can_be_run_and_shows_nothing_that_is_drawn() {
    let coverage = coverage(Kind::Cluster, 60);
    let missed: Vec<_> = coverage.rows().filter(|((kind, _), cases)| *kind == "hook" && *cases < 10).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn every_script_can_be_run_and_most_segments_come_in_most_states() {
    let coverage = coverage(Kind::Tcp, 200);
    let segments: Vec<_> = coverage.rows().filter(|((kind, _), _)| *kind == "segment").collect();
    let missed: Vec<_> = segments.iter().filter(|(_, cases)| *cases == 0).collect();
    assert!(missed.len() * 4 < segments.len(), "{missed:?}");
}

#[test]
fn a_weight_is_how_often_something_is_drawn() {
    let mut dice = Dice::new(Seed(1).stream("test", 0));
    let drawn = (0..1000).filter(|_| dice.weighed(&[(1, true), (9, false)])).count();
    assert!((60..140).contains(&drawn), "{drawn}");
}
