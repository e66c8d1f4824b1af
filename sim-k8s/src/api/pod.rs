//! Pods.

use std::net::IpAddr;
use std::sync::Arc;

use sim_core::engine::time::Instant;

use super::{Labels, Meta, ObjectKey, PodTemplate, WorkloadRef};

/// A pod.
#[derive(Clone, PartialEq, Debug)]
pub struct Pod {
    /// Namespace and name.
    pub key: ObjectKey,
    /// What the apiserver keeps of it; its owner is the controller that made it (of a Deployment's pod: the ReplicaSet).
    pub meta: Meta,
    /// What people would say made it: of a ReplicaSet's pod its Deployment; a bare pod itself.
    pub workload: WorkloadRef,
    /// Its labels: those of the template and those its controller adds; shared where they are equal.
    pub labels: Arc<Labels>,
    /// What it is made from, shared by the pods of a workload.
    pub template: Arc<PodTemplate>,
    /// The node it is bound to; a manifest's `spec.nodeName` binds it from the start.
    pub node_name: Option<String>,
    /// What its kubelet says of it.
    pub status: PodStatus,
}

impl Pod {
    /// Whether its deletion was asked for.
    pub fn is_terminating(&self) -> bool {
        self.meta.deletion.is_some()
    }

    /// Whether it will run no more (`IsPodTerminal`).
    pub fn is_finished(&self) -> bool {
        matches!(self.status.phase, Phase::Succeeded | Phase::Failed)
    }
}

/// What a kubelet says of a pod. Default: nothing yet.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PodStatus {
    /// Where it is in life.
    pub phase: Phase,
    /// Its addresses, the primary one first; the node's with `hostNetwork`.
    pub ips: Vec<IpAddr>,
    /// Condition `Ready`.
    pub ready: bool,
    /// When `ready` last changed.
    pub ready_changed: Instant,
    /// When its kubelet took it up (`startTime`).
    pub started: Option<Instant>,
    /// Its containers, in the order of the template; empty until the kubelet knows of them.
    pub containers: Vec<ContainerStatus>,
    /// Why the scheduler finds no node for it (condition `PodScheduled`), in its words.
    pub unschedulable: Option<String>,
    /// What keeps it from running, in its kubelet's words (in life an event).
    pub message: Option<String>,
}

/// What a kubelet says of a container.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ContainerStatus {
    /// Runs since; `None`: does not run.
    pub running_since: Option<Instant>,
    /// Its startup probe has succeeded, or it has none and runs.
    pub started: bool,
    /// Its readiness probe says so, or it has none and runs.
    pub ready: bool,
    /// How often it was started again.
    pub restarts: u32,
}

/// Where a pod is in life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Phase {
    /// Not all containers have been started.
    #[default]
    Pending,
    /// At least one container runs.
    Running,
    /// All containers ended well and will not be started again.
    Succeeded,
    /// All containers ended, one of them badly.
    Failed,
}
