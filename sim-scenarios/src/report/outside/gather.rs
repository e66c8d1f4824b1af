//! From a run to what is known of its Services that are called from outside.

use std::collections::BTreeMap;

use sim_core::engine::arena::NetnsId;
use sim_k8s::api::{Node, Service, WorkloadRef};
use sim_k8s::workload::Caller;

use super::{Facts, OutsideReport};
use crate::run::{Edge, Run};

/// The Services of `run` that are called from outside by way of nodes, by name.
pub(in super::super) fn of_run(run: &Run) -> Vec<OutsideReport> {
    let services = run.cluster().objects().services.values().filter(|service| Facts::concern(service));
    services.map(|service| OutsideReport::of(&facts(run, service))).collect()
}

fn facts<'a>(run: &'a Run, service: &'a Service) -> Facts<'a> {
    let (cluster, objects) = (run.cluster(), run.cluster().objects());
    let nodes: Vec<(usize, &Node)> = cluster
        .nodes
        .iter()
        .enumerate()
        .filter_map(|(index, n)| Some((index, &**objects.nodes.get(&n.name)?)))
        .collect();
    let node_at: BTreeMap<usize, usize> =
        nodes.iter().enumerate().map(|(position, (index, _))| (*index, position)).collect();
    let addresses: Vec<_> =
        objects.slices_of(&service.key).flat_map(|slice| &slice.endpoints).map(|e| e.address).collect();
    let selector = service.pod_selector().unwrap_or_default();
    let mut endpoints = Vec::new();
    let mut endpoint_of = BTreeMap::new();
    let mut workloads: Vec<&WorkloadRef> = Vec::new();
    for (index, pod) in cluster.pods.iter().enumerate().filter(|(_, pod)| pod.ended.is_none()) {
        let serves = pod.key.namespace == service.key.namespace && selector.matches(&pod.labels);
        if let Some(node) = node_at.get(&pod.node).filter(|_| serves && addresses.contains(&pod.ip())) {
            endpoint_of.insert(index, endpoints.len());
            endpoints.push((pod.key.to_string(), *node));
            workloads.push(&pod.workload);
        }
    }
    workloads.dedup();
    let workload = match workloads.as_slice() {
        [one] => objects.workloads.get(one).map(|workload| &**workload),
        _ => None,
    };
    let mut ways = BTreeMap::new();
    let from_outside = |edge: &&Edge| edge.call.from == Caller::World && edge.call.to.service() == Some(&service.key);
    for ((way, by), count) in run.edges().iter().filter(from_outside).flat_map(|edge| &edge.tally.ways) {
        let pod = by.or_else(|| pod_in(run, way.reached));
        if let (Some(node), Some(endpoint)) = (node_at.get(&way.entered), pod.and_then(|pod| endpoint_of.get(&pod))) {
            *ways.entry((*node, *endpoint)).or_default() += count;
        }
    }
    Facts { service, nodes: nodes.into_iter().map(|(_, node)| node).collect(), endpoints, ways, workload }
}

/// The pod in a netns of its own.
fn pod_in(run: &Run, netns: NetnsId) -> Option<usize> {
    run.cluster().pods.iter().position(|pod| pod.netns == netns && !pod.template.host_network)
}
