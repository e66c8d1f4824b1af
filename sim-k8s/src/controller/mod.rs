//! The controllers of the kube-controller-manager: each brings about what the objects of one kind ask for.
//!
//! | room | what it brings about |
//! | --- | --- |
//! | `deployment` | ReplicaSets, and the way from one to the next |
//! | `replica_set` | so many pods (also of ReplicationControllers) |
//! | `stateful_set` | pods with numbers for names, one at a time |
//! | `daemon_set` | one pod on every node that fits |
//! | `job`, `cron_job` | pods that run to an end, and at certain times |
//! | `endpoint_slice` | who stands behind a Service |
//! | `node_ipam` | a pod network for each node |
//! | `node_lifecycle` | taints of nodes that are not ready, and pods there that are not ready either |
//! | `taint_eviction` | pods leave nodes whose taints they do not tolerate |
//! | `pod_gc` | pods go whose node is gone |
//! | `garbage_collector` | what was controlled by something that is gone goes too |
//!
//! `reconciler` is what they have in common: a controller watches, keeps what it has seen in a `store`, puts the names of
//! what may need work on a `queue`, and for each name *decides* by a pure function what to ask of the apiserver. Each is
//! an agent of its own with a client of its own.

#[cfg(test)]
mod bench;
mod cron_job;
mod daemon_set;
mod deployment;
mod endpoint_slice;
mod garbage_collector;
mod job;
mod node_ipam;
mod node_lifecycle;
mod pod_gc;
mod pods;
mod queue;
mod reconciler;
mod replica_set;
mod stateful_set;
mod store;
mod taint_eviction;

use crate::agent::Agent;
use crate::api::WorkloadKind;
use crate::ipam::PodCidrs;
use crate::timings::Timings;

pub use pods::bare_pod;

use cron_job::CronJobs;
use daemon_set::DaemonSets;
use deployment::Deployments;
use endpoint_slice::EndpointSlices;
use garbage_collector::GarbageCollector;
use job::Jobs;
use node_ipam::NodeIpam;
use node_lifecycle::NodeLifecycle;
use pod_gc::PodGc;
use reconciler::{Controller, Reconciler};
use replica_set::ReplicaSets;
use stateful_set::StatefulSets;
use taint_eviction::TaintEviction;

/// All controllers, by the names of their clients. Nodes get a network from each of `pod_cidrs`.
pub fn all(timings: &Timings, pod_cidrs: Vec<PodCidrs>) -> Vec<(&'static str, Box<dyn Agent>)> {
    fn agent<R: Reconciler>(reconciler: R) -> Box<dyn Agent> {
        Box::new(Controller::new(reconciler))
    }
    let lifecycle = NodeLifecycle::new(timings.node_monitor_grace, timings.node_monitor_period);
    vec![
        ("cronjob-controller", agent(CronJobs)),
        ("daemon-set-controller", agent(DaemonSets::default())),
        ("deployment-controller", agent(Deployments)),
        ("endpointslice-controller", agent(EndpointSlices::default())),
        ("generic-garbage-collector", agent(GarbageCollector::default())),
        ("job-controller", agent(Jobs::default())),
        ("node-controller", agent(lifecycle)),
        ("node-ipam-controller", agent(NodeIpam::new(pod_cidrs))),
        ("pod-garbage-collector", agent(PodGc::default())),
        ("replicaset-controller", agent(ReplicaSets::new(WorkloadKind::ReplicaSet))),
        ("replication-controller", agent(ReplicaSets::new(WorkloadKind::ReplicationController))),
        ("statefulset-controller", agent(StatefulSets)),
        ("taint-eviction-controller", agent(TaintEviction::new(timings.not_ready_toleration))),
    ]
}
