//! Which pods a set of workloads has.

use std::fmt;
use std::sync::Arc;

use crate::api::{Labels, ObjectKey, PodTemplate, Workload, WorkloadKind, WorkloadRef};

use super::name;
use super::placement::Node;

/// Pods of one cluster, at most.
pub const MAX_PODS: u64 = 100_000;

/// One pod that is to run.
#[derive(Clone, PartialEq, Debug)]
pub struct Pod {
    /// Namespace and name.
    pub key: ObjectKey,
    /// What made it.
    pub workload: WorkloadRef,
    /// Its labels: those of the template and those its controller adds; shared where they are equal.
    pub labels: Arc<Labels>,
    /// What it is made from, shared by the pods of a workload.
    pub template: Arc<PodTemplate>,
    /// The node it must run on, if that is settled before the scheduler is asked: `spec.nodeName`, or a DaemonSet's choice.
    pub node_name: Option<String>,
}

/// More pods are wanted than [`MAX_PODS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyPods {
    /// How many are wanted.
    pub wanted: u64,
}

impl fmt::Display for TooManyPods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the workloads ask for {} pods; a cluster holds at most {MAX_PODS}", self.wanted)
    }
}

impl std::error::Error for TooManyPods {}

/// The pods of `workloads` in a cluster of `nodes`, in the order of the workloads.
pub fn pods(workloads: &[Workload], nodes: &[Node]) -> Result<Vec<Pod>, TooManyPods> {
    let wanted = workloads.iter().map(|workload| match workload.kind {
        WorkloadKind::DaemonSet => nodes.len() as u64,
        _ => u64::from(at_once(workload)),
    });
    let wanted = wanted.sum();
    if wanted > MAX_PODS {
        return Err(TooManyPods { wanted });
    }
    Ok(workloads.iter().flat_map(|workload| pods_of(workload, nodes)).collect())
}

/// How many pods run at once: of a Job no more than have to complete. A CronJob is given one run.
fn at_once(workload: &Workload) -> u32 {
    let suspended = workload.cron.as_ref().is_some_and(|cron| cron.suspend);
    match workload.job {
        Some(job) if suspended || job.suspend => 0,
        Some(job) => workload.replicas.min(job.completions.unwrap_or(u32::MAX)),
        None => workload.replicas,
    }
}

fn pods_of(workload: &Workload, nodes: &[Node]) -> Vec<Pod> {
    let template = workload.template.clone();
    let mut shared = Arc::new(template.labels.clone());
    let mut pod = |index: u32, node_name: Option<String>| {
        let (name, added) = identity(workload, index);
        if added.iter().any(|(key, value)| shared.get(*key) != Some(value)) {
            Arc::make_mut(&mut shared).extend(added.into_iter().map(|(key, value)| (key.to_owned(), value)));
        }
        let labels = shared.clone();
        let key = ObjectKey::new(&workload.key.namespace, name);
        let node_name = node_name.or_else(|| template.node_name.clone());
        Pod { key, workload: workload.reference(), labels, template: template.clone(), node_name }
    };
    match workload.kind {
        // The controller binds each pod to its node by affinity (pkg/controller/daemon).
        WorkloadKind::DaemonSet => {
            let eligible = nodes.iter().filter(|node| node.fits(&template.node_selector));
            let eligible = eligible.filter(|node| template.node_name.as_ref().is_none_or(|name| *name == node.name));
            eligible.zip(0..).map(|(node, index)| pod(index, Some(node.name.clone()))).collect()
        }
        _ => (0..at_once(workload)).map(|index| pod(index, None)).collect(),
    }
}

/// Name of the workload's pod number `index`, and the labels its controller adds.
fn identity(workload: &Workload, index: u32) -> (String, Vec<(&'static str, String)>) {
    let this = workload.reference();
    let name = &workload.key.name;
    let generated = |base: String| name::with_suffix(&base, &this, u64::from(index));
    match workload.kind {
        WorkloadKind::Pod => (name.clone(), Vec::new()),
        WorkloadKind::Deployment => {
            let hash = name::template_hash(&this, 1);
            (generated(format!("{name}-{hash}-")), vec![("pod-template-hash", hash)])
        }
        WorkloadKind::ReplicaSet | WorkloadKind::ReplicationController | WorkloadKind::DaemonSet => {
            (generated(format!("{name}-")), Vec::new())
        }
        WorkloadKind::StatefulSet => {
            let ordinal = u64::from(workload.first_ordinal) + u64::from(index);
            let pod = format!("{name}-{ordinal}");
            let number = ("apps.kubernetes.io/pod-index", ordinal.to_string());
            (pod.clone(), vec![("statefulset.kubernetes.io/pod-name", pod), number])
        }
        WorkloadKind::Job => (generated(format!("{name}-")), job_labels(name)),
        // A CronJob's Job is named after the minute it is due; the world begins at minute 0.
        WorkloadKind::CronJob => (generated(format!("{name}-0-")), job_labels(&format!("{name}-0"))),
    }
}

fn job_labels(job: &str) -> Vec<(&'static str, String)> {
    vec![("batch.kubernetes.io/job-name", job.to_owned()), ("job-name", job.to_owned())]
}
