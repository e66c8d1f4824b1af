//! The machines and the wires: an underlay switch, the nodes, the cloud's gateway and load balancer, the world outside.
//!
//! ```text
//! n1 n2 …  eth0 10.240.0.11, .12 …  ──wire──  ul br0  ──wire──  gw eth0 10.240.0.1 │ ext0 192.0.2.1  ──  world eth0 192.0.2.2
//!                                                     ──wire──  lb eth0 10.240.0.2
//! ```
//!
//! Names and addresses are those of the reference lab, so that a capture of one reads like one of the other. What the
//! gateway lets pass, and what the balancer does, is the business of [`crate::cloud`].

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use sim_core::engine::arena::{LinkId, NetnsId};
use sim_core::link::LinkConfig;
use sim_core::world::World;

use super::config::{ClusterConfig, ClusterError, MAX_NODES};
use crate::cloud::{BALANCER, GATEWAY, nat};
use crate::command::{Command, CommandFailed};
use crate::dns::OUTSIDE_NETWORK;
use crate::ipam::mac;

/// Clients outside the cluster, and a name server.
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
    /// The wire from its `eth0` to the underlay switch.
    pub link: LinkId,
    /// Its address on the underlay, device `eth0`.
    pub ip: IpAddr,
    /// The address at which the world outside reaches it, by NAT at the gateway.
    pub public_ip: IpAddr,
}

/// Everything below the pods, as far as it stands before any agent runs.
#[derive(Clone, Debug)]
pub(super) struct Underlay {
    switch: NetnsId,
    pub(super) gateway: NetnsId,
    /// The netns of load balancers.
    pub(super) balancer: NetnsId,
    /// The netns of the clients outside.
    pub(super) world: NetnsId,
    /// The wire of each new machine.
    link: LinkConfig,
}

/// The networks that no Service may have an address in.
pub(super) fn networks(config: &ClusterConfig) -> [IpNet; 2] {
    [config.pod_network, IpNet::new_assert(GATEWAY, NODE_PREFIX).trunc()]
}

/// The networks that the world outside has already: no load balancer may have an address of theirs.
pub(super) fn networks_outside() -> Vec<IpNet> {
    let net = |a, b, c| IpNet::new_assert(IpAddr::from([a, b, c, 0]), 24);
    WORLD.map(|ip| IpNet::from(IpAddr::from(ip))).into_iter().chain([net(192, 0, 2), net(203, 0, 113)]).collect()
}

/// The address of the clients outside that a call from there comes from.
pub(super) fn world_ip() -> IpAddr {
    WORLD[1].into()
}

/// Builds it, with as many nodes as `config` says.
pub(super) fn build(world: &mut World, config: &ClusterConfig) -> Result<(Underlay, Vec<Node>), ClusterError> {
    let count = u8::try_from(config.nodes).ok().filter(|n| (1..=MAX_NODES).contains(&u32::from(*n)));
    let count = count.ok_or(ClusterError::Nodes(config.nodes))?;
    let underlay = Underlay::new(world, config.link)?;
    let mut node = |number: u8| {
        let name = format!("n{number}");
        let (ip, public_ip) = ([10, 240, 0, 10 + number].into(), [203, 0, 113, 10 + number].into());
        let (netns, link) = underlay.add_node(world, &name, ip, public_ip)?;
        Ok(Node { name, netns, link, ip, public_ip })
    };
    let nodes = (1..=count).map(&mut node).collect::<Result<_, ClusterError>>()?;
    Ok((underlay, nodes))
}

