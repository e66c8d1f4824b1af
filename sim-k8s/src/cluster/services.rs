//! The apiserver and the endpoint controllers: Services get their addresses, node ports and endpoints.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::underlay::networks;
use super::{ClusterConfig, ClusterError, Node, Pod};
use crate::api::{self, ClusterIp, EndpointSlice, ObjectKey, Objects, Protocol, ServiceType, TrafficPolicy};
use crate::ipam::{ClusterIps, IpamError, NodePorts};
use crate::kubeproxy::Endpoint;
use crate::kubeproxy::endpoints::collect;
use crate::workload::target_port;

/// A Service as it is reached.
#[derive(Clone, PartialEq, Debug)]
pub struct Service {
    /// Namespace and name.
    pub key: ObjectKey,
    /// How it is reached.
    pub service_type: ServiceType,
    /// Its cluster address; `None` for a headless Service, whose name stands for its endpoints, and for an
    /// `ExternalName`, which is not reached at all.
    pub cluster_ip: Option<IpAddr>,
    /// Addresses outside the cluster that lead to it.
    pub external_ips: Vec<IpAddr>,
    /// Port of the health check of its load balancer, if it has one.
    pub health_check_node_port: Option<u16>,
    /// Its ports, in the order of the manifest.
    pub ports: Vec<ServicePort>,
}

/// One port of a Service.
#[derive(Clone, PartialEq, Debug)]
pub struct ServicePort {
    /// Its name, empty if it has none.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Number at the cluster address.
    pub port: u16,
    /// Port of every node that leads here.
    pub node_port: Option<u16>,
    /// Who serves it, in the order of kube-proxy's rules.
    pub endpoints: Vec<Endpoint>,
}

/// Gives every Service what it asks for, then the others what is left: one that asks by number comes first whatever
/// the order of the files.
pub(super) fn expose(services: &[api::Service], config: &ClusterConfig) -> Result<Vec<Service>, ClusterError> {
    let mut registry = Registry {
        ips: ClusterIps::new(config.service_network),
        elsewhere: networks(config),
        foreign: BTreeMap::new(),
        ports: NodePorts::default(),
    };
    let mut exposed = Vec::with_capacity(services.len());
    for service in services {
        exposed.push(registry.request(service)?);
    }
    for (spec, service) in services.iter().zip(&mut exposed) {
        registry.allocate(spec, service).map_err(|why| refused(&spec.key, why))?;
    }
    Ok(exposed)
}

fn refused(service: &ObjectKey, why: IpamError) -> ClusterError {
    ClusterError::Service { service: service.clone(), why }
}

/// What the apiserver remembers of what it gave out.
struct Registry {
    ips: ClusterIps,
    /// Where pods and nodes have their addresses.
    elsewhere: [IpNet; 2],
    /// Addresses outside the service network, and who has them.
    foreign: BTreeMap<IpAddr, String>,
    ports: NodePorts,
}

impl Registry {
    /// What a Service asks for by number.
    fn request(&mut self, spec: &api::Service) -> Result<Service, ClusterError> {
        let name = spec.key.to_string();
        let reached = !matches!(spec.service_type, ServiceType::ExternalName(_));
        let cluster_ip = match &spec.cluster_ip {
            ClusterIp::Fixed(asked) if reached => {
                let ip = asked.iter().find(|ip| ip.is_ipv4());
                Some(*ip.ok_or_else(|| ClusterError::NotIpv4(spec.key.clone()))?)
            }
            _ => None,
        };
        let ports = spec.ports.iter().filter_map(|port| port.node_port).chain(spec.health_check_node_port);
        let taken = cluster_ip.map_or(Ok(()), |ip| self.request_ip(ip, &name));
        let taken = taken.and_then(|()| ports.into_iter().try_for_each(|port| self.ports.request(port, &name)));
        taken.map_err(|why| refused(&spec.key, why))?;
        let port = |port: &api::ServicePort| ServicePort {
            name: port.name.clone(),
            protocol: port.protocol,
            port: port.port,
            node_port: port.node_port,
            endpoints: Vec::new(),
        };
        Ok(Service {
            key: spec.key.clone(),
            service_type: spec.service_type.clone(),
            cluster_ip,
            external_ips: spec.external_ips.iter().copied().filter(IpAddr::is_ipv4).collect(),
            health_check_node_port: spec.health_check_node_port,
            ports: if reached { spec.ports.iter().map(port).collect() } else { Vec::new() },
        })
    }

