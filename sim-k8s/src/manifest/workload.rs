//! The kinds that make pods.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{
    DaemonSet, DaemonSetSpec, Deployment, DeploymentSpec, ReplicaSet, ReplicaSetSpec, StatefulSet, StatefulSetSpec,
};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, Job, JobSpec};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec, ReplicationController, ReplicationControllerSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use sim_core::engine::time::Duration;

use crate::api::{Selector, Workload, WorkloadKind};

use super::check::{Check, or_default};
use super::passed_over::PassedOver;
use super::shown::shown;
use super::{Referred, job, names, pod, rollout};

/// Pods that one workload may ask for: far more than a cluster holds, far less than memory does.
const MAX_REPLICAS: u32 = 100_000;

/// The path of the pod template of `kind`, empty for a bare pod.
pub(super) fn template_path(kind: WorkloadKind) -> &'static str {
    match kind {
        WorkloadKind::Pod => "",
        WorkloadKind::CronJob => "spec.jobTemplate.spec.template",
        _ => "spec.template",
    }
}

/// The fields of `kind` that have an effect, each with all below it; those of its template excepted.
pub(super) fn applied_fields(kind: WorkloadKind) -> &'static [&'static str] {
    match kind {
        WorkloadKind::Pod => &[],
        WorkloadKind::Deployment => &[
            "spec.replicas",
            "spec.selector",
            "spec.strategy",
            "spec.minReadySeconds",
            "spec.progressDeadlineSeconds",
            "spec.revisionHistoryLimit",
            "spec.paused",
        ],
        WorkloadKind::ReplicaSet | WorkloadKind::ReplicationController => {
            &["spec.replicas", "spec.selector", "spec.minReadySeconds"]
        }
        WorkloadKind::StatefulSet => &[
            "spec.replicas",
            "spec.selector",
            "spec.serviceName",
            "spec.ordinals",
            "spec.updateStrategy",
            "spec.minReadySeconds",
            "spec.podManagementPolicy",
        ],
        WorkloadKind::DaemonSet => &["spec.selector", "spec.updateStrategy", "spec.minReadySeconds"],
        WorkloadKind::Job => &[
            "spec.parallelism",
            "spec.completions",
            "spec.completionMode",
            "spec.backoffLimit",
            "spec.activeDeadlineSeconds",
            "spec.ttlSecondsAfterFinished",
            "spec.suspend",
        ],
        WorkloadKind::CronJob => &[
            "spec.schedule",
            "spec.suspend",
            "spec.concurrencyPolicy",
            "spec.startingDeadlineSeconds",
            "spec.successfulJobsHistoryLimit",
            "spec.failedJobsHistoryLimit",
            "spec.jobTemplate.spec.parallelism",
            "spec.jobTemplate.spec.completions",
            "spec.jobTemplate.spec.completionMode",
            "spec.jobTemplate.spec.backoffLimit",
            "spec.jobTemplate.spec.activeDeadlineSeconds",
            "spec.jobTemplate.spec.ttlSecondsAfterFinished",
            "spec.jobTemplate.spec.suspend",
        ],
    }
}

/// The document as a workload of `kind`.
pub(super) fn read(
    check: &mut Check<'_>,
    kind: WorkloadKind,
    referred: &mut Referred,
    passed_over: &mut PassedOver,
) -> Option<Workload> {
    let mut reading = Reading { check, kind, referred };
    // Defaults of `replicas`: pkg/apis/apps/v1/defaults.go, pkg/apis/core/v1/defaults.go.
    match kind {
        WorkloadKind::Pod => reading.pod(passed_over),
        WorkloadKind::Deployment => reading.deployment(passed_over),
        WorkloadKind::ReplicaSet => {
            let spec = or_default::<ReplicaSetSpec>(reading.check.read::<ReplicaSet>(passed_over)?.spec);
            let set = reading.selected(&spec.selector, &spec.template.unwrap_or_default(), spec.replicas)?;
            Some(Workload { min_ready: reading.min_ready(spec.min_ready_seconds), ..set })
        }
        WorkloadKind::DaemonSet => {
            let spec = or_default::<DaemonSetSpec>(reading.check.read::<DaemonSet>(passed_over)?.spec);
            let set = reading.selected(&spec.selector, &spec.template, Some(0))?;
            let update = rollout::of_daemon_set(reading.check, spec.update_strategy.as_ref());
            Some(Workload { update, min_ready: reading.min_ready(spec.min_ready_seconds), ..set })
        }
        WorkloadKind::StatefulSet => reading.stateful_set(passed_over),
        WorkloadKind::ReplicationController => {
            let spec =
                or_default::<ReplicationControllerSpec>(reading.check.read::<ReplicationController>(passed_over)?.spec);
            let template = spec.template.unwrap_or_default();
            // `SetDefaults_ReplicationController`: its template's labels, if it names none.
            let selector = spec.selector.filter(|labels| !labels.is_empty());
            let labels = selector.or_else(|| template.metadata.as_ref()?.labels.clone()).unwrap_or_default();
            let set = reading.workload(&Selector::equal_to(&labels), &template, spec.replicas)?;
            Some(Workload { min_ready: reading.min_ready(spec.min_ready_seconds), ..set })
        }
        WorkloadKind::Job => {
            let spec = or_default::<JobSpec>(reading.check.read::<Job>(passed_over)?.spec);
            reading.job("spec", &spec)
        }
        WorkloadKind::CronJob => {
            let spec = or_default::<CronJobSpec>(reading.check.read::<CronJob>(passed_over)?.spec);
            let cron = job::cron(reading.check, &spec);
            let job = or_default::<JobSpec>(spec.job_template.spec);
            Some(Workload { cron, ..reading.job("spec.jobTemplate.spec", &job)? })
        }
    }
}

