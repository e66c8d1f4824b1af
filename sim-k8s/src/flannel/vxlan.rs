//! The VXLAN backend: every node knows every VTEP beforehand, so nothing is ever learned or flooded
//! (upstream `pkg/backend/vxlan`, `device.go` and `vxlan_network.go`).

use super::{Backend, Lease, Step, Uplink};
use crate::command::Command;

/// `flannel.1`, a VXLAN device with VNI 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vxlan;

const DEV: &str = "flannel.1";
const VNI: u32 = 1;
/// The kernel's default, which is not IANA's 4789.
const PORT: u16 = 8472;
/// Outer IPv4, UDP and VXLAN headers and the inner Ethernet header, in bytes (`encapOverhead`).
const OVERHEAD: u16 = 50;

fn neigh(action: &str, peer: &Lease) -> Command {
    let nud = if action == "del" { "" } else { " nud permanent" };
    Command::Ip(format!("neigh {action} {} lladdr {} dev {DEV}{nud}", peer.vtep_ip(), peer.vtep_mac))
}

fn fdb(action: &str, peer: &Lease) -> Command {
    let state = if action == "del" { "" } else { " permanent" };
    Command::Bridge(format!("fdb {action} {} dev {DEV} dst {} self{state}", peer.vtep_mac, peer.public_ip))
}

fn route(action: &str, peer: &Lease) -> Command {
    // Onlink: the next hop is in no network of the device, whose address is a /32.
    Command::Ip(format!("route {action} {} via {} dev {DEV} onlink", peer.subnet, peer.vtep_ip()))
}

impl Backend for Vxlan {
    fn start(&self, own: &Lease, uplink: &Uplink) -> Vec<Command> {
        let (mac, local, dev, mtu) = (own.vtep_mac, own.public_ip, &uplink.dev, self.pod_mtu(uplink));
        // The address is a /32 so that the kernel makes no broadcast routes for it.
        let own_prefix = own.subnet.max_prefix_len();
        [
            format!(
                "link add {DEV} address {mac} mtu {mtu} type vxlan id {VNI} local {local} dev {dev} dstport {PORT} nolearning"
            ),
            format!("addr add {}/{own_prefix} dev {DEV}", own.vtep_ip()),
            format!("link set {DEV} up"),
        ]
        .map(Command::Ip)
        .to_vec()
    }

    fn dev(&self) -> Option<&'static str> {
        Some(DEV)
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
