//! The agents of every node: kube-proxy, flannel and the CNI plugins, each through the one door.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::IpNet;
use sim_core::engine::arena::NetnsId;
use sim_core::world::World;

use super::proxy::NodeInput;
use super::{ClusterConfig, Node, Pod};
use crate::cni::{Bridge, PodPort, PortMapping, Portmap, SandboxId, Wiring};
use crate::command::{Command, CommandFailed};
use crate::flannel::{self, Backend, Lease, Uplink};
use crate::kubeproxy::{self, Proxier, Scope, ServiceMap, Work};

/// What all nodes' agents have in common.
pub(super) struct Agents<'a> {
    network: IpNet,
    proxy: &'a kubeproxy::Config,
    proxier: &'static dyn Proxier,
    backend: &'static dyn Backend,
    uplink: Uplink,
}

impl<'a> Agents<'a> {
    /// kube-proxy in iptables mode, flannel with its VXLAN backend.
    pub(super) fn new(config: &'a ClusterConfig) -> Self {
        Self {
            network: config.pod_network,
            proxy: &config.kube_proxy,
            proxier: kubeproxy::proxier("iptables").expect("a mode of kube-proxy"),
            backend: flannel::backend("vxlan").expect("a backend of flannel"),
            uplink: Uplink { dev: "eth0".into(), ip: Ipv4Addr::UNSPECIFIED.into(), mtu: 1500 },
        }
    }

    /// kube-proxy starts and syncs everything, once for all nodes that get the same rules.
    ///
    /// It comes before flannel, whose rules differ from node to node: so the nodes share kube-proxy's.
    pub(super) fn proxy(&self, world: &mut World, nodes: &[Node], services: &ServiceMap) -> Result<(), CommandFailed> {
        let mut alike: BTreeMap<NodeInput, (kubeproxy::Node, Vec<NetnsId>)> = BTreeMap::new();
        for node in nodes {
            let proxied = proxied(node);
            let input = NodeInput::new(self.proxy, &proxied, services);
            alike.entry(input).or_insert_with(|| (proxied, Vec::new())).1.push(node.netns);
        }
        for (node, netns) in alike.values() {
            let scope = &Scope::Full;
            let work = Work { config: self.proxy, node, services, scope, existing_chains: None };
            let start = self.proxier.start(self.proxy, node);
            run_all(world, netns, start.into_iter().chain(self.proxier.sync(&work)))?;
        }
        Ok(())
    }

    /// flannel joins the nodes' pod networks.
    pub(super) fn flannel(&self, world: &mut World, nodes: &[Node]) -> Result<(), CommandFailed> {
        let leases: Vec<Lease> = nodes.iter().map(|node| Lease::new(node.ip, node.pod_network)).collect();
        for (node, own) in nodes.iter().zip(&leases) {
            let peers = leases.iter().filter(|lease| *lease != own);
            let peers = peers.flat_map(|peer| self.backend.add_peer(peer, &self.uplink)).map(|step| step.command);
            let rules = flannel::Config::new(self.network).rules(own.subnet);
            let rules = rules.iter().map(|set| set.restore(false));
            let commands = self.backend.start(own, &self.uplink).into_iter().chain(peers).chain(rules);
            run_all(world, &[node.netns], commands)?;
        }
        Ok(())
    }

    /// The CNI plugins give every pod its device and its host ports. A node has a pod bridge from its first pod on.
    pub(super) fn cni(&self, world: &mut World, nodes: &[Node], pods: &[Pod]) -> Result<(), CommandFailed> {
        let mut has_bridge = vec![false; nodes.len()];
        for pod in pods.iter().filter(|pod| !pod.template.host_network) {
            let node = &nodes[pod.node];
            let mtu = self.backend.pod_mtu(&self.uplink);
            let bridge = Bridge { gateway: node.pod_network, network: self.network, mtu, hairpin: true };
            if !std::mem::replace(&mut has_bridge[pod.node], true) {
                run_all(world, &[node.netns], bridge.setup())?;
            }
            let wiring = bridge.add(&PodPort { ip: pod.ip, netns: pod.key.to_string() });
            let Wiring { node: node_commands, pod: pod_commands } = wiring;
            run_all(world, &[node.netns], node_commands)?;
            run_all(world, &[pod.netns], pod_commands)?;
            if let Some(portmap) = portmap(node, pod) {
                run_all(world, &[node.netns], portmap.add())?;
            }
        }
        Ok(())
    }
}

fn run_all(
    world: &mut World,
    netns: &[NetnsId],
    commands: impl IntoIterator<Item = Command>,
) -> Result<(), CommandFailed> {
    commands.into_iter().try_for_each(|command| command.run(world, netns))
}

/// A node as its kube-proxy knows it.
fn proxied(node: &Node) -> kubeproxy::Node {
    let bridge = node.pod_network;
    let addresses = vec![Ipv4Addr::LOCALHOST.into(), node.ip, bridge.network(), bridge.addr()];
    kubeproxy::Node { name: node.name.clone(), ip: node.ip, addresses, zone: String::new(), cores: 4 }
}

/// The host ports of a pod; `None` if it has none.
fn portmap(node: &Node, pod: &Pod) -> Option<Portmap> {
    let ports = pod.template.containers.iter().flat_map(|container| &container.ports);
    let mappings = ports.filter_map(|port| {
        let (protocol, host_ip) = (port.protocol, port.host_ip);
        Some(PortMapping { host_port: port.host_port?, container_port: port.port, protocol, host_ip })
    });
    let mappings: Vec<_> = mappings.collect();
    let sandbox = SandboxId::new(&pod.key.namespace, &pod.key.name, 0);
    let address = IpNet::new_assert(pod.ip, node.pod_network.prefix_len());
    (!mappings.is_empty()).then_some(Portmap { sandbox, pod: address, mappings })
}