impl Underlay {
    /// The switch, the cloud and the world, without a node.
    fn new(world: &mut World, link: LinkConfig) -> Result<Self, CommandFailed> {
        let [switch, gateway, balancer, outside] = ["ul", "gw", "lb", "world"].map(|name| netns(world, name));
        // A switch has no netfilter.
        run(world, switch, &["link set lo up", "link add br0 mtu 1500 type bridge", "link set br0 up"])?;
        Command::sysctl("net.bridge.bridge-nf-call-iptables", 0).run(world, &[switch])?;
        let underlay = Self { switch, gateway, balancer, world: outside, link };
        for (host, name, ip) in [(gateway, "gw", GATEWAY), (balancer, "lb", BALANCER)] {
            underlay.plug(world, host, name, ip)?;
        }
        run(world, balancer, &[&format!("route add default via {GATEWAY} dev eth0")])?;
        start_world(world, gateway, outside)?;
        nat::start().iter().try_for_each(|command| command.run(world, &[gateway]))?;
        Ok(underlay)
    }

    /// A new machine, as kubeadm demands it, and its way out. It may have the name of one that was removed.
    pub(super) fn add_node(
        &self,
        world: &mut World,
        name: &str,
        ip: IpAddr,
        public_ip: IpAddr,
    ) -> Result<(NetnsId, LinkId), CommandFailed> {
        let node = netns(world, name);
        let link = self.plug(world, node, name, ip)?;
        run(world, node, &[&format!("route add default via {GATEWAY} dev eth0")])?;
        for (key, value) in [
            ("net.ipv4.ip_forward", 1),
            ("net.bridge.bridge-nf-call-iptables", 1),
            ("net.netfilter.nf_conntrack_acct", 1),
        ] {
            Command::sysctl(key, value).run(world, &[node])?;
        }
        nat::attach(ip, public_ip).iter().try_for_each(|command| command.run(world, &[self.gateway]))?;
        Ok((node, link))
    }

    /// A machine is given back: the cloud takes its address outside away. Its netns stays, for whoever looks at it.
    pub(super) fn remove_node(&self, world: &mut World, node: &Node) {
        for command in nat::detach(node.ip, node.public_ip) {
            // Someone may have changed the gateway's rules by hand.
            let _ = command.run(world, &[self.gateway]);
        }
    }

    /// Joins a host to the switch and gives it its address.
    fn plug(&self, world: &mut World, host: NetnsId, name: &str, ip: IpAddr) -> Result<LinkId, CommandFailed> {
        let port = format!("p-{name}");
        let ends = ((self.switch, port.as_str(), None), (host, "eth0", Some(mac::of(mac::Kind::Node, ip))));
        let link = world.add_link(self.link, ends.0, ends.1).expect("two new names");
        run(world, self.switch, &[&format!("link set {port} master br0"), &format!("link set {port} up")])?;
        let address = format!("addr add {ip}/{NODE_PREFIX} brd + dev eth0");
        run(world, host, &["link set lo up", "link set eth0 up", &address])?;
        Ok(link)
    }
}

fn netns(world: &mut World, name: &str) -> NetnsId {
    world.add_netns(name).expect("machines have different names")
}

fn run(world: &mut World, netns: NetnsId, lines: &[&str]) -> Result<(), CommandFailed> {
    lines.iter().try_for_each(|line| Command::Ip((*line).to_owned()).run(world, &[netns]))
}

/// The wire between gateway and world, and who lives there.
fn start_world(world: &mut World, gateway: NetnsId, outside: NetnsId) -> Result<(), CommandFailed> {
    let name = &world.netns(outside).name;
    let wire = format!("link add ext0 mtu 1500 type veth peer name eth0 mtu 1500 netns {name}");
    run(world, gateway, &[&wire, "addr add 192.0.2.1/24 brd + dev ext0", "link set ext0 up"])?;
    run(world, outside, &["link set lo up", "link set eth0 up", "addr add 192.0.2.2/24 brd + dev eth0"])?;
    for ip in WORLD {
        run(world, outside, &[&format!("addr add {ip}/32 dev lo")])?;
    }
    // Whatever name is called outside, it is answered there.
    let named = format!("route add local {OUTSIDE_NETWORK} dev lo");
    run(world, outside, &["route add default via 192.0.2.1", &named])?;
    run(world, gateway, &["route add default via 192.0.2.2"])
}
