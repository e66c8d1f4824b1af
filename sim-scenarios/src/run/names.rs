//! What addresses are called in a capture.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Run;

impl Run {
    /// The names of all addresses there are: pods as `namespace/name`, nodes and whatever else has an address by its netns
    /// (and device, if that is not `eth0`), Services as `name.namespace.svc`, a node's address for the outside as
    /// `n1/public`.
    pub fn names(&self) -> BTreeMap<IpAddr, String> {
        let mut names = BTreeMap::new();
        for (netns, dev, ip) in self.world.addresses().filter(|(_, _, ip)| !ip.is_loopback()) {
            let name = match dev {
                "eth0" => netns.to_owned(),
                dev => format!("{netns}/{dev}"),
            };
            names.entry(ip).or_insert(name);
        }
        for node in &self.cluster.nodes {
            names.insert(node.public_ip, format!("{}/public", node.name));
        }
        for service in &self.cluster.services {
            let name = format!("{}.{}.svc", service.key.name, service.key.namespace);
            names.extend(service.cluster_ip.iter().chain(&service.external_ips).map(|ip| (*ip, name.clone())));
        }
        names
    }
}
