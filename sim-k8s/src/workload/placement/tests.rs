use std::sync::Arc;

use super::super::{TooManyPods, pods};
use super::{Node, Placement, place};
use crate::api::{Container, ContainerPort, ObjectKey, PodTemplate, Protocol, Selector, Workload, WorkloadKind};

fn workload(kind: WorkloadKind, name: &str, replicas: u32) -> Workload {
    let template = PodTemplate { labels: [("app".into(), name.into())].into(), ..PodTemplate::default() };
    let selector = Selector::equal_to(&template.labels);
    Workload { selector, replicas, ..Workload::new(kind, ObjectKey::new("default", name), template.into()) }
}

fn with_host_port(mut workload: Workload, port: u16, address: Option<&str>) -> Workload {
    let host_ip = address.map(|text| text.parse().expect("an address"));
    let port = ContainerPort { name: None, port, protocol: Protocol::Tcp, host_port: Some(port), host_ip };
    Arc::make_mut(&mut workload.template).containers.push(Container { ports: vec![port], ..Container::default() });
    workload
}

fn placed(workloads: &[Workload], nodes: u32) -> Placement {
    let nodes = Node::numbered(nodes);
    place(pods(workloads, &nodes).expect("few pods"), &nodes)
}

fn nodes_of(placement: &Placement) -> Vec<usize> {
    placement.placed.iter().map(|(_, node)| *node).collect()
}

fn obstacles(placement: &Placement) -> Vec<String> {
    placement.unplaced.iter().map(ToString::to_string).collect()
}

#[test]
fn pods_spread_over_the_nodes() {
    let placement =
        placed(&[workload(WorkloadKind::Deployment, "a", 4), workload(WorkloadKind::Deployment, "b", 2)], 3);
    assert_eq!(nodes_of(&placement), [0, 1, 2, 0, 1, 2]);
}

#[test]
fn each_kind_names_its_pods_as_its_controller_does() {
    let kinds = [
        WorkloadKind::Pod,
        WorkloadKind::Deployment,
        WorkloadKind::ReplicaSet,
        WorkloadKind::Job,
        WorkloadKind::CronJob,
    ];
    let mut workloads: Vec<_> = kinds.into_iter().map(|kind| workload(kind, "x", 1)).collect();
    workloads.push(Workload { first_ordinal: 3, ..workload(WorkloadKind::StatefulSet, "db", 2) });
    workloads.push(workload(WorkloadKind::DaemonSet, "agent", 0));
    let names: Vec<String> = placed(&workloads, 2).placed.iter().map(|(pod, _)| pod.key.name.clone()).collect();
    insta::assert_snapshot!(names.join("\n"));
}

#[test]
fn controllers_add_their_labels() {
    let placement =
        placed(&[workload(WorkloadKind::StatefulSet, "db", 1), workload(WorkloadKind::Deployment, "web", 1)], 1);
    assert_eq!(placement.placed[0].0.labels["statefulset.kubernetes.io/pod-name"], "db-0");
    let web = &placement.placed[1].0;
    assert!(web.key.name.starts_with(&format!("web-{}-", web.labels["pod-template-hash"])));
}

#[test]
fn a_daemon_set_runs_on_every_node_that_fits() {
    let agent = workload(WorkloadKind::DaemonSet, "agent", 0);
    assert_eq!(nodes_of(&placed(std::slice::from_ref(&agent), 3)), [0, 1, 2]);
    let mut picky = agent;
    Arc::make_mut(&mut picky.template).node_selector = [("kubernetes.io/hostname".into(), "n2".into())].into();
    assert_eq!(nodes_of(&placed(&[picky], 3)), [1]);
}

#[test]
fn a_pod_that_names_its_node_goes_there_or_nowhere() {
    let mut pinned = workload(WorkloadKind::Pod, "pinned", 1);
    Arc::make_mut(&mut pinned.template).node_name = Some("n3".into());
    let free = workload(WorkloadKind::Deployment, "free", 2);
    assert_eq!(nodes_of(&placed(&[free, pinned.clone()], 3)), [0, 1, 2], "what is settled counts first");
    assert_eq!(obstacles(&placed(&[pinned], 2)), ["pod default/pinned: there is no node n3"]);
}

#[test]
fn a_node_selector_that_no_node_meets_leaves_the_pod_pending() {
    let mut gpu = workload(WorkloadKind::Pod, "gpu", 1);
    Arc::make_mut(&mut gpu.template).node_selector = [("gpu".into(), "yes".into())].into();
    assert_eq!(obstacles(&placed(&[gpu], 2)), ["pod default/gpu: no node carries gpu=yes"]);
}

#[test]
fn two_pods_never_share_a_port_of_their_node() {
    let web = with_host_port(workload(WorkloadKind::ReplicaSet, "web", 3), 80, None);
    let placement = placed(&[web], 2);
    assert_eq!(nodes_of(&placement), [0, 1]);
    assert!(obstacles(&placement)[0].ends_with("TCP port 80 of every node it may run on is taken"));
}

#[test]
fn one_port_on_two_addresses_of_a_node_is_no_conflict() {
    let on = |name, address| with_host_port(workload(WorkloadKind::Pod, name, 1), 80, address);
    assert_eq!(placed(&[on("a", Some("192.0.2.1")), on("b", Some("192.0.2.2"))], 1).unplaced, []);
    assert_eq!(placed(&[on("a", Some("192.0.2.1")), on("b", None)], 1).unplaced.len(), 1);
}

#[test]
fn no_more_pods_than_a_cluster_holds() {
    let nodes = Node::numbered(1);
    let too_many = pods(&vec![workload(WorkloadKind::Deployment, "a", 100_000); 2], &nodes);
    assert_eq!(too_many, Err(TooManyPods { wanted: 200_000 }));
    assert_eq!(placed(&[workload(WorkloadKind::Pod, "a", 1)], 0).unplaced.len(), 1, "no nodes, no place");
}
