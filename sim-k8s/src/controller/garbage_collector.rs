//! What was controlled by an object that is gone goes too (pkg/controller/garbagecollector; deletion in the background).

use std::collections::BTreeSet;

use sim_core::engine::time::{Duration, Instant};

use crate::api::{Kind, Object, ObjectRef, WorkloadKind};
use crate::apiserver::{Change, Request};

use super::reconciler::{Plan, Reconciler};
use super::store::Store;

/// How long an object is left alone whose owner has not been seen. Upstream asks the apiserver; by then a watch has told.
const UNSEEN_OWNER: Duration = Duration::from_secs(1);

/// The garbage collector.
#[derive(Clone, Debug, Default)]
pub(super) struct GarbageCollector {
    /// The uids of all objects there are.
    there: BTreeSet<u64>,
}

impl Reconciler for GarbageCollector {
    /// Something whose owner may be gone.
    type Key = ObjectRef;

    fn kinds(&self) -> Vec<Kind> {
        use WorkloadKind::*;
        let workloads = [Deployment, ReplicaSet, ReplicationController, StatefulSet, DaemonSet, Job, CronJob];
        let others = [Kind::Service, Kind::EndpointSlice, Kind::Pod];
        workloads.map(Kind::Workload).into_iter().chain(others).collect()
    }

    fn concerned(&mut self, store: &Store, change: &Change, _before: Option<&Object>) -> Vec<ObjectRef> {
        let meta = change.object.meta();
        if change.is_deletion() {
            self.there.remove(&meta.uid);
            return store.dependents(meta.uid).cloned().collect();
        }
        self.there.insert(meta.uid);
        let lost = meta.owner.as_ref().is_some_and(|owner| !self.there.contains(&owner.uid));
        lost.then(|| change.object.reference()).into_iter().collect()
    }

    fn delay(&self, change: &Change) -> Duration {
        if change.is_deletion() { Duration::ZERO } else { UNSEEN_OWNER }
    }

    fn reconcile(&mut self, store: &Store, key: &ObjectRef, _now: Instant) -> Plan {
        let Some(object) = store.get(key) else { return Plan::default() };
        let meta = object.meta();
        let lost = meta.owner.as_ref().is_some_and(|owner| !self.there.contains(&owner.uid));
        let delete = Request::Delete { object: key.clone(), uid: Some(meta.uid), grace: None };
        Plan::in_turn((lost && meta.deletion.is_none()).then_some(delete))
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Bench, workload};
    use super::*;
    use crate::api::ObjectKey;

    #[test]
    fn with_a_deployment_its_replica_sets_and_their_pods_go() {
        let mut bench = Bench::new();
        bench.create(Object::Workload(workload(WorkloadKind::Deployment, "web", 3).into()));
        bench.run_secs(5);
        let deployment = Kind::Workload(WorkloadKind::Deployment);
        bench.delete(ObjectRef { kind: deployment, key: ObjectKey::new("default", "web") });
        bench.run_secs(5);
        assert!(bench.objects().workloads.is_empty() && bench.objects().pods.is_empty());
    }

    #[test]
    fn an_object_made_again_under_its_name_does_not_inherit() {
        let mut bench = Bench::new();
        let web = workload(WorkloadKind::Deployment, "web", 2);
        bench.create(Object::Workload(web.clone().into()));
        bench.run_secs(5);
        let before = bench.pods();
        let deployment = Kind::Workload(WorkloadKind::Deployment);
        bench.delete(ObjectRef { kind: deployment, key: web.key.clone() });
        bench.create(Object::Workload(web.into()));
        bench.run_secs(10);
        assert_eq!(bench.pods().len(), 2);
        assert!(bench.pods().iter().all(|pod| !before.contains(pod)));
    }
}
