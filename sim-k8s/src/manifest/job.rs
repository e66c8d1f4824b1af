//! Jobs and CronJobs (`ValidateJobSpec`, `ValidateCronJobSpec`: pkg/apis/batch/validation; defaults:
//! pkg/apis/batch/v1/defaults.go).

use k8s_openapi::api::batch::v1::{CronJobSpec, JobSpec as K8sJobSpec};

use crate::api::{Concurrency, CronSpec, JobSpec, Schedule};

use super::check::Check;
use super::rollout::seconds;
use super::shown::shown;

/// What stands under `path` (`spec`, or a CronJob's `spec.jobTemplate.spec`).
pub(super) fn job(check: &mut Check<'_>, path: &str, from: &K8sJobSpec) -> JobSpec {
    let at = |field: &str| format!("{path}.{field}");
    let completions = from.completions.map(|n| check.count(&at("completions"), Some(n), 1));
    let parallelism = check.count(&at("parallelism"), from.parallelism, 1);
    let modes = [("NonIndexed", false), ("Indexed", true)];
    let indexed = check.one_of(&at("completionMode"), from.completion_mode.as_deref(), &modes, false);
    if indexed && completions.is_none() {
        check.error(&at("completions"), "an Indexed Job has to say how many", "add it");
    }
    JobSpec {
        parallelism,
        // Neither means one pod.
        completions: completions.or_else(|| from.parallelism.is_none().then_some(1)),
        indexed,
        backoff_limit: check.count(&at("backoffLimit"), from.backoff_limit, 6),
        active_deadline: seconds(check, &at("activeDeadlineSeconds"), from.active_deadline_seconds),
        ttl_after_finished: seconds(
            check,
            &at("ttlSecondsAfterFinished"),
            from.ttl_seconds_after_finished.map(i64::from),
        ),
        suspend: from.suspend == Some(true),
    }
}

/// When a CronJob is due, and what it does then.
pub(super) fn cron(check: &mut Check<'_>, from: &CronJobSpec) -> Option<CronSpec> {
    let known = [("Allow", Concurrency::Allow), ("Forbid", Concurrency::Forbid), ("Replace", Concurrency::Replace)];
    let concurrency =
        check.one_of("spec.concurrencyPolicy", from.concurrency_policy.as_deref(), &known, Concurrency::Allow);
    let successful = from.successful_jobs_history_limit;
    let successful_kept = check.count("spec.successfulJobsHistoryLimit", successful, 3);
    let failed_kept = check.count("spec.failedJobsHistoryLimit", from.failed_jobs_history_limit, 1);
    let starting_deadline = seconds(check, "spec.startingDeadlineSeconds", from.starting_deadline_seconds);
    let suspend = from.suspend == Some(true);
    match from.schedule.parse::<Schedule>() {
        Ok(schedule) => {
            Some(CronSpec { schedule, suspend, concurrency, starting_deadline, successful_kept, failed_kept })
        }
        Err(why) => {
            check.error("spec.schedule", shown(&why.to_string()).to_string(), "write one like */5 * * * *");
            None
        }
    }
}
