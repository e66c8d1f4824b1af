//! The apiserver: the objects of a cluster, and the only place where its agents meet.
//!
//! | room | what it is |
//! | --- | --- |
//! | `cache` | objects by kind and name: the truth here, and what each agent has seen of it |
//! | `request` | what can be asked for, and why it may be refused |
//! | `admission` | ClusterIPs and node ports, given out as a Service is written |
//! | `families` | which address families a Service has |
//!
//! [`Apiserver::handle`] is one write: it changes at most one object and gives it the next `resourceVersion`. That
//! writes and watches take time is the business of [`crate::agent`].

mod admission;
mod cache;
mod families;
mod request;

use std::sync::Arc;

use ipnet::IpNet;
use sim_core::engine::time::{Duration, Instant};

use crate::api::{Condition, Deletion, Kind, Lease, Meta, Node, Object, ObjectKey, ObjectRef, Pod, Service};

pub use cache::{Action, Cache, Change};
pub use request::{NodePatch, Refused, Request};

use admission::Admission;

/// The objects and their versions.
#[derive(Clone, Debug)]
pub struct Apiserver {
    objects: Cache,
    version: u64,
    uids: u64,
    changed: Instant,
    admission: Admission,
}

impl Apiserver {
    /// One without objects. ClusterIPs come from `service_networks`, one a family, the cluster's default family first; none
    /// is given from the networks `elsewhere`.
    pub fn new(service_networks: &[IpNet], elsewhere: Vec<IpNet>) -> Self {
        Self {
            objects: Cache::default(),
            version: 0,
            uids: 0,
            changed: Instant::START,
            admission: Admission::new(service_networks, elsewhere),
        }
    }

    /// The objects as they are now.
    pub fn objects(&self) -> &Cache {
        &self.objects
    }

    /// The number of the last change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When an object was last changed that is no lease.
    pub fn changed(&self) -> Instant {
        self.changed
    }

