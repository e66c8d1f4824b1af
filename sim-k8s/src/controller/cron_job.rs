//! CronJobs: a Job at each of certain times (pkg/controller/cronjob/cronjob_controllerv2.go).

use std::cmp::Reverse;
use std::sync::Arc;

use sim_core::engine::time::{Duration, Instant};

use crate::api::{
    Concurrency, CronSpec, JobStatus, Kind, Meta, Object, ObjectKey, Workload, WorkloadKind, WorkloadStatus,
};
use crate::apiserver::{Change, Request};

use super::pods;
use super::reconciler::{Plan, Reconciler};
use super::store::Store;

/// The controller looks a moment after a Job is due, so that it surely is (`nextScheduleDelta`).
const DELTA: Duration = Duration::from_millis(100);

/// The controller of CronJobs.
#[derive(Clone, Debug)]
pub(super) struct CronJobs;

impl Reconciler for CronJobs {
    type Key = ObjectKey;

    fn kinds(&self) -> Vec<Kind> {
        vec![Kind::Workload(WorkloadKind::CronJob), Kind::Workload(WorkloadKind::Job)]
    }

    fn concerned(&mut self, store: &Store, change: &Change, _before: Option<&Object>) -> Vec<ObjectKey> {
        match &change.object {
            Object::Workload(job) if job.kind == WorkloadKind::Job => {
                store.owner_of(&job.meta, WorkloadKind::CronJob).map(|cron| cron.key.clone()).into_iter().collect()
            }
            object => vec![object.key().clone()],
        }
    }

    fn reconcile(&mut self, store: &Store, key: &ObjectKey, now: Instant) -> Plan {
        let Some(stored) = store.workload(WorkloadKind::CronJob, key) else { return Plan::default() };
        let Some(cron) = &stored.cron else { return Plan::default() };
        let jobs: Vec<&Arc<Workload>> = store.workloads_of(stored.meta.uid, WorkloadKind::Job).collect();
        let mut plan = Plan::default();
        plan.then(outdated(cron, &jobs));
        if cron.suspend {
            return plan;
        }
        let last = stored.status.job.last_scheduled;
        if let Some(due) = due(cron, last.unwrap_or(stored.meta.created), now) {
            begin(store, stored, cron, due, &mut plan);
        }
        plan.look_again(cron.schedule.next_after(now).map(|next| next + DELTA));
        plan
    }
}

/// Makes the Job that was due at `due`, if nothing stands in its way.
fn begin(store: &Store, stored: &Workload, cron: &CronSpec, due: Instant, plan: &mut Plan) {
    let name = name(stored, due);
    // If it is there, it was made and that has not been noted.
    if store.workload(WorkloadKind::Job, &name).is_none() {
        let jobs = store.workloads_of(stored.meta.uid, WorkloadKind::Job);
        let running: Vec<_> = jobs.filter(|job| job.status.job.finished.is_none()).collect();
        match cron.concurrency {
            Concurrency::Forbid if !running.is_empty() => return,
            Concurrency::Replace => plan.then(running.iter().map(|job| delete(job)).collect()),
            Concurrency::Allow | Concurrency::Forbid => {}
        }
        plan.then(vec![create(stored, name)]);
    }
    let job = JobStatus { last_scheduled: Some(due), ..stored.status.job };
    plan.then_status(stored, WorkloadStatus { job, ..stored.status.clone() });
}

/// The last time at which a Job was due since `last` (`mostRecentScheduleTime`), if it is not too late for it.
fn due(cron: &CronSpec, last: Instant, now: Instant) -> Option<Instant> {
    let begun = cron.starting_deadline.map(|time| Instant::from_nanos(now.since(Instant::START + time).as_nanos()));
    let from = begun.map_or(last, |begun| begun.max(last));
    let times = std::iter::successors(cron.schedule.next_after(from), |at| cron.schedule.next_after(*at));
    times.take_while(|at| *at <= now).last()
}

/// What the Job that was due at `at` is called: after the minute (`getJobName`).
fn name(cron: &Workload, at: Instant) -> ObjectKey {
    let minute = at.since(Instant::START).as_secs() / 60;
    ObjectKey::new(&cron.key.namespace, format!("{}-{minute}", cron.key.name))
}

fn create(cron: &Workload, name: ObjectKey) -> Request {
    let job = Workload {
        meta: Meta { owner: Some(pods::owner(cron)), ..Meta::default() },
        replicas: cron.replicas,
        job: cron.job,
        ..Workload::new(WorkloadKind::Job, name, cron.template.clone())
    };
    Request::Create(Object::Workload(Arc::new(job)))
}

fn delete(job: &Workload) -> Request {
    Request::Delete { object: job.reference().into(), uid: Some(job.meta.uid), grace: None }
}

/// Finished Jobs beyond those that are kept, the oldest first (`cleanupFinishedJobs`).
fn outdated(cron: &CronSpec, jobs: &[&Arc<Workload>]) -> Vec<Request> {
    let surplus = |well: bool, kept: u32| {
        let mut ended: Vec<_> =
            jobs.iter().filter(|job| job.status.job.finished.is_some_and(|(_, how)| how == well)).collect();
        ended.sort_by_key(|job| Reverse(job.meta.created));
        ended.into_iter().skip(kept as usize).map(|job| delete(job)).collect::<Vec<_>>()
    };
    [surplus(true, cron.successful_kept), surplus(false, cron.failed_kept)].concat()
}
