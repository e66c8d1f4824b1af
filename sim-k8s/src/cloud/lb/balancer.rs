//! One load balancer: what a Service asks of the cloud.

use std::net::IpAddr;

use ipnet::IpNet;

use super::config::{CheckKind, HealthCheck, LbConfig, LbKind};
use super::probe::CheckTarget;
use crate::api::{ObjectKey, Protocol, Service, ServiceType, TrafficPolicy};

/// Where kube-proxy tells whether a node is fit for a load balancer (`--healthz-bind-address`).
const KUBE_PROXY_HEALTHZ: u16 = 10256;

/// A port of a load balancer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Port {
    /// Its protocol.
    pub(super) protocol: Protocol,
    /// Its number at the balancer's address.
    pub(super) port: u16,
    /// The nodes' port that leads to the same Service; `None` if none was allocated.
    pub(super) node_port: Option<u16>,
}

/// A load balancer as it is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Balancer {
    /// The Service it is for.
    pub(super) service: ObjectKey,
    /// Its address.
    pub(super) ip: IpAddr,
    /// Its ports.
    pub(super) ports: Vec<Port>,
    /// Clients it admits; `None` admits all.
    pub(super) source_ranges: Option<Vec<IpNet>>,
    /// Whether all connections of a client go to one node (`sessionAffinity: ClientIP`).
    pub(super) affinity: bool,
    /// What the hash of a flow begins with.
    pub(super) seed: u32,
    /// How its nodes are checked.
    pub(super) check: (CheckTarget, HealthCheck),
}

impl Balancer {
    /// Whether balancers of this kind can do what `service` asks for.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn can_serve(service: &Service, config: &LbConfig) -> Result<(), String> {
        if config.kind == LbKind::Nat && service.ports.iter().any(|port| port.node_port.is_none()) {
            return Err("it has no node port, and the load balancer can only lead there".into());
        }
        Ok(())
    }

    /// What `service` asks for, at `ip`.
    pub(super) fn of(service: &Service, ip: IpAddr, seed: u32, config: &LbConfig) -> Self {
        let ports = service.ports.iter();
        let ports: Vec<Port> =
            ports.map(|port| Port { protocol: port.protocol, port: port.port, node_port: port.node_port }).collect();
        let ranges = &service.load_balancer_source_ranges;
        let same_family = |network: &&IpNet| network.addr().is_ipv4() == ip.is_ipv4();
        Self {
            service: service.key.clone(),
            ip,
            check: check(service, &ports, config),
            ports,
            source_ranges: (!ranges.is_empty()).then(|| ranges.iter().filter(same_family).copied().collect()),
            affinity: service.session_affinity.is_some(),
            seed,
        }
    }
}

/// Whether a Service wants a load balancer (upstream `wantsLoadBalancer`).
pub(super) fn wants_balancer(service: &Service) -> bool {
    service.service_type == ServiceType::LoadBalancer && service.meta.deletion.is_none()
}

/// Whether a change of a Service is one for its load balancer (upstream `needsUpdate`).
pub(super) fn needs_update(old: &Service, new: &Service) -> bool {
    let asked = |service: &Service| {
        let ports: Vec<_> = service.ports.iter().map(|port| (port.protocol, port.port, port.node_port)).collect();
        (
            wants_balancer(service),
            ports,
            service.load_balancer_source_ranges.clone(),
            service.session_affinity,
            (service.load_balancer_ip, service.external_traffic_policy, service.health_check_node_port),
            // The order cannot change.
            service.ip_families.len(),
            (service.annotations.clone(), service.meta.uid),
        )
    };
    (wants_balancer(old) || wants_balancer(new)) && asked(old) != asked(new)
}

fn check(service: &Service, ports: &[Port], config: &LbConfig) -> (CheckTarget, HealthCheck) {
    let check = match service.external_traffic_policy {
        TrafficPolicy::Local => config.local_check,
        TrafficPolicy::Cluster => config.cluster_check,
    };
    let tcp_port = ports.iter().filter(|port| port.protocol == Protocol::Tcp).find_map(|port| port.node_port);
    let target = match (check.kind, service.health_check_node_port, tcp_port) {
        (CheckKind::HealthCheckNodePort, Some(port), _) => CheckTarget::Http(port),
        (CheckKind::NodePort, _, Some(port)) => CheckTarget::Tcp(port),
        _ => CheckTarget::Http(KUBE_PROXY_HEALTHZ),
    };
    (target, check)
}
