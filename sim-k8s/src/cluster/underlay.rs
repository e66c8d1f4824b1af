//! The machines and the wires: an underlay switch, the nodes, the cloud's gateway and load balancer, the world outside.
//!
//! ```text
//! n1 n2 …  eth0 10.240.0.11, .12 …  ──wire──  ul br0  ──wire──  gw eth0 10.240.0.1 │ ext0 192.0.2.1  ──  world eth0 192.0.2.2
//!                                                     ──wire──  lb eth0 10.240.0.2
//! ```
//!
//! Names are those of the reference lab; addresses, of each family that the cluster speaks, are those of the cloud's
//! [`Plan`]. What the gateway lets pass, and what the balancer does, is the business of [`crate::cloud`].

use sim_core::wire::ip::Family;
use std::net::IpAddr;

use ipnet::IpNet;
use sim_core::engine::arena::{LinkId, NetnsId};
use sim_core::kernel::Kernel;
use sim_core::link::LinkConfig;
use sim_core::world::World;

use super::config::{ClusterConfig, ClusterError, MAX_NODES};
use crate::cloud::{Plan, nat};
use crate::command::{Command, CommandFailed};
use crate::ipam::mac;

/// A Kubernetes node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its name, which is also its netns': `n1`.
    pub name: String,
    /// Its netns.
    pub netns: NetnsId,
    /// The wire from its `eth0` to the underlay switch.
    pub link: LinkId,
    /// Its addresses on the underlay, device `eth0`: one of each family, the primary one first.
    pub ips: Vec<IpAddr>,
    /// The addresses at which the world outside reaches it, in the same order: by NAT at the gateway, or its own.
    pub public_ips: Vec<IpAddr>,
}

impl Node {
    /// Its primary address.
    pub fn ip(&self) -> IpAddr {
        self.ips[0]
    }

    /// The primary one of its addresses for the world outside.
    pub fn public_ip(&self) -> IpAddr {
        self.public_ips[0]
    }
}

/// Everything below the pods, as far as it stands before any agent runs.
#[derive(Clone, Debug)]
pub(super) struct Underlay {
    plans: Vec<&'static Plan>,
    switch: NetnsId,
    pub(super) gateway: NetnsId,
    /// The netns of load balancers.
    pub(super) balancer: NetnsId,
    /// The netns of the clients outside.
    pub(super) world: NetnsId,
    /// The wire of each new node.
    link: LinkConfig,
    /// The CPUs of each new node.
    cpus: u16,
    /// The kernel of each new node.
    kernel: Kernel,
}

/// The plans of the families that a cluster speaks, the primary one first.
fn plans(config: &ClusterConfig) -> Vec<&'static Plan> {
    config.families().into_iter().map(Plan::of).collect()
}

/// The networks that no Service may have an address in.
pub(super) fn networks(config: &ClusterConfig) -> Vec<IpNet> {
    config.pod_networks.iter().copied().chain(plans(config).iter().map(|plan| plan.machines)).collect()
}

/// The networks that the world outside has already: no load balancer may have an address of theirs.
pub(super) fn networks_outside(config: &ClusterConfig) -> Vec<IpNet> {
    plans(config).iter().flat_map(|plan| plan.outside()).collect()
}

/// The addresses of the clients outside that calls from there come from, one a family.
pub(super) fn world_ips(config: &ClusterConfig) -> Vec<IpAddr> {
    plans(config).iter().map(|plan| plan.clients[0]).collect()
}

/// Builds it, with as many nodes as `config` says.
pub(super) fn build(world: &mut World, config: &ClusterConfig) -> Result<(Underlay, Vec<Node>), ClusterError> {
    let count = u8::try_from(config.nodes).ok().filter(|n| (1..=MAX_NODES).contains(&u32::from(*n)));
    let count = count.ok_or(ClusterError::Nodes(config.nodes))?;
    let underlay = Underlay::new(world, config)?;
    let nodes = (1..=count).map(|number| underlay.add_node(world, number)).collect::<Result<_, _>>()?;
    Ok((underlay, nodes))
}

impl Underlay {
    /// The switch, the cloud and the world, without a node.
    fn new(world: &mut World, config: &ClusterConfig) -> Result<Self, CommandFailed> {
        let ClusterConfig { link, cpus, kernel, .. } = *config;
        let [switch, gateway, balancer, outside] = ["ul", "gw", "lb", "world"].map(|name| netns(world, name));
        // A switch has no netfilter.
        run(world, switch, &["link set lo up", "link add br0 mtu 1500 type bridge", "link set br0 up"])?;
        Command::sysctl("net.bridge.bridge-nf-call-iptables", 0).run(world, &[switch])?;
        let underlay = Self { plans: plans(config), switch, gateway, balancer, world: outside, link, cpus, kernel };
        underlay.plug(world, gateway, "gw", |plan| plan.gateway)?;
        underlay.plug(world, balancer, "lb", |plan| plan.balancer)?;
        underlay.add_default_routes(world, balancer)?;
        underlay.start_world(world)?;
        for plan in &underlay.plans {
            nat::start(Family::of(plan.gateway)).iter().try_for_each(|command| command.run(world, &[gateway]))?;
        }
        Ok(underlay)
    }

