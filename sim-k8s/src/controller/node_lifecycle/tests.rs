use super::super::bench::{Bench, node, workload};
use super::*;
use crate::api::{Labels, ObjectRef, Toleration, WorkloadKind};

/// A cluster with a Deployment of three pods.
struct Living {
    bench: Bench,
}

impl Living {
    fn new() -> Self {
        let mut living = Self { bench: Bench::new() };
        living.bench.create(Object::Workload(workload(WorkloadKind::Deployment, "web", 3).into()));
        living.run(20);
        living
    }

    fn run(&mut self, secs: u64) {
        self.bench.run_secs(secs);
    }

    /// From now on a node says nothing, or says again what it has to.
    fn label(&mut self, name: &str, labels: Labels) {
        let node = Node { labels, ..Node::clone(self.node(name)) };
        self.bench.update(Object::Node(node.into()));
    }

    fn kill(&mut self, name: &str) {
        self.label(name, [("dead".into(), String::new())].into());
    }

    fn node(&self, name: &str) -> &Node {
        &self.bench.objects().nodes[name]
    }

    /// Ready pods of a node, and those that are not going away.
    fn pods(&self, name: &str) -> (usize, usize) {
        let ready = self.bench.objects().pods_on(name).filter(|pod| pod.status.ready).count();
        (ready, self.bench.objects().pods_on(name).filter(|pod| !pod.is_terminating()).count())
    }

    fn taints(&self, name: &str) -> Vec<(&str, TaintEffect)> {
        self.node(name).taints.iter().map(|taint| (taint.key.as_str(), taint.effect)).collect()
    }
}

#[test]
fn pods_of_a_silent_node_are_not_ready_after_fifty_seconds_and_evicted_five_minutes_later() {
    let mut living = Living::new();
    living.kill("n1");
    living.run(39);
    assert_eq!((living.node("n1").ready, living.pods("n1")), (Condition::True, (1, 1)));
    // 50 s less up to 10 s since its last sign of life and up to 5 s to the next look; 5 s more to the taint.
    living.run(22);
    assert_eq!((living.node("n1").ready, living.pods("n1")), (Condition::Unknown, (0, 1)));
    let both = [(UNREACHABLE, TaintEffect::NoSchedule), (UNREACHABLE, TaintEffect::NoExecute)];
    assert_eq!(living.taints("n1"), both);
    living.run(280);
    assert_eq!(living.pods("n1"), (0, 1), "tolerationSeconds 300 are not over");
    living.run(30);
    assert_eq!(living.pods("n1"), (0, 0));
    assert_eq!(living.bench.pods().len(), 3, "it was replaced");
}

#[test]
fn a_node_that_comes_back_keeps_its_pods() {
    let mut living = Living::new();
    living.kill("n1");
    living.run(60);
    living.label("n1", Labels::new());
    living.run(10);
    let patch = NodePatch { ready: Some(Condition::True), ..NodePatch::default() };
    let request = Request::PatchNode { node: "n1".into(), patch };
    living.bench.plane.kubectl(&mut living.bench.world, request).expect("it is there");
    living.run(10);
    assert_eq!(living.taints("n1"), []);
    living.run(400);
    assert_eq!(living.pods("n1").1, 1);
}

#[test]
fn when_all_nodes_fall_silent_nobody_is_evicted() {
    let mut living = Living::new();
    ["n1", "n2", "n3"].iter().for_each(|name| living.kill(name));
    living.run(500);
    let unknown = |name: &str| living.node(name).ready == Condition::Unknown;
    assert!(["n1", "n2", "n3"].iter().all(|name| unknown(name) && living.pods(name).1 == 1));
}

#[test]
fn nodes_that_cannot_take_pods_are_tainted_as_long_as_that_is_so() {
    let mut living = Living::new();
    let bad = Node { unschedulable: true, network_available: false, ..Node::clone(living.node("n2")) };
    living.bench.update(Object::Node(bad.into()));
    living.bench.run_secs(1);
    let expected = [NETWORK_UNAVAILABLE, UNSCHEDULABLE].map(|key| (key, TaintEffect::NoSchedule));
    assert_eq!(living.taints("n2"), expected);
    let good = Node { unschedulable: false, network_available: true, ..Node::clone(living.node("n2")) };
    living.bench.update(Object::Node(good.into()));
    living.bench.run_secs(1);
    assert_eq!(living.taints("n2"), []);
}

#[test]
fn a_taint_evicts_who_does_not_tolerate_it_at_once_and_others_when_their_time_is_over() {
    let mut bench = Bench::new();
    let tolerant = |name: &str, seconds| {
        let mut set = workload(WorkloadKind::Pod, name, 1);
        let toleration = Toleration { key: Some("fire".into()), seconds, ..Toleration::default() };
        set.template = super::super::bench::changed(&set, |template| {
            template.tolerations.extend((name != "none").then_some(toleration));
            template.node_name = Some("n1".into());
        });
        Object::Pod(super::super::bare_pod(&set).into())
    };
    for pod in [tolerant("none", None), tolerant("brief", Some(10)), tolerant("ever", None)] {
        bench.create(pod);
    }
    bench.run_secs(3);
    let mut burning = Node::clone(&bench.objects().nodes["n1"]);
    burning.taints.push(Taint { key: "fire".into(), value: String::new(), effect: TaintEffect::NoExecute });
    bench.update(Object::Node(burning.into()));
    bench.run_secs(1);
    assert_eq!(bench.pods(), ["brief", "ever"]);
    bench.run_secs(10);
    assert_eq!(bench.pods(), ["ever"]);
}

#[test]
fn pods_of_a_deleted_node_go_when_it_has_been_missing_for_a_while_and_are_replaced() {
    let mut living = Living::new();
    living.bench.delete(ObjectRef::node("n1"));
    living.run(30);
    assert_eq!(living.pods("n1").1, 1);
    living.run(40);
    assert_eq!(living.pods("n1").1, 0);
    assert_eq!(living.bench.pods().len(), 3, "it was replaced");
}

#[test]
fn a_zone_is_disrupted_when_more_than_two_and_more_than_half_of_its_nodes_are_unhealthy() {
    let state = |ready: usize, silent: usize| {
        let silent = (0..silent).map(|_| Node { ready: Condition::Unknown, ..node("n") });
        let nodes: Vec<Node> = (0..ready).map(|_| node("n")).chain(silent).collect();
        zone_state(nodes.iter()).0
    };
    assert_eq!([state(3, 0), state(1, 2), state(3, 3)], [ZoneState::Normal; 3]);
    assert_eq!([state(2, 3), state(0, 3)], [ZoneState::Partial, ZoneState::Full]);
}
