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
    pub(super) addresses: HostLocal,
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
        let Some(cidr) = node.pod_cidrs.first().filter(|_| node.network_available && self.network.is_none()) else {
            return;
        };
        let Some(gateway) = cidr.hosts().next().and_then(|ip| IpNet::new(ip, cidr.prefix_len()).ok()) else { return };
        let (network, mtu, hairpin) = (self.config.pod_network, self.config.pod_mtu, self.config.hairpin);
        self.network = Some(Network {
            addresses: HostLocal::new(*cidr),
            bridge: Bridge { gateway, network, mtu, hairpin },
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
