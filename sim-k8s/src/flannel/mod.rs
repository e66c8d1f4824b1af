//! flannel: makes one network of all nodes' pod networks.
//!
//! `vxlan`, `host_gw` and `alloc` are backends, `masquerade` the rules that go with any of them. flannel learns of other
//! nodes' leases by watching (`agent`); what it then does is a list of [`Command`]s. Read from upstream
//! flannel-io/flannel at cdf76059 (2026-08).
use sim_core::wire::ip::Family;
mod agent;
mod alloc;
mod host_gw;
mod masquerade;
mod vxlan;

pub use agent::Flannel;
pub use masquerade::{RuleSet, forward_rules, masquerade_rules};

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use sim_core::engine::time::Duration;
use sim_core::wire::eth::MacAddr;

use crate::command::Command;
use crate::ipam::mac;

/// What one node tells all others, for one family (upstream: annotations of the Node, `flannel.alpha.coreos.com/…`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The node's address on the underlay (`public-ip`).
    pub public_ip: IpAddr,
    /// The node's pod network.
    pub subnet: IpNet,
    /// Hardware address of its VTEP (`backend-data`).
    pub vtep_mac: MacAddr,
}

impl Lease {
    /// The lease of a node; the VTEP's address is made from the pod network (upstream draws it at random once).
    pub fn new(public_ip: IpAddr, subnet: IpNet) -> Self {
        let subnet = subnet.trunc();
        Self { public_ip, subnet, vtep_mac: mac::of_network(mac::Kind::Vtep, subnet) }
    }

    /// First address of the pod network: the VTEP's own.
    fn vtep_ip(&self) -> IpAddr {
        self.subnet.addr()
    }
}

/// The device that leads to the other nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uplink {
    /// For example `eth0`.
    pub dev: String,
    /// Its addresses, one a family.
    pub ips: Vec<IpAddr>,
    /// Its MTU in bytes.
    pub mtu: u16,
}

/// One command on the way to a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// What is done.
    pub command: Command,
    /// What takes it back if a later step fails for good.
    pub undo: Option<Command>,
}

/// A way to bring packets to another node's pods (`Backend.Type` of net-conf.json).
pub trait Backend: Sync + fmt::Debug {
    /// Whether it can work on this node.
    fn check(&self, _own: &Lease, _uplink: &Uplink) -> bool {
        true
    }

    /// What a node does at first, with its own lease.
    fn start(&self, own: &Lease, uplink: &Uplink) -> Vec<Command>;

    /// The device that [`Self::start`] makes for a family. One that is there already is kept.
    fn dev(&self, _family: Family) -> Option<&'static str> {
        None
    }

    /// Whether it has to know of other nodes at all.
    fn knows_peers(&self) -> bool {
        true
    }

    /// A peer has come, or its lease is new: what makes its pods reachable, in order.
    fn add_peer(&self, peer: &Lease, uplink: &Uplink) -> Vec<Step>;

    /// A peer has gone. Every command is tried, whatever becomes of the ones before.
    fn remove_peer(&self, peer: &Lease, uplink: &Uplink) -> Vec<Command>;

    /// How often routes that are gone are made again; `None`: never.
    fn route_check(&self) -> Option<Duration> {
        None
    }

    /// The MTU that is left for pods, in bytes (`FLANNEL_MTU`).
    fn pod_mtu(&self, uplink: &Uplink) -> u16;
}

/// The backend of a type; `None`: no such backend here.
pub fn backend(kind: &str) -> Option<&'static dyn Backend> {
    match kind {
        "vxlan" => Some(&vxlan::Vxlan),
        "host-gw" => Some(&host_gw::HostGw),
        "alloc" => Some(&alloc::Alloc),
        _ => None,
    }
}

/// flannel's configuration (net-conf.json and flags), the same on every node. Defaults: kube-flannel.yml's.
#[derive(Clone, Debug)]
pub struct Config {
    /// All pods' networks, one a family (`Network`, `IPv6Network`), the primary one first.
    pub networks: Vec<IpNet>,
    /// The backend (`Backend.Type`); default vxlan.
    pub backend: &'static dyn Backend,
    /// Pods that leave the network take their node's address (`--ip-masq`); default on. Off, pods must be known outside.
    pub ip_masq: bool,
    /// `MASQUERADE --random-fully`; default on.
    pub random_fully: bool,
    /// Rules that let pods' packets be forwarded (`--iptables-forward-rules`); default on.
    pub forward_rules: bool,
    /// Rules that are gone are made again after this at the latest (`--iptables-resync`); default 5 s.
    pub rules_resync: Duration,
}

impl Config {
    /// The defaults for pods in `networks`.
    pub fn new(networks: Vec<IpNet>) -> Self {
        let (ip_masq, random_fully, forward_rules) = (true, true, true);
        let rules_resync = Duration::from_secs(5);
        Self { networks, backend: &vxlan::Vxlan, ip_masq, random_fully, forward_rules, rules_resync }
    }

    /// The network of the family of `subnet`, if it has one.
    fn network(&self, subnet: IpNet) -> Option<IpNet> {
        let family = Family::of_net(subnet);
        self.networks.iter().copied().find(|network| family.has_net(network))
    }

    /// The rules of a node whose pods have `subnet`.
    pub fn rules(&self, subnet: IpNet) -> Vec<RuleSet> {
        let Some(network) = self.network(subnet) else { return Vec::new() };
        let masquerade = self.ip_masq.then(|| masquerade_rules(network, subnet, self.random_fully));
        let forward = self.forward_rules.then(|| forward_rules(network));
        masquerade.into_iter().chain(forward).collect()
    }
}

#[cfg(test)]
mod tests;
