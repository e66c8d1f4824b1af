//! Pods that come and go: what the control plane makes of it, and that Services find who is there.

use sim_core::engine::time::Duration;

use super::bench::Bench;
use crate::api::{Condition, Endpoint, Object, ObjectKey, ObjectRef, Workload, WorkloadKind, WorkloadRef};
use crate::apiserver::Request;

const WEB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        ports: [{containerPort: 7000, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 7, targetPort: 7000, protocol: UDP}]
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  nodeName: n1
  containers: [{name: c}]
";

fn edit(bench: &mut Bench, change: impl FnOnce(&mut Workload)) {
    let reference = WorkloadRef { kind: WorkloadKind::Deployment, key: ObjectKey::new("default", "web") };
    let mut web = Workload::clone(&bench.cluster.objects().workloads[&reference]);
    change(&mut web);
    let request = Request::Update(Object::Workload(web.into()));
    bench.cluster.kubectl(&mut bench.world, request).expect("nobody else is at it");
}

fn delete(bench: &mut Bench, pod: &ObjectKey) {
    let request = Request::Delete { object: ObjectRef::pod(pod.clone()), uid: None, grace: None };
    bench.cluster.kubectl(&mut bench.world, request).expect("it is there");
}

/// The endpoints of the Service, by the names of their pods.
fn endpoints(bench: &Bench) -> Vec<(String, Endpoint)> {
    let slices = bench
        .cluster
        .objects()
        .endpoint_slices
        .values()
        .filter(|slice| slice.service.as_ref().is_some_and(|service| service.name == "web"));
    let endpoints = slices.flat_map(|slice| &slice.endpoints);
    endpoints.map(|e| (e.pod.clone().expect("a pod").name, e.clone())).collect()
}

/// Who answers twelve calls of the client.
fn answers(bench: &mut Bench) -> std::collections::BTreeSet<String> {
    let (client, vip) = (bench.pods("client")[0].netns, bench.vip("web"));
    (0..12).map(|_| bench.call(client, vip).0).collect()
}

fn names(bench: &Bench) -> Vec<String> {
    bench.pods("web").iter().map(|pod| pod.key.name.clone()).collect()
}

#[test]
fn a_deployment_that_is_scaled_is_served_by_more_pods_and_then_by_fewer() {
    let mut bench = Bench::new(WEB, 2);
    let vip = bench.vip("web");
    edit(&mut bench, |web| web.replicas = 5);
    bench.settle();
    assert_eq!((bench.pods("web").len(), endpoints(&bench).len()), (5, 5));
    edit(&mut bench, |web| web.replicas = 1);
    bench.settle();
    assert_eq!((bench.pods("web").len(), endpoints(&bench).len()), (1, 1));
    let (answering, last) = (answers(&mut bench), bench.pods("web")[0].key.to_string());
    assert!(answering.len() == 1 && answering.iter().all(|name| last.ends_with(name.as_str())), "{answering:?} {last}");
    assert_eq!(bench.vip("web"), vip, "a Service keeps its address");
}

#[test]
fn a_pod_that_dies_has_a_successor_with_another_name_and_address_whom_its_service_finds() {
    let mut bench = Bench::new(WEB, 1);
    let old = bench.pods("web")[0].clone();
    delete(&mut bench, &old.key);
    bench.settle();
    let now = bench.pods("web");
    assert!(now.len() == 3 && now.iter().all(|pod| pod.key != old.key && pod.ip() != old.ip()));
    assert!(answers(&mut bench).iter().all(|name| !old.key.to_string().ends_with(name.as_str())));
}