    /// An apiserver refuses what is not of its service network. Here it is granted, for the manifests may have been
    /// read from a cluster that has another one (`kubectl get -o yaml`).
    fn request_ip(&mut self, ip: IpAddr, service: &str) -> Result<(), IpamError> {
        let usable = !(ip.is_loopback() || ip.is_multicast() || ip.is_unspecified());
        let usable = usable && !self.elsewhere.iter().any(|network| network.contains(&ip));
        match self.ips.request(ip, service) {
            Err(IpamError::OutOfRange { what, .. }) if usable => match self.foreign.insert(ip, service.to_owned()) {
                Some(owner) => Err(IpamError::Taken { what, owner }),
                None => Ok(()),
            },
            result => result,
        }
    }

    /// What is left open.
    fn allocate(&mut self, spec: &api::Service, service: &mut Service) -> Result<(), IpamError> {
        let name = spec.key.to_string();
        let node_ports = match spec.service_type {
            ServiceType::ExternalName(_) => return Ok(()),
            ServiceType::ClusterIp => false,
            ServiceType::NodePort => true,
            ServiceType::LoadBalancer => spec.allocate_load_balancer_node_ports,
        };
        if spec.cluster_ip == ClusterIp::Allocate {
            service.cluster_ip = Some(self.ips.allocate(&name)?);
        }
        for port in service.ports.iter_mut().filter(|port| node_ports && port.node_port.is_none()) {
            port.node_port = Some(self.ports.allocate(&name)?);
        }
        let health_checked =
            spec.service_type == ServiceType::LoadBalancer && spec.external_traffic_policy == TrafficPolicy::Local;
        if health_checked && service.health_check_node_port.is_none() {
            service.health_check_node_port = Some(self.ports.allocate(&name)?);
        }
        Ok(())
    }
}

/// Fills in who serves each port: the pods a Service selects, and what is written by hand. Tells what has no effect.
pub(super) fn find_endpoints(services: &mut [Service], objects: &Objects, pods: &[Pod], nodes: &[Node]) -> Vec<String> {
    let mut by_namespace: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
    for pod in pods {
        by_namespace.entry(&pod.key.namespace).or_default().push(pod);
    }
    let mut by_service: BTreeMap<Option<&ObjectKey>, Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in &objects.endpoint_slices {
        by_service.entry(slice.service.as_ref()).or_default().push(slice);
    }
    for (spec, service) in objects.services.iter().zip(services) {
        let near = by_namespace.get(spec.key.namespace.as_str()).map_or(&[][..], Vec::as_slice);
        let selector = spec.pod_selector();
        let selected = || near.iter().filter(|pod| selector.as_ref().is_some_and(|s| s.matches(&pod.labels)));
        let slices = by_service.remove(&Some(&spec.key)).unwrap_or_default();
        for (port, exposed) in spec.ports.iter().zip(&mut service.ports) {
            let pods = selected().filter_map(|pod| pod_endpoint(pod, port, nodes));
            exposed.endpoints = collect(pods.chain(slices.iter().flat_map(|slice| written(slice, port))));
        }
    }
    let orphans = by_service.into_values().flatten();
    orphans.map(|slice| format!("EndpointSlice {}: it belongs to no Service of the manifests", slice.key)).collect()
}

/// A pod as endpoint of a Service port; `None` if the port's name means nothing to it.
fn pod_endpoint(pod: &Pod, port: &api::ServicePort, nodes: &[Node]) -> Option<Endpoint> {
    let target = target_port(port, &pod.template)?;
    Some(Endpoint::ready(SocketAddr::new(pod.ip, target), Some(&nodes[pod.node].name)))
}

/// The endpoints of a slice for a Service port: the ports of both have one name.
fn written(slice: &EndpointSlice, port: &api::ServicePort) -> Vec<Endpoint> {
    let ports = slice.ports.iter().filter(|p| p.name == port.name && p.protocol == port.protocol);
    let endpoints = || slice.endpoints.iter().filter(|endpoint| endpoint.address.is_ipv4());
    let endpoint = |endpoint: &api::Endpoint, port: u16| Endpoint {
        addr: SocketAddr::new(endpoint.address, port),
        node: endpoint.node_name.clone(),
        ready: endpoint.ready,
        serving: endpoint.serving,
        terminating: endpoint.terminating,
        zone_hints: endpoint.for_zones.iter().cloned().collect(),
        node_hints: Default::default(),
    };
    ports.flat_map(|port| endpoints().map(move |e| endpoint(e, port.port))).collect()
}
