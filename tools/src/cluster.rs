//! What every command that brings up a cluster is told about it.

use std::path::PathBuf;

use sim_core::engine::rng::Seed;
use sim_k8s::cloud::lb::LbConfig;
use sim_k8s::cluster::{ClusterConfig, MAX_NODES};
use sim_k8s::flannel;

/// Manifests and the cluster they are applied to.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ClusterArgs {
    /// Files or folders of Kubernetes YAML or JSON
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Where all randomness comes from
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many nodes the cluster has
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_NODES)))]
    nodes: u32,
    /// Over how many zones the nodes are dealt in turn; 0: they have none
    #[arg(long, default_value_t = 0)]
    zones: u32,
    /// How packets come to the pods of another node
    #[arg(long, value_enum, default_value_t = Network::Vxlan)]
    network: Network,
    /// What the cloud's load balancers do with a packet
    #[arg(long, value_enum, default_value_t = Balancer::Passthrough)]
    load_balancer: Balancer,
}

/// flannel's backend, or none.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Network {
    /// flannel's overlay
    Vxlan,
    /// flannel's routes from node to node
    HostGw,
    /// the cloud's routes; nothing is encapsulated
    Routes,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Balancer {
    /// hands it to a node as it is; the node answers the client itself
    Passthrough,
    /// translates both addresses; the answer comes back through it
    Nat,
}

impl ClusterArgs {
    /// The cluster that was asked for.
    pub(crate) fn config(&self) -> ClusterConfig {
        let (nodes, zones, seed) = (self.nodes, self.zones, Seed(self.seed));
        let mut config = ClusterConfig { nodes, zones, seed, ..ClusterConfig::default() };
        let (backend, pod_routes) = match self.network {
            Network::Vxlan => ("vxlan", false),
            Network::HostGw => ("host-gw", false),
            Network::Routes => ("alloc", true),
        };
        config.flannel.backend = flannel::backend(backend).expect("a backend of flannel");
        config.pod_routes = pod_routes;
        config.load_balancer = match self.load_balancer {
            Balancer::Passthrough => LbConfig::passthrough(),
            Balancer::Nat => LbConfig::nat(),
        };
        config
    }
}
