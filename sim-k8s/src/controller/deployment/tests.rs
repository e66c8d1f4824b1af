use super::super::bench::{Bench, changed, workload};
use super::*;
use crate::api::{ObjectRef, Pod, Share};
use crate::apiserver::Cache;

fn bench(deployment: Workload) -> Bench {
    let mut bench = Bench::new();
    bench.create(Object::Workload(deployment.into()));
    bench.run_secs(10);
    bench
}

fn web(replicas: u32) -> Workload {
    workload(WorkloadKind::Deployment, "web", replicas)
}

/// Each set as (wanted, available), the oldest first.
fn sets(bench: &Bench) -> Vec<(u32, u32)> {
    let sets = bench.objects().workloads.values().filter(|w| w.kind == WorkloadKind::ReplicaSet);
    let mut sets: Vec<_> = sets.collect();
    sets.sort_by_key(|set| set.rollout.expect("a Deployment's").revision);
    sets.iter().map(|set| (set.replicas, set.status.available)).collect()
}

fn version(bench: &mut Bench, version: &str) {
    bench.edit(WorkloadKind::Deployment, "web", |web| {
        web.template = changed(web, |template| drop(template.labels.insert("version".into(), version.into())));
    });
}

fn not_going(objects: &Cache) -> impl Iterator<Item = &Pod> {
    objects.pods.values().map(AsRef::as_ref).filter(|pod| !pod.is_terminating())
}

#[test]
fn a_deployment_makes_its_pods_by_a_replica_set_named_after_the_template() {
    let bench = bench(web(2));
    assert_eq!(sets(&bench), [(2, 2)]);
    for pod in bench.objects().pods.values() {
        let hash = &pod.labels["pod-template-hash"];
        assert!(pod.key.name.starts_with(&format!("web-{hash}-")), "{}", pod.key);
        assert_eq!(pod.workload.kind, WorkloadKind::Deployment);
        assert_eq!(pod.meta.owner.as_ref().expect("a ReplicaSet").object.key.name, format!("web-{hash}"));
    }
    let status = bench.workload(WorkloadKind::Deployment, "web").status;
    assert_eq!((status.replicas, status.ready, status.available, status.updated), (2, 2, 2, 2));
}

#[test]
fn a_rolling_update_keeps_three_of_four_pods_available_and_never_has_more_than_five() {
    let mut bench = bench(web(4));
    version(&mut bench, "2");
    let mut steps = Vec::new();
    bench.watch(Duration::from_secs(60), |objects, _| {
        let all = not_going(objects).count();
        let ready = not_going(objects).filter(|pod| pod.status.ready).count();
        assert!(all <= 5 && ready >= 3, "{all} pods, {ready} ready");
        let mut sets: Vec<_> = objects.workloads.values().filter(|w| w.kind == WorkloadKind::ReplicaSet).collect();
        sets.sort_by_key(|set| set.meta.created);
        let wanted: Vec<u32> = sets.iter().map(|set| set.replicas).collect();
        if steps.last() != Some(&wanted) {
            steps.push(wanted);
        }
    });
    // As `kubectl describe` tells it: up to 1, old down to 3, up to 2, …
    assert_eq!(steps[..3], [[4, 1], [3, 1], [3, 2]]);
    assert_eq!(steps.last(), Some(&vec![0, 4]));
    assert_eq!(sets(&bench), [(0, 0), (4, 4)]);
}

#[test]
fn recreate_lets_the_last_old_pod_go_before_the_first_new_one_comes() {
    let mut bench = bench(Workload { update: UpdateStrategy::Recreate, ..web(3) });
    version(&mut bench, "2");
    bench.watch(Duration::from_secs(20), |objects, _| {
        let versions: std::collections::BTreeSet<_> = objects.pods.values().map(|p| p.labels.get("version")).collect();
        assert!(versions.len() <= 1, "{versions:?}");
    });
    assert_eq!(sets(&bench), [(0, 0), (3, 3)]);
}

#[test]
fn scaling_a_deployment_scales_its_only_set_at_once() {
    let mut bench = bench(web(2));
    bench.edit(WorkloadKind::Deployment, "web", |web| web.replicas = 10);
    bench.run_secs(5);
    assert_eq!(sets(&bench), [(10, 10)]);
    bench.edit(WorkloadKind::Deployment, "web", |web| web.replicas = 0);
    bench.run_secs(5);
    assert_eq!(sets(&bench), [(0, 0)]);
    assert!(bench.objects().pods.is_empty());
}

