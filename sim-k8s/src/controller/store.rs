//! What a controller has seen, and who controls what.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;

use crate::api::{Kind, Meta, Object, ObjectKey, ObjectRef, Pod, Workload, WorkloadKind, WorkloadRef};
use crate::apiserver::{Cache, Change};

/// A controller's informers: the objects as it has seen them, found by name or by their controller.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    cache: Cache,
    /// Objects by the uid of their controller; 0 for those without one.
    owned: BTreeMap<u64, BTreeSet<ObjectRef>>,
}

impl Deref for Store {
    type Target = Cache;
    fn deref(&self) -> &Cache {
        &self.cache
    }
}

fn owner_uid(meta: &Meta) -> u64 {
    meta.owner.as_ref().map_or(0, |owner| owner.uid)
}

impl Store {
    /// Takes in one change; the object as it was seen before.
    pub(super) fn apply(&mut self, change: &Change) -> Option<Object> {
        let before = self.cache.apply(change);
        if let Some(before) = &before {
            let uid = owner_uid(before.meta());
            if let Some(owned) = self.owned.get_mut(&uid) {
                owned.remove(&before.reference());
                if owned.is_empty() {
                    self.owned.remove(&uid);
                }
            }
        }
        if !change.is_deletion() {
            self.owned.entry(owner_uid(change.object.meta())).or_default().insert(change.object.reference());
        }
        before
    }

    /// What is controlled by the object of this uid, by kind and name.
    pub(super) fn dependents(&self, uid: u64) -> impl Iterator<Item = &ObjectRef> {
        self.owned.get(&uid).into_iter().flatten()
    }

    /// The pods controlled by the object of this uid, by name.
    pub(super) fn pods_of(&self, uid: u64) -> impl Iterator<Item = &Arc<Pod>> {
        self.dependents(uid).filter(|object| object.kind == Kind::Pod).map(|object| &self.pods[&object.key])
    }

    /// The pods nobody controls, by name.
    pub(super) fn orphans(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods_of(0)
    }

    /// The workloads of a kind that are controlled by the object of this uid, by name.
    pub(super) fn workloads_of(&self, uid: u64, kind: WorkloadKind) -> impl Iterator<Item = &Arc<Workload>> {
        let owned = self.dependents(uid).filter(move |object| object.kind == Kind::Workload(kind));
        owned.filter_map(move |object| self.workload(kind, &object.key))
    }

    /// The workload of this kind and name.
    pub(super) fn workload(&self, kind: WorkloadKind, key: &ObjectKey) -> Option<&Arc<Workload>> {
        self.workloads.get(&WorkloadRef { kind, key: key.clone() })
    }

    /// The workload that controls an object, if it is of this kind and still the one that did.
    pub(super) fn owner_of(&self, meta: &Meta, kind: WorkloadKind) -> Option<&Arc<Workload>> {
        let owner = meta.owner.as_ref().filter(|owner| owner.object.kind == Kind::Workload(kind))?;
        self.workload(kind, &owner.object.key).filter(|workload| workload.meta.uid == owner.uid)
    }

    /// The workloads of `kind` that a change of a pod concerns: who controls it, who did, and if nobody does, who might.
    pub(super) fn controllers_of(&self, kind: WorkloadKind, pod: &Pod, before: Option<&Object>) -> Vec<ObjectKey> {
        let now = self.owner_of(&pod.meta, kind);
        let then = before.and_then(|before| self.owner_of(before.meta(), kind));
        let mut keys: Vec<ObjectKey> = now.into_iter().chain(then).map(|workload| workload.key.clone()).collect();
        keys.dedup();
        if pod.meta.owner.is_none() {
            let near = self.workloads.values().filter(|w| w.kind == kind && w.key.namespace == pod.key.namespace);
            keys.extend(near.filter(|w| w.selector.matches(&pod.labels)).map(|w| w.key.clone()));
        }
        keys
    }
}
