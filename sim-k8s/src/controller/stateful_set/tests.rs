use sim_core::engine::time::Duration;

use super::super::bench::{Bench, TO_START, TO_STOP, changed, workload};
use super::*;
use crate::api::{ObjectRef, Share};
use crate::apiserver::Cache;

const KIND: WorkloadKind = WorkloadKind::StatefulSet;

fn db(replicas: u32) -> Workload {
    Workload { service_name: Some("db".into()), ..workload(KIND, "db", replicas) }
}

fn bench(set: Workload) -> Bench {
    let mut bench = Bench::new();
    bench.create(Object::Workload(set.into()));
    bench.run_secs(10);
    bench
}

fn version(bench: &mut Bench, version: &str) {
    bench.edit(KIND, "db", |db| {
        db.template = changed(db, |template| drop(template.labels.insert("version".into(), version.into())));
    });
}

fn versions(objects: &Cache) -> Vec<Option<&str>> {
    objects.pods.values().map(|pod| pod.labels.get("version").map(String::as_str)).collect()
}

fn names(objects: &Cache) -> Vec<&str> {
    objects.pods.keys().map(|key| key.name.as_str()).collect()
}

#[test]
fn each_pod_waits_for_the_one_before_it_and_has_a_name_in_its_service() {
    let mut bench = Bench::new();
    bench.create(Object::Workload(db(3).into()));
    bench.watch(Duration::from_secs(10), |objects, _| {
        let waiting = objects.pods.values().filter(|pod| !pod.status.ready).count();
        assert!(waiting <= 1, "{:?}", names(objects));
    });
    assert_eq!(bench.pods(), ["db-0", "db-1", "db-2"]);
    let pod = &bench.objects().pods[&ObjectKey::new("default", "db-1")];
    assert_eq!((pod.template.hostname.as_deref(), pod.template.subdomain.as_deref()), (Some("db-1"), Some("db")));
    assert_eq!(pod.labels["apps.kubernetes.io/pod-index"], "1");
}

#[test]
fn parallel_pods_do_not_wait() {
    let mut bench = Bench::new();
    bench.create(Object::Workload(Workload { parallel: true, ..db(3) }.into()));
    bench.run(TO_START + Duration::from_millis(300));
    assert_eq!(bench.workload(KIND, "db").status.ready, 3);
    bench.edit(KIND, "db", |db| db.replicas = 0);
    bench.run(TO_STOP + Duration::from_millis(300));
    assert_eq!(names(bench.objects()), [""; 0]);
}

#[test]
fn an_update_goes_from_the_highest_number_down_and_each_name_is_away_meanwhile() {
    let mut bench = bench(db(3));
    version(&mut bench, "2");
    let mut seen: Vec<Vec<Option<String>>> = Vec::new();
    bench.watch(Duration::from_secs(30), |objects, _| {
        assert!(objects.pods.values().filter(|pod| pod.status.ready && !pod.is_terminating()).count() >= 2);
        let now: Vec<_> = versions(objects).into_iter().map(|v| v.map(str::to_owned)).collect();
        if seen.last() != Some(&now) {
            seen.push(now);
        }
    });
    let (old, new) = (None, Some("2".to_owned()));
    assert_eq!(seen[..3], [vec![old.clone(); 3], vec![old.clone(); 2], vec![old.clone(), old, new.clone()]]);
    assert_eq!(seen.last(), Some(&vec![new; 3]));
    let status = bench.workload(KIND, "db").status;
    assert_eq!((status.current, status.updated), (status.update, 3));
}

#[test]
fn pods_below_the_partition_keep_their_template_even_when_they_are_made_anew() {
    let update =
        UpdateStrategy::RollingUpdate { max_surge: Share::Pods(0), max_unavailable: Share::Pods(1), partition: 2 };
    let mut bench = bench(Workload { update, ..db(3) });
    version(&mut bench, "2");
    bench.run_secs(10);
    assert_eq!(versions(bench.objects()), [None, None, Some("2")]);
    bench.delete(ObjectRef::pod(ObjectKey::new("default", "db-0")));
    bench.run_secs(10);
    assert_eq!(versions(bench.objects()), [None, None, Some("2")]);
}

#[test]
fn pods_that_are_not_wanted_go_one_at_a_time_from_the_highest_number() {
    let mut bench = bench(db(4));
    bench.edit(KIND, "db", |db| db.replicas = 1);
    bench.watch(Duration::from_secs(10), |objects, _| {
        assert!(objects.pods.values().filter(|pod| pod.is_terminating()).count() <= 1);
        let count = objects.pods.len();
        let expected: Vec<String> = (0..count).map(|number| format!("db-{number}")).collect();
        assert_eq!(names(objects), expected);
    });
    assert_eq!(bench.pods(), ["db-0"]);
}

#[test]
fn on_delete_changes_a_pod_when_someone_deletes_it() {
    let mut bench = bench(Workload { update: UpdateStrategy::OnDelete, first_ordinal: 5, ..db(2) });
    version(&mut bench, "2");
    bench.run_secs(5);
    assert_eq!(versions(bench.objects()), [None, None]);
    bench.delete(ObjectRef::pod(ObjectKey::new("default", "db-5")));
    bench.run_secs(5);
    assert_eq!(versions(bench.objects()), [Some("2"), None]);
}
