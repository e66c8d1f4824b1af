//! Whom a call goes to: a name that is resolved, or an address of the cluster's for those outside.

use std::net::SocketAddr;

use sim_core::engine::arena::NetnsId;
use sim_core::engine::rng::Stream;
use sim_core::wire::ip::Family;
use sim_k8s::cluster::{Cluster, Node, Pod, Service};
use sim_k8s::workload::{Call, Caller, Target, Why};

use super::edge::Edge;
use crate::workload::Destination;

/// The pod that calls from `netns`, if it is one.
pub(super) fn caller<'c>(cluster: &'c Cluster, call: &Call, netns: NetnsId) -> Option<&'c Pod> {
    match &call.from {
        Caller::Workload(workload) => cluster.running().find(|pod| pod.workload == *workload && pod.netns == netns),
        Caller::Node | Caller::World => None,
    }
}

/// The name by which the called one is called: a Service of the caller's namespace by its name alone.
pub(super) fn host(call: &Call, caller: Option<&Pod>) -> String {
    match (&call.to, caller) {
        (Target::Outside(name), _) => (*name).to_owned(),
        (Target::Service(key), Some(pod)) if pod.key.namespace == key.namespace => key.name.clone(),
        (Target::Service(key), Some(_)) => format!("{}.{}", key.name, key.namespace),
        (Target::Service(key), None) => format!("{}.{}.svc.cluster.local", key.name, key.namespace),
    }
}

/// Where the next call of `edge` goes; `None` if nothing leads there. Inside it goes to a name; from outside to an external
/// address, or to a node port of any node that the cluster has at that moment.
pub(super) fn destination(
    cluster: &Cluster,
    edge: &mut Edge,
    caller: Option<&Pod>,
    draws: Stream,
) -> Option<Destination> {
    let service = match &edge.call.to {
        Target::Service(key) => Some(cluster.service(key)?),
        Target::Outside(_) => None,
    };
    if edge.call.from == Caller::World {
        return from_outside(cluster, &service?, edge).map(Destination::Address);
    }
    let port = service.map_or(edge.call.port, |service| port(&service, &edge.call));
    Some(Destination::Name(port, Box::new((cluster.resolver(caller), draws))))
}

fn from_outside(cluster: &Cluster, service: &Service, edge: &mut Edge) -> Option<SocketAddr> {
    let port = service.ports.iter().find(|p| p.port == edge.call.port && p.protocol == edge.call.protocol)?;
    let external = &service.external_ips;
    // Those who can reach it in several ways take turns.
    let turn = edge.tally.sent as usize - 1;
    let external = external.get(turn % external.len().max(1)).map(|ip| SocketAddr::new(*ip, port.port));
    let family = service.cluster_ips.get(turn % service.cluster_ips.len().max(1)).copied().map(Family::of);
    let known = |node: &&Node| cluster.objects().nodes.contains_key(&node.name);
    let nodes: Vec<&Node> = cluster.nodes.iter().filter(known).collect();
    let any = nodes.get(edge.draws.below(nodes.len() as u32) as usize);
    let public = any.and_then(|node| node.public_ips.iter().copied().find(|ip| family == Some(Family::of(*ip))));
    external.or_else(|| Some(SocketAddr::new(public?, port.node_port?)))
}

/// The port that is called. An environment value names one, which the client takes as it is; that of a headless Service is
/// known by its SRV record.
fn port(service: &Service, call: &Call) -> u16 {
    let endpoints = service.ports.iter().filter(|p| p.port == call.port && p.protocol == call.protocol);
    let named = matches!(call.why, Why::Environment { .. }) || service.cluster_ip().is_some();
    let first = endpoints.flat_map(|port| &port.endpoints).next();
    first.filter(|_| !named).map_or(call.port, |endpoint| endpoint.port())
}
