//! A cluster: objects in, a wired world out.
//!
//! Here the control plane acts at once and all its parts in turn, in the order of life:
//!
//! | room | who acts |
//! | --- | --- |
//! | `underlay` | who racks the machines: switch, nodes, gateway, the world outside |
//! | `pods` | controllers, scheduler, kubelets: pods on nodes, each with a sandbox and an address |
//! | `services` | apiserver and endpoint controllers: ClusterIPs, node ports, endpoints |
//! | `proxy` | nobody: Services in kube-proxy's words |
//! | `agents` | on every node kube-proxy, flannel and the CNI plugins, through the one door |
//!
//! What comes out is a [`World`] at time 0 and a [`Cluster`], which says who is where. Nothing in it is looked at by a
//! packet: what the agents programmed is all that there is.

mod agents;
mod config;
mod names;
mod node_objects;
mod pods;
mod proxy;
mod services;
mod underlay;

use std::net::IpAddr;

use sim_core::engine::arena::NetnsId;
use sim_core::world::World;

use crate::api::Objects;
use crate::workload::Unplaced;

pub use config::{ClusterConfig, ClusterError, MAX_NODES};
pub use node_objects::node_objects;
pub use pods::Pod;
pub use services::{Service, ServicePort};
pub use underlay::Node;

/// Who is where.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The nodes, `n1` first.
    pub nodes: Vec<Node>,
    /// The pods that run, in the order of their workloads.
    pub pods: Vec<Pod>,
    /// The pods that fit on no node, and why.
    pub pending: Vec<Unplaced>,
    /// The Services, in the order of the manifests.
    pub services: Vec<Service>,
    /// What of the objects has no effect, in words.
    pub not_applied: Vec<String>,
    /// The netns of the clients outside the cluster.
    pub world_netns: NetnsId,
    /// The address calls from there come from.
    pub world_ip: IpAddr,
    names: names::Names,
}

impl Cluster {
    /// Builds a cluster of `objects` in a new world, in which nothing has happened yet but what the agents did.
    ///
    /// # Errors
    /// What the objects ask for and no cluster can give; see [`ClusterError`].
    pub fn build(objects: &Objects, config: &ClusterConfig) -> Result<(World, Self), ClusterError> {
        let mut world = World::new(config.seed);
        let (underlay, nodes) = underlay::build(&mut world, config)?;
        let (pods, pending) = pods::run(&mut world, &nodes, &objects.workloads)?;
        let mut services = services::expose(&objects.services, config)?;
        let not_applied = services::find_endpoints(&mut services, objects, &pods, &nodes);
        let agents = agents::Agents::new(config);
        agents.proxy(&mut world, &nodes, &proxy::service_map(&objects.services, &services))?;
        agents.flannel(&mut world, &nodes)?;
        agents.cni(&mut world, &nodes, &pods)?;
        let names = names::Names::new(&objects.services, &nodes, &pods, &services);
        let (world_netns, world_ip) = (underlay.world, underlay::world_ip());
        Ok((world, Self { nodes, pods, pending, services, not_applied, world_netns, world_ip, names }))
    }
}

#[cfg(test)]
mod tests;
