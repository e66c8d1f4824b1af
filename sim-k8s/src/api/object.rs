//! Any object, whatever its kind.

use std::fmt;
use std::sync::Arc;

use super::{EndpointSlice, Meta, Node, ObjectKey, Pod, Service, Workload, WorkloadKind};

/// An object as the apiserver has it: shared, and never changed in place.
#[derive(Clone, PartialEq, Debug)]
pub enum Object {
    /// A node.
    Node(Arc<Node>),
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
            Self::Pod(pod) => &pod.meta,
            Self::Service(service) => &service.meta,
            Self::EndpointSlice(slice) => &slice.meta,
            Self::Workload(workload) => &workload.meta,
        }
    }
}
