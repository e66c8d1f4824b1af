//! The scheduler among others: what it hears, what it asks, and when.

use std::collections::BTreeMap;
use std::sync::Arc;

use sim_core::engine::rng::Seed;
use sim_core::engine::time::{Duration, Instant};
use sim_core::world::{Happened, World};

use super::super::Scheduler;
use super::{node, pod, tainted};
use crate::agent::ControlPlane;
use crate::api::{Node, Object, ObjectKey, ObjectRef, Pod, Service, TaintEffect};
use crate::apiserver::{Apiserver, Request};
use crate::manifest::{SourceFile, load};
use crate::timings::Timings;

/// One for the pods of these tests.
fn service() -> Service {
    let text =
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n";
    let file = SourceFile { name: "service.yaml".into(), text: text.into() };
    load(&[file]).expect("a Service").objects.services.remove(0)
}

struct Bench {
    world: World,
    plane: ControlPlane,
}

fn at(milliseconds: u64) -> Instant {
    Instant::START + Duration::from_millis(milliseconds)
}

impl Bench {
    fn new(seed: u64, nodes: impl IntoIterator<Item = Node>) -> Self {
        let apiserver = Apiserver::new(&["10.96.0.0/12".parse().expect("a network")], Vec::new());
        let plane = ControlPlane::new(Seed(seed), Timings::default(), apiserver);
        let mut bench = Self { world: World::new(Seed(seed)), plane };
        bench.plane.spawn(&mut bench.world, "kube-scheduler", Box::new(Scheduler::new(&[])));
        nodes.into_iter().for_each(|node| bench.create(Object::Node(Arc::new(node))));
        bench
    }

    fn create(&mut self, object: Object) {
        self.ask(Request::Create(object));
    }

    fn ask(&mut self, request: Request) {
        self.plane.kubectl(&mut self.world, request).expect("granted");
    }

    fn pods(&mut self, pods: impl IntoIterator<Item = Arc<Pod>>) {
        pods.into_iter().for_each(|pod| self.create(Object::Pod(pod)));
    }

    fn run(&mut self, until: Instant) {
        while let Some(happened) = self.world.step(until) {
            if let Happened::Alarm(token) = happened {
                assert!(self.plane.alarm(&mut self.world, token));
            }
        }
    }

    fn pod(&self, name: &str) -> &Pod {
        &self.plane.objects().pods[&ObjectKey::new("default", name)]
    }

    fn node_of(&self, name: &str) -> Option<&str> {
        self.pod(name).node_name.as_deref()
    }

    /// How many pods each node has.
    fn load(&self) -> BTreeMap<String, usize> {
        let mut load = BTreeMap::new();
        for pod in self.plane.objects().pods.values() {
            *load.entry(pod.node_name.clone().unwrap_or_default()).or_default() += 1;
        }
        load
    }

    fn delete(&mut self, name: &str, grace: Option<Duration>) {
        let object = ObjectRef::pod(ObjectKey::new("default", name));
        self.ask(Request::Delete { object, uid: None, grace });
    }
}

#[test]
fn pods_are_bound_one_after_the_other_and_spread() {
    let mut bench = Bench::new(1, ["n1", "n2", "n3"].map(|name| node(name, "")));
    bench.create(Object::Service(Arc::new(service())));
    bench.pods((0..30).map(|number| pod(&format!("p{number:02}"), "")));
    bench.run(at(200));
    let early = bench.load();
    assert!((8..=20).contains(&(30 - early[""])), "about one in 10 ms: {early:?}");
    bench.run(at(1000));
    assert_eq!(bench.load(), BTreeMap::from([("n1".into(), 10), ("n2".into(), 10), ("n3".into(), 10)]));
}

