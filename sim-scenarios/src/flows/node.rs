//! The node of a case, and how its kube-proxy is configured.

use std::net::IpAddr;

use ipnet::IpNet;
use sim_core::wire::ip::Family;
use sim_k8s::kubeproxy::{self, Config, DetectLocal};

use super::objects::address;
use super::table::{Defaults, NodeKeys, PerFamily};

/// A node and its kube-proxy's configuration.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) proxied: kubeproxy::Node,
    pub(super) config: Config,
    /// Where pods have their addresses: what comes from here comes over the pod bridge.
    pub(super) pods: Option<IpNet>,
    /// What the table says about the drop rule for 127.0.0.0/8.
    pub(super) expect_localnet_drop_rule: Option<bool>,
}

impl Node {
    /// What `case` says of the node, and for the rest the backend's defaults and those of all.
    pub(super) fn new(defaults: &Defaults, backend: &str, case: &NodeKeys) -> Result<Self, String> {
        let layers = [Some(case), defaults.by_backend.get(backend), Some(&defaults.node)];
        let layers: Vec<&NodeKeys> = layers.into_iter().flatten().collect();
        fn first<'a, T>(layers: &[&'a NodeKeys], get: impl Fn(&'a NodeKeys) -> Option<T>) -> Option<T> {
            layers.iter().find_map(|layer| get(layer))
        }
        let family = first(&layers, |keys| keys.family.as_deref()).unwrap_or("IPv4");
        let ip = first(&layers, |keys| of_family(keys.node_ip.as_ref(), family)).ok_or("the node has no node_ip")?;
        let cidr = first(&layers, |keys| of_family(keys.detect_local_cidr.as_ref(), family));
        let pods = cidr.map(network).transpose()?;
        let detect_local = match (first(&layers, |keys| keys.detect_local.as_deref()), pods) {
            (Some("none") | None, _) => DetectLocal::Unknown,
            (Some("cluster_cidr"), Some(cidr)) => DetectLocal::Cidrs(vec![cidr]),
            (Some("cluster_cidr"), None) => return Err("detect_local: cluster_cidr needs detect_local_cidr".into()),
            (Some(other), _) => return Err(format!("not supported yet: detect_local {other:?}")),
        };
        let local = first(&layers, |keys| keys.local_ips.as_deref()).unwrap_or_default();
        let mut addresses = vec![address(ip)?];
        for ip in local {
            let ip = address(ip)?;
            if Family::of(ip) == Family::of(addresses[0]) && !addresses.contains(&ip) {
                addresses.push(ip);
            }
        }
        let node_ports = first(&layers, |keys| keys.nodeport_addresses.as_deref()).unwrap_or_default();
        let defaults = Config::default();
        let config = Config {
            detect_local,
            masquerade_all: first(&layers, |keys| keys.masquerade_all).unwrap_or(defaults.masquerade_all),
            node_port_addresses: node_ports.iter().map(|net| network(net)).collect::<Result<_, _>>()?,
            localhost_node_ports: first(&layers, |keys| keys.localhost_nodeports)
                .unwrap_or(defaults.localhost_node_ports),
            ..defaults
        };
        let name = first(&layers, |keys| keys.name.as_deref()).unwrap_or("test-node").to_owned();
        let zone = first(&layers, |keys| keys.zone.as_deref()).unwrap_or_default().to_owned();
        let proxied = kubeproxy::Node { name, ip: addresses[0], addresses, zone, cores: 4 };
        let expect_localnet_drop_rule = first(&layers, |keys| keys.expect_localnet_drop_rule);
        Ok(Self { proxied, config, pods, expect_localnet_drop_rule })
    }

    /// The family of its kube-proxy's proxier.
    pub(super) fn family(&self) -> Family {
        Family::of(self.proxied.ip)
    }

    /// Whether `ip` is one of the node's own addresses.
    pub(super) fn has(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.proxied.addresses.contains(&ip)
    }

    /// Whether `ip` is a pod's.
    pub(super) fn is_pod(&self, ip: IpAddr) -> bool {
        self.pods.is_some_and(|pods| pods.contains(&ip)) && !self.has(ip)
    }
}

fn of_family<'a>(text: Option<&'a PerFamily>, family: &str) -> Option<&'a str> {
    match text? {
        PerFamily::One(text) => Some(text),
        PerFamily::Each(texts) => texts.get(family).map(String::as_str),
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    text.parse().map_err(|_| format!("{text:?} is no network"))
}
