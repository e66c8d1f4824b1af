//! What makes pods.

use std::fmt;
use std::sync::Arc;

use sim_core::engine::time::{Duration, Instant};

use super::{
    CronSpec, JobSpec, JobStatus, Kind, Labels, Meta, ObjectKey, ObjectRef, PodTemplate, Revision, RolloutNote,
    Selector, Share, UpdateStrategy,
};

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
    /// How many pods are wanted; a DaemonSet has one a node and this is 0, of a Job this is its parallelism.
    pub replicas: u32,
    /// Number of the first pod of a StatefulSet (`spec.ordinals.start`); 0 for the others.
    pub first_ordinal: u32,
    /// The headless Service that names a StatefulSet's pods in DNS.
    pub service_name: Option<String>,
    /// Labels of the object itself.
    pub labels: Labels,
    /// What its pods are made from.
    pub template: Arc<PodTemplate>,
    /// How its pods are replaced when the template changes.
    pub update: UpdateStrategy,
    /// How long a pod has to be ready to count as available (`minReadySeconds`). Default 0.
    pub min_ready: Duration,
    /// A Deployment that makes no progress for so long is said to have failed; `None`: never. Default 600 s.
    pub progress_deadline: Option<Duration>,
    /// How many old ReplicaSets a Deployment keeps. Default 10.
    pub revision_history_limit: u32,
    /// A Deployment that is not rolled out for now (`paused`). Default false.
    pub paused: bool,
    /// A StatefulSet whose pods do not wait for each other (`podManagementPolicy: Parallel`). Default false.
    pub parallel: bool,
    /// Of Jobs and CronJobs.
    pub job: Option<JobSpec>,
    /// Of CronJobs.
    pub cron: Option<CronSpec>,
    /// What a Deployment notes on its ReplicaSets.
    pub rollout: Option<RolloutNote>,
    /// What its controller says of it.
    pub status: WorkloadStatus,
}

/// What a controller says of a workload. Default: nothing yet.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct WorkloadStatus {
    /// Pods there are, those excepted that are going away.
    pub replicas: u32,
    /// Those that are ready.
    pub ready: u32,
    /// Those that have been ready for `min_ready`.
    pub available: u32,
    /// Those made from the current template.
    pub updated: u32,
    /// The template that a StatefulSet's pods below the partition are made from.
    pub current: Option<Revision>,
    /// The template that pods are made from.
    pub update: Option<Revision>,
    /// When a Deployment last made progress.
    pub progressed: Instant,
    /// A Deployment that has made no progress for too long (condition `Progressing` is false).
    pub stuck: bool,
    /// Of Jobs and CronJobs.
    pub job: JobStatus,
}

impl Workload {
    /// A workload with Kubernetes' defaults that wants one pod.
    pub fn new(kind: WorkloadKind, key: ObjectKey, template: Arc<PodTemplate>) -> Self {
        let (max_surge, max_unavailable) = match kind {
            WorkloadKind::Deployment => (Share::Percent(25), Share::Percent(25)),
            _ => (Share::Pods(0), Share::Pods(1)),
        };
        Self {
            kind,
            key,
            meta: Meta::default(),
            selector: Selector::default(),
            replicas: 1,
            first_ordinal: 0,
            service_name: None,
            labels: Labels::new(),
            template,
            update: UpdateStrategy::RollingUpdate { max_surge, max_unavailable, partition: 0 },
            min_ready: Duration::ZERO,
            progress_deadline: Some(Duration::from_secs(600)),
            revision_history_limit: 10,
            paused: false,
            parallel: false,
            job: None,
            cron: None,
            rollout: None,
            status: WorkloadStatus::default(),
        }
    }

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

impl From<WorkloadRef> for ObjectRef {
    fn from(workload: WorkloadRef) -> Self {
        let kind = if workload.kind == WorkloadKind::Pod { Kind::Pod } else { Kind::Workload(workload.kind) };
        Self { kind, key: workload.key }
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
