//! Every node gets a pod network (pkg/controller/nodeipam/ipam/range_allocator.go).

use sim_core::engine::time::Instant;

use crate::api::{Kind, Object};
use crate::apiserver::{Change, NodePatch, Request};
use crate::ipam::PodCidrs;

use super::reconciler::{Plan, Reconciler};
use super::store::Store;

/// The node IPAM controller.
#[derive(Clone, Debug)]
pub(super) struct NodeIpam {
    /// One a family, the primary one first.
    cidrs: Vec<PodCidrs>,
}

impl NodeIpam {
    /// Gives each node a network of each of `cidrs`.
    pub(super) fn new(cidrs: Vec<PodCidrs>) -> Self {
        Self { cidrs }
    }
}

impl Reconciler for NodeIpam {
    /// The name of a node.
    type Key = String;

    fn kinds(&self) -> Vec<Kind> {
        vec![Kind::Node]
    }

    fn concerned(&mut self, _store: &Store, change: &Change, _before: Option<&Object>) -> Vec<String> {
        let Object::Node(node) = &change.object else { return Vec::new() };
        if change.is_deletion() {
            self.cidrs.iter_mut().for_each(|cidrs| cidrs.release(node.name()));
            return Vec::new();
        }
        for cidrs in &mut self.cidrs {
            node.pod_cidrs.iter().for_each(|network| cidrs.occupy(*network, node.name()));
        }
        if node.pod_cidrs.is_empty() { vec![node.name().to_owned()] } else { Vec::new() }
    }

    fn reconcile(&mut self, store: &Store, name: &String, _now: Instant) -> Plan {
        if !store.nodes.get(name).is_some_and(|node| node.pod_cidrs.is_empty()) {
            return Plan::default();
        }
        // A network it was given when the write failed.
        self.cidrs.iter_mut().for_each(|cidrs| cidrs.release(name));
        match self.cidrs.iter_mut().map(|cidrs| cidrs.allocate(name)).collect::<Result<_, _>>() {
            Ok(networks) => {
                let patch = NodePatch { pod_cidrs: Some(networks), ..NodePatch::default() };
                Plan::in_turn([Request::PatchNode { node: name.clone(), patch }])
            }
            // One may become free.
            Err(_) => Plan { stale: true, ..Plan::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::bench::{Bench, node};
    use super::*;
    use crate::api::ObjectRef;

    fn networks(bench: &Bench) -> Vec<String> {
        let networks = |node: &Arc<crate::api::Node>| node.pod_cidrs.iter().map(|n| n.to_string()).collect::<String>();
        bench.objects().nodes.values().map(networks).collect()
    }

    #[test]
    fn nodes_get_networks_in_the_order_they_come_and_a_free_one_is_used_again() {
        let mut bench = Bench::new();
        bench.run_secs(1);
        assert_eq!(networks(&bench), ["10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"]);
        bench.delete(ObjectRef::node("n2"));
        bench.run_secs(1);
        bench.create(Object::Node(node("n4").into()));
        bench.run_secs(1);
        assert_eq!(networks(&bench), ["10.244.0.0/24", "10.244.2.0/24", "10.244.1.0/24"]);
    }
}
