//! Any object, whatever its kind.

use std::fmt;
use std::sync::Arc;

use super::{EndpointSlice, Lease, Meta, Node, ObjectKey, Pod, Service, Workload, WorkloadKind, WorkloadRef};

/// An object as the apiserver has it: shared, and never changed in place.
#[derive(Clone, PartialEq, Debug)]
pub enum Object {
    /// A node.
    Node(Arc<Node>),
    /// A node's sign of life.
    Lease(Arc<Lease>),
    /// A pod.
    Pod(Arc<Pod>),
    /// A Service.
    Service(Arc<Service>),
    /// An EndpointSlice.
    EndpointSlice(Arc<EndpointSlice>),
    /// Something that makes pods.
    Workload(Arc<Workload>),
}

/// The kinds of objects: what one can watch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// [`Node`]s.
    Node,
    /// [`Lease`]s of nodes.
    Lease,
    /// [`Pod`]s.
    Pod,
    /// [`Service`]s.
    Service,
    /// [`EndpointSlice`]s.
    EndpointSlice,
    /// [`Workload`]s of one kind; never of kind `Pod`.
    Workload(WorkloadKind),
}

/// An object by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Namespace and name.
    pub key: ObjectKey,
}

impl ObjectRef {
    /// The pod of this name.
    pub fn pod(key: ObjectKey) -> Self {
        Self { kind: Kind::Pod, key }
    }

    /// It as a workload, if it is one.
    pub fn workload(&self) -> Option<WorkloadRef> {
        let kind = match self.kind {
            Kind::Workload(kind) => kind,
            Kind::Pod => WorkloadKind::Pod,
            _ => return None,
        };
        Some(WorkloadRef { kind, key: self.key.clone() })
    }

    /// The node of this name.
    pub fn node(name: impl Into<String>) -> Self {
        Self { kind: Kind::Node, key: ObjectKey::new("", name) }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(kind) => kind.fmt(f),
            // The variants are Kubernetes' own names.
            kind => fmt::Debug::fmt(kind, f),
        }
    }
}

impl Object {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Node(_) => Kind::Node,
            Self::Lease(_) => Kind::Lease,
            Self::Pod(_) => Kind::Pod,
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::Workload(workload) => Kind::Workload(workload.kind),
        }
    }

    /// Its kind and name.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef { kind: self.kind(), key: self.key().clone() }
    }

    /// Its namespace and name. Two workloads of different kinds may have one name.
    pub fn key(&self) -> &ObjectKey {
        match self {
            Self::Node(node) => &node.key,
            Self::Lease(lease) => &lease.key,
            Self::Pod(pod) => &pod.key,
            Self::Service(service) => &service.key,
            Self::EndpointSlice(slice) => &slice.key,
            Self::Workload(workload) => &workload.key,
        }
    }

    /// What the apiserver keeps of it.
    pub fn meta(&self) -> &Meta {
        match self {
            Self::Node(node) => &node.meta,
            Self::Lease(lease) => &lease.meta,
            Self::Pod(pod) => &pod.meta,
            Self::Service(service) => &service.meta,
            Self::EndpointSlice(slice) => &slice.meta,
            Self::Workload(workload) => &workload.meta,
        }
    }

    /// The same, to be written.
    pub(crate) fn meta_mut(&mut self) -> &mut Meta {
        match self {
            Self::Node(node) => &mut Arc::make_mut(node).meta,
            Self::Lease(lease) => &mut Arc::make_mut(lease).meta,
            Self::Pod(pod) => &mut Arc::make_mut(pod).meta,
            Self::Service(service) => &mut Arc::make_mut(service).meta,
            Self::EndpointSlice(slice) => &mut Arc::make_mut(slice).meta,
            Self::Workload(workload) => &mut Arc::make_mut(workload).meta,
        }
    }
}