    /// Carries out `request`; the change, if it made one.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn handle(&mut self, now: Instant, request: Request) -> Result<Option<Change>, Refused> {
        let change = self.carry_out(now, request)?;
        if change.as_ref().is_some_and(|change| change.object.kind() != Kind::Lease) {
            self.changed = now;
        }
        Ok(change)
    }

    fn carry_out(&mut self, now: Instant, request: Request) -> Result<Option<Change>, Refused> {
        match request {
            Request::Create(object) => self.create(now, object),
            Request::Update(object) => self.update(object),
            Request::UpdatePodStatus { pod, uid, status } => self.update_pod(ObjectRef::pod(pod), uid, |pod| {
                pod.status = status;
                Ok(())
            }),
            Request::UpdateServiceStatus { service, uid, ingress, error } => {
                self.update_service(&service, uid, |service| {
                    (service.ingress, service.balancer_error) = (ingress, error)
                })
            }
            Request::Bind { pod, uid, node } => self.update_pod(ObjectRef::pod(pod), uid, |pod| {
                if pod.node_name.is_some() || pod.is_terminating() {
                    return Err(Refused::Conflict);
                }
                // Condition `PodScheduled` is true (`assignPod`, pkg/registry/core/pod/storage/storage.go).
                (pod.node_name, pod.status.unschedulable) = (Some(node), None);
                Ok(())
            }),
            Request::PatchNode { node, patch } => self.patch_node(&node, patch),
            Request::RenewLease { node } => self.renew_lease(now, &node),
            Request::Delete { object, uid, grace } => self.delete(now, &object, uid, grace),
        }
    }

    fn create(&mut self, now: Instant, mut object: Object) -> Result<Option<Change>, Refused> {
        if self.objects.get(&object.reference()).is_some() {
            return Err(Refused::AlreadyExists);
        }
        match &mut object {
            Object::Service(service) => self.admission.create(Arc::make_mut(service)).map_err(Refused::Invalid)?,
            Object::Node(node) if node.ready != Condition::True => admission::taint(Arc::make_mut(node)),
            _ => {}
        }
        self.uids += 1;
        let uid = self.uids;
        let meta = object.meta_mut();
        (meta.uid, meta.created, meta.deletion) = (uid, now, None);
        Ok(Some(self.store(Action::Added, object)))
    }

    /// An update replaces the object, if it is still the one that was read (`GuaranteedUpdate`, staging
    /// `apiserver/pkg/registry/generic/registry/store.go`).
    fn update(&mut self, mut object: Object) -> Result<Option<Change>, Refused> {
        let stored = self.objects.get(&object.reference()).ok_or(Refused::NotFound)?;
        if (stored.meta().uid, stored.meta().version) != (object.meta().uid, object.meta().version) {
            return Err(Refused::Conflict);
        }
        if stored == object {
            return Ok(None);
        }
        if let (Object::Service(service), Object::Service(old)) = (&mut object, &stored) {
            self.admission.update(Arc::make_mut(service), old).map_err(Refused::Invalid)?;
        }
        Ok(Some(self.store(Action::Modified, object)))
    }

    fn update_pod(
        &mut self,
        pod: ObjectRef,
        uid: u64,
        change: impl FnOnce(&mut Pod) -> Result<(), Refused>,
    ) -> Result<Option<Change>, Refused> {
        let Some(Object::Pod(stored)) = self.objects.get(&pod) else { return Err(Refused::NotFound) };
        if stored.meta.uid != uid {
            return Err(Refused::Conflict);
        }
        let mut pod = Pod::clone(&stored);
        change(&mut pod)?;
        Ok((pod != *stored).then(|| self.store(Action::Modified, Object::Pod(Arc::new(pod)))))
    }

    fn update_service(
        &mut self,
        service: &ObjectKey,
        uid: u64,
        change: impl FnOnce(&mut Service),
    ) -> Result<Option<Change>, Refused> {
        let stored = self.objects.services.get(service).ok_or(Refused::NotFound)?.clone();
        if stored.meta.uid != uid {
            return Err(Refused::Conflict);
        }
        let mut service = Service::clone(&stored);
        change(&mut service);
        Ok((service != *stored).then(|| self.store(Action::Modified, Object::Service(Arc::new(service)))))
    }

    fn patch_node(&mut self, name: &str, patch: NodePatch) -> Result<Option<Change>, Refused> {
        let stored = self.objects.nodes.get(name).ok_or(Refused::NotFound)?.clone();
        let mut node = Node::clone(&stored);
        node.ready = patch.ready.unwrap_or(node.ready);
        node.network_available = patch.network_available.unwrap_or(node.network_available);
        node.pod_cidrs = patch.pod_cidrs.unwrap_or(node.pod_cidrs);
        Ok((node != *stored).then(|| self.store(Action::Modified, Object::Node(Arc::new(node)))))
    }

    fn renew_lease(&mut self, now: Instant, node: &str) -> Result<Option<Change>, Refused> {
        let known = self.objects.leases.get(node).cloned();
        let lease = |meta| Object::Lease(Arc::new(Lease { key: ObjectKey::new("", node), meta, renewed: now }));
        match known {
            None => self.create(now, lease(Meta::default())),
            Some(known) => Ok(Some(self.store(Action::Modified, lease(known.meta.clone())))),
        }
    }

    /// A pod that is bound to a node is only marked; its kubelet winds it up and deletes it with no grace
    /// (`podStrategy.CheckGracefulDelete`, pkg/registry/core/pod/strategy.go).
    fn delete(
        &mut self,
        now: Instant,
        object: &ObjectRef,
        uid: Option<u64>,
        grace: Option<Duration>,
    ) -> Result<Option<Change>, Refused> {
        let stored = self.objects.get(object).ok_or(Refused::NotFound)?;
        if uid.is_some_and(|uid| uid != stored.meta().uid) {
            return Err(Refused::Conflict);
        }
        let Object::Pod(pod) = &stored else { return Ok(Some(self.remove(stored))) };
        let grace = grace.unwrap_or(pod.template.grace);
        if grace == Duration::ZERO || pod.node_name.is_none() || pod.is_finished() {
            return Ok(Some(self.remove(stored)));
        }
        // A second request may only shorten what is left (`BeforeDelete`, apiserver/pkg/registry/rest/delete.go).
        let deletion = Deletion { requested: now, grace };
        if pod.meta.deletion.is_some_and(|before| before.deadline() <= deletion.deadline()) {
            return Ok(None);
        }
        let mut pod = Pod::clone(pod);
        pod.meta.deletion = Some(deletion);
        Ok(Some(self.store(Action::Modified, Object::Pod(Arc::new(pod)))))
    }

    fn store(&mut self, action: Action, mut object: Object) -> Change {
        self.version += 1;
        object.meta_mut().version = self.version;
        self.committed(Change { action, object })
    }

    fn remove(&mut self, object: Object) -> Change {
        if let Object::Service(service) = &object {
            self.admission.delete(service);
        }
        self.version += 1;
        self.committed(Change { action: Action::Deleted, object })
    }

    fn committed(&mut self, change: Change) -> Change {
        self.objects.apply(&change);
        change
    }
}

#[cfg(test)]
mod tests;
