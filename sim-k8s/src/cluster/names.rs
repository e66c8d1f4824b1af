//! What people call an address.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::Cluster;
use crate::api::Protocol;

/// Everything that has an address, found by it; as it is at one moment.
#[derive(Clone, Default, Debug)]
pub struct Names {
    /// Pods with a netns of their own, those that are gone too; of several that had one address the last.
    pods: BTreeMap<IpAddr, String>,
    /// What pods in a node's netns declare to listen on.
    host_ports: BTreeMap<(SocketAddr, Protocol), String>,
    nodes: BTreeMap<IpAddr, String>,
    services: BTreeMap<(SocketAddr, Protocol), String>,
    node_ports: BTreeMap<(u16, Protocol), String>,
}

impl Names {
    /// The names of a cluster now.
    pub fn of(cluster: &Cluster) -> Self {
        let mut names = Self::default();
        for node in &cluster.nodes {
            names.nodes.extend([node.ip, node.public_ip].map(|ip| (ip, node.name.clone())));
        }
        for pod in &cluster.pods {
            let name = pod.key.to_string();
            if pod.template.host_network {
                let ports = pod.template.containers.iter().flat_map(|container| &container.ports);
                let at = ports.map(|port| ((SocketAddr::new(pod.ip, port.port), port.protocol), name.clone()));
                names.host_ports.extend(at);
            } else {
                names.pods.insert(pod.ip, name);
            }
        }
        for service in cluster.services() {
            for port in &service.ports {
                let name = format!("svc {}:{}", service.key, port.port);
                for ip in service.cluster_ip.iter().chain(&service.external_ips) {
                    names.services.insert((SocketAddr::new(*ip, port.port), port.protocol), name.clone());
                }
                names.node_ports.extend(port.node_port.map(|number| ((number, port.protocol), name)));
            }
        }
        names
    }

    /// What people call an address: `svc namespace/name:port`, `namespace/pod`, `n1`; the address if it is nobody's.
    pub fn at(&self, addr: SocketAddr, protocol: Protocol) -> String {
        let node = self.nodes.get(&addr.ip());
        let node_port = || self.node_ports.get(&(addr.port(), protocol)).filter(|_| node.is_some());
        let service = self.services.get(&(addr, protocol)).or_else(node_port);
        let pod = || self.pods.get(&addr.ip()).or_else(|| self.host_ports.get(&(addr, protocol)));
        service.or_else(pod).or(node).cloned().unwrap_or_else(|| addr.ip().to_string())
    }
}
