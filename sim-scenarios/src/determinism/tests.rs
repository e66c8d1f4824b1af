use sim_core::engine::rng::Seed;
use sim_k8s::manifest::{SourceFile, load};
use sim_k8s::workload::infer_calls;

use super::*;
use crate::run::RunConfig;
use sim_k8s::cluster::ClusterConfig;

fn run(seed: u64) -> Run {
    let text = include_str!("../../../examples/shop/shop.yaml").to_owned();
    let loaded = load(&[SourceFile { name: "shop.yaml".into(), text }]).unwrap();
    let cluster = ClusterConfig { seed: Seed(seed), ..ClusterConfig::default() };
    let config = RunConfig { cluster, ..RunConfig::default() };
    Run::new(&loaded.objects, &infer_calls(&loaded.objects), config).unwrap()
}

#[test]
fn two_runs_of_one_seed_do_not_differ() {
    assert_eq!(compare([run(1), run(1)], |_| true), None);
}

#[test]
fn the_first_event_that_differs_is_found_and_shown() {
    let Difference { event, was: [one, two] } = compare([run(1), run(2)], |_| true).unwrap();
    let built = run(1).world().fingerprint().events();
    assert!(event >= built, "up to event {built} both were built alike, but this is {event}");
    assert_ne!(one, two);
    assert!(one.starts_with("at ") && two.starts_with("at "), "{one}\n{two}");
}

#[test]
fn a_difference_before_the_first_step_is_told_too() {
    let mut meddled = run(1);
    let node = meddled.cluster().nodes[0].netns;
    meddled.world_mut().sysctl(node, "net.ipv4.ip_default_ttl", "9").unwrap();
    let difference = compare([run(1), meddled], |_| true).unwrap();
    assert_eq!(difference.event, 0);
    assert!(difference.was[0].starts_with("the cluster as built"), "{difference:?}");
}

#[test]
fn who_is_told_to_stop_stops() {
    let mut asked = 0;
    let difference = compare([run(1), run(1)], |_| {
        asked += 1;
        false
    });
    assert_eq!((difference, asked), (None, 1));
}
