//! Names become addresses, as DNS does it in a cluster.

use std::net::{IpAddr, SocketAddr};

use sim_k8s::cluster::{Cluster, Service, ServicePort};
use sim_k8s::workload::{Call, Caller, Why};

use super::edge::Edge;

/// The Service port a call goes to.
pub(super) fn target<'a>(cluster: &'a Cluster, call: &Call) -> Option<(&'a Service, &'a ServicePort)> {
    let service = cluster.service(&call.service)?;
    let port = service.ports.iter().find(|p| p.port == call.port && p.protocol == call.protocol)?;
    Some((service, port))
}

/// The address that the next call of `edge` goes to; `None` if the name stands for none.
///
/// Inside, a Service's name is its cluster address, and a headless one's is those of its ready endpoints, of which the
/// client takes any (Kubernetes DNS-Based Service Discovery, sections 2.3.1 and 2.4.1). From outside, a call goes to a
/// node port of any node, or to an external address.
pub(super) fn resolve(cluster: &Cluster, edge: &mut Edge) -> Option<SocketAddr> {
    let (service, port) = target(cluster, &edge.call)?;
    let mut any = |n: usize| edge.draws.below(n as u32) as usize;
    if edge.call.from == Caller::World {
        let at_node = |number| SocketAddr::new(cluster.nodes[any(cluster.nodes.len())].public_ip, number);
        let external: Option<&IpAddr> = service.external_ips.first();
        return port.node_port.map(at_node).or(external.map(|ip| SocketAddr::new(*ip, port.port)));
    }
    if let Some(ip) = service.cluster_ip {
        return Some(SocketAddr::new(ip, port.port));
    }
    let ready: Vec<SocketAddr> = port.endpoints.iter().filter(|e| e.ready).map(|e| e.addr).collect();
    let endpoint = *ready.get(any(ready.len()))?;
    // An environment value names a port, which the client takes as it is; a Service port is known by its SRV record.
    Some(match edge.call.why {
        Why::Environment { .. } => SocketAddr::new(endpoint.ip(), edge.call.port),
        Why::Uncalled | Why::TrafficFile => endpoint,
    })
}
