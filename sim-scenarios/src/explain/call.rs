//! A call that is tried: from a place, to a name or address.

use std::net::IpAddr;

use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::Duration;
use sim_k8s::api::ObjectKey;
use sim_k8s::cluster::{Cluster, Pod, Service};
use sim_k8s::manifest::shown;

use crate::run::Run;

/// How long the client waits, in seconds: longer than a neighbour has to answer.
const PATIENCE: u32 = 5;
/// The port of a name nobody knows.
const HTTP: u16 = 80;

/// A call to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// A pod, a workload (one of its pods), a node, or `outside`.
    pub from: String,
    /// A Service, a pod, a node, a name that is looked up, or an address; `:PORT` after it.
    pub to: String,
    /// When, counted from when the cluster has settled.
    pub at: Duration,
}

/// Why a call cannot be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what}")]
pub struct NoCall {
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub help: String,
}

/// Who calls.
pub(super) struct Caller<'r> {
    /// The place, as a session knows it.
    place: &'r str,
    pod: Option<&'r Pod>,
    outside: bool,
}

impl Call {
    /// What a session carries out.
    pub(super) fn command(&self, run: &Run) -> Result<String, NoCall> {
        let caller = caller(run, &self.from)?;
        let (host, port) = host_and_port(&self.to);
        let in_names = |c: char| c.is_ascii_alphanumeric() || "-._/:".contains(c);
        if host.is_empty() || host.starts_with('-') || !host.chars().all(in_names) {
            let what = format!("\"{}\" is nobody's name", shown(&self.to));
            return Err(NoCall { what, help: "write a Service, pod, DNS name or address, and :PORT".into() });
        }
        let (host, port) = target(run.cluster(), &caller, host, port)?;
        Ok(format!("{}: nc -zv -w {PATIENCE} {host} {port}", caller.place))
    }

    /// The netns it is made from.
    pub(super) fn client(&self, run: &Run) -> Result<NetnsId, NoCall> {
        let caller = caller(run, &self.from)?;
        Ok(run.world().netns_id(caller.place).expect("a place is a netns"))
    }
}

/// `HOST:PORT`, the port if there is one.
pub(super) fn host_and_port(text: &str) -> (&str, Option<u16>) {
    let parted = text.rsplit_once(':').filter(|(host, _)| !host.contains(':'));
    parted.and_then(|(host, port)| Some((host, Some(port.parse().ok()?)))).unwrap_or((text, None))
}

/// `namespace/name`; a name alone is one of `namespace`.
pub(super) fn key(text: &str, namespace: &str) -> ObjectKey {
    let (namespace, name) = text.split_once('/').unwrap_or((namespace, text));
    ObjectKey::new(namespace, name)
}

fn caller<'r>(run: &'r Run, name: &str) -> Result<Caller<'r>, NoCall> {
    let cluster = run.cluster();
    if matches!(name, "outside" | "world") {
        return Ok(Caller { place: run.world().netns_name(cluster.world_netns), pod: None, outside: true });
    }
    if let Some(node) = cluster.nodes.iter().find(|node| node.name == name) {
        return Ok(Caller { place: &node.name, pod: None, outside: false });
    }
    let key = key(name, "default");
    let pod = cluster.running().find(|pod| pod.key == key);
    let pod = pod.or_else(|| cluster.running().find(|pod| pod.workload.key == key)).ok_or_else(|| NoCall {
        what: format!("there is no pod {}", shown(&key.to_string())),
        help: format!("from: {}", places(cluster)),
    })?;
    Ok(Caller { place: run.world().netns_name(pod.netns), pod: Some(pod), outside: false })
}

/// Who could call.
pub(super) fn places(cluster: &Cluster) -> String {
    const SHOWN: usize = 40;
    let nodes = cluster.nodes.iter().map(|node| node.name.clone());
    let pods: Vec<String> = cluster.running().map(|pod| pod.key.to_string()).collect();
    let more = pods.len().saturating_sub(SHOWN);
    let names: Vec<String> =
        ["outside".to_owned()].into_iter().chain(nodes).chain(pods.into_iter().take(SHOWN)).collect();
    let more = if more > 0 { format!(" and {more} pods more") } else { String::new() };
    names.join(", ") + &more
}

/// What is called, and at which port. A pod calls a Service by its name, as programs do; who has no cluster DNS, by address.
fn target(cluster: &Cluster, caller: &Caller<'_>, host: &str, port: Option<u16>) -> Result<(String, u16), NoCall> {
    if host.parse::<IpAddr>().is_ok() {
        let help = || format!("write {host}:80, or whatever it is");
        let port = port.ok_or_else(|| NoCall { what: format!("which port of {host}?"), help: help() })?;
        return Ok((host.to_owned(), port));
    }
    let namespace = caller.pod.map_or("default", |pod| pod.key.namespace.as_str());
    let key = key(host, namespace);
    if let Some(service) = cluster.service(&key) {
        return service_target(cluster, caller, &service, port);
    }
    if let Some(pod) = cluster.pod(&key) {
        let declared = pod.template.containers.iter().flat_map(|container| &container.ports).map(|port| port.port);
        return Ok((pod.ip().to_string(), port.or(declared.into_iter().next()).unwrap_or(HTTP)));
    }
    if let Some(node) = cluster.nodes.iter().find(|node| node.name == host) {
        let ip = if caller.outside { node.public_ip() } else { node.ip() };
        return Ok((ip.to_string(), port.unwrap_or(HTTP)));
    }
    // `shop/cart` is nobody: as a name it would be cart.shop.
    let name = host.split_once('/').map_or_else(|| host.to_owned(), |(namespace, name)| format!("{name}.{namespace}"));
    Ok((name, port.unwrap_or(HTTP)))
}

fn service_target(
    cluster: &Cluster,
    caller: &Caller<'_>,
    service: &Service,
    port: Option<u16>,
) -> Result<(String, u16), NoCall> {
    let ports: Vec<String> = service.ports.iter().map(|port| port.port.to_string()).collect();
    let which = || NoCall {
        what: format!("Service {} has several ports", service.key),
        help: format!("write one of them after it: {}", ports.join(", ")),
    };
    let number = match (port, service.ports.as_slice()) {
        (Some(port), _) => port,
        (None, [one]) => one.port,
        (None, []) => HTTP,
        (None, _) => return Err(which()),
    };
    let (key, same) = (&service.key, caller.pod.is_some_and(|pod| pod.key.namespace == service.key.namespace));
    let by_name = if same { key.name.clone() } else { format!("{}.{}", key.name, key.namespace) };
    if caller.outside {
        let node_port = service.ports.iter().find(|port| port.port == number).and_then(|port| port.node_port);
        let external = service.external_ips.first().map(|ip| (ip.to_string(), number));
        let by_node = || Some((cluster.nodes.first()?.public_ip().to_string(), node_port?));
        return external.or_else(by_node).ok_or_else(|| NoCall {
            what: format!("nothing outside the cluster reaches Service {key}"),
            help: "call one of type NodePort or LoadBalancer, or call from a pod".into(),
        });
    }
    match (caller.pod, service.cluster_ip()) {
        (None, Some(ip)) => Ok((ip.to_string(), number)),
        _ => Ok((by_name, number)),
    }
}
