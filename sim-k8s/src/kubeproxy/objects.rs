//! From API objects to service ports (upstream `pkg/proxy/serviceport.go`, `pkg/proxy/endpointslicecache.go`, and
//! `ShouldSkipService` of `pkg/proxy/util/utils.go`).

use sim_core::wire::ip::Family;
use std::net::{IpAddr, SocketAddr};

use super::endpoints::{Endpoint, collect};
use super::service_port::{ServiceMap, ServicePort, ServicePortName};
use crate::api::{self, ClusterIp, EndpointSlice, Service, ServiceType, TrafficPolicy};

/// Services that carry this label are another proxy's (`apis/well_known_labels.go`).
const OTHER_PROXY: &str = "service.kubernetes.io/service-proxy-name";

/// The ports of `service` in the eyes of the proxier of `family`, without endpoints; none for a Service that is
/// headless, an `ExternalName`, another proxy's, without an address of the family, or without one yet.
pub(super) fn service_ports(service: &Service, family: Family) -> ServiceMap {
    let skipped =
        matches!(service.service_type, ServiceType::ExternalName(_)) || service.labels.contains_key(OTHER_PROXY);
    let cluster_ip = match &service.cluster_ip {
        ClusterIp::Fixed(ips) if !skipped => ips.iter().find(|ip| family.has(ip)),
        _ => None,
    };
    let Some(cluster_ip) = cluster_ip else { return ServiceMap::new() };
    let named = service.ports.iter().map(|port| {
        let name = ServicePortName::new(service.key.clone(), &port.name, port.protocol);
        (name.expect("names of API objects are DNS labels"), service_port(service, port, *cluster_ip))
    });
    named.collect()
}

fn service_port(service: &Service, port: &api::ServicePort, cluster_ip: IpAddr) -> ServicePort {
    let family = Family::of(cluster_ip);
    let external_policy_local = reached_from_outside(service) && is_local(service.external_traffic_policy);
    let health_checked = service.service_type == ServiceType::LoadBalancer && external_policy_local;
    let of_family = |ips: &mut dyn Iterator<Item = IpAddr>| ips.filter(|ip| family.has(ip)).collect();
    ServicePort {
        node_port: port.node_port.unwrap_or(0),
        external_ips: of_family(&mut service.external_ips.iter().copied()),
        lb_vips: of_family(&mut service.ingress.iter().filter(|at| at.is_vip).filter_map(|at| at.ip)),
        source_ranges: service.load_balancer_source_ranges.iter().copied().filter(|net| family.has_net(net)).collect(),
        internal_policy_local: is_local(service.internal_traffic_policy),
        external_policy_local,
        affinity_seconds: service.session_affinity.map(|time| u32::try_from(time.as_secs()).unwrap_or(u32::MAX)),
        health_check_node_port: service.health_check_node_port.filter(|_| health_checked).unwrap_or(0),
        ..ServicePort::new(cluster_ip, port.port)
    }
}

fn is_local(policy: TrafficPolicy) -> bool {
    policy == TrafficPolicy::Local
}

/// Whether an external traffic policy has a meaning (`ExternallyAccessible` of `pkg/api/v1/service/util.go`).
fn reached_from_outside(service: &Service) -> bool {
    match service.service_type {
        ServiceType::NodePort | ServiceType::LoadBalancer => true,
        ServiceType::ClusterIp => !service.external_ips.is_empty(),
        ServiceType::ExternalName(_) => false,
    }
}

/// The endpoints that `slices`, all of one Service, have for its port `name`: both have one name and protocol.
pub(super) fn endpoints<'a>(
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    name: &ServicePortName,
    family: Family,
) -> Vec<Endpoint> {
    let mut found = Vec::new();
    for slice in slices.into_iter().filter(|slice| slice.family == Some(family)) {
        for port in slice.ports.iter().filter(|port| port.name == name.port() && port.protocol == name.protocol()) {
            found.extend(slice.endpoints.iter().map(|endpoint| translated(endpoint, port.port)));
        }
    }
    collect(found)
}

fn translated(endpoint: &api::Endpoint, port: u16) -> Endpoint {
    Endpoint {
        addr: SocketAddr::new(endpoint.address, port),
        node: endpoint.node_name.clone(),
        ready: endpoint.ready,
        serving: endpoint.serving,
        terminating: endpoint.terminating,
        zone_hints: endpoint.for_zones.iter().cloned().collect(),
        node_hints: endpoint.for_nodes.iter().cloned().collect(),
    }
}

#[cfg(test)]
pub(super) mod samples;
#[cfg(test)]
mod tests;
