//! What addresses are called in a capture.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sim_core::capture::End;
use sim_core::capture::filter::Pattern;
use sim_k8s::api::ObjectKey;

use super::Run;

impl Run {
    /// The names of all addresses there are: pods as `namespace/name`, nodes and whatever else has an address by its netns
    /// (and device, if that is neither `eth0` nor `lo`), Services as `name.namespace.svc`, a node's address for the outside as
    /// `n1/public`.
    pub fn names(&self) -> BTreeMap<IpAddr, String> {
        let mut names = BTreeMap::new();
        for (netns, dev, ip) in self.world.addresses().filter(|(_, _, ip)| !ip.is_loopback()) {
            let name = match dev {
                "eth0" | "lo" => netns.to_owned(),
                dev => format!("{netns}/{dev}"),
            };
            names.entry(ip).or_insert(name);
        }
        for node in &self.cluster.nodes {
            let translated = node.public_ips.iter().filter(|ip| !node.ips.contains(ip));
            names.extend(translated.map(|ip| (*ip, format!("{}/public", node.name))));
        }
        for service in self.cluster.services() {
            let name = format!("{}.{}.svc", service.key.name, service.key.namespace);
            names.extend(service.cluster_ips.iter().chain(&service.external_ips).map(|ip| (*ip, name.clone())));
        }
        names
    }

    /// The addresses of a pod (`pod`), or everything by which a Service is reached, its endpoints included (`service`), for
    /// capture filters. A name without a namespace is one of `default`.
    pub fn ends(&self, kind: &str, name: &Pattern) -> Vec<End> {
        let fits = |key: &ObjectKey| name.fits(&key.to_string()) || key.namespace == "default" && name.fits(&key.name);
        let cluster = &self.cluster;
        if kind == "pod" {
            let pods = cluster.pods.iter().filter(|pod| fits(&pod.key));
            return pods.flat_map(|pod| &pod.ips).map(|ip| End { ip: *ip, port: None }).collect();
        }
        let mut ends = Vec::new();
        for service in cluster.services().iter().filter(|service| kind == "service" && fits(&service.key)) {
            for port in &service.ports {
                let end = |ip: &IpAddr, port: u16| End { ip: *ip, port: Some(port) };
                ends.extend(service.cluster_ips.iter().chain(&service.external_ips).map(|ip| end(ip, port.port)));
                ends.extend(port.endpoints.iter().map(|endpoint| end(&endpoint.ip(), endpoint.port())));
                let nodes = cluster.nodes.iter().flat_map(|node| node.ips.iter().chain(&node.public_ips));
                ends.extend(nodes.filter_map(|ip| Some(end(ip, port.node_port?))));
            }
        }
        ends
    }
}
