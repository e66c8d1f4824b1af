//! Whose addresses a packet bore when it ended.

use sim_core::capture::{Decision, End, Seen};
use sim_core::dev::DevKind;
use sim_core::engine::arena::NetnsId;
use sim_core::wire::ip::{SCTP, TCP, UDP};
use sim_k8s::api::{self, Labels, ObjectKey, Protocol, Selector};
use sim_k8s::cluster::{Node, Pod, Service, ServicePort};

use super::condition::Condition;
use super::{Fact, Why, place};
use crate::explain::flow;
use crate::run::Run;

/// Pods that are told one by one.
const TOLD: usize = 5;

/// What is known of where it was to go.
pub(super) fn destination(why: &mut Why, dst: End, (seen, netns): (&[Seen], NetnsId), run: &Run) {
    let (cluster, config) = (run.cluster(), &run.config().cluster);
    let services = cluster.services();
    let is_of = |service: &&Service| service.cluster_ips.contains(&dst.ip) || service.external_ips.contains(&dst.ip);
    if let Some(service) = services.iter().find(is_of) {
        let node = seen.iter().find_map(|seen| cluster.nodes.iter().find(|node| node.netns == seen.tap().0));
        let by = node.map_or_else(|| run.world().netns_name(netns), |node| &node.name);
        let protocol = seen.last().and_then(|seen| protocol(seen.frame()));
        return of_service(why, service, (dst, protocol), by, run);
    }
    let pod = cluster.pods.iter().rfind(|pod| pod.ips.contains(&dst.ip) && !pod.template.host_network);
    // The wire at which it was lost has been told of.
    let of_node = |node: &&Node| node.ips.contains(&dst.ip) || pod.is_some_and(|pod| cluster.nodes[pod.node] == **node);
    let wire = cluster.nodes.iter().find(of_node).and_then(|node| place::of_wire(node, run));
    why.because.extend(wire.filter(|fact| !why.because.contains(fact)));
    let there = run.world().addresses().any(|(_, _, ip)| ip == dst.ip);
    match pod {
        Some(pod) if pod.ended.is_none() && there => way(why, pod, dst, seen, run),
        Some(pod) => gone(why, (&pod.key, dst), seen, run),
        None if config.service_networks.iter().any(|net| net.contains(&dst.ip)) => {
            why.because.push(Fact::new(format!("{} is an address for Services, but no Service has it", dst.ip)));
            why.whose = Some("whoever made the call: the Service is not there, or has another address".into());
        }
        None if config.pod_networks.iter().any(|net| net.contains(&dst.ip)) && !there => {
            why.because.push(Fact::new(format!("{} is an address for pods, but no pod ever had it", dst.ip)));
        }
        None => {}
    }
}

/// What a pod's packets are, as Services know them.
fn protocol(frame: &[u8]) -> Option<Protocol> {
    match flow::protocol(frame)? {
        TCP => Some(Protocol::Tcp),
        UDP => Some(Protocol::Udp),
        SCTP => Some(Protocol::Sctp),
        _ => None,
    }
}

/// It went to a pod that is there: did its first node know the way?
fn way(why: &mut Why, pod: &Pod, dst: End, seen: &[Seen], run: &Run) {
    let cluster = run.cluster();
    let first = seen.iter().find_map(|seen| cluster.nodes.iter().find(|node| node.netns == seen.tap().0));
    let (Some(from), to) = (first, &cluster.nodes[pod.node]) else { return };
    let no_route = Condition::NoRoute(from.netns, dst.ip);
    if from == to {
        return;
    }
    if at_tunnel(seen, run) {
        why.whose = Some(format!("flannel {} should have told its tunnel where {} is", from.name, to.name));
        return;
    }
    if !no_route.holds(run) {
        return;
    }
    let says = format!("{} has no route to the pods of {} but its default route", from.name, to.name);
    why.because.push(Fact::when(says, no_route));
    why.whose = Some(if run.config().cluster.pod_routes {
        format!("the cloud's route to the pods of {} is missing", to.name)
    } else {
        format!("flannel {} should have made one", from.name)
    });
}

