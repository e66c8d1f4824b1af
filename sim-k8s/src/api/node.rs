//! Nodes.

use std::net::IpAddr;

use ipnet::IpNet;
use sim_core::engine::time::Instant;

use super::{Labels, Meta, ObjectKey, Resources, ZONE};

/// What a node has when nobody says: more than the pods of most manifests ask for.
const ROOMY: [(&str, u64); 4] = [("cpu", 16_000), ("memory", 64 << 30), ("ephemeral-storage", 1 << 40), ("pods", 110)];

/// A Kubernetes node. Default: one that just registered.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// Its name; the namespace is empty.
    pub key: ObjectKey,
    /// What the apiserver keeps of it.
    pub meta: Meta,
    /// Its labels.
    pub labels: Labels,
    /// What keeps pods away.
    pub taints: Vec<Taint>,
    /// No new pods (`kubectl cordon`). Default false.
    pub unschedulable: bool,
    /// What it has for pods (`status.allocatable`). Default: 16 cores, 64 GiB of memory, 1 TiB of disk and, as
    /// `--max-pods` says by default, 110 pods.
    pub allocatable: Resources,
    /// Its pods' networks, one a family at most; empty until node IPAM has given it one.
    pub pod_cidrs: Vec<IpNet>,
    /// `InternalIP` addresses.
    pub internal_ips: Vec<IpAddr>,
    /// `ExternalIP` addresses.
    pub external_ips: Vec<IpAddr>,
    /// Condition `Ready`.
    pub ready: Condition,
    /// Condition `NetworkUnavailable` is false: its pod network is set up.
    pub network_available: bool,
}

impl Node {
    /// A node that just registered and is not ready.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            key: ObjectKey::new("", name),
            meta: Meta::default(),
            labels: Labels::new(),
            taints: Vec::new(),
            unschedulable: false,
            allocatable: ROOMY.map(|(name, amount)| (name.to_owned(), amount)).into(),
            pod_cidrs: Vec::new(),
            internal_ips: Vec::new(),
            external_ips: Vec::new(),
            ready: Condition::False,
            network_available: false,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// Its zone (label [`ZONE`]); empty if it has none.
    pub fn zone(&self) -> &str {
        self.labels.get(ZONE).map_or("", String::as_str)
    }
}

/// A node's sign of life (`coordination.k8s.io/v1 Lease` in `kube-node-lease`): an object of its own, so that only who
/// cares hears of it every few seconds.
#[derive(Clone, PartialEq, Debug)]
pub struct Lease {
    /// Its name is the node's; the namespace is empty.
    pub key: ObjectKey,
    /// What the apiserver keeps of it.
    pub meta: Meta,
    /// When the node's kubelet last said that it lives.
    pub renewed: Instant,
}

/// The status of a condition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Condition {
    /// It holds.
    True,
    /// It does not.
    #[default]
    False,
    /// Nobody has said so for too long.
    Unknown,
}

/// What keeps pods away from a node that do not tolerate it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Taint {
    /// Key, a label's.
    pub key: String,
    /// Value, often empty.
    pub value: String,
    /// What it does.
    pub effect: TaintEffect,
}

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TaintEffect {
    /// New pods do not come.
    NoSchedule,
    /// New pods come only if there is no better node.
    PreferNoSchedule,
    /// New pods do not come and those that are there leave.
    NoExecute,
}