struct Reading<'r, 'd> {
    check: &'r mut Check<'d>,
    kind: WorkloadKind,
    referred: &'r mut Referred,
}

impl Reading<'_, '_> {
    fn pod(&mut self, passed_over: &mut PassedOver) -> Option<Workload> {
        let pod = self.check.read::<Pod>(passed_over)?;
        let template = PodTemplateSpec { metadata: Some(pod.metadata), spec: pod.spec };
        self.workload(&Selector::default(), &template, Some(1))
    }

    fn deployment(&mut self, passed_over: &mut PassedOver) -> Option<Workload> {
        let spec = or_default::<DeploymentSpec>(self.check.read::<Deployment>(passed_over)?.spec);
        let deployment = self.selected(&spec.selector, &spec.template, spec.replicas)?;
        let update = rollout::of_deployment(self.check, spec.strategy.as_ref());
        let min_ready = self.min_ready(spec.min_ready_seconds);
        let deadline = i64::from(spec.progress_deadline_seconds.unwrap_or(600));
        let progress_deadline = rollout::seconds(self.check, "spec.progressDeadlineSeconds", Some(deadline));
        let limit = spec.revision_history_limit;
        let revision_history_limit = self.check.count("spec.revisionHistoryLimit", limit, 10);
        if progress_deadline.is_some_and(|deadline| deadline <= min_ready) {
            let message = "it has to be longer than minReadySeconds";
            self.check.error("spec.progressDeadlineSeconds", message, "make it longer");
        }
        // The largest number of seconds means no deadline (`HasProgressDeadline`).
        let progress_deadline = progress_deadline.filter(|_| deadline != i64::from(i32::MAX));
        let paused = spec.paused == Some(true);
        Some(Workload { update, min_ready, progress_deadline, revision_history_limit, paused, ..deployment })
    }

    fn stateful_set(&mut self, passed_over: &mut PassedOver) -> Option<Workload> {
        let spec = or_default::<StatefulSetSpec>(self.check.read::<StatefulSet>(passed_over)?.spec);
        let first = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start);
        let first_ordinal = self.check.count("spec.ordinals.start", first, 0);
        let set = self.selected(&spec.selector, &spec.template, spec.replicas)?;
        let update = rollout::of_stateful_set(self.check, spec.update_strategy.as_ref());
        let min_ready = self.min_ready(spec.min_ready_seconds);
        let policies = [("OrderedReady", false), ("Parallel", true)];
        let policy = spec.pod_management_policy.as_deref();
        let parallel = self.check.one_of("spec.podManagementPolicy", policy, &policies, false);
        let service_name = spec.service_name.filter(|name| !name.is_empty());
        Some(Workload { first_ordinal, service_name, update, min_ready, parallel, ..set })
    }

    /// The Job whose specification stands under `path`.
    fn job(&mut self, path: &str, spec: &JobSpec) -> Option<Workload> {
        let job = job::job(self.check, path, spec);
        let parallelism = spec.parallelism.or(Some(1));
        Some(Workload { job: Some(job), ..self.workload(&Selector::default(), &spec.template, parallelism)? })
    }

    fn min_ready(&mut self, seconds: Option<i32>) -> Duration {
        let seconds = self.check.count("spec.minReadySeconds", seconds, 0);
        Duration::from_secs(u64::from(seconds))
    }

    /// A workload that must name its pods by a selector (`ValidateDeploymentSpec` and its like, pkg/apis/apps/validation).
    fn selected(
        &mut self,
        selector: &LabelSelector,
        template: &PodTemplateSpec,
        replicas: Option<i32>,
    ) -> Option<Workload> {
        let selector = self.check.selector("spec.selector", selector);
        if selector.requirements.is_empty() {
            let advice = "add matchLabels: with the labels of the pod template";
            self.check.error("spec.selector", "the selector is missing or empty", advice);
        }
        self.workload(&selector, template, replicas)
    }

    fn workload(&mut self, selector: &Selector, template: &PodTemplateSpec, replicas: Option<i32>) -> Option<Workload> {
        let check = &mut *self.check;
        let key = check.key(names::dns_subdomain);
        let path = template_path(self.kind);
        let template = pod::template(check, self.referred, path, template.metadata.as_ref(), template.spec.as_ref());
        for requirement in selector.requirements.iter().filter(|r| !r.matches(&template.labels)) {
            let message =
                format!("the pods do not carry the label \"{}\" as spec.selector asks", shown(&requirement.key));
            check.error(
                &format!("{path}.metadata.labels"),
                message,
                "make the labels of the template match the selector",
            );
        }
        let field = if matches!(self.kind, WorkloadKind::Job) { "spec.parallelism" } else { "spec.replicas" };
        let mut replicas = check.count(field, replicas, 1);
        if replicas > MAX_REPLICAS {
            check.error(field, format!("{replicas} pods are too many"), format!("ask for at most {MAX_REPLICAS}"));
            replicas = 0;
        }
        let labels = match self.kind {
            WorkloadKind::Pod => template.labels.clone(),
            _ => check.own_labels(),
        };
        let selector = selector.clone();
        Some(Workload { selector, replicas, labels, ..Workload::new(self.kind, key, Arc::new(template)) })
    }
}
