//! The kubelet's own node: its lease, its readiness, its pod network.

use ipnet::IpNet;

use crate::agent::Context;
use crate::api::{Condition, Node};
use crate::apiserver::{NodePatch, Request};
use crate::cni::Bridge;
use crate::ipam::HostLocal;

use super::pod::Stage;
use super::{Due, Kubelet, status};

/// What the CNI plugins keep on the node.
#[derive(Clone, Debug)]
pub(super) struct Network {
    /// One a family, the primary one first.
    pub(super) addresses: Vec<HostLocal>,
    pub(super) bridge: Bridge,
    pub(super) bridge_state: BridgeState,
    /// Pods whose network waits for the bridge.
    pub(super) waiting: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BridgeState {
    Absent,
    /// It is being made, for this pod.
    ForPod(u64),
    Made,
}

/// The first address of a pod network after its own, with the network's length.
fn gateway(cidr: &IpNet) -> IpNet {
    let first = cidr.hosts().find(|ip| *ip != cidr.network()).unwrap_or(cidr.network());
    IpNet::new_assert(first, cidr.prefix_len())
}

impl Kubelet {
    /// The lease is renewed, and the node is ready again if someone said otherwise.
    pub(super) fn renew_lease(&mut self, cx: &mut Context<'_>) {
        cx.request(Request::RenewLease { node: self.config.node.name().to_owned() }, status::UNHEEDED);
        if self.network.is_some() && self.ready != Condition::True {
            self.say_ready(cx);
        }
        let again = cx.timings().kubelet.lease;
        self.after(cx, again, Due::Lease);
    }

    pub(super) fn node_changed(&mut self, cx: &mut Context<'_>, node: &Node) {
        self.ready = node.ready;
        if node.pod_cidrs.is_empty() || !node.network_available || self.network.is_some() {
            return;
        }
        let (networks, mtu, hairpin) = (self.config.pod_networks.clone(), self.config.pod_mtu, self.config.hairpin);
        let gateways = node.pod_cidrs.iter().map(gateway).collect();
        self.network = Some(Network {
            addresses: node.pod_cidrs.iter().map(|cidr| HostLocal::new(*cidr)).collect(),
            bridge: Bridge { gateways, networks, mtu, hairpin },
            bridge_state: BridgeState::Absent,
            waiting: Vec::new(),
        });
        self.say_ready(cx);
        let waiting = self.pods.iter().filter(|(_, life)| life.stage == Stage::Waiting && !life.terminating);
        let waiting: Vec<u64> = waiting.map(|(uid, _)| *uid).collect();
        waiting.into_iter().for_each(|uid| self.make_sandbox(cx, uid));
    }

    fn say_ready(&self, cx: &mut Context<'_>) {
        let patch = NodePatch { ready: Some(Condition::True), ..NodePatch::default() };
        cx.request(Request::PatchNode { node: self.config.node.name().to_owned(), patch }, status::UNHEEDED);
    }
}
