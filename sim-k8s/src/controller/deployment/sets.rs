//! A Deployment's ReplicaSets.

use std::sync::Arc;

use sim_core::engine::time::Duration;

use crate::api::{
    Labels, Meta, Object, ObjectKey, Operator, Requirement, RolloutNote, UpdateStrategy, Workload, WorkloadKind,
};
use crate::apiserver::Request;
use crate::workload::name;

use super::super::pods;
use super::super::replica_set::TEMPLATE_HASH;
use super::super::store::Store;

/// A ReplicaSet, or one that is about to be created, and how many pods it shall have.
#[derive(Clone, Debug)]
pub(super) struct Set {
    stored: Workload,
    /// Whether the apiserver has it.
    exists: bool,
    /// How many pods it shall have.
    pub(super) replicas: u32,
    /// What the Deployment notes on it.
    pub(super) note: RolloutNote,
    min_ready: Duration,
}

impl Set {
    fn new(stored: &Workload) -> Self {
        let none = RolloutNote { revision: 0, desired: stored.replicas, max: 0 };
        let note = stored.rollout.unwrap_or(none);
        let Workload { replicas, min_ready, .. } = *stored;
        Self { stored: stored.clone(), exists: true, replicas, note, min_ready }
    }

    /// How many of its pods are available.
    pub(super) fn available(&self) -> u32 {
        self.stored.status.available
    }

    /// How many pods it has.
    pub(super) fn actual(&self) -> u32 {
        self.stored.status.replicas
    }

    /// How many of its pods are ready.
    pub(super) fn ready(&self) -> u32 {
        self.stored.status.ready
    }

    /// The uid of the one the apiserver has.
    pub(super) fn uid(&self) -> u64 {
        self.stored.meta.uid
    }

    /// Whether it wants pods (`FilterActiveReplicaSets`).
    pub(super) fn is_active(&self) -> bool {
        self.replicas > 0
    }

    /// What orders sets by age.
    pub(super) fn age(&self) -> impl Ord + use<> {
        (!self.exists, self.stored.meta.created, self.stored.key.name.clone())
    }

    /// Notes what `deployment` wants (`SetReplicasAnnotations`).
    pub(super) fn note(&mut self, deployment: &Workload, surge: u32) {
        self.note.desired = deployment.replicas;
        self.note.max = deployment.replicas.saturating_add(surge);
    }

    /// The request that makes the apiserver's one like this; `None` if it is.
    pub(super) fn write(&self) -> Option<Request> {
        let Self { ref stored, exists, replicas, note, min_ready } = *self;
        if exists && (stored.replicas, stored.rollout, stored.min_ready) == (replicas, Some(note), min_ready) {
            return None;
        }
        let set = Workload { replicas, rollout: Some(note), min_ready, ..stored.clone() };
        let set = Object::Workload(Arc::new(set));
        Some(if exists { Request::Update(set) } else { Request::Create(set) })
    }

    /// The request that deletes it.
    pub(super) fn delete(&self) -> Request {
        Request::Delete { object: self.stored.reference().into(), uid: Some(self.stored.meta.uid), grace: None }
    }

    /// Whether it wants no pods and has none.
    pub(super) fn is_empty(&self) -> bool {
        self.replicas == 0 && self.actual() == 0
    }
}

/// The ReplicaSets of a Deployment.
#[derive(Clone, Debug)]
pub(super) struct Sets {
    /// The one of the current template, if there is one.
    pub(super) new: Option<Set>,
    /// The others, the oldest first.
    pub(super) old: Vec<Set>,
}

