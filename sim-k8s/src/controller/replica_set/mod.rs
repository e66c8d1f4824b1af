//! ReplicaSets and ReplicationControllers: as many pods as are wanted (pkg/controller/replicaset/replica_set.go).

mod rank;

use std::collections::BTreeMap;
use std::sync::Arc;

use sim_core::engine::time::Instant;

use crate::api::{Kind, Object, ObjectKey, Pod, Workload, WorkloadKind, WorkloadStatus};
use crate::apiserver::{Change, Request};
use crate::workload::name;

use super::pods::{self, Claim, Mold, is_active};
use super::reconciler::{Plan, Reconciler};
use super::store::Store;

/// Pods that one look creates or deletes at most (`BurstReplicas`).
const BURST_REPLICAS: usize = 500;
/// The label by which a Deployment tells the pods of its ReplicaSets apart.
pub(super) const TEMPLATE_HASH: &str = "pod-template-hash";

/// The controller of ReplicaSets, or of ReplicationControllers.
#[derive(Clone, Debug)]
pub(super) struct ReplicaSets {
    kind: WorkloadKind,
    /// How many pods each has made, for their names.
    made: BTreeMap<ObjectKey, u64>,
}

impl ReplicaSets {
    /// Of `kind` ReplicaSet or ReplicationController.
    pub(super) fn new(kind: WorkloadKind) -> Self {
        Self { kind, made: BTreeMap::new() }
    }

    /// So many new pods of `set`.
    fn create(&mut self, set: &Workload, count: usize) -> impl Iterator<Item = Request> {
        let hash = set.labels.get(TEMPLATE_HASH).cloned();
        let mold = Mold::new(set, &set.template, hash.map(|hash| (TEMPLATE_HASH, hash)));
        let made = self.made.entry(set.key.clone()).or_default();
        let first = *made;
        *made += count as u64;
        let (base, by) = (format!("{}-", set.key.name), pods::people_say(set));
        (first..first + count as u64).map(move |index| mold.create(name::with_suffix(&base, &by, index)))
    }
}

impl Reconciler for ReplicaSets {
    type Key = ObjectKey;
    const EXPECTS_PODS: bool = true;

    fn kinds(&self) -> Vec<Kind> {
        vec![Kind::Workload(self.kind), Kind::Pod]
    }

    fn concerned(&mut self, store: &Store, change: &Change, before: Option<&Object>) -> Vec<ObjectKey> {
        match &change.object {
            Object::Pod(pod) => store.controllers_of(self.kind, pod, before),
            object => vec![object.key().clone()],
        }
    }

    fn reconcile(&mut self, store: &Store, key: &ObjectKey, now: Instant) -> Plan {
        let Some(set) = store.workload(self.kind, key) else { return Plan::default() };
        let Claim { pods, requests } = Claim::new(store, set);
        let mut plan = Plan::default();
        plan.then(requests);
        let active: Vec<&Arc<Pod>> = pods.into_iter().filter(|pod| is_active(pod)).collect();
        let wanted = set.replicas as usize;
        if active.len() < wanted {
            plan.then_slowly(self.create(set, (wanted - active.len()).min(BURST_REPLICAS)));
        } else if active.len() > wanted {
            let surplus = (active.len() - wanted).min(BURST_REPLICAS);
            let related = related(store, set, self.kind);
            let gone = rank::pods_to_delete(active.clone(), &related, surplus, now);
            plan.then(gone.into_iter().map(|pod| pods::delete(pod)).collect());
        }
        let (replicas, ready, available) = pods::count(active.iter().copied(), set.min_ready, now);
        let status = WorkloadStatus { replicas, ready, available, ..set.status.clone() };
        plan.then_status(set, status);
        plan.look_again(pods::next_available(active, set.min_ready, now));
        plan
    }
}

/// The pods of all sets with the owner of `set` (`getIndirectlyRelatedPods`).
fn related<'s>(store: &'s Store, set: &Workload, kind: WorkloadKind) -> Vec<&'s Arc<Pod>> {
    match &set.meta.owner {
        None => store.pods_of(set.meta.uid).collect(),
        Some(owner) => {
            let sets = store.workloads_of(owner.uid, kind);
            sets.flat_map(|set| store.pods_of(set.meta.uid)).collect()
        }
    }
}

#[cfg(test)]
mod tests;