/// Whether it was lost at the mouth of a tunnel.
fn at_tunnel(seen: &[Seen], run: &Run) -> bool {
    let Some(Seen::Loss(loss)) = seen.last() else { return false };
    let netns = run.world().find_netns(loss.place.netns);
    let dev = netns.and_then(|netns| netns.devs().get(loss.place.dev?));
    dev.is_some_and(|dev| matches!(dev.kind, DevKind::Vxlan(_)))
}

/// It went to a pod that is no more.
fn gone(why: &mut Why, (pod, dst): (&ObjectKey, End), seen: &[Seen], run: &Run) {
    let cluster = run.cluster();
    let ended = cluster.pod(pod).and_then(|pod| pod.ended);
    let when = ended.map_or_else(String::new, |at| format!(", which ended at {at} s"));
    why.because
        .push(Fact::when(format!("{} was the address of pod {pod}{when}", dst.ip), Condition::NoAddress(dst.ip)));
    let translations = seen.iter().flat_map(|seen| seen.decisions().iter().map(|decision| (seen.tap().0, decision)));
    let chosen = translations.into_iter().find_map(|(netns, decision)| match decision {
        Decision::Translated(nat) if !nat.source && nat.after.ip == dst.ip => Some((netns, nat.before.ip)),
        _ => None,
    });
    let Some((by, called)) = chosen else { return };
    let name = run.world().netns_name(by);
    let is_called =
        |service: &&Service| service.cluster_ips.contains(&called) || service.external_ips.contains(&called);
    if let Some(service) = cluster.services().iter().find(is_called) {
        let key = service.key.clone();
        let listed = service.ports.iter().flat_map(|port| &port.endpoints).any(|endpoint| endpoint.ip() == dst.ip);
        if listed {
            why.because.push(Fact::new(format!("Service {key} still has it as an endpoint")));
            why.whose = Some(format!(
                "the endpoints of {key} should no longer name it: the pod's kubelet or its node is not heard of"
            ));
        } else {
            why.because.push(Fact::when(
                format!("Service {key} no longer has it as an endpoint, but the rules of {name} still chose it"),
                Condition::Unlisted(key, dst.ip),
            ));
            why.whose = Some(format!("kube-proxy {name} should have taken it out of its rules"));
        }
    }
}

/// It never became anything else than the Service's own address. `by` is the node that should have seen to that.
fn of_service(why: &mut Why, service: &Service, (dst, protocol): (End, Option<Protocol>), by: &str, run: &Run) {
    let key = &service.key;
    let is_called = |port: &&ServicePort| {
        dst.port.is_none_or(|number| number == port.port) && protocol.is_none_or(|protocol| protocol == port.protocol)
    };
    let Some(port) = service.ports.iter().find(is_called) else {
        let ports: Vec<String> =
            service.ports.iter().map(|port| format!("{}/{}", port.port, port.protocol.in_rules())).collect();
        let called = format!("{}/{}", dst.port.unwrap_or_default(), protocol.map_or("tcp", Protocol::in_rules));
        why.because.push(Fact::new(format!("Service {key} has port {}, not {called}", ports.join(", "))));
        why.whose = Some("whoever made the call, or wrote the Service".into());
        return;
    };
    let objects = run.cluster().objects();
    let ready = objects.slices_of(key).any(|slice| slice.endpoints.iter().any(|endpoint| endpoint.ready));
    if ready && !port.endpoints.is_empty() {
        let says = format!("Service {key} has endpoints, but the rules of {by} did not send it to one");
        why.because.push(Fact::when(says, Condition::Endpoint(key.clone())));
        why.whose = Some(format!("kube-proxy {by} should have rules for them"));
        return;
    }
    why.because
        .push(Fact::when(format!("Service {key} has no endpoint that is ready"), Condition::NoEndpoint(key.clone())));
    if let Some(stored) = objects.services.get(key) {
        behind(why, stored, run);
    }
}

