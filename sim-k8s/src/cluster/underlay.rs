//! The machines and the wires: an underlay switch, the nodes, a gateway with 1:1 NAT, and the world outside.
//!
//! ```text
//! n1 n2 …  eth0 10.240.0.11, .12 …  ──wire──  ul br0  ──wire──  gw eth0 10.240.0.1 │ ext0 192.0.2.1  ──  world eth0 192.0.2.2
//! ```
//!
//! Names and addresses are those of the reference lab, so that a capture of one reads like one of the other.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use sim_core::engine::arena::NetnsId;
use sim_core::world::World;

use super::config::{ClusterConfig, ClusterError, MAX_NODES};
use crate::command::{Command, CommandFailed};
use crate::ipam::{PodCidrs, mac};

/// The gateway's address, and every node's default route.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 240, 0, 1);
/// Clients outside the cluster.
const WORLD: [Ipv4Addr; 3] =
    [Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::new(198, 51, 100, 7), Ipv4Addr::new(198, 51, 100, 8)];
/// All nodes' networks: `/24`, of which node N has address 10 + N.
const NODE_PREFIX: u8 = 24;

/// A Kubernetes node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its name, which is also its netns': `n1`.
    pub name: String,
    /// Its netns.
    pub netns: NetnsId,
    /// Its address on the underlay, device `eth0`.
    pub ip: IpAddr,
    /// The address at which the world outside reaches it, by NAT at the gateway.
    pub public_ip: IpAddr,
    /// Its pod network with the address of the pod bridge, for example 10.244.1.1/24.
    pub pod_network: IpNet,
}

/// Everything below the pods, as far as it stands before any agent runs.
#[derive(Clone, Debug)]
pub(super) struct Underlay {
    pub(super) nodes: Vec<Node>,
    /// The netns of the clients outside.
    pub(super) world: NetnsId,
}

/// The networks that no Service may have an address in.
pub(super) fn networks(config: &ClusterConfig) -> [IpNet; 2] {
    [config.pod_network, IpNet::new_assert(GATEWAY.into(), NODE_PREFIX).trunc()]
}

/// The address of the clients outside that a call from there comes from.
pub(super) fn world_ip() -> IpAddr {
    WORLD[1].into()
}

/// Builds it.
pub(super) fn build(world: &mut World, config: &ClusterConfig) -> Result<Underlay, ClusterError> {
    let count = u8::try_from(config.nodes).ok().filter(|n| (1..=MAX_NODES).contains(&u32::from(*n)));
    let count = count.ok_or(ClusterError::Nodes(config.nodes))?;
    let switch = netns(world, "ul");
    let nodes = plan(world, config, count)?;
    // A switch has no netfilter.
    run(world, switch, &["link set lo up", "link add br0 mtu 1500 type bridge", "link set br0 up"])?;
    Command::sysctl("net.bridge.bridge-nf-call-iptables", 0).run(world, &[switch])?;
    let gateway = netns(world, "gw");
    let hosts = nodes.iter().map(|node| (node.netns, node.name.as_str(), node.ip));
    for (host, name, ip) in hosts.chain([(gateway, "gw", GATEWAY.into())]) {
        let port = format!("p-{name}");
        let ends = ((switch, port.as_str(), None), (host, "eth0", Some(mac::of(mac::Kind::Node, ip))));
        world.add_link(config.link, ends.0, ends.1).expect("two new names");
        run(world, switch, &[&format!("link set {port} master br0"), &format!("link set {port} up")])?;
    }
    for node in &nodes {
        start_node(world, node)?;
    }
    let outside = netns(world, "world");
    start_gateway(world, gateway, &nodes)?;
    start_world(world, outside)?;
    Ok(Underlay { nodes, world: outside })
}

fn netns(world: &mut World, name: &str) -> NetnsId {
    world.add_netns(name).expect("the first netns have different names")
}

fn run(world: &mut World, netns: NetnsId, lines: &[&str]) -> Result<(), CommandFailed> {
    lines.iter().try_for_each(|line| Command::Ip((*line).to_owned()).run(world, &[netns]))
}

