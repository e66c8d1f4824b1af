//! The VXLAN backend: every node knows every VTEP beforehand, so nothing is ever learned or flooded
//! (upstream `pkg/backend/vxlan`, `device.go` and `vxlan_network.go`).

use super::{Backend, Lease, Step, Uplink};
use crate::command::Command;
use sim_core::wire::ip::Family;

/// `flannel.1` and, for IPv6, `flannel-v6.1`: VXLAN devices with VNI 1, each between nodes' addresses of its own family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vxlan;

const VNI: u32 = 1;
/// The kernel's default, which is not IANA's 4789.
const PORT: u16 = 8472;
/// Outer IPv4, UDP and VXLAN headers and the inner Ethernet header, in bytes (`encapOverhead`). Pods are told of no more, so
/// that of IPv6, whose header is longer by 20, larger packets are too big for the device.
const OVERHEAD: u16 = 50;
/// The same with outer IPv6: what the kernel leaves the device (`VXLAN6_HEADROOM`).
const OVERHEAD_V6: u16 = 70;

fn dev(lease: &Lease) -> &'static str {
    dev_of(Family::of_net(lease.subnet))
}

fn dev_of(family: Family) -> &'static str {
    if family == Family::V6 { "flannel-v6.1" } else { "flannel.1" }
}

fn neigh(action: &str, peer: &Lease) -> Command {
    let nud = if action == "del" { "" } else { " nud permanent" };
    Command::Ip(format!("neigh {action} {} lladdr {} dev {}{nud}", peer.vtep_ip(), peer.vtep_mac, dev(peer)))
}

fn fdb(action: &str, peer: &Lease) -> Command {
    let state = if action == "del" { "" } else { " permanent" };
    Command::Bridge(format!("fdb {action} {} dev {} dst {} self{state}", peer.vtep_mac, dev(peer), peer.public_ip))
}

fn route(action: &str, peer: &Lease) -> Command {
    // Onlink: the next hop is in no network of the device, whose address is a /32.
    Command::Ip(format!("route {action} {} via {} dev {} onlink", peer.subnet, peer.vtep_ip(), dev(peer)))
}

impl Backend for Vxlan {
    fn start(&self, own: &Lease, uplink: &Uplink) -> Vec<Command> {
        let (mac, local, name, below) = (own.vtep_mac, own.public_ip, dev(own), &uplink.dev);
        let mtu = uplink.mtu.saturating_sub(if local.is_ipv6() { OVERHEAD_V6 } else { OVERHEAD });
        // The address is a /32 (or /128) so that the kernel makes no broadcast routes for it.
        let own_prefix = own.subnet.max_prefix_len();
        [
            format!(
                "link add {name} address {mac} mtu {mtu} type vxlan id {VNI} local {local} dev {below} dstport {PORT} nolearning"
            ),
            format!("addr add {}/{own_prefix} dev {name}", own.vtep_ip()),
            format!("link set {name} up"),
        ]
        .map(Command::Ip)
        .to_vec()
    }

    fn dev(&self, family: Family) -> Option<&'static str> {
        Some(dev_of(family))
    }

    fn add_peer(&self, peer: &Lease, _: &Uplink) -> Vec<Step> {
        // The route comes last: the kernel would ask by ARP for a next hop it does not know.
        vec![
            Step { command: neigh("replace", peer), undo: Some(neigh("del", peer)) },
            Step { command: fdb("replace", peer), undo: Some(fdb("del", peer)) },
            Step { command: route("replace", peer), undo: None },
        ]
    }

    fn remove_peer(&self, peer: &Lease, _: &Uplink) -> Vec<Command> {
        vec![neigh("del", peer), fdb("del", peer), route("del", peer)]
    }

    fn pod_mtu(&self, uplink: &Uplink) -> u16 {
        uplink.mtu.saturating_sub(OVERHEAD)
    }
}
