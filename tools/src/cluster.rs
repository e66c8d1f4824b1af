//! What every command that brings up a cluster is told about it.

use std::path::PathBuf;

use sim_core::engine::rng::Seed;
use sim_k8s::cluster::{ClusterConfig, MAX_NODES};

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
}

impl ClusterArgs {
    /// The cluster that was asked for.
    pub(crate) fn config(&self) -> ClusterConfig {
        ClusterConfig { nodes: self.nodes, zones: self.zones, seed: Seed(self.seed), ..ClusterConfig::default() }
    }
}
