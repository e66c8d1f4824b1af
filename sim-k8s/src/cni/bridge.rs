//! The bridge plugin: cni0, and a veth pair from it into each pod (upstream `plugins/main/bridge/bridge.go`).

use std::net::IpAddr;

use data_encoding::HEXLOWER;
use ipnet::IpNet;

use crate::command::Command;
use crate::ipam::mac;

const DEV: &str = "cni0";

/// One node's pod bridge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bridge {
    /// The bridge's address and the node's pod network, for example 10.244.1.1/24.
    pub gateway: IpNet,
    /// All nodes' pod networks together, for example 10.244.0.0/16.
    pub network: IpNet,
    /// MTU of the bridge and of both ends of each pair, in bytes.
    pub mtu: u16,
    /// Whether a frame may leave by the port it came from: a pod that reaches itself by a Service needs it.
    pub hairpin: bool,
}

/// One pod's place at the bridge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodPort {
    /// The pod's address, from host-local.
    pub ip: IpAddr,
    /// Name of the pod's netns, as `ip link add … netns NAME` takes it.
    pub netns: String,
}

impl PodPort {
    /// The node's end of the pair: `veth` and eight hexadecimal digits.
    ///
    /// Upstream draws them at random; here they are the pod's address, so no two pods of a node have one name.
    pub fn veth(&self) -> String {
        format!("veth{}", HEXLOWER.encode(&mac::last_four(self.ip)))
    }
}

/// Commands that wire one pod: first those of the node's netns, then those of the pod's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wiring {
    /// For the node's netns.
    pub node: Vec<Command>,
    /// For the pod's netns.
    pub pod: Vec<Command>,
}

impl Bridge {
    /// Makes the bridge: once a node, before its first pod.
    ///
    /// Its hardware address is given, so it does not change to the lowest of its ports' (as it would by itself).
    pub fn setup(&self) -> Vec<Command> {
        let mac = mac::of(mac::Kind::Pod, self.gateway.addr());
        let broadcast = self.broadcast();
        let forwarding =
            if self.gateway.addr().is_ipv4() { "net.ipv4.ip_forward" } else { "net.ipv6.conf.all.forwarding" };
        vec![
            Command::Ip(format!("link add {DEV} address {mac} mtu {} type bridge", self.mtu)),
            Command::Ip(format!("link set {DEV} up")),
            Command::Ip(format!("addr add {}{broadcast} dev {DEV}", self.gateway)),
            Command::sysctl(forwarding, 1),
        ]
    }

    /// ADD: gives a pod its eth0.
    pub fn add(&self, pod: &PodPort) -> Wiring {
        let (veth, netns, mtu) = (pod.veth(), &pod.netns, self.mtu);
        let (mac, peer_mac) = (mac::of(mac::Kind::Pod, pod.ip), mac::of(mac::Kind::PodPeer, pod.ip));
        let hairpin = if self.hairpin { "on" } else { "off" };
        let node = vec![
            Command::Ip(format!(
                "link add {veth} address {peer_mac} mtu {mtu} type veth peer name eth0 address {mac} mtu {mtu} netns {netns}"
            )),
            Command::Ip(format!("link set {veth} up")),
            Command::Ip(format!("link set {veth} master {DEV}")),
            Command::Bridge(format!("link set dev {veth} hairpin {hairpin}")),
        ];
        let (ip, prefix, gateway, network) = (pod.ip, self.gateway.prefix_len(), self.gateway.addr(), self.network);
        let broadcast = self.broadcast();
        let mut commands = vec![
            // The container runtime's loopback plugin comes before.
            Command::Ip("link set lo up".into()),
            Command::Ip(format!("addr add {ip}/{prefix}{broadcast} dev eth0")),
            Command::Ip("link set eth0 up".into()),
            // flannel's route to all pods, then the default route of `isDefaultGateway`.
            Command::Ip(format!("route add {network} via {gateway} dev eth0")),
            Command::Ip(format!("route add default via {gateway} dev eth0")),
        ];
        if ip.is_ipv4() {
            // The pod announces its address when eth0 comes up, so that nobody keeps an earlier owner's.
            commands.insert(1, Command::sysctl("net.ipv4.conf.eth0.arp_notify", 1));
        }
        Wiring { node, pod: commands }
    }

    /// DEL: takes eth0 from the pod; its peer goes with it. For the pod's netns.
    pub fn remove(&self) -> Vec<Command> {
        vec![Command::Ip("link del eth0".into())]
    }

    /// `netlink.AddrAdd` gives an IPv4 address its network's broadcast address.
    fn broadcast(&self) -> &'static str {
        if self.gateway.addr().is_ipv4() { " brd +" } else { "" }
    }
}
