//! What every command that brings up a cluster is told about it.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use sim_core::kernel::Kernel;
use sim_k8s::cluster::MAX_NODES;
use sim_scenarios::run::{Balancer, Choice, ClusterOptions, IpFamily, KERNELS, Network};

/// Manifests and the cluster they are applied to.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ClusterArgs {
    /// Files or folders of Kubernetes YAML or JSON
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    options: OptionArgs,
}

/// What one may choose about a cluster.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct OptionArgs {
    /// Where all randomness comes from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many nodes the cluster has
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_NODES)))]
    nodes: u32,
    /// How many CPUs each node has. With more than one the seed lets packets race, as in life
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    cpus: u16,
    /// The kernel of the nodes
    #[arg(long, default_value = "6.18", value_parser = one_of(KERNELS))]
    kernel: Kernel,
    /// Over how many zones the nodes are dealt in turn; 0: they have none
    #[arg(long, default_value_t = 0)]
    zones: u32,
    /// Which IP the cluster speaks
    #[arg(long, default_value = "ipv4", value_parser = one_of(IpFamily::ALL))]
    ip_family: IpFamily,
    /// How packets come to the pods of another node
    #[arg(long, default_value = "vxlan", value_parser = one_of(Network::ALL))]
    network: Network,
    /// Rules masquerade without --random-fully, as with iptables before 1.6.2
    #[arg(long)]
    no_random_fully: bool,
    /// What the cloud's load balancers do with a packet
    #[arg(long, default_value = "passthrough", value_parser = one_of(Balancer::ALL))]
    load_balancer: Balancer,
}

/// One of these words, each with what it means.
fn one_of<T: Copy + Send + Sync + 'static, const N: usize>(words: [Choice<T>; N]) -> impl TypedValueParser<Value = T> {
    let shown = words.map(|(word, help, _)| PossibleValue::new(word).help(help));
    PossibleValuesParser::new(shown).map(move |word| {
        let found = words.iter().find(|(known, ..)| *known == word);
        found.expect("the parser takes no other word").2
    })
}

impl ClusterArgs {
    /// What was chosen about the cluster.
    pub(crate) fn options(&self) -> ClusterOptions {
        self.options.read()
    }
}

impl OptionArgs {
    /// What was chosen.
    pub(crate) fn read(&self) -> ClusterOptions {
        let Self { seed, nodes, cpus, kernel, zones, ip_family, network, no_random_fully, load_balancer } = *self;
        let random_fully = !no_random_fully;
        ClusterOptions { seed, nodes, cpus, kernel, zones, ip_family, network, random_fully, load_balancer }
    }
}
