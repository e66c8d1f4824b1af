//! Deployments: one ReplicaSet for each template, and the way from one to the next
//! (pkg/controller/deployment/deployment_controller.go).
//!
//! | room | what it decides |
//! | --- | --- |
//! | `sets` | which ReplicaSets there are, and how many pods may be too many or too few |
//! | `rolling` | a rollout's next step |
//! | `scale` | who takes part when someone scales |

mod rolling;
mod scale;
mod sets;

use sim_core::engine::time::{Duration, Instant};

use crate::api::{Kind, Object, ObjectKey, UpdateStrategy, Workload, WorkloadKind, WorkloadStatus};
use crate::apiserver::{Change, Request};

use super::reconciler::{Plan, Reconciler};
use super::store::Store;
use sets::{Set, Sets};

/// The controller of Deployments.
#[derive(Clone, Debug)]
pub(super) struct Deployments;

impl Reconciler for Deployments {
    type Key = ObjectKey;

    fn kinds(&self) -> Vec<Kind> {
        vec![Kind::Workload(WorkloadKind::Deployment), Kind::Workload(WorkloadKind::ReplicaSet), Kind::Pod]
    }

    fn concerned(&mut self, store: &Store, change: &Change, before: Option<&Object>) -> Vec<ObjectKey> {
        match &change.object {
            Object::Workload(set) if set.kind == WorkloadKind::ReplicaSet => {
                let now = store.owner_of(&set.meta, WorkloadKind::Deployment);
                let then = before.and_then(|before| store.owner_of(before.meta(), WorkloadKind::Deployment));
                let mut keys: Vec<_> = now.into_iter().chain(then).map(|d| d.key.clone()).collect();
                keys.dedup();
                keys
            }
            // Recreate waits for the last pod to go (`deletePod`).
            Object::Pod(pod) if change.is_deletion() => {
                let set = store.owner_of(&pod.meta, WorkloadKind::ReplicaSet);
                let deployment = set.and_then(|set| store.owner_of(&set.meta, WorkloadKind::Deployment));
                let waits = deployment.filter(|deployment| deployment.update == UpdateStrategy::Recreate);
                waits.map(|deployment| deployment.key.clone()).into_iter().collect()
            }
            Object::Pod(_) => Vec::new(),
            object => vec![object.key().clone()],
        }
    }

    fn reconcile(&mut self, store: &Store, key: &ObjectKey, now: Instant) -> Plan {
        let Some(deployment) = store.workload(WorkloadKind::Deployment, key) else { return Plan::default() };
        let mut sets = Sets::of(store, deployment);
        if deployment.paused || scale::is_asked_for(deployment, &sets) {
            scale::scale(deployment, &mut sets);
        } else if deployment.update == UpdateStrategy::Recreate {
            let old_pods_run = old_pods_run(store, &sets);
            rolling::recreate(deployment, &mut sets, old_pods_run);
        } else {
            rolling::roll(deployment, &mut sets);
        }
        let status = status(deployment, &sets, now);
        let mut requests = writes(&sets);
        if is_complete(deployment, &deployment.status) || deployment.paused {
            requests.extend(outdated(deployment, &sets));
        }
        let mut plan = Plan::in_turn(requests);
        plan.then_status(deployment, status.clone());
        let deadline = deployment.progress_deadline.filter(|_| !is_complete(deployment, &status) && !status.stuck);
        // A second later, for its clock counts whole seconds (`requeueStuckDeployment`).
        plan.look_again(deadline.map(|deadline| status.progressed + deadline + Duration::from_secs(1)));
        plan
    }
}

/// The new set is written first, for it is scaled up first.
fn writes(sets: &Sets) -> Vec<Request> {
    sets.new.iter().chain(&sets.old).filter_map(Set::write).collect()
}

/// Whether a pod of an old set still runs (`oldPodsRunning`): one that is being deleted does.
fn old_pods_run(store: &Store, sets: &Sets) -> bool {
    sets.old.iter().any(|set| store.pods_of(set.uid()).any(|pod| !pod.is_finished()))
}

/// Old sets beyond those that are kept (`cleanupDeployment`), the oldest revision first.
fn outdated(deployment: &Workload, sets: &Sets) -> Vec<Request> {
    let mut old: Vec<&Set> = sets.old.iter().collect();
    old.sort_by_key(|set| set.note.revision);
    let surplus = old.len().saturating_sub(deployment.revision_history_limit as usize);
    old.into_iter().take(surplus).filter(|set| set.is_empty()).map(Set::delete).collect()
}

/// `calculateStatus`, and whether the rollout gets on (pkg/controller/deployment/progress.go).
fn status(deployment: &Workload, sets: &Sets, now: Instant) -> WorkloadStatus {
    let before = &deployment.status;
    let mut status = WorkloadStatus {
        replicas: sets.all().map(Set::actual).sum(),
        ready: sets.all().map(Set::ready).sum(),
        available: sets.available(),
        updated: sets.new.as_ref().map_or(0, Set::actual),
        ..before.clone()
    };
    let old = |status: &WorkloadStatus| status.replicas.saturating_sub(status.updated);
    let gets_on = status.updated > before.updated
        || old(&status) < old(before)
        || status.ready > before.ready
        || status.available > before.available
        || sets.new.as_ref().is_some_and(|new| new.uid() == 0);
    if gets_on || is_complete(deployment, &status) && !is_complete(deployment, before) {
        (status.progressed, status.stuck) = (now, false);
    } else if let Some(deadline) = deployment.progress_deadline {
        let overdue = now.since(status.progressed) > deadline;
        status.stuck |= overdue && !deployment.paused && !is_complete(deployment, &status);
    }
    status
}

/// `DeploymentComplete`.
fn is_complete(deployment: &Workload, status: &WorkloadStatus) -> bool {
    let wanted = deployment.replicas;
    status.updated == wanted && status.replicas == wanted && status.available == wanted
}

#[cfg(test)]
mod tests;
