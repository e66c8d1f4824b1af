//! StatefulSets: pods with numbers for names, one at a time (pkg/controller/statefulset/stateful_set_control.go).

use std::collections::BTreeMap;
use std::sync::Arc;

use sim_core::engine::time::Instant;

use crate::api::{
    Kind, Object, ObjectKey, Pod, PodTemplate, Revision, UpdateStrategy, Workload, WorkloadKind, WorkloadStatus,
};
use crate::apiserver::{Change, Request};
use crate::workload::name;

use super::pods::{self, Claim, Mold, is_available, is_running_and_ready};
use super::reconciler::{Plan, Reconciler};
use super::store::Store;

/// The label that says which of its templates a pod was made from.
pub(super) const REVISION: &str = "controller-revision-hash";

/// The controller of StatefulSets.
#[derive(Clone, Debug)]
pub(super) struct StatefulSets;

impl Reconciler for StatefulSets {
    type Key = ObjectKey;

    fn kinds(&self) -> Vec<Kind> {
        vec![Kind::Workload(WorkloadKind::StatefulSet), Kind::Pod]
    }

    fn concerned(&mut self, store: &Store, change: &Change, before: Option<&Object>) -> Vec<ObjectKey> {
        match &change.object {
            Object::Pod(pod) => store.controllers_of(WorkloadKind::StatefulSet, pod, before),
            object => vec![object.key().clone()],
        }
    }

    fn reconcile(&mut self, store: &Store, key: &ObjectKey, now: Instant) -> Plan {
        let Some(stored) = store.workload(WorkloadKind::StatefulSet, key) else { return Plan::default() };
        let Claim { pods, requests } = Claim::new(store, stored);
        let mut set = Workload::clone(stored);
        set.status = revised(&set);
        let look = Look::new(&set, &pods, now);
        let mut plan = Plan::default();
        plan.then(requests);
        look.act(&mut plan);
        let status = look.status();
        plan.then_status(stored, status);
        plan.look_again(pods::next_available(pods, set.min_ready, now));
        plan
    }
}

/// The status with the current and the new template in it (`getStatefulSetRevisions`).
pub(super) fn revised(workload: &Workload) -> WorkloadStatus {
    let mut status = workload.status.clone();
    let is_of = |revision: &Revision| pods::is_same(&revision.template, &workload.template);
    let known = [&status.update, &status.current].into_iter().flatten().find(|revision| is_of(revision)).cloned();
    let last = [&status.update, &status.current].into_iter().flatten().map(|revision| revision.number).max();
    let template = workload.template.clone();
    let update = known.unwrap_or_else(|| Revision { number: last.unwrap_or_default() + 1, template });
    status.current.get_or_insert_with(|| update.clone());
    status.update = Some(update);
    status
}

/// The value of the label for a template.
pub(super) fn revision_hash(workload: &Workload, revision: &Revision) -> String {
    let hash = name::template_hash(&workload.reference(), revision.number);
    match workload.kind {
        WorkloadKind::StatefulSet => format!("{}-{hash}", workload.key.name),
        _ => hash,
    }
}

/// A set as it is looked at.
struct Look<'s> {
    set: &'s Workload,
    now: Instant,
    current: &'s Revision,
    update: &'s Revision,
    /// The pods that are wanted, by their number less the first: those there are.
    replicas: Vec<Option<&'s Arc<Pod>>>,
    /// Pods that are not wanted, the highest number first.
    condemned: Vec<&'s Arc<Pod>>,
}

