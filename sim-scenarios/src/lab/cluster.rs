//! The lab's cluster: names, addresses and hardware addresses, a pure function of `topo`.
//!
//! Everything here is fixed by the reference lab's README, "The cluster"; how it is programmed into
//! netns is [`super::topology`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use indexmap::IndexMap;
use sim_core::wire::eth::MacAddr;

use super::spec::Topo;

/// Names and addresses of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// The netns in the order in which they are made: underlay, nodes, pods, gateway, world.
    pub netns: Vec<String>,
    /// The nodes, in order.
    pub nodes: Vec<Node>,
    /// The pods, in the order of the spec.
    pub pods: IndexMap<String, Pod>,
    macs: IndexMap<String, MacAddr>,
    names: IndexMap<MacAddr, String>,
    /// Whether pods and nodes have addresses of IPv6.
    v6: bool,
}

/// A node of the cluster.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its netns, `n1` for number 1.
    pub name: String,
    /// Its number, counted from 1.
    pub number: u8,
}

impl Node {
    /// The address on the underlay.
    pub const fn addr(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 240, 0, 10 + self.number)
    }

    /// The address of its pod bridge.
    pub const fn bridge_addr(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 244, self.number, 1)
    }

    /// The address of its VTEP, the base address of its pod network.
    pub const fn vtep_addr(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 244, self.number, 0)
    }

    /// The IPv6 address on the underlay.
    pub const fn addr6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0x10, 0x240, 0, 0, 0, 0, hex_of_decimal(10 + self.number))
    }

    /// The IPv6 address of its pod bridge.
    pub const fn bridge_addr6(&self) -> Ipv6Addr {
        self.in_pod_network6(1)
    }

    /// The IPv6 address of its VTEP.
    pub const fn vtep_addr6(&self) -> Ipv6Addr {
        self.in_pod_network6(0)
    }

    const fn in_pod_network6(&self, host: u8) -> Ipv6Addr {
        pod_addr6(self.number, host)
    }

    /// The hardware address of its VTEP.
    pub const fn vtep_mac(&self) -> MacAddr {
        MacAddr([0x0e, 0xfa, 0, 0, 1, self.number])
    }
}

/// A pod of the cluster.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its address.
    pub addr: Ipv4Addr,
    /// Its IPv6 address, if the cluster has IPv6.
    pub addr6: Ipv6Addr,
    /// The number of its node.
    pub node: u8,
}

const fn pod_addr6(node: u8, host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x10, 0x244, hex_of_decimal(node), 0, 0, 0, hex_of_decimal(host))
}

/// The lab writes decimal numbers into IPv6 addresses: 11 becomes `::11`.
const fn hex_of_decimal(n: u8) -> u16 {
    let n = n as u16;
    n / 100 * 256 + n / 10 % 10 * 16 + n % 10
}

/// The gateway's address on the underlay.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 240, 0, 1);

/// The UDP port of the cluster's VXLAN: flannel's and Linux' own, not IANA's 4789.
pub const VXLAN_PORT: u16 = 8472;

/// The source ports that outer VXLAN packets are hashed to (`net.ipv4.ip_local_port_range`).
pub const HASHED_PORTS: std::ops::RangeInclusive<u16> = 32768..=60999;

impl Cluster {
    /// The cluster that `topo` describes; pods get .2, .3, … of their node in the order of the spec.
    pub fn new(topo: &Topo) -> Self {
        let nodes = (1..=topo.nodes).map(|number| Node { name: format!("n{number}"), number }).collect();
        let mut c = Self { nodes, v6: topo.v6, ..Self::default() };
        let mut last_host = [1u8; 256];
        for (name, &node) in &topo.pods {
            let host = &mut last_host[usize::from(node)];
            *host += 1;
            let (addr, addr6) = (Ipv4Addr::new(10, 244, node, *host), pod_addr6(node, *host));
            c.pods.insert(name.clone(), Pod { addr, addr6, node });
        }
        c.netns.push("ul".into());
        c.netns.extend(c.nodes.iter().map(|n| n.name.clone()));
        c.netns.extend(c.pods.keys().cloned());
        if topo.world {
            c.netns.extend(["gw".into(), "world".into()]);
        }
        c.name_macs(topo);
        c
    }

