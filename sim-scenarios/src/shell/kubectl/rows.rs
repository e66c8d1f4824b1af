//! A row for every object of a kind, with kubectl's titles (kubernetes pkg/printers/internalversion/printers.go).

use std::sync::Arc;

use sim_core::engine::time::Instant;
use sim_k8s::api;
use sim_k8s::api::{
    ClusterIp, Condition, EndpointSlice, Meta, Node, ObjectKey, Phase, Pod, Service, ServiceType, Workload,
    WorkloadKind,
};

use super::super::session::Network;
use super::table::{age, labels, list};

/// An object's row; nodes have no namespace.
pub(super) struct Row {
    pub(super) key: ObjectKey,
    pub(super) cells: Vec<String>,
}

/// The kinds that can be looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Pods,
    Services,
    EndpointSlices,
    Nodes,
    Workloads(WorkloadKind),
}

impl Kind {
    pub(super) const NAMES: &'static str =
        "pods, services, endpointslices, nodes, deployments, replicasets, statefulsets, daemonsets, jobs";

    pub(super) fn named(word: &str) -> Option<Self> {
        Some(match word {
            "pods" | "pod" | "po" => Self::Pods,
            "services" | "service" | "svc" => Self::Services,
            "endpointslices" | "endpointslice" => Self::EndpointSlices,
            "nodes" | "node" | "no" => Self::Nodes,
            "deployments" | "deployment" | "deploy" => Self::Workloads(WorkloadKind::Deployment),
            "replicasets" | "replicaset" | "rs" => Self::Workloads(WorkloadKind::ReplicaSet),
            "statefulsets" | "statefulset" | "sts" => Self::Workloads(WorkloadKind::StatefulSet),
            "daemonsets" | "daemonset" | "ds" => Self::Workloads(WorkloadKind::DaemonSet),
            "jobs" | "job" => Self::Workloads(WorkloadKind::Job),
            _ => return None,
        })
    }

    /// As the apiserver's errors name it.
    pub(super) fn resource(self) -> String {
        match self {
            Self::Pods => "pods".into(),
            Self::Services => "services".into(),
            Self::EndpointSlices => "endpointslices.discovery.k8s.io".into(),
            Self::Nodes => "nodes".into(),
            Self::Workloads(kind @ (WorkloadKind::Job | WorkloadKind::CronJob)) => {
                format!("{}s.batch", kind.to_string().to_lowercase())
            }
            Self::Workloads(kind) => format!("{}s.apps", kind.to_string().to_lowercase()),
        }
    }

    /// As kubectl names one of them.
    pub(super) fn singular(self) -> String {
        match self.resource().split_once('.') {
            Some((plural, group)) => format!("{}.{group}", plural.trim_end_matches('s')),
            None => self.resource().trim_end_matches('s').to_owned(),
        }
    }

    pub(super) fn is_namespaced(self) -> bool {
        self != Self::Nodes
    }

    pub(super) fn api(self) -> api::Kind {
        match self {
            Self::Pods => api::Kind::Pod,
            Self::Services => api::Kind::Service,
            Self::EndpointSlices => api::Kind::EndpointSlice,
            Self::Nodes => api::Kind::Node,
            Self::Workloads(kind) => api::Kind::Workload(kind),
        }
    }
}

/// Titles and rows of all objects of a kind.
pub(super) fn of(net: &Network<'_>, kind: Kind, wide: bool) -> (Vec<&'static str>, Vec<Row>) {
    let (objects, now) = (net.cluster().objects(), net.world().now());
    match kind {
        Kind::Pods => (pod_titles(wide), objects.pods.values().map(|pod| pod_row(pod, now, wide)).collect()),
        Kind::Services => {
            let mut titles = vec!["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"];
            titles.extend(wide.then_some("SELECTOR"));
            (titles, objects.services.values().map(|service| service_row(service, now, wide)).collect())
        }
        Kind::EndpointSlices => {
            let titles = vec!["NAME", "ADDRESSTYPE", "PORTS", "ENDPOINTS", "AGE"];
            (titles, objects.endpoint_slices.values().map(|slice| slice_row(slice, now)).collect())
        }
        Kind::Nodes => {
            let mut titles = vec!["NAME", "STATUS", "ROLES", "AGE"];
            titles.extend(wide.then_some(["INTERNAL-IP", "EXTERNAL-IP"]).into_iter().flatten());
            (titles, objects.nodes.values().map(|node| node_row(node, now, wide)).collect())
        }
        Kind::Workloads(kind) => {
            let workloads = objects.workloads.values().filter(|workload| workload.kind == kind);
            let row = |workload: &Arc<Workload>| {
                let own = objects.pods.values().filter(|pod| is_of(pod, workload));
                workload_row(workload, &own.collect::<Vec<_>>(), now)
            };
            (workload_titles(kind), workloads.map(row).collect())
        }
    }
}

fn since(meta: &Meta, now: Instant) -> String {
    age(now.since(meta.created))
}

fn pod_titles(wide: bool) -> Vec<&'static str> {
    let mut titles = vec!["NAME", "READY", "STATUS", "RESTARTS", "AGE"];
    if wide {
        titles.extend(["IP", "NODE", "NOMINATED NODE", "READINESS GATES"]);
    }
    titles
}

