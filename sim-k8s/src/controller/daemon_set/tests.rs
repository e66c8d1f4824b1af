use sim_core::engine::time::Duration;

use super::super::bench::{Bench, changed, node, workload};
use super::*;
use crate::api::{ObjectRef, Share, Taint, TaintEffect, Toleration};

const KIND: WorkloadKind = WorkloadKind::DaemonSet;

fn agent() -> Workload {
    workload(KIND, "agent", 0)
}

fn bench(set: Workload) -> Bench {
    let mut bench = Bench::new();
    bench.create(Object::Workload(set.into()));
    bench.run_secs(10);
    bench
}

/// The nodes with a pod that stays, in order.
fn on(bench: &Bench) -> Vec<&str> {
    let staying = bench.objects().pods.values().filter(|pod| !pod.is_terminating());
    let mut nodes: Vec<_> = staying.filter_map(|pod| pod.node_name.as_deref()).collect();
    nodes.sort_unstable();
    nodes
}

fn version(bench: &mut Bench) {
    bench.edit(KIND, "agent", |set| {
        set.template = changed(set, |template| drop(template.labels.insert("version".into(), "2".into())));
    });
}

fn taint(bench: &mut Bench, name: &str, effect: TaintEffect) {
    let mut tainted = Node::clone(&bench.objects().nodes[name]);
    tainted.taints = vec![Taint { key: "gpu".into(), value: String::new(), effect }];
    bench.update(Object::Node(tainted.into()));
}

#[test]
fn every_node_has_a_pod_and_nodes_that_join_get_one() {
    let mut bench = bench(agent());
    assert_eq!(on(&bench), ["n1", "n2", "n3"]);
    bench.create(Object::Node(Arc::new(node("n4"))));
    bench.run_secs(3);
    assert_eq!(on(&bench), ["n1", "n2", "n3", "n4"]);
    assert_eq!(bench.workload(KIND, "agent").status.available, 4);
}

#[test]
fn a_node_selector_and_taints_keep_pods_away() {
    let mut bench = bench(agent());
    taint(&mut bench, "n2", TaintEffect::NoSchedule);
    bench.run_secs(3);
    assert_eq!(on(&bench), ["n1", "n2", "n3"], "who is there may stay");
    taint(&mut bench, "n2", TaintEffect::NoExecute);
    bench.run_secs(3);
    assert_eq!(on(&bench), ["n1", "n3"]);
    bench.edit(KIND, "agent", |set| {
        let gpu = Toleration { key: Some("gpu".into()), ..Toleration::default() };
        set.template = changed(set, |template| template.tolerations.push(gpu));
    });
    bench.run_secs(20);
    assert_eq!(on(&bench), ["n1", "n2", "n3"]);
    bench.edit(KIND, "agent", |set| {
        set.template = changed(set, |template| drop(template.node_selector.insert("gpu".into(), "yes".into())));
    });
    bench.run_secs(10);
    assert_eq!(on(&bench), [""; 0]);
}

#[test]
fn an_update_leaves_a_hole_on_one_node_after_the_other() {
    let mut bench = bench(agent());
    version(&mut bench);
    bench.watch(Duration::from_secs(30), |objects, _| {
        let ready = objects.pods.values().filter(|pod| pod.status.ready && !pod.is_terminating()).count();
        assert!(ready >= 2 && objects.pods.len() <= 3, "{ready} ready of {}", objects.pods.len());
    });
    assert!(bench.objects().pods.values().all(|pod| pod.labels.contains_key("version")));
    assert_eq!(bench.workload(KIND, "agent").status.updated, 3);
}

#[test]
fn with_a_surge_the_new_pod_is_there_before_the_old_one_goes() {
    let update =
        UpdateStrategy::RollingUpdate { max_surge: Share::Pods(1), max_unavailable: Share::Pods(0), partition: 0 };
    let mut bench = bench(Workload { update, ..agent() });
    version(&mut bench);
    bench.watch(Duration::from_secs(30), |objects, _| {
        let ready = objects.pods.values().filter(|pod| pod.status.ready && !pod.is_terminating()).count();
        assert!((3..=4).contains(&ready), "{ready} ready");
    });
    assert!(bench.objects().pods.values().all(|pod| pod.labels.contains_key("version")));
    assert_eq!(on(&bench), ["n1", "n2", "n3"]);
}

#[test]
fn on_delete_waits_for_someone_to_delete() {
    let mut bench = bench(Workload { update: UpdateStrategy::OnDelete, ..agent() });
    version(&mut bench);
    bench.run_secs(5);
    let pod = bench.pods()[0].clone();
    bench.delete(ObjectRef::pod(ObjectKey::new("default", pod)));
    bench.run_secs(5);
    let new = bench.objects().pods.values().filter(|pod| pod.labels.contains_key("version")).count();
    assert_eq!((new, on(&bench)), (1, vec!["n1", "n2", "n3"]));
}
