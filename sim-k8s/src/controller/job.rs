//! Jobs: pods that run until enough of them have ended well (pkg/controller/job/job_controller.go).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sim_core::engine::time::{Duration, Instant};

use crate::api::{
    Container, EnvSource, EnvVar, JobSpec, JobStatus, Kind, Object, ObjectKey, Phase, Pod, PodTemplate, Workload,
    WorkloadKind, WorkloadStatus,
};
use crate::apiserver::{Change, Request};
use crate::workload::name;

use super::pods::{self, Mold, is_active};
use super::reconciler::{Plan, Reconciler};
use super::store::Store;

/// Pods that one look creates at most (`MaxPodCreateDeletePerSync`).
const BURST: u32 = 500;
/// How long a Job waits after its first failed pod; each further one doubles it (`DefaultJobPodFailureBackOff`).
const FAILURE_BACKOFF: Duration = Duration::from_secs(10);
/// The longest it waits (`MaxJobPodFailureBackOff`).
const MAX_FAILURE_BACKOFF: Duration = Duration::from_secs(600);
/// The label that says which completion an Indexed Job's pod is for.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// The controller of Jobs.
#[derive(Clone, Debug, Default)]
pub(super) struct Jobs {
    /// How many pods each has made, for their names.
    made: BTreeMap<ObjectKey, u64>,
    /// What became of each Job's pods, by the Job's uid: counted once, though the pods may be deleted.
    ended: BTreeMap<u64, Ended>,
}

/// The pods of a Job that have ended.
#[derive(Clone, Debug, Default)]
struct Ended {
    succeeded: BTreeSet<u64>,
    failed: BTreeSet<u64>,
    /// Completions of an Indexed Job that are done.
    indices: BTreeSet<u32>,
    /// When a pod last failed, and how many have since one succeeded.
    last_failure: Option<(Instant, u32)>,
}

impl Reconciler for Jobs {
    type Key = ObjectKey;
    const EXPECTS_PODS: bool = true;

    fn kinds(&self) -> Vec<Kind> {
        vec![Kind::Workload(WorkloadKind::Job), Kind::Pod]
    }

    fn concerned(&mut self, store: &Store, change: &Change, before: Option<&Object>) -> Vec<ObjectKey> {
        match &change.object {
            Object::Pod(pod) => {
                let owner = store.owner_of(&pod.meta, WorkloadKind::Job).cloned();
                if let Some(job) = &owner {
                    self.ended.entry(job.meta.uid).or_default().note(pod, change.is_deletion());
                }
                if pod.meta.owner.is_some() { store.controllers_of(WorkloadKind::Job, pod, before) } else { Vec::new() }
            }
            object => {
                if change.is_deletion() {
                    self.ended.remove(&object.meta().uid);
                }
                vec![object.key().clone()]
            }
        }
    }

    fn reconcile(&mut self, store: &Store, key: &ObjectKey, now: Instant) -> Plan {
        let Some(job) = store.workload(WorkloadKind::Job, key) else { return Plan::default() };
        let Some(spec) = job.job else { return Plan::default() };
        if let Some((finished, _)) = job.status.job.finished {
            return expire(job, finished, spec.ttl_after_finished, now);
        }
        let active: Vec<&Arc<Pod>> = store.pods_of(job.meta.uid).filter(|pod| is_active(pod)).collect();
        let ended = self.ended.entry(job.meta.uid).or_default();
        ended.date(now);
        let ended = ended.clone();
        let outcome = outcome(&spec, &ended, active.len(), job.meta.created, now);
        let mut plan = Plan::default();
        let wanted = if outcome.is_some() || spec.suspend { 0 } else { wanted(&spec, &ended, active.len() as u32) };
        if active.len() as u32 > wanted {
            let surplus = active.len() - wanted as usize;
            plan.then(active.iter().rev().take(surplus).map(|pod| pods::delete(pod)).collect());
        } else {
            let missing = (wanted - active.len() as u32).min(BURST);
            match ended.wait().filter(|until| *until > now && missing > 0) {
                Some(until) => plan.look_again([until]),
                None => plan.then_slowly(self.create(job, &spec, &ended, &active, missing)),
            }
        }
        let (succeeded, failed) = (ended.succeeded.len() as u32, ended.failed.len() as u32);
        let finished = outcome.map(|well| (now, well));
        let ready = active.iter().filter(|pod| pod.status.ready).count() as u32;
        let counted = JobStatus { succeeded, failed, finished, ..job.status.job };
        let status = WorkloadStatus { replicas: active.len() as u32, ready, job: counted, ..job.status.clone() };
        plan.then_status(job, status);
        plan.look_again(spec.active_deadline.filter(|_| outcome.is_none()).map(|time| job.meta.created + time));
        plan
    }
}