fn pod_row(pod: &Pod, now: Instant, wide: bool) -> Row {
    let status = &pod.status;
    let ready = status.containers.iter().filter(|container| container.ready).count();
    let restarts: u32 = status.containers.iter().map(|container| container.restarts).sum();
    let word = match status.phase {
        _ if pod.is_terminating() => "Terminating",
        Phase::Pending if pod.node_name.is_some() => "ContainerCreating",
        Phase::Pending => "Pending",
        Phase::Running => "Running",
        Phase::Succeeded => "Completed",
        Phase::Failed => "Error",
    };
    let of = format!("{ready}/{}", pod.template.containers.len());
    let mut cells = vec![pod.key.name.clone(), of, word.to_owned(), restarts.to_string(), since(&pod.meta, now)];
    if wide {
        let ip = status.ips.first().map_or("<none>".to_owned(), ToString::to_string);
        let node = pod.node_name.clone().unwrap_or_else(|| "<none>".to_owned());
        cells.extend([ip, node, "<none>".to_owned(), "<none>".to_owned()]);
    }
    Row { key: pod.key.clone(), cells }
}

fn service_row(service: &Service, now: Instant, wide: bool) -> Row {
    let balancers = || service.ingress.iter().filter_map(|ingress| ingress.ip);
    let mut external = list(balancers().chain(service.external_ips.iter().copied()).map(|ip| ip.to_string()));
    let kind = match &service.service_type {
        ServiceType::ClusterIp => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
        ServiceType::ExternalName(name) => {
            external = name.clone();
            "ExternalName"
        }
    };
    if service.service_type == ServiceType::LoadBalancer && balancers().next().is_none() {
        external = "<pending>".to_owned();
    }
    let cluster_ip = match (&service.service_type, &service.cluster_ip) {
        (ServiceType::ExternalName(_), _) => "<none>".to_owned(),
        (_, ClusterIp::Fixed(ips)) => ips.first().map_or("<none>".to_owned(), ToString::to_string),
        (_, ClusterIp::Headless) => "None".to_owned(),
        (_, ClusterIp::Allocate) => "<none>".to_owned(),
    };
    let ports = service.ports.iter().map(|port| match port.node_port {
        Some(node_port) => format!("{}:{node_port}/{}", port.port, port.protocol),
        None => format!("{}/{}", port.port, port.protocol),
    });
    let name = service.key.name.clone();
    let mut cells = vec![name, kind.to_owned(), cluster_ip, external, list(ports), since(&service.meta, now)];
    if wide {
        let selector = service.selector.as_ref().filter(|selector| !selector.is_empty());
        cells.push(selector.map_or("<none>".to_owned(), labels));
    }
    Row { key: service.key.clone(), cells }
}

fn slice_row(slice: &EndpointSlice, now: Instant) -> Row {
    /// How many addresses kubectl shows.
    const SHOWN: usize = 3;
    let addresses = slice.endpoints.iter().map(|endpoint| endpoint.address.to_string());
    let mut endpoints = unset(list(addresses.clone().take(SHOWN)));
    let more = slice.endpoints.len().saturating_sub(SHOWN);
    if more > 0 {
        endpoints += &format!(" + {more} more...");
    }
    let ports = unset(list(slice.ports.iter().map(|port| port.port.to_string())));
    let family = slice.family.map_or_else(|| "FQDN".to_owned(), |family| family.to_string());
    let name = slice.key.name.clone();
    Row { key: slice.key.clone(), cells: vec![name, family, ports, endpoints, since(&slice.meta, now)] }
}

fn unset(list: String) -> String {
    if list == "<none>" { "<unset>".to_owned() } else { list }
}

fn node_row(node: &Node, now: Instant, wide: bool) -> Row {
    let mut status = if node.ready == Condition::True { "Ready" } else { "NotReady" }.to_owned();
    if node.unschedulable {
        status += ",SchedulingDisabled";
    }
    let mut cells = vec![node.key.name.clone(), status, "<none>".to_owned(), since(&node.meta, now)];
    if wide {
        let first = |ips: &[std::net::IpAddr]| ips.first().map_or("<none>".to_owned(), ToString::to_string);
        cells.extend([first(&node.internal_ips), first(&node.external_ips)]);
    }
    Row { key: node.key.clone(), cells }
}

/// Whether a pod counts for a workload: a Deployment's are those of its ReplicaSets.
fn is_of(pod: &Pod, workload: &Workload) -> bool {
    let owned = pod.meta.owner.as_ref().is_some_and(|owner| owner.uid == workload.meta.uid);
    !pod.is_finished() && (owned || pod.workload == workload.reference())
}

fn workload_titles(kind: WorkloadKind) -> Vec<&'static str> {
    match kind {
        WorkloadKind::Deployment => vec!["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"],
        WorkloadKind::ReplicaSet | WorkloadKind::ReplicationController => {
            vec!["NAME", "DESIRED", "CURRENT", "READY", "AGE"]
        }
        WorkloadKind::DaemonSet => vec!["NAME", "DESIRED", "CURRENT", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"],
        _ => vec!["NAME", "READY", "AGE"],
    }
}

fn workload_row(workload: &Workload, pods: &[&Arc<Pod>], now: Instant) -> Row {
    let age = since(&workload.meta, now);
    let current = pods.len().to_string();
    let ready = pods.iter().filter(|pod| pod.status.ready).count().to_string();
    let same = pods.iter().filter(|pod| pod.template == workload.template).count().to_string();
    let wanted = workload.replicas.to_string();
    let of = format!("{ready}/{wanted}");
    let mut cells = vec![workload.key.name.clone()];
    cells.extend(match workload.kind {
        WorkloadKind::Deployment => vec![of, same, ready, age],
        WorkloadKind::ReplicaSet | WorkloadKind::ReplicationController => vec![wanted, current, ready, age],
        // Every node that fits has one.
        WorkloadKind::DaemonSet => vec![current.clone(), current, ready.clone(), same, ready, age],
        _ => vec![of, age],
    });
    Row { key: workload.key.clone(), cells }
}
