//! Names become addresses, as DNS does it in a cluster.

use std::net::SocketAddr;

use sim_k8s::cluster::Cluster;
use sim_k8s::workload::{Caller, Target, Why};

use super::edge::Edge;

/// The DNS name of whom is called.
pub(super) fn host(target: &Target) -> String {
    match target {
        Target::Service(key) => format!("{}.{}.svc.cluster.local", key.name, key.namespace),
        Target::Outside(name) => (*name).to_owned(),
    }
}

/// The address that the next call of `edge` goes to; `None` if the name stands for none.
///
/// Inside, a Service's name is its cluster address, and a headless one's is those of its ready endpoints, of which the
/// client takes any (Kubernetes DNS-Based Service Discovery, sections 2.3.1 and 2.4.1). From outside, a call goes to an
/// external address, or to a node port of any node.
pub(super) fn resolve(cluster: &Cluster, edge: &mut Edge) -> Option<SocketAddr> {
    let service = cluster.service(edge.call.to.service()?)?;
    let port = service.ports.iter().find(|p| p.port == edge.call.port && p.protocol == edge.call.protocol)?;
    let mut any = |n: usize| edge.draws.below(n as u32) as usize;
    if edge.call.from == Caller::World {
        let external = service.external_ips.first().map(|ip| SocketAddr::new(*ip, port.port));
        let at_node = |number| SocketAddr::new(cluster.nodes[any(cluster.nodes.len())].public_ip, number);
        return external.or_else(|| port.node_port.map(at_node));
    }
    if let Some(ip) = service.cluster_ip {
        return Some(SocketAddr::new(ip, port.port));
    }
    let endpoint = *port.endpoints.get(any(port.endpoints.len()))?;
    // An environment value names a port, which the client takes as it is; a Service port is known by its SRV record.
    Some(match edge.call.why {
        Why::Environment { .. } => SocketAddr::new(endpoint.ip(), edge.call.port),
        _ => endpoint,
    })
}