#[test]
fn the_seed_decides_between_equals() {
    let placed = |seed| {
        let mut bench = Bench::new(seed, ["n1", "n2", "n3"].map(|name| node(name, "")));
        bench.pods((0..10).map(|number| pod(&format!("p{number:02}"), "")));
        bench.run(at(1000));
        (0..10).map(|number| bench.node_of(&format!("p{number:02}")).map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(placed(7), placed(7));
    assert_ne!(placed(7), placed(8));
}

#[test]
fn the_important_come_first() {
    let mut bench = Bench::new(1, [node("n1", "")]);
    let mut important = Pod::clone(&pod("z", ""));
    Arc::make_mut(&mut important.template).priority = 10;
    bench.pods((0..20).map(|number| pod(&format!("p{number:02}"), "")).chain([Arc::new(important)]));
    bench.run(at(120));
    assert_eq!(bench.node_of("z"), Some("n1"));
    assert!(bench.load()[""] > 5);
}

#[test]
fn a_pod_that_fits_nowhere_says_why_and_waits_for_a_change() {
    let mut bench = Bench::new(1, [tainted("n1", "gpu", TaintEffect::NoSchedule)]);
    bench.pods([pod("p", "")]);
    bench.run(at(500));
    let why = bench.pod("p").status.unschedulable.clone().expect("it says why");
    assert!(why.starts_with("0/1 nodes are available: 1 node(s) had untolerated taint {gpu: }."), "{why}");
    bench.run(at(60_000));
    let version = bench.plane.version();
    bench.run(at(120_000));
    assert_eq!(bench.plane.version(), version, "nothing happens while nothing changes");
    bench.create(Object::Node(Arc::new(node("n2", ""))));
    bench.run(at(120_200));
    assert_eq!(bench.node_of("p"), Some("n2"), "long after its backoff it is tried at once");
    assert_eq!(bench.pod("p").status.unschedulable, None);
}

#[test]
fn a_pod_that_failed_a_moment_ago_rests_before_it_is_tried_again() {
    let mut bench = Bench::new(1, [tainted("n1", "gpu", TaintEffect::NoSchedule)]);
    bench.pods([pod("p", "")]);
    bench.run(at(300));
    bench.create(Object::Node(Arc::new(node("n2", ""))));
    bench.run(at(1990));
    assert_eq!(bench.node_of("p"), None, "a second of backoff, looked for at whole seconds");
    bench.run(at(2100));
    assert_eq!(bench.node_of("p"), Some("n2"));
}

#[test]
fn a_pod_that_leaves_makes_room() {
    let mut small = node("n1", "");
    small.allocatable.insert("pods".into(), 1);
    let mut bench = Bench::new(1, [small]);
    bench.pods([pod("a", "")]);
    bench.run(at(500));
    bench.pods([pod("b", "")]);
    bench.run(at(20_000));
    assert!(bench.pod("b").status.unschedulable.as_ref().is_some_and(|why| why.contains("1 Too many pods")));
    bench.delete("a", Some(Duration::ZERO));
    bench.run(at(21_000));
    assert_eq!(bench.node_of("b"), Some("n1"));
}

#[test]
fn a_pod_deleted_before_its_turn_is_forgotten() {
    let mut bench = Bench::new(1, [node("n1", "")]);
    bench.pods([pod("a", ""), pod("b", "")]);
    bench.run(at(15));
    bench.delete("b", None);
    bench.run(at(1000));
    assert_eq!((bench.node_of("a"), bench.plane.objects().pods.len()), (Some("n1"), 1));
}

#[test]
fn the_more_important_pod_gets_the_node_once_it_is_cleared() {
    let mut small = node("n1", "");
    small.allocatable.insert("pods".into(), 1);
    let mut bench = Bench::new(1, [small]);
    bench.pods([pod("low", "")]);
    bench.run(at(500));
    let mut high = Pod::clone(&pod("high", ""));
    Arc::make_mut(&mut high.template).priority = 10;
    bench.pods([Arc::new(high)]);
    bench.run(at(1000));
    assert!(bench.pod("low").is_terminating(), "it was asked to go");
    assert_eq!(bench.node_of("high"), None, "it waits until it is gone");
    // As its kubelet does when it has ended.
    bench.delete("low", Some(Duration::ZERO));
    bench.run(at(5000));
    assert_eq!(bench.node_of("high"), Some("n1"));
}
