//! Services with who serves them, as the apiserver has them.

use std::net::{IpAddr, SocketAddr};

use super::Cluster;
use crate::api::{self, ClusterIp, EndpointSlice, ObjectKey, Protocol, ServiceType};

/// A Service as it is reached.
#[derive(Clone, PartialEq, Debug)]
pub struct Service {
    /// Namespace and name.
    pub key: ObjectKey,
    /// How it is reached.
    pub service_type: ServiceType,
    /// Its cluster addresses, one of each of its families, the primary one first; none for a headless Service, whose name
    /// stands for its endpoints, and for an `ExternalName`, which is not reached at all.
    pub cluster_ips: Vec<IpAddr>,
    /// Addresses outside the cluster that lead to it: its load balancer's, and `externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// Its ports, in the order of the manifest; none of an `ExternalName`.
    pub ports: Vec<ServicePort>,
}

/// One port of a Service.
#[derive(Clone, PartialEq, Debug)]
pub struct ServicePort {
    /// Its protocol.
    pub protocol: Protocol,
    /// Number at the cluster address.
    pub port: u16,
    /// Port of every node that leads here.
    pub node_port: Option<u16>,
    /// Who serves it, by address.
    pub endpoints: Vec<SocketAddr>,
}

impl Service {
    /// Its primary cluster address, if it has any.
    pub fn cluster_ip(&self) -> Option<IpAddr> {
        self.cluster_ips.first().copied()
    }
}

impl Cluster {
    /// The Services, by name.
    pub fn services(&self) -> Vec<Service> {
        self.objects().services.values().map(|service| self.view(service)).collect()
    }

    /// The Service of this name.
    pub fn service(&self, key: &ObjectKey) -> Option<Service> {
        self.objects().services.get(key).map(|service| self.view(service))
    }

    fn view(&self, service: &api::Service) -> Service {
        let reached = !matches!(service.service_type, ServiceType::ExternalName(_));
        let cluster_ips = match &service.cluster_ip {
            ClusterIp::Fixed(ips) if reached => ips.clone(),
            _ => Vec::new(),
        };
        let slices: Vec<_> = self.objects().slices_of(&service.key).collect();
        let port = |port: &api::ServicePort| {
            let mut endpoints: Vec<SocketAddr> = slices.iter().flat_map(|slice| listed(slice, port)).collect();
            endpoints.sort_unstable();
            endpoints.dedup();
            ServicePort { protocol: port.protocol, port: port.port, node_port: port.node_port, endpoints }
        };
        let balancers = service.ingress.iter().filter_map(|ingress| ingress.ip);
        Service {
            key: service.key.clone(),
            service_type: service.service_type.clone(),
            cluster_ips,
            external_ips: balancers.chain(service.external_ips.iter().copied()).collect(),
            ports: if reached { service.ports.iter().map(port).collect() } else { Vec::new() },
        }
    }
}

/// The endpoints of a slice for a Service port: the ports of both have one name.
fn listed(slice: &EndpointSlice, port: &api::ServicePort) -> Vec<SocketAddr> {
    let ports = slice.ports.iter().filter(|p| p.name == port.name && p.protocol == port.protocol);
    ports.flat_map(|p| slice.endpoints.iter().map(move |e| SocketAddr::new(e.address, p.port))).collect()
}