    /// A new machine, as kubeadm demands it, and its way out.
    fn add_node(&self, world: &mut World, number: u8) -> Result<Node, CommandFailed> {
        let name = format!("n{number}");
        let machine = world.add_machine(self.cpus, self.kernel);
        let netns = world.add_netns_on(machine, &name).expect("machines have different names");
        let link = self.plug(world, netns, &name, |plan| plan.node(number))?;
        self.add_default_routes(world, netns)?;
        for plan in &self.plans {
            let [forward, bridged] = match Family::of(plan.gateway) {
                Family::V4 => ["net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables"],
                Family::V6 => ["net.ipv6.conf.all.forwarding", "net.bridge.bridge-nf-call-ip6tables"],
            };
            [forward, bridged].iter().try_for_each(|key| Command::sysctl(*key, 1).run(world, &[netns]))?;
        }
        Command::sysctl("net.netfilter.nf_conntrack_acct", 1).run(world, &[netns])?;
        let ips: Vec<IpAddr> = self.plans.iter().map(|plan| plan.node(number)).collect();
        let public_ips: Vec<IpAddr> = self.plans.iter().map(|plan| plan.public(number)).collect();
        for (ip, public) in ips.iter().zip(&public_ips) {
            nat::attach(*ip, *public).iter().try_for_each(|command| command.run(world, &[self.gateway]))?;
        }
        Ok(Node { name, netns, link, ips, public_ips })
    }

    /// A machine is given back: the cloud takes its address outside away. Its netns stays, for whoever looks at it.
    pub(super) fn remove_node(&self, world: &mut World, node: &Node) {
        for command in node.ips.iter().zip(&node.public_ips).flat_map(|(ip, public)| nat::detach(*ip, *public)) {
            // Someone may have changed the gateway's rules by hand.
            let _ = command.run(world, &[self.gateway]);
        }
    }

    /// Joins a host to the switch and gives it its addresses.
    fn plug(
        &self,
        world: &mut World,
        host: NetnsId,
        name: &str,
        ip: impl Fn(&Plan) -> IpAddr,
    ) -> Result<LinkId, CommandFailed> {
        self.speak(world, host)?;
        let port = format!("p-{name}");
        let mac = mac::of(mac::Kind::Node, ip(self.plans[0]));
        let ends = ((self.switch, port.as_str(), None), (host, "eth0", Some(mac)));
        let link = world.add_link(self.link, ends.0, ends.1).expect("two new names");
        run(world, self.switch, &[&format!("link set {port} master br0"), &format!("link set {port} up")])?;
        run(world, host, &["link set lo up", "link set eth0 up"])?;
        for plan in &self.plans {
            run(world, host, &[&address(ip(plan), plan.machines, "eth0")])?;
        }
        Ok(link)
    }

    /// A host speaks IPv6 only if it has to.
    fn speak(&self, world: &mut World, host: NetnsId) -> Result<(), CommandFailed> {
        if self.plans.iter().any(|plan| plan.gateway.is_ipv6()) {
            Command::sysctl("net.ipv6.conf.all.disable_ipv6", 0).run(world, &[host])?;
        }
        Ok(())
    }

    fn add_default_routes(&self, world: &mut World, host: NetnsId) -> Result<(), CommandFailed> {
        let mut plans = self.plans.iter();
        plans.try_for_each(|plan| run(world, host, &[&default_route(plan.gateway, "eth0")]))
    }

    /// The wire between gateway and world, and who lives there.
    fn start_world(&self, world: &mut World) -> Result<(), CommandFailed> {
        let (gateway, outside) = (self.gateway, self.world);
        let name = &world.netns(outside).name;
        let wire = format!("link add ext0 mtu 1500 type veth peer name eth0 mtu 1500 netns {name}");
        self.speak(world, outside)?;
        run(world, gateway, &[&wire])?;
        for plan in &self.plans {
            run(world, gateway, &[&address(plan.ends()[0], plan.wire, "ext0")])?;
        }
        run(world, gateway, &["link set ext0 up"])?;
        run(world, outside, &["link set lo up", "link set eth0 up"])?;
        for plan in &self.plans {
            let [inner, outer] = plan.ends();
            run(world, outside, &[&address(outer, plan.wire, "eth0")])?;
            for ip in [plan.resolver].iter().chain(&plan.clients) {
                run(world, outside, &[&format!("addr add {} dev lo", IpNet::from(*ip))])?;
            }
            // Whatever name is called outside, it is answered there.
            let named = format!("route add local {} dev lo", plan.names);
            run(world, outside, &[&default_route(inner, ""), &named])?;
            run(world, gateway, &[&default_route(outer, "")])?;
        }
        Ok(())
    }
}

fn netns(world: &mut World, name: &str) -> NetnsId {
    world.add_netns(name).expect("machines have different names")
}

fn run(world: &mut World, netns: NetnsId, lines: &[&str]) -> Result<(), CommandFailed> {
    lines.iter().try_for_each(|line| Command::Ip((*line).to_owned()).run(world, &[netns]))
}

/// An address that is known to be nobody else's: the cloud gave it out.
fn address(ip: IpAddr, network: IpNet, dev: &str) -> String {
    let how = if ip.is_ipv4() { "brd + " } else { "" };
    let known = if ip.is_ipv4() { "" } else { " nodad" };
    format!("addr add {ip}/{} {how}dev {dev}{known}", network.prefix_len())
}

fn default_route(via: IpAddr, dev: &str) -> String {
    let dev = if dev.is_empty() { String::new() } else { format!(" dev {dev}") };
    format!("{}route add default via {via}{dev}", if via.is_ipv4() { "" } else { "-6 " })
}
