//! The objects the control plane and kube-proxy work with: a thin model of our own, filled from
//! Kubernetes' types by [`crate::manifest`], which checks and defaults every field first.
//!
//! Whatever exists as a value of this room is valid: ports fit, addresses parse, names are DNS labels.
//! Objects are keyed by [`ObjectKey`] and kept in the order of the files.

mod dns;
mod endpoints;
mod family;
mod job;
mod meta;
mod namespace;
mod node;
mod object;
mod pod;
mod probe;
mod rollout;
mod schedule;
mod scheduling;
mod selector;
mod service;
mod template;
mod workload;

use std::collections::BTreeMap;
use std::fmt;

pub use dns::{DnsPolicy, PodDns};
pub use endpoints::{Endpoint, EndpointPort, EndpointSlice};
pub use family::IpFamilyPolicy;
pub use job::{Concurrency, CronSpec, JobSpec, JobStatus};
pub use meta::{Deletion, Meta, Owner};
pub use namespace::Namespace;
pub use node::{Condition, Lease, Node, Taint, TaintEffect};
pub use object::{Kind, Object, ObjectRef};
pub use pod::{ContainerStatus, Phase, Pod, PodStatus};
pub use probe::{Handler, HttpGet, InitContainer, Lifecycle, Probe, RestartPolicy};
pub use rollout::{Revision, RolloutNote, Share, UpdateStrategy};
pub use schedule::{NotASchedule, Schedule};
pub use scheduling::{
    Affinity, HOSTNAME, NodeAffinity, NodeSelectorTerm, PodAffinity, PodAffinityTerm, Preference, Resources,
    Toleration, TopologySpreadConstraint, ZONE,
};
pub use selector::{Operator, Requirement, Selector};
pub use service::{ClusterIp, Ingress, Service, ServicePort, ServiceType, TargetPort, TrafficPolicy};
pub use template::{Container, ContainerPort, EnvSource, EnvVar, PodTemplate, Protocol};
pub use workload::{Workload, WorkloadKind, WorkloadRef, WorkloadStatus};

/// Labels of an object: key to value, in key order.
pub type Labels = BTreeMap<String, String>;

/// Namespace and name: what identifies an object among those of its kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectKey {
    /// Namespace; `default` when the manifest names none.
    pub namespace: String,
    /// Name, a DNS-1123 subdomain.
    pub name: String,
}

impl ObjectKey {
    /// The key of object `name` in `namespace`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Everything a set of manifests declares, each list in the order of the files.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Objects {
    /// The namespaces that are declared; others exist because an object is in them.
    pub namespaces: Vec<Namespace>,
    /// What is said of nodes. How many there are, and what they are called, the cluster decides.
    pub nodes: Vec<Node>,
    /// What makes pods, bare pods included.
    pub workloads: Vec<Workload>,
    /// Services.
    pub services: Vec<Service>,
    /// EndpointSlices written by hand, and Endpoints mirrored into slices.
    pub endpoint_slices: Vec<EndpointSlice>,
}
