//! Objects by kind and name.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::{EndpointSlice, Kind, Lease, Node, Object, ObjectKey, ObjectRef, Pod, Service, Workload, WorkloadRef};

/// What happened to an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// It is new; to a watcher, also: it was there when the watch began.
    Added,
    /// It is another than before.
    Modified,
    /// It is gone; a [`Change`] holds it as it was last.
    Deleted,
}

/// One change of one object, as a watch delivers it.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    /// What happened.
    pub action: Action,
    /// The object: as it is now, or as it was last.
    pub object: Object,
}

impl Change {
    /// Whether the object is gone.
    pub fn is_deletion(&self) -> bool {
        self.action == Action::Deleted
    }
}

/// Objects by kind and name: what the apiserver has, or what one agent has seen of it (an informer's store).
#[derive(Clone, Default, Debug)]
pub struct Cache {
    /// Nodes by name.
    pub nodes: BTreeMap<String, Arc<Node>>,
    /// Signs of life by node.
    pub leases: BTreeMap<String, Arc<Lease>>,
    /// Pods.
    pub pods: BTreeMap<ObjectKey, Arc<Pod>>,
    /// Services.
    pub services: BTreeMap<ObjectKey, Arc<Service>>,
    /// EndpointSlices.
    pub endpoint_slices: BTreeMap<ObjectKey, Arc<EndpointSlice>>,
    /// What makes pods.
    pub workloads: BTreeMap<WorkloadRef, Arc<Workload>>,
}

impl Cache {
    /// Takes in one change; the object as it was seen before.
    pub fn apply(&mut self, change: &Change) -> Option<Object> {
        fn put<K: Ord, T>(map: &mut BTreeMap<K, Arc<T>>, key: K, object: &Arc<T>, gone: bool) -> Option<Arc<T>> {
            if gone { map.remove(&key) } else { map.insert(key, object.clone()) }
        }
        let gone = change.is_deletion();
        match &change.object {
            Object::Node(node) => put(&mut self.nodes, node.key.name.clone(), node, gone).map(Object::Node),
            Object::Lease(lease) => put(&mut self.leases, lease.key.name.clone(), lease, gone).map(Object::Lease),
            Object::Pod(pod) => put(&mut self.pods, pod.key.clone(), pod, gone).map(Object::Pod),
            Object::Service(service) => {
                put(&mut self.services, service.key.clone(), service, gone).map(Object::Service)
            }
            Object::EndpointSlice(slice) => {
                put(&mut self.endpoint_slices, slice.key.clone(), slice, gone).map(Object::EndpointSlice)
            }
            Object::Workload(workload) => {
                put(&mut self.workloads, workload.reference(), workload, gone).map(Object::Workload)
            }
        }
    }

    /// The object of this kind and name.
    pub fn get(&self, object: &ObjectRef) -> Option<Object> {
        let ObjectRef { kind, key } = object;
        match kind {
            Kind::Node => self.nodes.get(&key.name).cloned().map(Object::Node),
            Kind::Lease => self.leases.get(&key.name).cloned().map(Object::Lease),
            Kind::Pod => self.pods.get(key).cloned().map(Object::Pod),
            Kind::Service => self.services.get(key).cloned().map(Object::Service),
            Kind::EndpointSlice => self.endpoint_slices.get(key).cloned().map(Object::EndpointSlice),
            Kind::Workload(kind) => {
                let reference = WorkloadRef { kind: *kind, key: key.clone() };
                self.workloads.get(&reference).cloned().map(Object::Workload)
            }
        }
    }

    /// All objects of a kind, by name.
    pub fn all(&self, kind: Kind) -> Vec<Object> {
        match kind {
            Kind::Node => self.nodes.values().cloned().map(Object::Node).collect(),
            Kind::Lease => self.leases.values().cloned().map(Object::Lease).collect(),
            Kind::Pod => self.pods.values().cloned().map(Object::Pod).collect(),
            Kind::Service => self.services.values().cloned().map(Object::Service).collect(),
            Kind::EndpointSlice => self.endpoint_slices.values().cloned().map(Object::EndpointSlice).collect(),
            Kind::Workload(kind) => {
                let workloads = self.workloads.values().filter(|workload| workload.kind == kind);
                workloads.cloned().map(Object::Workload).collect()
            }
        }
    }

    /// The pods of one node, by name.
    pub fn pods_on<'c>(&'c self, node: &'c str) -> impl Iterator<Item = &'c Arc<Pod>> {
        self.pods.values().filter(move |pod| pod.node_name.as_deref() == Some(node))
    }

    /// The slices of one Service, by name.
    pub fn slices_of<'c>(&'c self, service: &'c ObjectKey) -> impl Iterator<Item = &'c Arc<EndpointSlice>> {
        self.endpoint_slices.values().filter(move |slice| slice.service.as_ref() == Some(service))
    }
}
