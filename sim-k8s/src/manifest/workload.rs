//! The kinds that make pods.

use k8s_openapi::api::apps::v1::{
    DaemonSet, DaemonSetSpec, Deployment, DeploymentSpec, ReplicaSet, ReplicaSetSpec, StatefulSet, StatefulSetSpec,
};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, Job, JobSpec};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec, ReplicationController, ReplicationControllerSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::api::{Meta, Operator, Requirement, Selector, Workload, WorkloadKind};

use super::check::{Check, or_default};
use super::config::Configs;
use super::passed_over::PassedOver;
use super::shown::shown;
use super::{names, pod};

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

/// The document as a workload of `kind`.
pub(super) fn read(
    check: &mut Check<'_>,
    kind: WorkloadKind,
    configs: &mut Configs,
    passed_over: &mut PassedOver,
) -> Option<Workload> {
    let mut reading = Reading { check, kind, configs };
    // Defaults of `replicas`: pkg/apis/apps/v1/defaults.go, pkg/apis/core/v1/defaults.go.
    match kind {
        WorkloadKind::Pod => reading.pod(passed_over),
        WorkloadKind::Deployment => {
            let spec = or_default::<DeploymentSpec>(reading.check.read::<Deployment>(passed_over)?.spec);
            reading.selected(&spec.selector, &spec.template, spec.replicas)
        }
        WorkloadKind::ReplicaSet => {
            let spec = or_default::<ReplicaSetSpec>(reading.check.read::<ReplicaSet>(passed_over)?.spec);
            reading.selected(&spec.selector, &spec.template.unwrap_or_default(), spec.replicas)
        }
        WorkloadKind::DaemonSet => {
            let spec = or_default::<DaemonSetSpec>(reading.check.read::<DaemonSet>(passed_over)?.spec);
            reading.selected(&spec.selector, &spec.template, Some(0))
        }
        WorkloadKind::StatefulSet => reading.stateful_set(passed_over),
        WorkloadKind::ReplicationController => {
            let spec =
                or_default::<ReplicationControllerSpec>(reading.check.read::<ReplicationController>(passed_over)?.spec);
            let selector = spec.selector.map(|labels| Selector::equal_to(&labels)).unwrap_or_default();
            reading.workload(&selector, &spec.template.unwrap_or_default(), spec.replicas)
        }
        WorkloadKind::Job => {
            let spec = or_default::<JobSpec>(reading.check.read::<Job>(passed_over)?.spec);
            let pods = pods_at_once(&spec);
            reading.workload(&Selector::default(), &spec.template, pods)
        }
        WorkloadKind::CronJob => {
            let cron = or_default::<CronJobSpec>(reading.check.read::<CronJob>(passed_over)?.spec);
            let spec = or_default::<JobSpec>(cron.job_template.spec);
            let pods = if cron.suspend == Some(true) { Some(0) } else { pods_at_once(&spec) };
            reading.workload(&Selector::default(), &spec.template, pods)
        }
    }
}

/// How many pods of a Job run at once: its parallelism, but no more than have to complete (pkg/apis/batch/v1/defaults.go).
/// A CronJob is given one run.
fn pods_at_once(job: &JobSpec) -> Option<i32> {
    if job.suspend == Some(true) {
        return Some(0);
    }
    let parallelism = job.parallelism.unwrap_or(1);
    Some(job.completions.map_or(parallelism, |completions| parallelism.min(completions)))
}

struct Reading<'r, 'd> {
    check: &'r mut Check<'d>,
    kind: WorkloadKind,
    configs: &'r mut Configs,
}

impl Reading<'_, '_> {
    fn pod(&mut self, passed_over: &mut PassedOver) -> Option<Workload> {
        let pod = self.check.read::<Pod>(passed_over)?;
        let template = PodTemplateSpec { metadata: Some(pod.metadata), spec: pod.spec };
        self.workload(&Selector::default(), &template, Some(1))
    }

    fn stateful_set(&mut self, passed_over: &mut PassedOver) -> Option<Workload> {
        let spec = or_default::<StatefulSetSpec>(self.check.read::<StatefulSet>(passed_over)?.spec);
        let first = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start);
        let first_ordinal = self.check.count("spec.ordinals.start", first, 0);
        let workload = self.selected(&spec.selector, &spec.template, spec.replicas)?;
        Some(Workload { first_ordinal, service_name: spec.service_name.filter(|name| !name.is_empty()), ..workload })
    }

    /// A workload that must name its pods by a selector (`ValidateDeploymentSpec` and its like, pkg/apis/apps/validation).
    fn selected(
        &mut self,
        selector: &LabelSelector,
        template: &PodTemplateSpec,
        replicas: Option<i32>,
    ) -> Option<Workload> {
        let selector = self.selector(selector);
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
        let template = pod::template(check, self.configs, path, template.metadata.as_ref(), template.spec.as_ref());
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
        Some(Workload {
            kind: self.kind,
            key,
            meta: Meta::default(),
            selector: selector.clone(),
            replicas,
            first_ordinal: 0,
            service_name: None,
            labels,
            template,
        })
    }

    /// `ValidateLabelSelector`: apimachinery pkg/apis/meta/v1/validation.
    fn selector(&mut self, from: &LabelSelector) -> Selector {
        let check = &mut *self.check;
        let labels = check.labels("spec.selector.matchLabels", from.match_labels.as_ref());
        let mut selector = Selector::equal_to(&labels);
        for (index, expression) in from.match_expressions.iter().flatten().enumerate() {
            let at = |field: &str| format!("spec.selector.matchExpressions[{index}].{field}");
            check.name(&at("key"), &expression.key, names::label_key);
            let known = [
                ("In", Operator::In),
                ("NotIn", Operator::NotIn),
                ("Exists", Operator::Exists),
                ("DoesNotExist", Operator::DoesNotExist),
            ];
            let operator = check.one_of(&at("operator"), Some(&expression.operator), &known, Operator::Exists);
            let values = expression.values.clone().unwrap_or_default();
            if matches!(operator, Operator::In | Operator::NotIn) == values.is_empty() {
                check.error(
                    &at("values"),
                    "In and NotIn need values, the others take none",
                    "add or remove the values",
                );
            }
            selector.requirements.push(Requirement { key: expression.key.clone(), operator, values });
        }
        selector
    }
}
