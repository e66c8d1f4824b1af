//! Decisions on a bench: nodes and pods as manifests say them, and where the next pod goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sim_core::engine::rng::Seed;

use super::cycle::{Cycle, schedule};
use super::preemption::{Futile, preempt};
use super::snapshot::{PodClass, Snapshot};
use crate::api::{
    Condition, Labels, Meta, Node, ObjectKey, Pod, PodStatus, Selector, Taint, TaintEffect, WorkloadKind, ZONE,
};
use crate::manifest::{SourceFile, load};

mod affinity;
mod control_plane;
mod preemption;
mod spread;

/// A pod of `default` with labels `app: web` and these fields of its spec, indented by two.
pub(super) fn pod(name: &str, fields: &str) -> Arc<Pod> {
    labelled(name, "app: web", fields)
}

pub(super) fn labelled(name: &str, labels: &str, fields: &str) -> Arc<Pod> {
    let container = if fields.contains("containers:") { "" } else { "  containers: [{name: main}]\n" };
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{{labels}}}}}\nspec:\n{container}{fields}"
    );
    let loaded = load(&[SourceFile { name: "pod.yaml".into(), text }]).unwrap_or_else(|errors| panic!("{errors:?}"));
    let workload = &loaded.objects.workloads[0];
    assert_eq!(workload.kind, WorkloadKind::Pod);
    Arc::new(Pod {
        key: workload.key.clone(),
        meta: Meta::default(),
        workload: workload.reference(),
        labels: Arc::new(workload.template.labels.clone()),
        template: workload.template.clone(),
        node_name: None,
        status: PodStatus::default(),
    })
}

/// A node with its hostname and, if it has one, its zone.
pub(super) fn node(name: &str, zone: &str) -> Node {
    let mut node = Node { ready: Condition::True, ..Node::new(name) };
    node.labels.insert("kubernetes.io/hostname".into(), name.into());
    if !zone.is_empty() {
        node.labels.insert(ZONE.into(), zone.into());
    }
    node
}

pub(super) fn tainted(name: &str, key: &str, effect: TaintEffect) -> Node {
    let mut node = node(name, "");
    node.taints.push(Taint { key: key.into(), value: String::new(), effect });
    node
}

#[derive(Default)]
pub(super) struct Bench {
    pub(super) snapshot: Snapshot,
    pub(super) namespaces: BTreeMap<String, Labels>,
    pub(super) default_selector: Option<Selector>,
    pub(super) nominated: BTreeMap<ObjectKey, (Arc<Pod>, String)>,
}

impl Bench {
    pub(super) fn new(nodes: impl IntoIterator<Item = Node>) -> Self {
        let mut bench = Self::default();
        nodes.into_iter().for_each(|node| bench.snapshot.set_node(&Arc::new(node)));
        bench
    }

    pub(super) fn with(mut self, pod: Arc<Pod>, node: &str) -> Self {
        self.snapshot.place(&pod, node);
        self
    }

    pub(super) fn cycle<'a>(&'a self, pod: &'a Pod, class: &'a PodClass) -> Cycle<'a> {
        Cycle {
            pod,
            class,
            snapshot: &self.snapshot,
            nodes: self.snapshot.nodes(),
            namespaces: &self.namespaces,
            default_selector: self.default_selector.as_ref(),
            nominated: &self.nominated,
        }
    }

    /// The nodes that `pod` may get: all that chance may choose.
    pub(super) fn best(&self, pod: &Pod) -> BTreeSet<String> {
        let class = PodClass::of(pod);
        let one = |seed| schedule(&self.cycle(pod, &class), &mut 0, &mut Seed(seed).stream("draws", 0));
        (0..40).map(|seed| one(seed).unwrap_or_else(|failure| panic!("{failure}"))).collect()
    }

    /// Why `pod` fits nowhere, and what pushing others out would have done.
    pub(super) fn failure(&self, pod: &Pod) -> String {
        let class = PodClass::of(pod);
        let (cycle, draws) = (self.cycle(pod, &class), &mut Seed(1).stream("draws", 0));
        let mut failure = schedule(&cycle, &mut 0, draws).expect_err("the pod fits nowhere");
        failure.preemption = match preempt(&cycle, &failure, draws) {
            Ok(_) => None,
            Err(Futile::NotEligible(why)) => Some(why.into()),
            Err(Futile::NoCandidate(why)) => Some(why),
        };
        failure.to_string()
    }
}

pub(super) fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn a_failure_counts_the_reasons_as_upstream_words_them() {
    let mut cordoned = node("n2", "");
    cordoned.unschedulable = true;
    let mut small = node("n3", "");
    small.allocatable.insert("cpu".into(), 100);
    let bench = Bench::new([tainted("n1", "gpu", TaintEffect::NoSchedule), cordoned, small]);
    let asking = pod("p", "  containers: [{name: a, resources: {requests: {cpu: 1}}}]\n");
    assert_eq!(
        bench.failure(&asking),
        "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {gpu: }, 1 node(s) were unschedulable. \
         preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, \
         2 Preemption is not helpful for scheduling."
    );
    assert_eq!(Bench::default().failure(&asking), "no nodes available to schedule pods");
}

