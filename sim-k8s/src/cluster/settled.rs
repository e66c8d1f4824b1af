//! Whether there is anything left for the control plane to do.

use std::sync::Arc;

use sim_core::engine::time::{Duration, Instant};

use super::Cluster;
use crate::api::{Condition, Pod, Service, ServiceType};

/// Nothing has changed for so long: longer than any agent waits to act (kube-proxy's min-sync period, a back-off, the
/// interval of health checks of a load balancer).
const QUIET: Duration = Duration::from_secs(10);

impl Cluster {
    /// Whether every node, pod and load balancer is ready that can be, and nothing but signs of life was written for a while.
    pub fn is_settled(&self, now: Instant) -> bool {
        self.unready().next().is_none() && now.since(self.plane.changed()) >= QUIET
    }

    /// Nodes, pods and load balancers that are not ready and may still become so, in words.
    pub fn unready(&self) -> impl Iterator<Item = String> {
        let objects = self.plane.objects();
        let nodes = self
            .nodes
            .iter()
            .filter(|node| objects.nodes.get(&node.name).is_none_or(|stored| stored.ready != Condition::True));
        let pods = objects.pods.values().filter(|pod| !pod.is_finished());
        let pods = pods.filter(|pod| pod.status.unschedulable.is_none() && !pod.status.ready);
        // One that a manifest binds to a node that is not there stays as it is.
        let can_start = |pod: &&Arc<Pod>| pod.node_name.as_ref().is_none_or(|name| objects.nodes.contains_key(name));
        let pods = pods.filter(can_start);
        let waits = |service: &&Arc<Service>| {
            let wants_balancer = service.service_type == ServiceType::LoadBalancer && service.meta.deletion.is_none();
            wants_balancer && service.ingress.is_empty() && service.balancer_error.is_none()
        };
        let balancers = objects.services.values().filter(waits);
        let balancers = balancers.map(|service| format!("load balancer of Service {}", service.key));
        let nodes = nodes.map(|node| format!("node {}", node.name));
        nodes.chain(pods.map(|pod| format!("pod {}", pod.key))).chain(balancers)
    }
}
