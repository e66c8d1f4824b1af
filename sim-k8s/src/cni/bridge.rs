//! The bridge plugin: cni0, and a veth pair from it into each pod (upstream `plugins/main/bridge/bridge.go`,
//! `pkg/ipam/ipam_linux.go`).

use std::net::IpAddr;

use data_encoding::HEXLOWER;
use ipnet::IpNet;

use crate::command::Command;
use crate::ipam::mac;

const DEV: &str = "cni0";

/// One node's pod bridge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bridge {
    /// The bridge's addresses and the node's pod networks, for example 10.244.1.1/24; one a family, the primary one first.
    pub gateways: Vec<IpNet>,
    /// All nodes' pod networks together, for example 10.244.0.0/16; in the same order.
    pub networks: Vec<IpNet>,
    /// MTU of the bridge and of both ends of each pair, in bytes.
    pub mtu: u16,
    /// Whether a frame may leave by the port it came from: a pod that reaches itself by a Service needs it.
    pub hairpin: bool,
}

/// One pod's place at the bridge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodPort {
    /// The pod's addresses, from host-local, in the order of the bridge's.
    pub ips: Vec<IpAddr>,
    /// Name of the pod's netns, as `ip link add … netns NAME` takes it.
    pub netns: String,
}

impl PodPort {
    /// The node's end of the pair: `veth` and eight hexadecimal digits.
    ///
    /// Upstream draws them at random; here they are the pod's primary address, so no two pods of a node have one name.
    pub fn veth(&self) -> String {
        format!("veth{}", HEXLOWER.encode(&mac::last_four(self.ips[0])))
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
        let mac = mac::of(mac::Kind::Pod, self.gateways[0].addr());
        let mut commands = vec![Command::Ip(format!("link add {DEV} address {mac} mtu {} type bridge", self.mtu))];
        if self.speaks_ipv6() {
            commands.push(Command::sysctl(format!("net.ipv6.conf.{DEV}.accept_ra"), 0));
        }
        commands.push(Command::Ip(format!("link set {DEV} up")));
        for gateway in &self.gateways {
            commands.push(Command::Ip(format!("addr add {gateway}{} dev {DEV}", broadcast(gateway))));
        }
        for gateway in &self.gateways {
            let ipv4 = gateway.addr().is_ipv4();
            commands
                .push(Command::sysctl(if ipv4 { "net.ipv4.ip_forward" } else { "net.ipv6.conf.all.forwarding" }, 1));
        }
        commands
    }

    /// ADD: gives a pod its eth0.
    pub fn add(&self, pod: &PodPort) -> Wiring {
        let (veth, netns, mtu) = (pod.veth(), &pod.netns, self.mtu);
        let (mac, peer_mac) = (mac::of(mac::Kind::Pod, pod.ips[0]), mac::of(mac::Kind::PodPeer, pod.ips[0]));
        let hairpin = if self.hairpin { "on" } else { "off" };
        let node = vec![
            Command::Ip(format!(
                "link add {veth} address {peer_mac} mtu {mtu} type veth peer name eth0 address {mac} mtu {mtu} netns {netns}"
            )),
            Command::Ip(format!("link set {veth} up")),
            Command::Ip(format!("link set {veth} master {DEV}")),
            Command::Bridge(format!("link set dev {veth} hairpin {hairpin}")),
        ];
        Wiring { node, pod: self.inside(pod) }
    }

    /// The commands for the pod's netns.
    fn inside(&self, pod: &PodPort) -> Vec<Command> {
        // The container runtime's loopback plugin comes before.
        let mut commands = vec![Command::Ip("link set lo up".into())];
        if self.speaks_ipv6() {
            // An address can be used at once: nobody else was given it (`enabledad` is off). Only what has IPv6 speaks it.
            for (key, value) in [("eth0.accept_dad", 0), ("lo.disable_ipv6", 0), ("eth0.disable_ipv6", 0)] {
                commands.push(Command::sysctl(format!("net.ipv6.conf.{key}"), value));
            }
        }
        if pod.ips.iter().any(IpAddr::is_ipv4) {
            // The pod announces its address when eth0 comes up, so that nobody keeps an earlier owner's.
            commands.push(Command::sysctl("net.ipv4.conf.eth0.arp_notify", 1));
        }
        for (ip, gateway) in pod.ips.iter().zip(&self.gateways) {
            let address = format!("{ip}/{}{}", gateway.prefix_len(), broadcast(gateway));
            commands.push(Command::Ip(format!("addr add {address} dev eth0")));
        }
        commands.push(Command::Ip("link set eth0 up".into()));
        for (gateway, network) in self.gateways.iter().zip(&self.networks) {
            let (via, family) = (gateway.addr(), if gateway.addr().is_ipv4() { "" } else { "-6 " });
            // flannel's route to all pods, then the default route of `isDefaultGateway`.
            commands.push(Command::Ip(format!("route add {network} via {via} dev eth0")));
            commands.push(Command::Ip(format!("{family}route add default via {via} dev eth0")));
        }
        commands
    }

    fn speaks_ipv6(&self) -> bool {
        self.gateways.iter().any(|gateway| gateway.addr().is_ipv6())
    }

    /// DEL: takes eth0 from the pod; its peer goes with it. For the pod's netns.
    pub fn remove(&self) -> Vec<Command> {
        vec![Command::Ip("link del eth0".into())]
    }
}

/// `netlink.AddrAdd` gives an IPv4 address its network's broadcast address.
fn broadcast(address: &IpNet) -> &'static str {
    if address.addr().is_ipv4() { " brd +" } else { "" }
}
