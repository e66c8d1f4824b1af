//! What can be asked of the apiserver.

use ipnet::IpNet;
use sim_core::engine::time::Duration;

use crate::api::{Condition, Ingress, Object, ObjectKey, ObjectRef, PodStatus};

/// A write.
#[derive(Clone, PartialEq, Debug)]
pub enum Request {
    /// A new object. Of its [`crate::api::Meta`] only the owner counts.
    Create(Object),
    /// The object as it shall be. Refused with a conflict if it was changed since it was read (`meta.version`).
    Update(Object),
    /// What its kubelet says of a pod (subresource `status`): no conflict with those who change other fields.
    UpdatePodStatus {
        /// The pod.
        pod: ObjectKey,
        /// Only if it is still this one.
        uid: u64,
        /// The new status.
        status: PodStatus,
    },
    /// Where the load balancer of a Service is reached (subresource `status`): no conflict with those who change its spec.
    UpdateServiceStatus {
        /// The Service.
        service: ObjectKey,
        /// Only if it is still this one.
        uid: u64,
        /// `status.loadBalancer.ingress`.
        ingress: Vec<Ingress>,
        /// Why it has none, or not the one it asks for.
        error: Option<String>,
    },
    /// Changes some fields of a node: no conflict with those who change others.
    PatchNode {
        /// Its name.
        node: String,
        /// What is to change.
        patch: NodePatch,
    },
    /// A node lives: its lease is renewed, or made.
    RenewLease {
        /// Name of the node.
        node: String,
    },
    /// Gives a pod its node (subresource `binding`).
    Bind {
        /// The pod.
        pod: ObjectKey,
        /// Only if it is still this one.
        uid: u64,
        /// Name of the node.
        node: String,
    },
    /// Deletes an object. A pod that has a node is only marked, unless `grace` is zero.
    Delete {
        /// The object.
        object: ObjectRef,
        /// Only if it is still this one.
        uid: Option<u64>,
        /// For pods: how long they may take; default their `terminationGracePeriodSeconds`.
        grace: Option<Duration>,
    },
}

/// Fields of a node that their owners write without looking at the others; `None` leaves one as it is.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct NodePatch {
    /// Condition `Ready`: its kubelet's, or the node lifecycle controller's when that is silent.
    pub ready: Option<Condition>,
    /// Condition `NetworkUnavailable` is false: flannel's or the route controller's.
    pub network_available: Option<bool>,
    /// `spec.podCIDRs`: node IPAM's.
    pub pod_cidrs: Option<Vec<IpNet>>,
}

/// Why the apiserver did nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// HTTP 404.
    #[error("not found")]
    NotFound,
    /// HTTP 409, reason AlreadyExists.
    #[error("already exists")]
    AlreadyExists,
    /// HTTP 409, reason Conflict: someone else was faster. Read it again.
    #[error("the object has been modified")]
    Conflict,
    /// HTTP 422.
    #[error("{0}")]
    Invalid(String),
}
