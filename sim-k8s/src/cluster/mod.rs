//! A cluster: machines in a cloud, a control plane, and the pods it brings up.
//!
//! | room | what it is |
//! | --- | --- |
//! | `underlay` | the machines before anything runs: switch, nodes, gateway, the world outside |
//! | `agents` | the control plane's agents: who is started where |
//! | `apply` | `kubectl apply` of manifests |
//! | `dns` | who resolves names: CoreDNS in its pods, the name server outside |
//! | `running` | which pods run, or ran, and in which netns |
//! | `settled` | whether there is anything left for the control plane to do |
//! | `view` | Services with who serves them, as the apiserver has them |
//!
//! What comes out of [`Cluster::build`] is a [`World`] at time 0 in which machines were racked and agents are about to
//! start. Whoever lets the world go on hands what [happened](sim_core::world::Happened) to [`Cluster::handle`], and plays
//! the applications in pods, as [notices](Notice) say. No object is ever looked at by a packet: what the agents
//! programmed is all that there is.

mod agents;
mod apply;
mod config;
mod dns;
mod node_objects;
mod running;
mod settled;
mod underlay;
mod view;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use sim_core::engine::arena::NetnsId;
use sim_core::link::LinkConfig;
use sim_core::world::{Happened, World};

use underlay::Underlay;

use crate::agent::{AgentId, ContainerRef, ControlPlane, Notice};
use crate::api::{ObjectKey, ObjectRef, Objects};
use crate::apiserver::{Apiserver, Cache, Refused, Request};
use crate::dns::ClusterDns;

pub use config::{ClusterConfig, ClusterError, MAX_NODES};
pub use node_objects::node_objects;
pub use running::Pod;
pub use underlay::Node;
pub use view::{Service, ServicePort};

/// A cluster, beside the world that its packets are in.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The machines, `n1` first.
    pub nodes: Vec<Node>,
    /// Every pod whose containers were started, in that order; those that are gone too.
    pub pods: Vec<Pod>,
    /// What of the objects has no effect, in words.
    pub not_applied: Vec<String>,
    /// The netns of the clients outside the cluster.
    pub world_netns: NetnsId,
    /// The addresses calls from there come from, one of each family.
    pub world_ips: Vec<IpAddr>,
    underlay: Underlay,
    plane: ControlPlane,
    /// The last pod of each name, as an index.
    by_key: BTreeMap<ObjectKey, usize>,
    notices: VecDeque<Notice>,
    /// What pods are told of the cluster's DNS.
    dns: ClusterDns,
    /// The agents that are CoreDNS in containers.
    coredns: BTreeMap<ContainerRef, AgentId>,
}

impl Cluster {
    /// Racks machines, starts the agents and applies `objects`, in a new world in which nothing has happened yet.
    ///
    /// # Errors
    /// What the objects ask for and no cluster can give; see [`ClusterError`].
    pub fn build(objects: &Objects, config: &ClusterConfig) -> Result<(World, Self), ClusterError> {
        let mut world = World::new(config.seed);
        let (underlay, nodes) = underlay::build(&mut world, config)?;
        let apiserver = Apiserver::new(&config.service_networks, underlay::networks(config));
        let mut plane = ControlPlane::new(config.seed, config.timings.clone(), apiserver);
        let (node_objects, mut not_applied) = node_objects(config, &objects.nodes);
        let nodes_and_names = (node_objects, objects.namespaces.as_slice());
        agents::start(&mut world, &mut plane, (&underlay, &nodes), nodes_and_names, config)?;
        let dns = dns::cluster_dns(config);
        dns::start(&mut world, &mut plane, underlay.world, config);
        let mut objects = objects.clone();
        if config.dns {
            crate::dns::add_to(&mut objects, dns.nameserver);
        }
        not_applied.extend(apply::apply(&mut world, &mut plane, &objects)?);
        let cluster = Self {
            nodes,
            pods: Vec::new(),
            not_applied,
            world_netns: underlay.world,
            world_ips: underlay::world_ips(config),
            underlay,
            plane,
            by_key: BTreeMap::new(),
            notices: VecDeque::new(),
            dns,
            coredns: BTreeMap::new(),
        };
        Ok((world, cluster))
    }

    /// Takes in what happened in the world; whether it concerned the cluster.
    pub fn handle(&mut self, world: &mut World, happened: Happened) -> bool {
        let concerned = match happened {
            Happened::Inside => false,
            Happened::Alarm(token) => self.plane.alarm(world, token),
            Happened::Wake(netns, socket) => self.plane.woken(world, netns, socket),
        };
        if concerned {
            self.take_notices(world);
        }
        concerned
    }

    /// What the applications in pods must know, in order, each once.
    pub fn next_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// A container has ended by itself, or as it was told to, with this exit code.
    pub fn exited(&mut self, world: &mut World, container: &ContainerRef, code: u8) {
        self.ended(world.now(), container);
        self.plane.exited(world, container, code);
        self.take_notices(world);
    }

    /// Asks the apiserver, as `kubectl` does: it acts at once, and the agents hear of it in time.
    ///
    /// # Errors
    /// Why it did nothing.
    pub fn kubectl(&mut self, world: &mut World, request: Request) -> Result<(), Refused> {
        self.plane.kubectl(world, request)
    }

    /// The power of a node fails: its agents and applications are gone, and nothing passes its wire. If it `leaves`, its
    /// Node is deleted as well; else the control plane finds out by itself.
    pub fn power_off(&mut self, world: &mut World, node: usize, leaves: bool) {
        let Node { name, link, .. } = &self.nodes[node];
        let down = world.link_config(*link).unwrap_or_default();
        world.set_link_config(*link, LinkConfig { down: true, ..down });
        self.plane.retire_all_of(name);
        let running = self.pods.iter_mut().filter(|pod| pod.node == node && pod.ended.is_none());
        for pod in running {
            pod.ended = Some(world.now());
            for container in std::mem::take(&mut pod.containers) {
                let (pod, uid) = (pod.key.clone(), pod.uid);
                self.notices.push_back(Notice::Killed(ContainerRef { pod, uid, container }));
            }
        }
        if leaves {
            self.underlay.remove_node(world, &self.nodes[node]);
            let object = ObjectRef::node(name.as_str());
            // Someone may have deleted it before.
            let _ = self.plane.kubectl(world, Request::Delete { object, uid: None, grace: None });
        }
    }

    /// The objects as the apiserver has them.
    pub fn objects(&self) -> &Cache {
        self.plane.objects()
    }

    /// The agent that did something last, with a number that grows with each act.
    pub fn last_act(&self) -> Option<(u64, &str)> {
        self.plane.last_act()
    }

    /// The control plane, for instance to cut an agent's watches.
    pub fn control_plane(&mut self) -> &mut ControlPlane {
        &mut self.plane
    }
}

#[cfg(test)]
mod tests;
