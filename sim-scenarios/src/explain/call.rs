//! A call that is tried: from a place, to a name or address.

use std::net::IpAddr;

use sim_core::capture::End;
use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::Duration;
use sim_k8s::api::{ObjectKey, Protocol};
use sim_k8s::cluster::{Cluster, Pod, Service, ServicePort};
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
    /// A Service, a pod, a node, a name that is looked up, or an address; `:PORT` after it, and `/udp` after that.
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
        let to = Target::read(&self.to);
        let in_names = |c: char| c.is_ascii_alphanumeric() || "-._/:".contains(c);
        if to.host.is_empty() || to.host.starts_with('-') || !to.host.chars().all(in_names) {
            let what = format!("\"{}\" is nobody's name", shown(&self.to));
            return Err(NoCall {
                what,
                help: "write a Service, pod, DNS name or address, and :PORT, :PORT/udp or :PORT/sctp".into(),
            });
        }
        let (host, port, protocol) = address(run.cluster(), &caller, to)?;
        let by = match protocol {
            Protocol::Tcp => "",
            Protocol::Udp => " -u",
            Protocol::Sctp => " --sctp",
        };
        Ok(format!("{}: nc -zv{by} -w {PATIENCE} {host} {port}", caller.place))
    }

    /// The netns it is made from.
    pub(super) fn client(&self, run: &Run) -> Result<NetnsId, NoCall> {
        let caller = caller(run, &self.from)?;
        Ok(run.world().netns_id(caller.place).expect("a place is a netns"))
    }
}

/// `HOST[:PORT[/udp]]`, or `/sctp`: who is called. An IPv6 address that a port follows stands in brackets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Target<'t> {
    pub(super) host: &'t str,
    pub(super) port: Option<u16>,
    /// TCP, unless the port is one of a Service that speaks another.
    pub(super) protocol: Option<Protocol>,
}

impl<'t> Target<'t> {
    pub(super) fn read(text: &'t str) -> Self {
        let protocols = [("/udp", Protocol::Udp), ("/tcp", Protocol::Tcp), ("/sctp", Protocol::Sctp)];
        let written = protocols.into_iter().find_map(|(end, protocol)| Some((text.strip_suffix(end)?, protocol)));
        let (text, protocol) = written.map_or((text, None), |(text, protocol)| (text, Some(protocol)));
        let bracketed = text.strip_prefix('[').and_then(|text| text.split_once("]:"));
        let parted = bracketed.or_else(|| text.rsplit_once(':').filter(|(host, _)| !host.contains(':')));
        let parted = parted.and_then(|(host, port)| Some((host, Some(port.parse().ok()?))));
        let (host, port) = parted.unwrap_or((text, None));
        Self { host, port, protocol }
    }
}

/// What is looked up for a host: `shop/cart` is cart.shop.
pub(super) fn dns_name(host: &str) -> String {
    let name = host.split_once('/').map_or_else(|| host.to_owned(), |(namespace, name)| format!("{name}.{namespace}"));
    name.trim_end_matches('.').to_owned()
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

/// What is called: a host, a port of it, and how. A pod calls a Service by its name, as programs do; who has no cluster DNS,
/// by address.
fn address(cluster: &Cluster, caller: &Caller<'_>, to: Target<'_>) -> Result<(String, u16, Protocol), NoCall> {
    let Target { host, port, .. } = to;
    let protocol = to.protocol.unwrap_or(Protocol::Tcp);
    if let Ok(ip) = host.parse::<IpAddr>() {
        let help = || format!("write {}, or whatever it is", End { ip, port: Some(HTTP) });
        let port = port.ok_or_else(|| NoCall { what: format!("which port of {host}?"), help: help() })?;
        return Ok((host.to_owned(), port, protocol));
    }
    let namespace = caller.pod.map_or("default", |pod| pod.key.namespace.as_str());
    let key = key(host, namespace);
    if let Some(service) = cluster.service(&key) {
        return service_address(cluster, caller, &service, to);
    }
    if let Some(pod) = cluster.pod(&key) {
        let mut declared = pod.template.containers.iter().flat_map(|container| &container.ports);
        let declared = declared.find(|own| port.is_none_or(|port| port == own.port));
        let protocol = to.protocol.or(declared.map(|own| own.protocol)).unwrap_or(Protocol::Tcp);
        return Ok((pod.ip().to_string(), port.or(declared.map(|own| own.port)).unwrap_or(HTTP), protocol));
    }
    if let Some(node) = cluster.nodes.iter().find(|node| node.name == host) {
        let ip = if caller.outside { node.public_ip() } else { node.ip() };
        return Ok((ip.to_string(), port.unwrap_or(HTTP), protocol));
    }
    Ok((dns_name(host), port.unwrap_or(HTTP), protocol))
}

fn service_address(
    cluster: &Cluster,
    caller: &Caller<'_>,
    service: &Service,
    to: Target<'_>,
) -> Result<(String, u16, Protocol), NoCall> {
    let key = &service.key;
    let (port, protocol) = service_port(service, to)?;
    if caller.outside {
        let node_port = service.ports.iter().find(|own| own.port == port && own.protocol == protocol);
        let node_port = node_port.and_then(|own| own.node_port);
        let external = service.external_ips.first().map(|ip| (ip.to_string(), port, protocol));
        let by_node = || Some((cluster.nodes.first()?.public_ip().to_string(), node_port?, protocol));
        return external.or_else(by_node).ok_or_else(|| NoCall {
            what: format!("nothing outside the cluster reaches Service {key}"),
            help: "call one of type NodePort or LoadBalancer, or call from a pod".into(),
        });
    }
    let same = caller.pod.is_some_and(|pod| pod.key.namespace == key.namespace);
    let by_name = if same { key.name.clone() } else { format!("{}.{}", key.name, key.namespace) };
    match (caller.pod, service.cluster_ip()) {
        (None, Some(ip)) => Ok((ip.to_string(), port, protocol)),
        _ => Ok((by_name, port, protocol)),
    }
}

/// A port as it is written after a name.
fn written(port: &ServicePort) -> String {
    match port.protocol {
        Protocol::Tcp => port.port.to_string(),
        other => format!("{}/{}", port.port, other.in_rules()),
    }
}

/// The port that is called, and its protocol: what is written, or what the Service has.
fn service_port(service: &Service, to: Target<'_>) -> Result<(u16, Protocol), NoCall> {
    let fits = |own: &&ServicePort| {
        to.port.is_none_or(|port| port == own.port) && to.protocol.is_none_or(|protocol| protocol == own.protocol)
    };
    let mut fitting = service.ports.iter().filter(fits);
    match (fitting.next(), fitting.next(), to.port) {
        (Some(own), None, _) => Ok((own.port, own.protocol)),
        // Also a port that the Service does not have can be called, and of two protocols TCP is the usual one.
        (_, _, Some(port)) => Ok((port, to.protocol.unwrap_or(Protocol::Tcp))),
        (None, ..) => Ok((HTTP, to.protocol.unwrap_or(Protocol::Tcp))),
        (Some(_), ..) => {
            let ports: Vec<String> = service.ports.iter().map(written).collect();
            let what = format!("Service {} has several ports", service.key);
            Err(NoCall { what, help: format!("write one of them after it: {}", ports.join(", ")) })
        }
    }
}