impl<'s> Look<'s> {
    fn new(set: &'s Workload, pods: &[&'s Arc<Pod>], now: Instant) -> Self {
        let prefix = format!("{}-", set.key.name);
        let number = |pod: &Pod| pod.key.name.strip_prefix(&prefix)?.parse::<u32>().ok();
        let mut numbered: BTreeMap<u32, &Arc<Pod>> = pods.iter().filter_map(|pod| Some((number(pod)?, *pod))).collect();
        let numbers = (0..set.replicas).map(|index| set.first_ordinal.saturating_add(index));
        let replicas = numbers.map(|number| numbered.remove(&number)).collect();
        let condemned = numbered.into_values().rev().collect();
        let revision = |of: &'s Option<Revision>| of.as_ref().expect("filled in by revised()");
        let (current, update) = (revision(&set.status.current), revision(&set.status.update));
        Self { set, now, current, update, replicas, condemned }
    }

    fn is_available(&self, pod: &Pod) -> bool {
        is_running_and_ready(pod) && is_available(pod, self.set.min_ready, self.now)
    }

    /// `isUnavailable`.
    fn is_missing(&self, pod: Option<&Arc<Pod>>) -> bool {
        pod.is_none_or(|pod| pod.is_terminating() || !self.is_available(pod))
    }

    /// `updateStatefulSet`: first the pods that are wanted, then those that are not, then those of an old template.
    fn act(&self, plan: &mut Plan) {
        if self.set.parallel {
            // Pods do not wait for each other.
            plan.then_slowly((0..self.replicas.len()).filter_map(|index| self.replace(index)));
            plan.then_slowly(self.condemned.iter().filter(|pod| !pod.is_terminating()).map(|pod| pods::delete(pod)));
        } else if !self.fill_in_turn(plan) || !self.condemn_in_turn(plan) {
            return;
        }
        plan.then(self.update());
    }

    /// What `replica` needs before anything else (`processReplica`).
    fn replace(&self, index: usize) -> Option<Request> {
        match self.replicas[index] {
            None => Some(self.create(index)),
            Some(pod) if pod.is_finished() && !pod.is_terminating() => Some(pods::delete(pod)),
            Some(_) => None,
        }
    }

    /// Each pod waits until the one before it is available.
    fn fill_in_turn(&self, plan: &mut Plan) -> bool {
        for (index, pod) in self.replicas.iter().enumerate() {
            if let Some(request) = self.replace(index) {
                plan.then(vec![request]);
                return false;
            }
            if self.is_missing(*pod) {
                return false;
            }
        }
        true
    }

    /// Pods that are not wanted go one at a time, the highest number first (`processCondemned`); whether there is none.
    fn condemn_in_turn(&self, plan: &mut Plan) -> bool {
        let Some(pod) = self.condemned.first() else { return true };
        let first_missing = self.condemned.iter().rev().find(|pod| self.is_missing(Some(pod)));
        let blocked = !self.is_available(pod) && first_missing.is_none_or(|first| !Arc::ptr_eq(first, pod));
        if !pod.is_terminating() && !blocked {
            plan.then(vec![pods::delete(pod)]);
        }
        false
    }

    /// Of the pods of an old template as many go as may be missing, the highest number first.
    fn update(&self) -> Vec<Request> {
        let UpdateStrategy::RollingUpdate { max_unavailable, partition, .. } = self.set.update else {
            return Vec::new();
        };
        // Rounded up, and at least one (`getStatefulSetMaxUnavailable`).
        let may_be_missing = max_unavailable.rounded_up(self.set.replicas).max(1) as usize;
        let missing = self.replicas.iter().filter(|pod| self.is_missing(**pod)).count();
        let old = revision_hash(self.set, self.update);
        let candidates = self.replicas.iter().skip(partition as usize).rev().flatten();
        let outdated = candidates.filter(|pod| !pod.is_terminating() && pod.labels.get(REVISION) != Some(&old));
        outdated.take(may_be_missing.saturating_sub(missing)).map(|pod| pods::delete(pod)).collect()
    }

    /// `newVersionedStatefulSetPod`: below the partition pods are of the current template.
    fn create(&self, index: usize) -> Request {
        let stays = |partition: u32| index < partition as usize;
        let below = matches!(self.set.update, UpdateStrategy::RollingUpdate { partition, .. } if stays(partition));
        let revision = if below { self.current } else { self.update };
        let number = u64::from(self.set.first_ordinal) + index as u64;
        let name = format!("{}-{number}", self.set.key.name);
        let template = PodTemplate {
            hostname: Some(name.clone()),
            subdomain: self.set.service_name.clone(),
            ..PodTemplate::clone(&revision.template)
        };
        let labels = [
            ("statefulset.kubernetes.io/pod-name", name.clone()),
            ("apps.kubernetes.io/pod-index", number.to_string()),
            (REVISION, revision_hash(self.set, revision)),
        ];
        Mold::new(self.set, &Arc::new(template), labels).create(name)
    }

    /// `computeReplicaStatus`, `completeRollingUpdate`.
    fn status(&self) -> WorkloadStatus {
        let pods = || self.replicas.iter().copied().flatten().chain(self.condemned.iter().copied());
        let new = revision_hash(self.set, self.update);
        let updated = pods().filter(|pod| !pod.is_terminating() && pod.labels.get(REVISION) == Some(&new)).count();
        let mut status = WorkloadStatus {
            replicas: pods().count() as u32,
            ready: pods().filter(|pod| is_running_and_ready(pod)).count() as u32,
            available: pods().filter(|pod| self.is_available(pod)).count() as u32,
            updated: updated as u32,
            ..self.set.status.clone()
        };
        let all = self.set.replicas;
        let rolling = matches!(self.set.update, UpdateStrategy::RollingUpdate { .. });
        if rolling && (status.updated, status.ready, status.replicas) == (all, all, all) {
            status.current = status.update.clone();
        }
        status
    }
}

#[cfg(test)]
mod tests;