    /// The lab's hardware addresses. Of two devices with one address the later named wins, as in the lab.
    fn name_macs(&mut self, topo: &Topo) {
        self.mac_is("ul", "br0", MacAddr([2, 0, 0, 0, 0x0b, 0]));
        for (name, addr) in self.underlay_hosts(topo) {
            self.mac_is("ul", &format!("p-{name}"), MacAddr([2, 0, 0, 0, 0x0b, addr.octets()[3]]));
            self.mac_is(&name, "eth0", mac_of([0x42, 0x01], addr));
        }
        for node in self.nodes.clone() {
            self.mac_is(&node.name, "cni0", mac_of([0x0a, 0x58], node.bridge_addr()));
            self.mac_is(&node.name, "flannel.1", node.vtep_mac());
        }
        for (name, pod) in self.pods.clone() {
            self.mac_is(&name, "eth0", mac_of([0x0a, 0x58], pod.addr));
            let port = MacAddr([0x0e, 0x0e, pod.node, pod.addr.octets()[3], 0, 1]);
            self.mac_is(&format!("n{}", pod.node), &format!("veth-{name}"), port);
        }
        if topo.world {
            self.mac_is("gw", "ext0", MacAddr([2, 0, 0, 0, 0x0e, 1]));
            self.mac_is("world", "eth0", MacAddr([2, 0, 0, 0, 0x0e, 2]));
        }
    }

    fn mac_is(&mut self, netns: &str, dev: &str, mac: MacAddr) {
        let name = format!("{netns}/{dev}");
        self.names.insert(mac, name.clone());
        self.macs.insert(name, mac);
    }

    /// Who is plugged into the underlay switch, in the order of its ports (flooding follows it).
    pub fn underlay_hosts(&self, topo: &Topo) -> Vec<(String, Ipv4Addr)> {
        let mut hosts: Vec<_> = self.nodes.iter().map(|n| (n.name.clone(), n.addr())).collect();
        if topo.world {
            hosts.push(("gw".into(), GATEWAY));
        }
        hosts
    }

    /// The hardware address of `netns/dev`.
    pub fn mac(&self, name: &str) -> Option<MacAddr> {
        self.macs.get(name).copied()
    }

    /// The devices of `netns` that have a hardware address of the lab.
    pub fn devices(&self, netns: &str) -> impl Iterator<Item = &str> {
        self.macs.keys().filter_map(move |name| name.split_once('/').filter(|(of, _)| *of == netns).map(|(_, dev)| dev))
    }

    /// What the lab calls a hardware address: `netns/dev`, `bcast`, or its digits.
    pub fn mac_name(&self, mac: MacAddr) -> String {
        match self.names.get(&mac) {
            Some(name) => name.clone(),
            None if mac == MacAddr::BROADCAST => "bcast".into(),
            None => mac.to_string(),
        }
    }

    /// `text` with every known hardware address in it replaced by its name.
    pub fn name_macs_in(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (mac, name)| text.replace(&mac.to_string(), name))
    }

    /// The address that `text` stands for: a pod's name, for its IPv6 address with a 6 behind it, or an address.
    pub fn addr(&self, text: &str) -> Option<IpAddr> {
        let addr6 = || self.pods.get(text.strip_suffix('6')?).map(|pod| pod.addr6.into());
        let named = self.pods.get(text).map(|pod| pod.addr.into()).or_else(|| addr6().filter(|_| self.v6));
        named.or_else(|| text.parse().ok())
    }
}

fn mac_of(head: [u8; 2], addr: Ipv4Addr) -> MacAddr {
    let [a, b, c, d] = addr.octets();
    MacAddr([head[0], head[1], a, b, c, d])
}
