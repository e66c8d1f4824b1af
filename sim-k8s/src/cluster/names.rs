//! What people call an address.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use sim_core::engine::arena::NetnsId;

use super::{Node, Pod, Service, ServicePort};
use crate::api::{self, ObjectKey, Protocol};
use crate::workload::served_ports;

/// Everything that has an address, found by it. Values are indices into the cluster's lists.
#[derive(Clone, Default, Debug)]
pub(super) struct Names {
    pods: BTreeMap<ObjectKey, usize>,
    /// Pods with a netns of their own.
    pod_netns: BTreeMap<NetnsId, usize>,
    pod_ips: BTreeMap<IpAddr, usize>,
    /// What pods in a node's netns listen on.
    host_ports: BTreeMap<(SocketAddr, Protocol), usize>,
    nodes: BTreeMap<IpAddr, usize>,
    services: BTreeMap<ObjectKey, usize>,
    /// Service and port.
    service_ports: BTreeMap<(SocketAddr, Protocol), (usize, usize)>,
    /// Service and port, at every node.
    node_ports: BTreeMap<(u16, Protocol), (usize, usize)>,
}

impl Names {
    pub(super) fn new(specs: &[api::Service], nodes: &[Node], pods: &[Pod], services: &[Service]) -> Self {
        let mut names = Self::default();
        for (index, node) in nodes.iter().enumerate() {
            names.nodes.extend([(node.ip, index), (node.public_ip, index)]);
        }
        for (index, pod) in pods.iter().enumerate() {
            names.pods.insert(pod.key.clone(), index);
            if pod.template.host_network {
                for (protocol, port) in served_ports(&pod.template, &pod.labels, &pod.key.namespace, specs) {
                    names.host_ports.entry((SocketAddr::new(pod.ip, port), protocol)).or_insert(index);
                }
            } else {
                names.pod_netns.insert(pod.netns, index);
                names.pod_ips.insert(pod.ip, index);
            }
        }
        for (index, service) in services.iter().enumerate() {
            names.services.insert(service.key.clone(), index);
            for (nth, port) in service.ports.iter().enumerate() {
                for ip in service.cluster_ip.iter().chain(&service.external_ips) {
                    names.service_ports.insert((SocketAddr::new(*ip, port.port), port.protocol), (index, nth));
                }
                if let Some(number) = port.node_port {
                    names.node_ports.insert((number, port.protocol), (index, nth));
                }
            }
        }
        names
    }
}

impl super::Cluster {
    /// The pod of this name.
    pub fn pod(&self, key: &ObjectKey) -> Option<&Pod> {
        Some(&self.pods[*self.names.pods.get(key)?])
    }

    /// The Service of this name.
    pub fn service(&self, key: &ObjectKey) -> Option<&Service> {
        Some(&self.services[*self.names.services.get(key)?])
    }

    /// The pod that has a netns to itself.
    pub fn pod_in(&self, netns: NetnsId) -> Option<&Pod> {
        Some(&self.pods[*self.names.pod_netns.get(&netns)?])
    }

    /// The pod that is reached at an address and a port of its own; a pod in its node's netns by what it listens on.
    pub fn pod_at(&self, addr: SocketAddr, protocol: Protocol) -> Option<&Pod> {
        let by_port = || self.names.host_ports.get(&(addr, protocol));
        Some(&self.pods[*self.names.pod_ips.get(&addr.ip()).or_else(by_port)?])
    }

    /// The node with this address, inside or outside.
    pub fn node_at(&self, ip: IpAddr) -> Option<&Node> {
        Some(&self.nodes[*self.names.nodes.get(&ip)?])
    }

    /// The Service port that is reached at an address: a cluster or external one, or a node's with a node port.
    pub fn service_at(&self, addr: SocketAddr, protocol: Protocol) -> Option<(&Service, &ServicePort)> {
        let at_node = || {
            self.node_at(addr.ip())?;
            self.names.node_ports.get(&(addr.port(), protocol))
        };
        let (service, port) = *self.names.service_ports.get(&(addr, protocol)).or_else(at_node)?;
        Some((&self.services[service], &self.services[service].ports[port]))
    }

    /// What people call an address: `svc namespace/name:port`, `namespace/pod`, `n1`; the address if it is nobody's.
    pub fn name_at(&self, addr: SocketAddr, protocol: Protocol) -> String {
        if let Some((service, port)) = self.service_at(addr, protocol) {
            return format!("svc {}:{}", service.key, port.port);
        }
        match (self.pod_at(addr, protocol), self.node_at(addr.ip())) {
            (Some(pod), _) => pod.key.to_string(),
            (None, Some(node)) => node.name.clone(),
            (None, None) => addr.ip().to_string(),
        }
    }
}