/// The first pod network is left to the control plane's node, which is no part of the cluster: so `n1` has 10.244.1.0/24.
fn plan(world: &mut World, config: &ClusterConfig, count: u8) -> Result<Vec<Node>, ClusterError> {
    let mut networks = PodCidrs::new(config.pod_network, 24).map_err(ClusterError::PodNetwork)?;
    networks.allocate("control plane").map_err(ClusterError::PodNetwork)?;
    let mut node = |number: u8| {
        let name = format!("n{number}");
        let network = networks.allocate(&name).map_err(ClusterError::PodNetwork)?;
        let bridge = network.hosts().next().expect("a /24 has hosts");
        Ok(Node {
            netns: netns(world, &name),
            name,
            ip: [10, 240, 0, 10 + number].into(),
            public_ip: [203, 0, 113, 10 + number].into(),
            pod_network: IpNet::new_assert(bridge, network.prefix_len()),
        })
    };
    (1..=count).map(&mut node).collect()
}

/// What kubeadm demands of a machine, and the way out.
fn start_node(world: &mut World, node: &Node) -> Result<(), CommandFailed> {
    let address = format!("addr add {}/{NODE_PREFIX} brd + dev eth0", node.ip);
    let route = format!("route add default via {GATEWAY} dev eth0");
    run(world, node.netns, &["link set lo up", "link set eth0 up", &address, &route])?;
    let sysctls =
        [("net.ipv4.ip_forward", 1), ("net.bridge.bridge-nf-call-iptables", 1), ("net.netfilter.nf_conntrack_acct", 1)];
    sysctls.into_iter().try_for_each(|(key, value)| Command::sysctl(key, value).run(world, &[node.netns]))
}

fn start_gateway(world: &mut World, gateway: NetnsId, nodes: &[Node]) -> Result<(), CommandFailed> {
    let address = format!("addr add {GATEWAY}/{NODE_PREFIX} brd + dev eth0");
    run(
        world,
        gateway,
        &[
            "link set lo up",
            "link set eth0 up",
            &address,
            "link add ext0 mtu 1500 type veth peer name eth0 mtu 1500 netns world",
            "addr add 192.0.2.1/24 brd + dev ext0",
            "link set ext0 up",
            "route add default via 192.0.2.2",
        ],
    )?;
    Command::sysctl("net.ipv4.ip_forward", 1).run(world, &[gateway])?;
    Command::Restore(gateway_rules(nodes)).run(world, &[gateway])
}

fn start_world(world: &mut World, netns: NetnsId) -> Result<(), CommandFailed> {
    run(world, netns, &["link set lo up", "link set eth0 up", "addr add 192.0.2.2/24 brd + dev eth0"])?;
    for ip in WORLD {
        run(world, netns, &[&format!("addr add {ip}/32 dev lo")])?;
    }
    run(world, netns, &["route add 203.0.113.0/24 via 192.0.2.1"])
}

/// Each node has an outside address of its own; whatever else would pass is dropped.
fn gateway_rules(nodes: &[Node]) -> String {
    let mut nat = String::from("*nat\n");
    let mut filter =
        String::from("*filter\n:FORWARD DROP [0:0]\n-A FORWARD -m conntrack --ctstate RELATED -j ACCEPT\n");
    for Node { ip, public_ip, .. } in nodes {
        nat += &format!("-A PREROUTING -i ext0 -d {public_ip}/32 -j DNAT --to-destination {ip}\n");
        nat += &format!("-A POSTROUTING -o ext0 -s {ip}/32 -j SNAT --to-source {public_ip}\n");
        filter += &format!("-A FORWARD -i eth0 -o ext0 -s {ip}/32 -j ACCEPT\n");
        filter += &format!("-A FORWARD -i ext0 -o eth0 -d {ip}/32 -j ACCEPT\n");
    }
    format!("{nat}COMMIT\n{filter}COMMIT\n")
}
