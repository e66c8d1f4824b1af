//! The more important pods push others out.

use std::sync::Arc;

use sim_core::engine::rng::Seed;
use sim_core::engine::time::{Duration, Instant};

use super::super::cycle::schedule;
use super::super::preemption::{Candidate, preempt};
use super::super::snapshot::PodClass;
use super::{Bench, node, pod};
use crate::api::{Node, Pod};

/// A pod of this priority that asks for so many cores.
fn asking(name: &str, priority: i32, cores: u32) -> Arc<Pod> {
    let fields = format!("  containers: [{{name: a, resources: {{requests: {{cpu: {cores}}}}}}}]\n");
    let mut pod = Pod::clone(&pod(name, &fields));
    Arc::make_mut(&mut pod.template).priority = priority;
    Arc::new(pod)
}

fn started(pod: &Pod, second: u64) -> Arc<Pod> {
    let mut pod = pod.clone();
    pod.status.started = Some(Instant::START + Duration::from_secs(second));
    Arc::new(pod)
}

fn with_cores(name: &str, cores: u64) -> Node {
    let mut node = node(name, "");
    node.allocatable.insert("cpu".into(), cores * 1000);
    node
}

/// Who has to go, and where.
fn victims(bench: &Bench, pod: &Pod) -> (String, Vec<String>) {
    let class = PodClass::of(pod);
    let (cycle, draws) = (bench.cycle(pod, &class), &mut Seed(1).stream("draws", 0));
    let failure = schedule(&cycle, &mut 0, draws).expect_err("it fits nowhere");
    let Candidate { node, victims } = preempt(&cycle, &failure, draws).unwrap_or_else(|why| panic!("{why:?}"));
    (node, victims.iter().map(|pod| pod.key.name.clone()).collect())
}

#[test]
fn as_few_go_as_are_needed_and_the_least_important_ones() {
    let bench = Bench::new([with_cores("n1", 4)])
        .with(asking("low", 1, 2), "n1")
        .with(asking("lower", 0, 1), "n1")
        .with(asking("high", 9, 1), "n1");
    assert_eq!(victims(&bench, &asking("p", 5, 1)), ("n1".into(), vec!["lower".into()]));
    assert_eq!(victims(&bench, &asking("p", 5, 2)), ("n1".into(), vec!["low".into()]));
    assert!(bench.failure(&asking("p", 5, 4)).contains("preemption: 0/1 nodes are available: 1 Insufficient cpu."));
}

#[test]
fn the_node_where_the_least_important_pods_are_is_cleared() {
    let bench = Bench::new(["n1", "n2", "n3"].map(|name| with_cores(name, 2)));
    let two = |bench: Bench, node: &str, priorities: [i32; 2]| {
        let name = |number: usize| format!("{node}-{number}");
        bench.with(asking(&name(0), priorities[0], 1), node).with(asking(&name(1), priorities[1], 1), node)
    };
    let bench = two(two(two(bench, "n1", [3, 0]), "n2", [2, 2]), "n3", [2, 1]);
    assert_eq!(
        victims(&bench, &asking("p", 5, 2)).0,
        "n3",
        "the highest is lower than on n1, the sum lower than on n2"
    );
}

#[test]
fn of_equals_those_started_last_go() {
    let bench = Bench::new([with_cores("n1", 1), with_cores("n2", 1)]);
    let bench = bench.with(started(&asking("old", 0, 1), 10), "n1").with(started(&asking("new", 0, 1), 20), "n2");
    assert_eq!(victims(&bench, &asking("p", 1, 1)), ("n2".into(), vec!["new".into()]));
}

#[test]
fn who_never_preempts_waits() {
    let bench = Bench::new([with_cores("n1", 1)]).with(asking("a", 0, 1), "n1");
    let mut patient = Pod::clone(&asking("p", 1, 1));
    Arc::make_mut(&mut patient.template).never_preempts = true;
    assert!(bench.failure(&patient).ends_with(" preemption: not eligible due to preemptionPolicy=Never."));
    assert!(
        bench.failure(&asking("q", 0, 1)).ends_with("1 No preemption victims found for incoming pod."),
        "not of equals"
    );
}

#[test]
fn a_node_that_is_being_cleared_is_kept_from_those_less_important() {
    let mut bench = Bench::new([with_cores("n1", 1)]);
    let important = asking("p", 5, 1);
    bench.nominated.insert(important.key.clone(), (important.clone(), "n1".into()));
    assert!(bench.failure(&asking("q", 1, 1)).contains("1 Insufficient cpu"));
    assert_eq!(bench.best(&important), super::set(&["n1"]));
    assert_eq!(bench.best(&asking("r", 9, 1)), super::set(&["n1"]));
}
