//! What makes pods.

use std::fmt;

use super::{Labels, Meta, ObjectKey, PodTemplate, Selector};

/// An object that makes pods. Of a manifest's the layers between are left out: a Deployment's ReplicaSet is its
/// controller's to make.
#[derive(Clone, PartialEq, Debug)]
pub struct Workload {
    /// Its kind, which decides how many pods there are and what they are called.
    pub kind: WorkloadKind,
    /// Namespace and name.
    pub key: ObjectKey,
    /// What the apiserver keeps of it.
    pub meta: Meta,
    /// Which pods are its own; empty for a bare pod and for the kinds that choose one themselves (Jobs).
    pub selector: Selector,
    /// How many pods are wanted; a DaemonSet has one a node and this is 0.
    pub replicas: u32,
    /// Number of the first pod of a StatefulSet (`spec.ordinals.start`); 0 for the others.
    pub first_ordinal: u32,
    /// The headless Service that names a StatefulSet's pods in DNS.
    pub service_name: Option<String>,
    /// Labels of the object itself.
    pub labels: Labels,
    /// What its pods are made from.
    pub template: PodTemplate,
}

impl Workload {
    /// How others refer to it.
    pub fn reference(&self) -> WorkloadRef {
        WorkloadRef { kind: self.kind, key: self.key.clone() }
    }
}

/// The kinds of [`Workload`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum WorkloadKind {
    /// A pod by itself.
    Pod,
    /// A Deployment.
    Deployment,
    /// A ReplicaSet of its own.
    ReplicaSet,
    /// A ReplicationController.
    ReplicationController,
    /// A StatefulSet: pods with numbers for names.
    StatefulSet,
    /// A DaemonSet: one pod on every node that fits.
    DaemonSet,
    /// A Job.
    Job,
    /// A CronJob.
    CronJob,
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The variants are Kubernetes' own names of the kinds.
        fmt::Debug::fmt(self, f)
    }
}

/// A workload by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WorkloadRef {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Namespace and name.
    pub key: ObjectKey,
}

impl fmt::Display for WorkloadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}