#[test]
fn a_rollout_of_broken_pods_stops_and_is_said_to_be_stuck() {
    let mut bench = bench(Workload { progress_deadline: Some(Duration::from_secs(30)), ..web(4) });
    version(&mut bench, "2");
    bench.run_secs(20);
    bench.edit(WorkloadKind::Deployment, "web", |web| {
        web.template = changed(web, |template| drop(template.labels.insert("broken".into(), "yes".into())));
    });
    bench.run_secs(20);
    assert_eq!(sets(&bench), [(0, 0), (3, 3), (2, 0)]);
    assert!(!bench.workload(WorkloadKind::Deployment, "web").status.stuck);
    bench.run_secs(20);
    assert!(bench.workload(WorkloadKind::Deployment, "web").status.stuck);
    // Scaled meanwhile, both take their part: 9 + 25 % (3) are 12, of which 5 had 3 and 2.
    bench.edit(WorkloadKind::Deployment, "web", |web| web.replicas = 9);
    bench.run_secs(20);
    assert_eq!(sets(&bench), [(0, 0), (7, 7), (5, 0)]);
}

#[test]
fn going_back_uses_the_old_set_again() {
    let mut bench = bench(web(2));
    version(&mut bench, "2");
    bench.run_secs(20);
    assert_eq!(sets(&bench), [(0, 0), (2, 2)]);
    bench.edit(WorkloadKind::Deployment, "web", |web| {
        web.template = changed(web, |template| drop(template.labels.remove("version")));
    });
    bench.run_secs(20);
    assert_eq!(sets(&bench), [(0, 0), (2, 2)], "by revision: the old one is the newest now");
    let revisions: Vec<_> = bench.objects().workloads.values().filter_map(|w| w.rollout.map(|r| r.revision)).collect();
    assert_eq!(revisions.iter().max(), Some(&3));
}

#[test]
fn no_more_old_sets_are_kept_than_asked_for() {
    let mut bench = bench(Workload { revision_history_limit: 1, ..web(1) });
    for number in ["2", "3", "4"] {
        version(&mut bench, number);
        bench.run_secs(20);
    }
    assert_eq!(sets(&bench), [(0, 0), (1, 1)]);
}

#[test]
fn a_paused_deployment_is_scaled_but_not_rolled_out() {
    let mut bench = bench(Workload { paused: true, ..web(2) });
    assert_eq!(sets(&bench), []);
    bench.edit(WorkloadKind::Deployment, "web", |web| web.paused = false);
    bench.run_secs(5);
    bench.edit(WorkloadKind::Deployment, "web", |web| web.paused = true);
    version(&mut bench, "2");
    bench.edit(WorkloadKind::Deployment, "web", |web| web.replicas = 3);
    bench.run_secs(5);
    assert_eq!(sets(&bench), [(3, 3)]);
}

#[test]
fn fenceposts_are_rounded_so_that_something_can_move() {
    let fences = |replicas, max_surge, max_unavailable| {
        let update = UpdateStrategy::RollingUpdate { max_surge, max_unavailable, partition: 0 };
        sets::surge_and_unavailable(&Workload { update, ..web(replicas) })
    };
    let quarter = Share::Percent(25);
    assert_eq!(fences(1, quarter, quarter), (1, 0));
    assert_eq!(fences(4, quarter, quarter), (1, 1));
    assert_eq!(fences(10, quarter, quarter), (3, 2));
    assert_eq!(fences(3, Share::Percent(0), quarter), (0, 1), "both would be nothing");
    assert_eq!(fences(2, Share::Pods(0), Share::Pods(5)), (0, 2));
}

#[test]
fn a_pod_that_is_deleted_is_made_anew_under_another_name() {
    let mut bench = bench(web(2));
    let before = bench.pods();
    bench.delete(ObjectRef::pod(ObjectKey::new("default", &before[0])));
    bench.run(Duration::from_millis(200));
    let after = bench.pods();
    assert_eq!(after.len(), 2, "its successor does not wait for its end");
    assert!(!after.contains(&before[0]) && after.contains(&before[1]));
}
