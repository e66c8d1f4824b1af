//! What a cluster is made with, and why it may not be made.

use ipnet::IpNet;
use sim_core::engine::rng::Seed;
use sim_core::kernel::Kernel;
use sim_core::link::LinkConfig;
use sim_core::wire::ip::Family;

use crate::api::ObjectKey;
use crate::apiserver::Refused;
use crate::cloud::Plan;
use crate::cloud::lb::LbConfig;
use crate::command::CommandFailed;
use crate::flannel;
use crate::ipam::IpamError;
use crate::kubeproxy;
use crate::timings::Timings;

/// Nodes of one cluster, at most: those that 10.240.0.0/24 has addresses for, beginning with .11.
pub const MAX_NODES: u32 = 244;

/// What a cluster is made with; the rest is in the objects.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// How many nodes, 1 to [`MAX_NODES`]; they are called `n1`, `n2`, … Default 3.
    pub nodes: u32,
    /// Over how many zones, `z1`, `z2`, …, the nodes are dealt in turn. Default 0: they have none, as with kubeadm.
    pub zones: u32,
    /// The seed of the world. Default 1.
    pub seed: Seed,
    /// How many CPUs each node has. Default 1; with more the seed suspends walks, and packets race ([`sim_core::world::World::add_machine`]).
    pub cpus: u16,
    /// The kernel of each node. Default: the newest.
    pub kernel: Kernel,
    /// The wire from each node to the underlay switch. Default: 50 us, no loss.
    pub link: LinkConfig,
    /// All nodes' pod networks together, one for each family that the cluster speaks, the primary one first
    /// (`--cluster-cidr`); each node has a /24 of it, or a /64, as `--node-cidr-mask-size-ipv4` and `-ipv6` say by default.
    /// Default 10.244.0.0/16 alone, as flannel's kube-flannel.yml has it.
    pub pod_networks: Vec<IpNet>,
    /// Where ClusterIPs come from, in the same order (`--service-cluster-ip-range`). Default 10.96.0.0/12 alone, as kubeadm
    /// has it.
    pub service_networks: Vec<IpNet>,
    /// kube-proxy's configuration. Default: kubeadm's, which tells pods by their address (`clusterCIDR`).
    pub kube_proxy: kubeproxy::Config,
    /// flannel's configuration. Default: kube-flannel.yml's. Its networks are `pod_networks`.
    pub flannel: flannel::Config,
    /// The cloud's load balancers.
    pub load_balancer: LbConfig,
    /// The cloud's route controller leads each node's pod network to it, so that no overlay is needed. Default off.
    pub pod_routes: bool,
    /// How long the parts of the control plane take.
    pub timings: Timings,
    /// It has a DNS of its own, unless the objects bring one. Default yes.
    pub dns: bool,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self::of(&[Family::V4])
    }
}

impl ClusterConfig {
    /// A cluster that speaks these families, the primary one first: one or two of them.
    pub fn of(families: &[Family]) -> Self {
        let plans = || families.iter().map(|family| Plan::of(*family));
        let pod_networks: Vec<IpNet> = plans().map(|plan| plan.pods).collect();
        let detect_local = kubeproxy::DetectLocal::Cidrs(pod_networks.clone());
        Self {
            nodes: 3,
            zones: 0,
            seed: Seed(1),
            cpus: 1,
            kernel: Kernel::default(),
            link: LinkConfig::default(),
            service_networks: plans().map(|plan| plan.services).collect(),
            kube_proxy: kubeproxy::Config { detect_local, ..kubeproxy::Config::default() },
            flannel: flannel::Config::new(pod_networks.clone()),
            pod_networks,
            load_balancer: LbConfig::default(),
            pod_routes: false,
            timings: Timings::default(),
            dns: true,
        }
    }

    /// The families it speaks, the primary one first.
    pub fn families(&self) -> Vec<Family> {
        self.pod_networks.iter().copied().map(Family::of_net).collect()
    }
}

/// Why there is no cluster.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum ClusterError {
    /// A number of nodes that no cluster has.
    #[error("a cluster has 1 to {MAX_NODES} nodes, not {0}")]
    Nodes(u32),
    /// More pods than any cluster holds.
    #[error("the workloads ask for {wanted} pods; a cluster holds at most {most}")]
    TooManyPods {
        /// How many are wanted.
        wanted: u64,
        /// How many there can be.
        most: u64,
    },
    /// The pod network cannot be divided among the nodes.
    #[error("{0}")]
    PodNetwork(IpamError),
    /// A Service cannot have the address or node port it asks for, or there is none left.
    #[error("Service {service}: {why}")]
    Service {
        /// The Service.
        service: ObjectKey,
        /// Why.
        why: Refused,
    },
    /// A netns refused what an agent wanted of it.
    #[error(transparent)]
    Command(#[from] CommandFailed),
}