#[test]
fn who_tolerates_a_taint_or_a_cordon_may_come() {
    let mut cordoned = node("n2", "");
    cordoned.unschedulable = true;
    let bench = Bench::new([tainted("n1", "gpu", TaintEffect::NoExecute), cordoned]);
    assert_eq!(bench.best(&pod("p", "  tolerations: [{key: gpu, operator: Exists}]\n")), set(&["n1"]));
    let cordon = "  tolerations: [{key: node.kubernetes.io/unschedulable, operator: Exists, effect: NoSchedule}]\n";
    assert_eq!(bench.best(&pod("p", cordon)), set(&["n2"]));
    assert_eq!(bench.best(&pod("p", "  tolerations: [{operator: Exists}]\n")), set(&["n1", "n2"]));
}

#[test]
fn a_node_with_fewer_soft_taints_is_better() {
    let bench = Bench::new([tainted("n1", "busy", TaintEffect::PreferNoSchedule), node("n2", "")]);
    assert_eq!(bench.best(&pod("p", "")), set(&["n2"]));
    assert_eq!(bench.best(&pod("p", "  tolerations: [{key: busy, operator: Exists}]\n")), set(&["n1", "n2"]));
}

#[test]
fn node_affinity_requires_and_prefers() {
    let mut fast = node("n1", "");
    fast.labels.insert("disk".into(), "ssd".into());
    let bench = Bench::new([fast, node("n2", ""), node("n3", "")]);
    assert_eq!(bench.best(&pod("p", "  nodeSelector: {disk: ssd}\n")), set(&["n1"]));
    let term = |rule: &str| format!("  affinity: {{nodeAffinity: {{{rule}}}}}\n");
    let not_ssd = "requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: disk, operator: DoesNotExist}]}]}";
    assert_eq!(bench.best(&pod("p", &term(not_ssd))), set(&["n2", "n3"]));
    let rather_ssd = "preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {matchExpressions: [{key: disk, operator: Exists}]}}]";
    assert_eq!(bench.best(&pod("p", &term(rather_ssd))), set(&["n1"]));
    assert_eq!(
        bench.failure(&pod("p", "  nodeSelector: {disk: tape}\n")),
        "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. \
         preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    );
}

#[test]
fn a_pod_that_names_its_node_by_affinity_has_only_that_one_looked_at() {
    let named = |names: &str| {
        let field = |name: &str| format!("{{key: metadata.name, operator: In, values: [{name}]}}");
        let fields: Vec<String> = names.split(' ').map(field).collect();
        format!(
            "  affinity: {{nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: [{{matchFields: [{}]}}]}}}}}}\n",
            fields.join(", ")
        )
    };
    let bench = Bench::new([node("n1", ""), tainted("n2", "gpu", TaintEffect::NoSchedule)]);
    assert_eq!(bench.best(&pod("p", &named("n1"))), set(&["n1"]));
    assert!(bench.failure(&pod("p", &named("n2"))).starts_with(
        "0/2 nodes are available: 1 node(s) didn't satisfy plugin(s) [NodeAffinity], 1 node(s) had untolerated taint {gpu: }."
    ));
    assert!(
        bench
            .failure(&pod("p", &named("n1 n2")))
            .starts_with("0/2 nodes are available: pod affinity terms conflict. preemption:")
    );
}

#[test]
fn two_pods_never_share_a_port_of_their_node() {
    let port = |name: &str, ip: &str| {
        pod(name, &format!("  containers: [{{name: a, ports: [{{containerPort: 80, hostPort: 80{ip}}}]}}]\n"))
    };
    let bench = Bench::new([node("n1", ""), node("n2", "")]).with(port("a", ""), "n1");
    assert_eq!(bench.best(&port("b", ", hostIP: 192.0.2.1")), set(&["n2"]));
    let bench = bench.with(port("c", ", hostIP: 192.0.2.2"), "n2");
    assert_eq!(bench.best(&port("d", ", hostIP: 192.0.2.1")), set(&["n2"]), "another address of the node");
    assert!(bench.failure(&port("e", "")).contains("2 node(s) didn't have free ports for the requested pod ports."));
}

#[test]
fn a_node_takes_so_many_pods_and_no_more() {
    let mut small = node("n1", "");
    small.allocatable.insert("pods".into(), 1);
    let bench = Bench::new([small]).with(pod("a", ""), "n1");
    assert!(bench.failure(&pod("b", "")).starts_with("0/1 nodes are available: 1 Too many pods."));
}

#[test]
fn the_node_of_which_less_is_asked_for_is_better() {
    let asking = |name: &str, cpu: &str| {
        pod(name, &format!("  containers: [{{name: a, resources: {{requests: {{cpu: {cpu}, memory: 4Gi}}}}}}]\n"))
    };
    let bench = Bench::new([node("n1", ""), node("n2", "")]).with(asking("a", "8"), "n1").with(asking("b", "4"), "n2");
    assert_eq!(bench.best(&asking("c", "1")), set(&["n2"]));
    let silent = Bench::new([node("n1", ""), node("n2", "")]).with(pod("a", ""), "n1");
    assert_eq!(silent.best(&pod("b", "")), set(&["n2"]), "who says nothing counts for a tenth of a core");
}

#[test]
fn of_many_nodes_only_some_are_looked_at_and_all_in_turn() {
    let bench = Bench::new((0..300).map(|number| node(&format!("n{number:03}"), "")));
    let (candidate, draws, mut start) = (pod("p", ""), &mut Seed(1).stream("draws", 0), 0);
    let class = PodClass::of(&candidate);
    let mut starts = Vec::new();
    for _ in 0..3 {
        schedule(&bench.cycle(&candidate, &class), &mut start, draws).expect("fits");
        starts.push(start);
    }
    // 50 - 300/125 = 48 % of 300.
    assert_eq!(starts, [144, 288, 132]);
}
