//! The host-gw backend: the way to a node's pods is a route by that node, without a tunnel (upstream
//! `pkg/backend/hostgw/hostgw.go`, `pkg/backend/route_network.go`).

use sim_core::engine::time::Duration;

use super::{Backend, Lease, Step, Uplink};
use crate::command::Command;

/// Routes by the nodes, all of which must be neighbours: the kernel refuses the route to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostGw;

fn route(action: &str, peer: &Lease, uplink: &Uplink) -> Command {
    Command::Ip(format!("route {action} {} via {} dev {}", peer.subnet, peer.public_ip, uplink.dev))
}

impl Backend for HostGw {
    /// Behind a NAT the others' packets would not find the way (`New`).
    fn check(&self, own: &Lease, uplink: &Uplink) -> bool {
        uplink.ips.contains(&own.public_ip)
    }

    fn start(&self, _: &Lease, _: &Uplink) -> Vec<Command> {
        Vec::new()
    }

    fn add_peer(&self, peer: &Lease, uplink: &Uplink) -> Vec<Step> {
        vec![Step { command: route("replace", peer, uplink), undo: None }]
    }

    fn remove_peer(&self, peer: &Lease, uplink: &Uplink) -> Vec<Command> {
        vec![route("del", peer, uplink)]
    }

    /// Not retried at once, but looked for every ten seconds (`routeCheckRetries`).
    fn route_check(&self) -> Option<Duration> {
        Some(Duration::from_secs(10))
    }

    fn pod_mtu(&self, uplink: &Uplink) -> u16 {
        uplink.mtu
    }
}