impl Sets {
    /// Those that `deployment` controls. The oldest one with its template is the new one (`FindNewReplicaSet`).
    pub(super) fn of(store: &Store, deployment: &Workload) -> Self {
        let sets = store.workloads_of(deployment.meta.uid, WorkloadKind::ReplicaSet);
        let mut old: Vec<Set> = sets.map(|set| Set::new(set)).collect();
        old.sort_by_cached_key(Set::age);
        let new = old.iter().position(|set| pods::is_same(&set.stored.template, &deployment.template));
        let mut sets = Self { new: new.map(|index| old.remove(index)), old };
        let revision = sets.next_revision();
        if let Some(new) = &mut sets.new {
            // Someone went back to an old template: it is the newest now (`SetNewReplicaSetAnnotations`).
            new.note.revision = new.note.revision.max(revision);
            new.min_ready = deployment.min_ready;
        }
        sets
    }

    fn next_revision(&self) -> u64 {
        self.old.iter().map(|set| set.note.revision).max().unwrap_or_default() + 1
    }

    /// All of them, the new one last.
    pub(super) fn all(&self) -> impl Iterator<Item = &Set> {
        self.old.iter().chain(&self.new)
    }

    /// The new one, made if there is none (`getNewReplicaSet`).
    pub(super) fn new_or_made(&mut self, deployment: &Workload) -> &mut Set {
        let revision = self.next_revision();
        let wanted = wanted_by_new(deployment, self.wanted(), 0);
        self.new.get_or_insert_with(|| {
            let mut set = made(deployment, revision);
            set.replicas = wanted;
            set
        })
    }

    /// How many pods they want together.
    pub(super) fn wanted(&self) -> u32 {
        self.all().map(|set| set.replicas).sum()
    }

    /// How many pods are available.
    pub(super) fn available(&self) -> u32 {
        self.all().map(Set::available).sum()
    }
}

fn made(deployment: &Workload, revision: u64) -> Set {
    let hash = name::template_hash(&deployment.reference(), revision);
    let labelled: Labels = [(TEMPLATE_HASH.to_owned(), hash.clone())].into();
    let key = ObjectKey::new(&deployment.key.namespace, format!("{}-{hash}", deployment.key.name));
    let mut selector = deployment.selector.clone();
    let (label, values) = (TEMPLATE_HASH.to_owned(), vec![hash]);
    selector.requirements.push(Requirement { key: label, operator: Operator::In, values });
    let labels = deployment.template.labels.clone().into_iter().chain(labelled).collect();
    let stored = Workload {
        meta: Meta { owner: Some(pods::owner(deployment)), ..Meta::default() },
        selector,
        labels,
        replicas: 0,
        ..Workload::new(WorkloadKind::ReplicaSet, key, deployment.template.clone())
    };
    let note = RolloutNote {
        revision,
        desired: deployment.replicas,
        max: deployment.replicas.saturating_add(surge_and_unavailable(deployment).0),
    };
    Set { stored, exists: false, replicas: 0, note, min_ready: deployment.min_ready }
}

/// How many pods more than wanted there may be, and how many of the wanted may be missing (`ResolveFenceposts`).
pub(super) fn surge_and_unavailable(deployment: &Workload) -> (u32, u32) {
    let UpdateStrategy::RollingUpdate { max_surge, max_unavailable, .. } = deployment.update else { return (0, 0) };
    let surge = max_surge.rounded_up(deployment.replicas);
    let unavailable = max_unavailable.rounded_down(deployment.replicas);
    // Both may round to nothing; then one pod at a time may be missing.
    (surge, if surge == 0 && unavailable == 0 { 1 } else { unavailable.min(deployment.replicas) })
}

/// How many pods the new ReplicaSet shall have when it has `own` of the `all` that are wanted now (`NewRSNewReplicas`).
pub(super) fn wanted_by_new(deployment: &Workload, all: u32, own: u32) -> u32 {
    let wanted = deployment.replicas;
    match deployment.update {
        UpdateStrategy::RollingUpdate { .. } => {
            let most = wanted.saturating_add(surge_and_unavailable(deployment).0);
            own + most.saturating_sub(all).min(wanted.saturating_sub(own))
        }
        UpdateStrategy::Recreate | UpdateStrategy::OnDelete => wanted,
    }
}
