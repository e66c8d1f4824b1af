//! Which pods go first (`ActivePodsWithRanks`, pkg/controller/controller_utils.go).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use sim_core::engine::time::Instant;

use crate::api::{Phase, Pod};

use super::super::pods::is_active;

/// The `surplus` pods of `pods` that go. `related` are the pods of all ReplicaSets with the same owner: of pods that are
/// equal otherwise the one with more of them beside it goes.
pub(super) fn pods_to_delete<'s>(
    mut pods: Vec<&'s Arc<Pod>>,
    related: &[&Arc<Pod>],
    surplus: usize,
    now: Instant,
) -> Vec<&'s Arc<Pod>> {
    if surplus < pods.len() {
        let mut on_node: BTreeMap<Option<&str>, usize> = BTreeMap::new();
        for pod in related.iter().filter(|pod| is_active(pod)) {
            *on_node.entry(pod.node_name.as_deref()).or_default() += 1;
        }
        let beside = |pod: &Pod| on_node.get(&pod.node_name.as_deref()).copied().unwrap_or_default();
        pods.sort_by_cached_key(|pod| rank(pod, beside(pod), now));
    }
    pods.truncate(surplus);
    pods
}

/// What is least goes first: unassigned, pending, not ready, cheap, doubled up on a node, ready for a short time, often
/// restarted, young. Ages are told apart by powers of two only (`LogarithmicScaleDown`); then the uid decides.
fn rank(pod: &Pod, beside: usize, now: Instant) -> impl Ord {
    let age = |since: Instant| now.since(since).as_nanos().checked_ilog2();
    let restarts = pod.status.containers.iter().map(|container| container.restarts).max();
    let ready_for = pod.status.ready.then(|| age(pod.status.ready_changed));
    (
        (pod.node_name.is_some(), pod.status.phase != Phase::Pending, pod.status.ready, pod.template.deletion_cost),
        (Reverse(beside), ready_for, Reverse(restarts)),
        (age(pod.meta.created), pod.meta.uid),
    )
}
