//! Pods whose node is gone go too (pkg/controller/podgc/gc_controller.go).

use std::collections::BTreeMap;

use sim_core::engine::time::{Duration, Instant};

use crate::api::{Kind, Object, ObjectKey, ObjectRef, Phase, PodStatus};
use crate::apiserver::{Change, Request};

use super::reconciler::{Plan, Reconciler};
use super::store::Store;

/// How often it looks (`gcCheckPeriod`).
const PERIOD: Duration = Duration::from_secs(20);
/// How long a node must have been missing (`quarantineTime`).
const QUARANTINE: Duration = Duration::from_secs(40);

/// The pod garbage collector.
#[derive(Clone, Debug, Default)]
pub(super) struct PodGc {
    /// When each node was first found missing.
    missing: BTreeMap<String, Instant>,
}

impl Reconciler for PodGc {
    type Key = ObjectKey;

    fn kinds(&self) -> Vec<Kind> {
        vec![Kind::Node, Kind::Pod]
    }

    fn concerned(&mut self, store: &Store, change: &Change, _before: Option<&Object>) -> Vec<ObjectKey> {
        match &change.object {
            Object::Node(node) if change.is_deletion() => {
                store.pods_on(node.name()).map(|pod| pod.key.clone()).collect()
            }
            Object::Node(node) => {
                self.missing.remove(node.name());
                Vec::new()
            }
            Object::Pod(pod) if !change.is_deletion() => {
                let lost = pod.node_name.as_ref().is_some_and(|node| !store.nodes.contains_key(node));
                lost.then(|| pod.key.clone()).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn reconcile(&mut self, store: &Store, key: &ObjectKey, now: Instant) -> Plan {
        let Some(pod) = store.pods.get(key) else { return Plan::default() };
        let Some(node) = pod.node_name.as_ref().filter(|node| !store.nodes.contains_key(*node)) else {
            return Plan::default();
        };
        let noticed = next(now, PERIOD);
        let due = *self.missing.entry(node.clone()).or_insert(noticed) + QUARANTINE;
        if now < due {
            return Plan { again: Some(due), ..Plan::default() };
        }
        let (uid, object) = (pod.meta.uid, ObjectRef::pod(key.clone()));
        let status = PodStatus { phase: Phase::Failed, ready: false, ..pod.status.clone() };
        let failed = Request::UpdatePodStatus { pod: key.clone(), uid, status };
        let delete = Request::Delete { object, uid: Some(uid), grace: Some(Duration::ZERO) };
        Plan::in_turn((!pod.is_finished()).then_some(failed).into_iter().chain([delete]))
    }
}

/// The next time at or after `now` at which something is done that is done every `period`.
pub(super) fn next(now: Instant, period: Duration) -> Instant {
    let period = period.as_nanos();
    Instant::from_nanos(now.as_nanos().div_ceil(period).saturating_mul(period))
}
