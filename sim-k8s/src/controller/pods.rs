//! Pods as their controllers see and make them.

use std::sync::Arc;

use sim_core::engine::time::{Duration, Instant};

use crate::api::{
    Labels, Meta, Object, ObjectKey, ObjectRef, Owner, Phase, Pod, PodStatus, PodTemplate, Workload, WorkloadRef,
};
use crate::apiserver::Request;

use super::store::Store;

/// Whether it counts as one that runs or will (`IsPodActive`, pkg/controller/controller_utils.go).
pub(super) fn is_active(pod: &Pod) -> bool {
    !pod.is_finished() && !pod.is_terminating()
}

/// Whether it has been ready for `min_ready` (`IsPodAvailable`, pkg/api/v1/pod/util.go); else when it will have been.
pub(super) fn availability(pod: &Pod, min_ready: Duration, now: Instant) -> Availability {
    if !pod.status.ready {
        return Availability::No;
    }
    let at = pod.status.ready_changed + min_ready;
    if at <= now { Availability::Yes } else { Availability::From(at) }
}

/// Whether a pod is available.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Availability {
    /// It is.
    Yes,
    /// It will be, if it stays ready until then.
    From(Instant),
    /// It is not ready.
    No,
}

/// Whether it has been ready for `min_ready`.
pub(super) fn is_available(pod: &Pod, min_ready: Duration, now: Instant) -> bool {
    availability(pod, min_ready, now) == Availability::Yes
}

/// When the first of `pods` that is ready becomes available, if one does later.
pub(super) fn next_available<'p>(
    pods: impl IntoIterator<Item = &'p Arc<Pod>>,
    min_ready: Duration,
    now: Instant,
) -> Option<Instant> {
    let times = pods.into_iter().filter_map(|pod| match availability(pod, min_ready, now) {
        Availability::From(at) => Some(at),
        Availability::Yes | Availability::No => None,
    });
    times.min()
}

/// `workload` as the controller of something.
pub(super) fn owner(workload: &Workload) -> Owner {
    Owner { object: workload.reference().into(), uid: workload.meta.uid }
}

/// Whether two templates are equal; most are even one.
pub(super) fn is_same(a: &Arc<PodTemplate>, b: &Arc<PodTemplate>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

/// Makes the pods of one workload that are alike: template and labels are shared.
pub(super) struct Mold {
    meta: Meta,
    workload: WorkloadRef,
    template: Arc<PodTemplate>,
    labels: Arc<Labels>,
}

impl Mold {
    /// For pods of `template` controlled by `controller`, whose labels `added` come on top.
    pub(super) fn new<'l>(
        controller: &Workload,
        template: &Arc<PodTemplate>,
        added: impl IntoIterator<Item = (&'l str, String)>,
    ) -> Self {
        let mut labels = template.labels.clone();
        labels.extend(added.into_iter().map(|(key, value)| (key.to_owned(), value)));
        Self {
            meta: Meta { owner: Some(owner(controller)), ..Meta::default() },
            workload: people_say(controller),
            template: template.clone(),
            labels: Arc::new(labels),
        }
    }

    /// The pod of this name, and the request that creates it.
    pub(super) fn create(&self, name: String) -> Request {
        let key = ObjectKey::new(&self.workload.key.namespace, name);
        let node_name = self.template.node_name.clone();
        Request::Create(Object::Pod(Arc::new(Pod {
            key,
            meta: self.meta.clone(),
            workload: self.workload.clone(),
            labels: self.labels.clone(),
            template: self.template.clone(),
            node_name,
            status: PodStatus::default(),
        })))
    }
}

/// What people would say makes the pods of `controller`: of a Deployment's ReplicaSet the Deployment.
pub(super) fn people_say(controller: &Workload) -> WorkloadRef {
    let above = controller.meta.owner.as_ref().and_then(|owner| owner.object.workload());
    above.unwrap_or_else(|| controller.reference())
}

/// The pod that a manifest describes by itself.
pub fn bare_pod(workload: &Workload) -> Pod {
    Pod {
        key: workload.key.clone(),
        meta: Meta::default(),
        workload: workload.reference(),
        labels: Arc::new(workload.template.labels.clone()),
        template: workload.template.clone(),
        node_name: workload.template.node_name.clone(),
        status: PodStatus::default(),
    }
}

/// The request that deletes this very pod.
pub(super) fn delete(pod: &Pod) -> Request {
    Request::Delete { object: ObjectRef::pod(pod.key.clone()), uid: Some(pod.meta.uid), grace: None }
}

/// The pods a workload controls, and what to do about those it should or should not (`PodControllerRefManager`).
pub(super) struct Claim<'s> {
    /// Its own, by name; terminating and finished ones included.
    pub(super) pods: Vec<&'s Arc<Pod>>,
    /// Orphans that it adopts, and pods whose labels were changed so that it lets them go.
    pub(super) requests: Vec<Request>,
}

impl<'s> Claim<'s> {
    /// What `workload` controls or ought to.
    pub(super) fn new(store: &'s Store, workload: &Workload) -> Self {
        let matches = |pod: &Pod| workload.selector.matches(&pod.labels);
        let (pods, strangers): (Vec<_>, Vec<_>) =
            store.pods_of(workload.meta.uid).partition(|pod| matches(pod) || pod.is_terminating());
        let namespace = &workload.key.namespace;
        let orphans = store.orphans().filter(|pod| pod.key.namespace == *namespace && is_active(pod) && matches(pod));
        let become_of = |pod: &Pod, owner| {
            let meta = Meta { owner, ..pod.meta.clone() };
            Request::Update(Object::Pod(Arc::new(Pod { meta, ..pod.clone() })))
        };
        let released = strangers.into_iter().map(|pod| become_of(pod, None));
        let adopted = orphans.map(|pod| become_of(pod, Some(owner(workload))));
        Self { pods, requests: released.chain(adopted).collect() }
    }
}

/// How many of `pods` there are, and how many of them are ready and available.
pub(super) fn count<'p>(
    pods: impl IntoIterator<Item = &'p Arc<Pod>>,
    min_ready: Duration,
    now: Instant,
) -> (u32, u32, u32) {
    let (mut all, mut ready, mut available) = (0, 0, 0);
    for pod in pods {
        all += 1;
        ready += u32::from(pod.status.ready);
        available += u32::from(is_available(pod, min_ready, now));
    }
    (all, ready, available)
}

/// Whether it runs and is ready (`isRunningAndReady`).
pub(super) fn is_running_and_ready(pod: &Pod) -> bool {
    pod.status.phase == Phase::Running && pod.status.ready
}