/// Why nobody stands behind a Service.
fn behind(why: &mut Why, service: &api::Service, run: &Run) {
    let objects = run.cluster().objects();
    let Some(selector) = service.pod_selector() else {
        why.because.push(Fact::new(format!("Service {} has no selector", service.key)));
        why.whose = Some("whoever wrote it should write its EndpointSlices, too".into());
        return;
    };
    let namespace = &service.key.namespace;
    let selected = |key: &ObjectKey, labels: &Labels| key.namespace == *namespace && selector.matches(labels);
    let pods: Vec<_> = objects.pods.values().filter(|pod| selected(&pod.key, &pod.labels)).collect();
    for pod in pods.iter().take(TOLD) {
        why.because.push(not_an_endpoint(pod));
    }
    if let Some(pod) = pods.first() {
        let node = pod.node_name.as_deref().unwrap_or("no node");
        why.whose = Some(format!("pod {} on {node} should become ready", pod.key));
        return;
    }
    why.because
        .push(Fact::new(format!("no pod of namespace {namespace} has the labels it selects: {}", shown(&selector))));
    let made = |workload: &&std::sync::Arc<api::Workload>| selected(&workload.key, &workload.template.labels);
    why.whose = Some(match objects.workloads.values().find(made) {
        Some(workload) => {
            let (reference, wanted) = (workload.reference(), workload.replicas);
            format!("{reference} would make such pods; it is scaled to {wanted}")
        }
        None => "nobody makes such pods: whoever wrote the Service, or the pods' labels".into(),
    });
}

fn shown(selector: &Selector) -> String {
    let one = |r: &api::Requirement| format!("{}={}", r.key, r.values.join("|"));
    selector.requirements.iter().map(one).collect::<Vec<_>>().join(",")
}

/// What keeps a pod from being an endpoint.
fn not_an_endpoint(pod: &api::Pod) -> Fact {
    let key = &pod.key;
    if let Some(unschedulable) = &pod.status.unschedulable {
        return Fact::new(format!("pod {key} fits on no node: {unschedulable}"));
    }
    if pod.is_terminating() {
        return Fact::new(format!("pod {key} is on its way out"));
    }
    if let Some(message) = &pod.status.message {
        return Fact::new(format!("pod {key}: {message}"));
    }
    let containers = pod.template.containers.iter().zip(&pod.status.containers);
    let waiting: Vec<String> = containers
        .filter_map(|(container, status)| {
            let name = &container.name;
            match (status.running_since, status.ready) {
                (None, _) => Some(format!("container {name} does not run (restarts: {})", status.restarts)),
                (Some(_), false) if !status.started => {
                    Some(format!("the startup probe of container {name} has not succeeded"))
                }
                (Some(_), false) => Some(format!("the readiness probe of container {name} does not succeed")),
                (Some(_), true) => None,
            }
        })
        .collect();
    let reason = if waiting.is_empty() { "its kubelet has not said so yet".to_owned() } else { waiting.join(", ") };
    Fact::when(format!("pod {key} is not ready: {reason}"), Condition::NotReady(key.clone()))
}

/// What is known of where it came from: a pod's address means nothing outside the cluster.
pub(super) fn source(why: &mut Why, src: End, netns: NetnsId, run: &Run) {
    let (cluster, config) = (run.cluster(), &run.config().cluster);
    let inside =
        cluster.nodes.iter().any(|node| node.netns == netns) || cluster.pods.iter().any(|pod| pod.netns == netns);
    let Some(pod) = cluster.pods.iter().rfind(|pod| pod.ips.contains(&src.ip) && !pod.template.host_network) else {
        return;
    };
    // A packet that is lost on the way to another pod is there for another reason.
    if inside || why.whose.is_some() || !config.pod_networks.iter().any(|net| net.contains(&src.ip)) {
        return;
    }
    let node = &cluster.nodes[pod.node].name;
    why.because.push(Fact::new(format!(
        "it bears the address of pod {}, which means nothing there: {node} sent it on without lending it its own",
        pod.key
    )));
    why.whose = Some(if config.flannel.ip_masq {
        format!("flannel {node} should have masqueraded what leaves the pod network")
    } else {
        format!("flannel {node} masquerades what leaves the pod network only with --ip-masq, and runs without it")
    });
}