#[test]
fn an_endpoint_is_ready_then_terminating_then_gone() {
    let mut bench = Bench::new(WEB, 2);
    let pod = bench.pods("web")[0].key.clone();
    delete(&mut bench, &pod);
    let begun = bench.world.now();
    let mut seen = Vec::new();
    while bench.world.now().since(begun) < Duration::from_secs(5) {
        bench.run(Duration::from_millis(1));
        let found = endpoints(&bench).into_iter().find(|(name, _)| *name == pod.name);
        let now = found.map(|(_, e)| (e.ready, e.serving, e.terminating));
        if seen.last().is_none_or(|(last, _)| *last != now) {
            seen.push((now, bench.world.now().since(begun).as_millis()));
        }
    }
    let states: Vec<_> = seen.iter().map(|(state, _)| *state).collect();
    assert_eq!(states[..2], [Some((true, true, false)), Some((false, true, true))], "{seen:?}");
    assert_eq!(states.last(), Some(&None), "{seen:?}");
    // A watch and a write; the kubelet takes longer.
    assert!(seen[1].1 <= 41 && seen.last().is_some_and(|(_, gone)| *gone > 50), "{seen:?}");
}

#[test]
fn after_a_rolling_update_others_serve_at_the_same_address() {
    let mut bench = Bench::new(WEB, 2);
    let (before, vip) = (names(&bench), bench.vip("web"));
    edit(&mut bench, |web| {
        let mut template = crate::api::PodTemplate::clone(&web.template);
        template.labels.insert("version".into(), "2".into());
        web.template = template.into();
    });
    bench.settle();
    let after = names(&bench);
    assert!(after.len() == 3 && after.iter().all(|name| !before.contains(name)), "{before:?} {after:?}");
    assert_eq!(bench.vip("web"), vip);
    assert!(
        answers(&mut bench)
            .iter()
            .all(|name| after.iter().any(|pod| pod.ends_with(name.as_str()) || name.ends_with(pod.as_str())))
    );
}

#[test]
fn pods_of_a_node_that_falls_silent_are_no_endpoints_a_minute_later_and_replaced_after_six() {
    let mut bench = Bench::new(WEB, 2);
    let there = bench.on_node("web", 1).len();
    assert!(there > 0);
    bench.cluster.power_off(&mut bench.world, 1, false);
    bench.run(Duration::from_secs(62));
    assert_eq!(bench.cluster.objects().nodes["n2"].ready, Condition::Unknown);
    let ready = endpoints(&bench).iter().filter(|(_, e)| e.ready).count();
    assert_eq!(ready, 3 - there);
    answers(&mut bench);
    bench.run(Duration::from_secs(310));
    assert_eq!(endpoints(&bench).iter().filter(|(_, e)| e.ready).count(), 3);
    assert_eq!(bench.on_node("web", 0).len(), 3);
}

#[test]
fn pods_of_a_node_that_is_deleted_are_replaced_within_a_minute_or_so() {
    let mut bench = Bench::new(WEB, 2);
    assert!(!bench.on_node("web", 1).is_empty());
    bench.cluster.power_off(&mut bench.world, 1, true);
    bench.run(Duration::from_secs(75));
    assert_eq!(bench.on_node("web", 0).len(), 3);
    assert!(endpoints(&bench).iter().all(|(_, e)| e.node_name.as_deref() == Some("n1")));
}

#[test]
fn containers_of_a_pod_that_was_deleted_by_force_have_no_application_once_they_start() {
    let mut bench = Bench::new(WEB, 2);
    edit(&mut bench, |web| web.replicas = 4);
    let coming = |bench: &Bench| {
        let pods = bench.cluster.objects().pods.values();
        pods.filter(|pod| pod.status.ips.is_empty() && pod.node_name.is_some()).map(|pod| pod.key.clone()).next()
    };
    while coming(&bench).is_none() {
        bench.run(Duration::from_millis(5));
    }
    let pod = coming(&bench).expect("it is bound");
    // Its kubelet hears of it, and then of nothing more.
    bench.run(Duration::from_millis(30));
    for kubelet in ["kubelet n1", "kubelet n2"] {
        let agent = bench.cluster.control_plane().agent_named(kubelet).expect("it runs");
        bench.cluster.control_plane().cut_watches(agent);
    }
    let request = Request::Delete { object: ObjectRef::pod(pod.clone()), uid: None, grace: Some(Duration::ZERO) };
    bench.cluster.kubectl(&mut bench.world, request).expect("it is there");
    bench.run(Duration::from_secs(10));
    assert_eq!(bench.cluster.pod(&pod), None);
}
