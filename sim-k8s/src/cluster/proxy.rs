//! Services as kube-proxy sees them (upstream `pkg/proxy/serviceport.go`, `ShouldSkipService` of `pkg/proxy/util/utils.go`).

use std::net::{IpAddr, SocketAddr};

use super::services::{Service, ServicePort};
use crate::api::{self, TrafficPolicy};
use crate::kubeproxy::{self, ServiceMap, ServicePortName};

/// Services that carry this label are another proxy's (`apis/well_known_labels.go`).
const OTHER_PROXY: &str = "service.kubernetes.io/service-proxy-name";

/// The service ports that kube-proxy writes rules for.
pub(super) fn service_map(specs: &[api::Service], services: &[Service]) -> ServiceMap {
    let mut map = ServiceMap::new();
    for (spec, service) in specs.iter().zip(services) {
        let Some(cluster_ip) = service.cluster_ip.filter(|_| !spec.labels.contains_key(OTHER_PROXY)) else { continue };
        for port in &service.ports {
            let name = ServicePortName::new(spec.key.clone(), &port.name, port.protocol);
            map.insert(
                name.expect("names of API objects are DNS labels"),
                service_port(spec, service, cluster_ip, port),
            );
        }
    }
    map
}

fn service_port(
    spec: &api::Service,
    service: &Service,
    cluster_ip: IpAddr,
    port: &ServicePort,
) -> kubeproxy::ServicePort {
    let same_family = |net: &&ipnet::IpNet| net.addr().is_ipv4() == cluster_ip.is_ipv4();
    kubeproxy::ServicePort {
        node_port: port.node_port.unwrap_or(0),
        external_ips: service.external_ips.clone(),
        source_ranges: spec.load_balancer_source_ranges.iter().filter(same_family).copied().collect(),
        internal_policy_local: spec.internal_traffic_policy == TrafficPolicy::Local,
        external_policy_local: spec.external_traffic_policy == TrafficPolicy::Local,
        affinity_seconds: spec.session_affinity.map(|timeout| u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX)),
        health_check_node_port: service.health_check_node_port.unwrap_or(0),
        endpoints: port.endpoints.clone(),
        ..kubeproxy::ServicePort::new(cluster_ip, port.port)
    }
}

/// What a sync takes from its node: nodes that agree in it get the same rules.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct NodeInput {
    /// Endpoints on the node itself, of ports that ask where an endpoint is.
    local: Vec<SocketAddr>,
    /// The node by name and address, where endpoints hint at nodes or a list of clients may hold its address.
    itself: Option<(String, IpAddr)>,
}

impl NodeInput {
    /// What `node`'s kube-proxy takes from it, given `services`. Nodes carry no zone yet.
    pub(super) fn new(config: &kubeproxy::Config, node: &kubeproxy::Node, services: &ServiceMap) -> Self {
        let asking = services.values().filter(|port| port.uses_local_endpoints());
        let local = asking.flat_map(|port| &port.endpoints).filter(|e| e.node.as_ref() == Some(&node.name));
        let by_name = |port: &kubeproxy::ServicePort| {
            !port.source_ranges.is_empty() || port.endpoints.iter().any(|e| !e.node_hints.is_empty())
        };
        let itself = !config.node_port_addresses.is_empty() || services.values().any(by_name);
        Self { local: local.map(|e| e.addr).collect(), itself: itself.then(|| (node.name.clone(), node.ip)) }
    }
}
