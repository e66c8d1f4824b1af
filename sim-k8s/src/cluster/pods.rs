//! Controllers, scheduler and kubelets: workloads become pods on nodes, each with a sandbox and an address.

use std::net::IpAddr;
use std::sync::Arc;

use sim_core::engine::arena::NetnsId;
use sim_core::world::World;

use super::{ClusterError, Node};
use crate::api::{Labels, ObjectKey, PodTemplate, Workload, WorkloadRef};
use crate::ipam::HostLocal;
use crate::workload::{self, Placement, Unplaced};

/// A pod that runs.
#[derive(Clone, PartialEq, Debug)]
pub struct Pod {
    /// Namespace and name.
    pub key: ObjectKey,
    /// What made it.
    pub workload: WorkloadRef,
    /// Its labels, shared like the template.
    pub labels: Arc<Labels>,
    /// What it is made from, shared by the pods of a workload.
    pub template: Arc<PodTemplate>,
    /// Its node, as an index into the cluster's.
    pub node: usize,
    /// Its netns, called `namespace/name`; the node's own with `hostNetwork`.
    pub netns: NetnsId,
    /// Its address; the node's with `hostNetwork`.
    pub ip: IpAddr,
}

/// Makes the pods of `workloads`, and a netns for each that does not share its node's. The second list are those that fit
/// on no node.
pub(super) fn run(
    world: &mut World,
    nodes: &[Node],
    workloads: &[Workload],
) -> Result<(Vec<Pod>, Vec<Unplaced>), ClusterError> {
    let candidates = workload::Node::numbered(nodes.len() as u32);
    let Placement { placed, unplaced } = workload::place(workload::pods(workloads, &candidates)?, &candidates);
    let mut addresses: Vec<HostLocal> = nodes.iter().map(|node| HostLocal::new(node.pod_network)).collect();
    let mut pods = Vec::with_capacity(placed.len());
    for (pod, node) in placed {
        let workload::Pod { key, workload, labels, template, .. } = pod;
        let (netns, ip) = if template.host_network {
            (nodes[node].netns, nodes[node].ip)
        } else {
            let name = key.to_string();
            let ip = addresses[node].allocate(&name).map_err(|_| full(&nodes[node], &key))?;
            (world.add_netns(&name).expect("no two pods have one name"), ip)
        };
        pods.push(Pod { key, workload, labels, template, node, netns, ip });
    }
    Ok((pods, unplaced))
}

fn full(node: &Node, pod: &ObjectKey) -> ClusterError {
    let network = node.pod_network.trunc();
    let addresses = 1u128 << (network.max_prefix_len() - network.prefix_len());
    // The VTEP has the first one, the bridge the second, and the last is the broadcast address.
    ClusterError::PodNetworkFull { node: node.name.clone(), network, room: addresses - 3, pod: pod.clone() }
}
