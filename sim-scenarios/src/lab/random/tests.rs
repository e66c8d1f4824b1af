use sim_core::engine::rng::Seed;

use super::coverage::{Coverage, Covered};
use super::trial::{self, Trial};
use super::{Case, Dice};
use crate::lab::kernel::Emulator;

fn case(number: u64) -> Case {
    Case { seed: Seed(5), number }
}

#[test]
fn a_case_is_the_same_each_time_and_unlike_the_others() {
    assert_eq!(case(3).spec(), case(3).spec());
    assert_ne!(case(3).spec(), case(4).spec());
    assert_ne!(case(3).spec(), Case { seed: Seed(6), number: 3 }.spec());
}

/// Rules that the kernel would not load test nothing; and whatever our own seed draws must not show.
#[test]
fn every_case_can_be_run_and_shows_nothing_that_is_drawn() {
    let mut coverage = Coverage::default();
    let mut here = Covered::new(Seed(1));
    for number in 0..60 {
        match trial::run(&case(number).spec(), &mut Emulator(Seed(2)), &mut here, &|| false).unwrap() {
            Trial::Agree => {}
            Trial::Refused(why) => panic!("case {number}: {why}"),
            Trial::Differ(found) => panic!("case {number}: {}", found.at),
        }
        coverage.add(std::mem::take(&mut here.met));
    }
    let missed: Vec<_> = coverage.rows().filter(|((kind, _), cases)| *kind == "hook" && *cases < 10).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn a_weight_is_how_often_something_is_drawn() {
    let mut dice = Dice::new(Seed(1).stream("test", 0));
    let drawn = (0..1000).filter(|_| dice.weighed(&[(1, true), (9, false)])).count();
    assert!((60..140).contains(&drawn), "{drawn}");
}