impl Ended {
    /// A pod was seen: it may have ended. One that was deleted before it ended well has failed.
    fn note(&mut self, pod: &Pod, is_gone: bool) {
        let uid = pod.meta.uid;
        if pod.status.phase == Phase::Succeeded {
            if self.succeeded.insert(uid) {
                self.last_failure = None;
                self.indices.extend(index(pod));
            }
        } else if (is_gone || !is_active(pod)) && !self.succeeded.contains(&uid) && self.failed.insert(uid) {
            let failures = self.last_failure.map_or(0, |(_, failures)| failures) + 1;
            self.last_failure = Some((Instant::NEVER, failures));
        }
    }

    /// A failure that was just noted happened now.
    fn date(&mut self, now: Instant) {
        if let Some((at, _)) = self.last_failure.as_mut().filter(|(at, _)| *at == Instant::NEVER) {
            *at = now;
        }
    }

    /// Until when no new pod is begun.
    fn wait(&self) -> Option<Instant> {
        let (at, failures) = self.last_failure?;
        let time = FAILURE_BACKOFF.saturating_mul(1u64.checked_shl(failures - 1).unwrap_or(u64::MAX));
        Some(at + time.min(MAX_FAILURE_BACKOFF))
    }
}

/// Whether all is over, and went well.
fn outcome(spec: &JobSpec, ended: &Ended, active: usize, created: Instant, now: Instant) -> Option<bool> {
    let succeeded = if spec.indexed { ended.indices.len() } else { ended.succeeded.len() } as u32;
    let enough = spec.completions.map_or(succeeded > 0 && active == 0, |completions| succeeded >= completions);
    let late = spec.active_deadline.is_some_and(|time| created + time <= now);
    match (ended.failed.len() as u32 > spec.backoff_limit || late, enough) {
        (true, _) => Some(false),
        (false, true) => Some(true),
        (false, false) => None,
    }
}

/// How many pods should run (`manageJob`).
fn wanted(spec: &JobSpec, ended: &Ended, active: u32) -> u32 {
    match spec.completions {
        // A work queue: once one has succeeded no more are begun.
        None if !ended.succeeded.is_empty() => active,
        None => spec.parallelism,
        Some(completions) => {
            let done = if spec.indexed { ended.indices.len() } else { ended.succeeded.len() } as u32;
            completions.saturating_sub(done).min(spec.parallelism)
        }
    }
}

/// The completion an Indexed Job's pod is for.
fn index(pod: &Pod) -> Option<u32> {
    pod.labels.get(INDEX)?.parse().ok()
}

impl Jobs {
    /// So many new pods; of an Indexed Job for the lowest completions that nobody is at.
    fn create(
        &mut self,
        job: &Workload,
        spec: &JobSpec,
        ended: &Ended,
        active: &[&Arc<Pod>],
        count: u32,
    ) -> Vec<Request> {
        let taken: BTreeSet<u32> = active.iter().filter_map(|pod| index(pod)).collect();
        let free = (0..spec.completions.unwrap_or_default())
            .filter(|index| !taken.contains(index) && !ended.indices.contains(index));
        let indices: Vec<Option<u32>> =
            if spec.indexed { free.map(Some).collect() } else { vec![None; count as usize] };
        let made = self.made.entry(job.key.clone()).or_default();
        let by = job.reference();
        let mut create = |index: Option<u32>| {
            let name = &job.key.name;
            let base = index.map_or_else(|| format!("{name}-"), |index| format!("{name}-{index}-"));
            let labels = [("batch.kubernetes.io/job-name", name.clone()), ("job-name", name.clone())];
            let labels = labels.into_iter().chain(index.map(|index| (INDEX, index.to_string())));
            let template = index.map_or_else(|| job.template.clone(), |index| indexed(job, index));
            *made += 1;
            Mold::new(job, &template, labels).create(name::with_suffix(&base, &by, *made - 1))
        };
        indices.into_iter().take(count as usize).map(&mut create).collect()
    }
}

/// The template of an Indexed Job's pod: it has a stable host name and knows its index.
fn indexed(job: &Workload, index: u32) -> Arc<PodTemplate> {
    let mut template = PodTemplate::clone(&job.template);
    template.hostname = Some(format!("{}-{index}", job.key.name));
    let know = |container: &mut Container| {
        let source = EnvSource::Value(index.to_string());
        container.env.push(EnvVar { name: "JOB_COMPLETION_INDEX".into(), source });
    };
    template.containers.iter_mut().for_each(know);
    Arc::new(template)
}

/// A finished Job goes when its time is over (pkg/controller/ttlafterfinished).
fn expire(job: &Workload, finished: Instant, ttl: Option<Duration>, now: Instant) -> Plan {
    let Some(due) = ttl.map(|ttl| finished + ttl) else { return Plan::default() };
    if now < due {
        return Plan { again: Some(due), ..Plan::default() };
    }
    let object = job.reference().into();
    Plan::in_turn([Request::Delete { object, uid: Some(job.meta.uid), grace: None }])
}

#[cfg(test)]
mod tests;
