//! flannel: makes one network of all nodes' pod networks.
//!
//! `vxlan` is the backend, `masquerade` the rules that go with any backend. flannel learns of other
//! nodes' leases by watching; what it then does is a list of [`Command`]s. Read from upstream
//! flannel-io/flannel at cdf76059 (2026-08).
mod masquerade;
mod vxlan;

pub use masquerade::{Jump, forward_rules, masquerade_rules};

use std::net::IpAddr;

use ipnet::IpNet;
use sim_core::wire::eth::MacAddr;

use crate::command::Command;
use crate::ipam::mac;

/// What one node tells all others (upstream: annotations of the Node, `flannel.alpha.coreos.com/…`).
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
        Self { public_ip, subnet, vtep_mac: mac::of(mac::Kind::Vtep, subnet.addr()) }
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
    /// Its MTU in bytes.
    pub mtu: u16,
}

/// A way to bring packets to another node's pods (`Backend.Type` of net-conf.json).
pub trait Backend: Sync {
    /// What a node does at first, with its own lease.
    fn start(&self, own: &Lease, uplink: &Uplink) -> Vec<Command>;

    /// A peer has come, or its lease is new: what makes its pods reachable, in order.
    fn add_peer(&self, peer: &Lease, uplink: &Uplink) -> Vec<Command>;

    /// A peer has gone. Every command is tried, whatever becomes of the ones before.
    fn remove_peer(&self, peer: &Lease, uplink: &Uplink) -> Vec<Command>;

    /// The MTU that is left for pods, in bytes (`FLANNEL_MTU`).
    fn pod_mtu(&self, uplink: &Uplink) -> u16;
}

/// The backend of a type; `None`: no such backend here.
pub fn backend(kind: &str) -> Option<&'static dyn Backend> {
    match kind {
        "vxlan" => Some(&vxlan::Vxlan),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
