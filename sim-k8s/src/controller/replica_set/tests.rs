use sim_core::engine::time::Duration;

use super::super::bench::{Bench, changed, workload};
use super::*;
use crate::api::{ContainerStatus, Labels, Meta, ObjectRef, Phase, PodStatus};

const KIND: WorkloadKind = WorkloadKind::ReplicaSet;

fn bench(replicas: u32) -> Bench {
    let mut bench = Bench::new();
    bench.create(Object::Workload(workload(KIND, "web", replicas).into()));
    bench.run_secs(5);
    bench
}

/// A pod that has been ready on a node since the given second.
fn pod(uid: u64, node: &str, ready_at: u64) -> Arc<Pod> {
    let at = Instant::START + Duration::from_secs(ready_at);
    let mut pod = pods::bare_pod(&workload(WorkloadKind::Pod, &format!("p{uid}"), 1));
    pod.meta = Meta { uid, created: at, ..Meta::default() };
    pod.node_name = Some(node.into());
    pod.status = PodStatus { phase: Phase::Running, ready: true, ready_changed: at, ..PodStatus::default() };
    Arc::new(pod)
}

fn first_to_go(pods: &[Arc<Pod>]) -> u64 {
    let now = Instant::START + Duration::from_secs(1000);
    let all: Vec<&Arc<Pod>> = pods.iter().collect();
    let gone = rank::pods_to_delete(all.clone(), &all, 1, now);
    gone[0].meta.uid
}

fn but(pod: Arc<Pod>, change: impl FnOnce(&mut Pod)) -> Arc<Pod> {
    let mut pod = Pod::clone(&pod);
    change(&mut pod);
    Arc::new(pod)
}

#[test]
fn pods_that_nobody_would_miss_go_first() {
    let fine = || pod(1, "n1", 10);
    let unassigned = but(pod(2, "n2", 10), |pod| pod.node_name = None);
    let pending = but(pod(3, "n2", 10), |pod| pod.status.phase = Phase::Pending);
    let not_ready = but(pod(4, "n2", 10), |pod| pod.status.ready = false);
    let cheap = but(pod(5, "n2", 10), |pod| pod.template = changed_cost(pod, -1));
    let restarted = but(pod(6, "n2", 10), |pod| {
        pod.status.containers = vec![ContainerStatus { restarts: 3, ..ContainerStatus::default() }];
    });
    let young = pod(7, "n2", 900);
    let order = [unassigned, pending, not_ready, cheap];
    for pair in order.windows(2) {
        assert_eq!(first_to_go(pair), pair[0].meta.uid);
    }
    for odd in order.into_iter().chain([restarted, young]) {
        assert_eq!(first_to_go(&[fine(), odd.clone()]), odd.meta.uid);
    }
}

fn changed_cost(pod: &Pod, cost: i32) -> Arc<crate::api::PodTemplate> {
    let mut template = crate::api::PodTemplate::clone(&pod.template);
    template.deletion_cost = cost;
    Arc::new(template)
}

#[test]
fn pods_doubled_up_on_a_node_go_before_younger_ones() {
    assert_eq!(first_to_go(&[pod(1, "n1", 10), pod(2, "n2", 990), pod(3, "n1", 600)]), 3);
}

#[test]
fn ages_within_a_power_of_two_are_the_same() {
    // 600 s and 700 s are: the uid decides.
    assert_eq!(first_to_go(&[pod(1, "n1", 300), pod(2, "n2", 400)]), 1);
    assert_eq!(first_to_go(&[pod(1, "n1", 100), pod(2, "n2", 900)]), 2);
}

#[test]
fn pods_are_created_in_batches_of_one_two_four() {
    let mut bench = Bench::new();
    bench.create(Object::Workload(workload(KIND, "web", 10).into()));
    let mut times = Vec::new();
    bench.watch(Duration::from_secs(1), |objects, _| {
        times = objects.pods.values().map(|pod| pod.meta.created).collect();
    });
    times.sort_unstable();
    assert_eq!(times.len(), 10);
    // Each batch begins when the one before it is answered.
    assert!(times[0] < times[1] && times[2] < times[3] && times[6] < times[7], "{times:?}");
}

#[test]
fn twenty_requests_a_second_are_the_limit() {
    let mut bench = Bench::new();
    bench.create(Object::Workload(workload(KIND, "web", 90).into()));
    bench.run_secs(1);
    let soon = bench.objects().pods.len();
    assert!((30..=55).contains(&soon), "30 at once, then 20 a second: {soon}");
    bench.run_secs(5);
    assert_eq!(bench.objects().pods.len(), 90);
}

#[test]
fn a_pod_whose_label_someone_changes_is_let_go_and_replaced() {
    let mut bench = bench(2);
    let mut quarantined = Pod::clone(bench.objects().pods.values().next().expect("a pod"));
    quarantined.labels = Arc::new(Labels::from([("app".into(), "quarantine".into())]));
    bench.update(Object::Pod(quarantined.clone().into()));
    bench.run_secs(5);
    assert_eq!(bench.objects().pods.len(), 3);
    assert_eq!(bench.objects().pods[&quarantined.key].meta.owner, None);
}

#[test]
fn an_orphan_with_its_labels_is_adopted_and_counts() {
    let mut bench = Bench::new();
    let orphan = pods::bare_pod(&workload(WorkloadKind::Pod, "web", 1));
    bench.create(Object::Pod(orphan.into()));
    bench.create(Object::Workload(workload(KIND, "web", 2).into()));
    bench.run_secs(5);
    assert_eq!(bench.pods().len(), 2);
    assert!(bench.objects().pods.values().all(|pod| pod.meta.owner.is_some()));
}

#[test]
fn min_ready_seconds_pass_before_a_pod_counts_as_available() {
    let mut bench = Bench::new();
    let set = Workload { min_ready: Duration::from_secs(10), ..workload(KIND, "web", 1) };
    bench.create(Object::Workload(set.into()));
    bench.run_secs(5);
    let status = bench.workload(KIND, "web").status;
    assert_eq!((status.ready, status.available), (1, 0));
    bench.run_secs(10);
    assert_eq!(bench.workload(KIND, "web").status.available, 1);
}

#[test]
fn names_are_never_used_again() {
    let mut bench = bench(2);
    let before = bench.pods();
    for name in &before {
        bench.delete(ObjectRef::pod(ObjectKey::new("default", name)));
    }
    bench.run_secs(5);
    assert!(bench.pods().iter().all(|name| !before.contains(name)));
    bench.edit(KIND, "web", |web| web.template = changed(web, |_| {}));
    bench.run_secs(5);
    assert_eq!(bench.pods().len(), 2, "another template alone changes nothing");
}
