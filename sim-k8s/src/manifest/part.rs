//! Which kinds and which of their fields have an effect.

use crate::api::WorkloadKind;

use super::document::Document;
use super::{pod, workload};

/// The part a kind has here.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Part {
    Workload(WorkloadKind),
    Service,
    EndpointSlice,
    Endpoints,
    ConfigMap,
    Secret,
    Namespace,
    Node,
    PriorityClass,
}

impl Part {
    /// `None` for kinds that are passed over.
    pub(super) fn of(document: &Document<'_>) -> Option<Self> {
        use WorkloadKind::*;
        Some(match (document.api_version.as_str(), document.kind.as_str()) {
            ("v1", "Pod") => Self::Workload(Pod),
            ("v1", "ReplicationController") => Self::Workload(ReplicationController),
            ("apps/v1", "Deployment") => Self::Workload(Deployment),
            ("apps/v1", "ReplicaSet") => Self::Workload(ReplicaSet),
            ("apps/v1", "StatefulSet") => Self::Workload(StatefulSet),
            ("apps/v1", "DaemonSet") => Self::Workload(DaemonSet),
            ("batch/v1", "Job") => Self::Workload(Job),
            ("batch/v1", "CronJob") => Self::Workload(CronJob),
            ("v1", "Service") => Self::Service,
            ("discovery.k8s.io/v1", "EndpointSlice") => Self::EndpointSlice,
            ("v1", "Endpoints") => Self::Endpoints,
            ("v1", "ConfigMap") => Self::ConfigMap,
            ("v1", "Secret") => Self::Secret,
            ("v1", "Namespace") => Self::Namespace,
            ("v1", "Node") => Self::Node,
            ("scheduling.k8s.io/v1", "PriorityClass") => Self::PriorityClass,
            _ => return None,
        })
    }

    /// The fields of the kind that have an effect, each with all below it.
    pub(super) fn applied_fields(self) -> Vec<String> {
        let common =
            ["apiVersion", "kind", "metadata.name", "metadata.generateName", "metadata.namespace", "metadata.labels"];
        let own: &[&str] = match self {
            Self::Workload(kind) => workload::applied_fields(kind),
            Self::Service => &[
                "metadata.annotations",
                "spec.type",
                "spec.clusterIP",
                "spec.clusterIPs",
                "spec.ipFamilies",
                "spec.ipFamilyPolicy",
                "spec.ports",
                "spec.selector",
                "spec.externalName",
                "spec.externalIPs",
                "spec.loadBalancerIP",
                "spec.loadBalancerSourceRanges",
                "spec.allocateLoadBalancerNodePorts",
                "spec.internalTrafficPolicy",
                "spec.externalTrafficPolicy",
                "spec.healthCheckNodePort",
                "spec.sessionAffinity",
                "spec.sessionAffinityConfig",
                "spec.publishNotReadyAddresses",
                "spec.trafficDistribution",
            ],
            Self::EndpointSlice => &["addressType", "endpoints", "ports"],
            Self::Endpoints => &["subsets"],
            Self::ConfigMap => &["data", "binaryData"],
            Self::Secret => &["data", "stringData", "type"],
            Self::Namespace => &[],
            Self::Node => &["spec.taints", "spec.unschedulable", "status.allocatable", "status.capacity"],
            Self::PriorityClass => &["value", "globalDefault", "preemptionPolicy"],
        };
        let mut applied: Vec<String> = common.iter().chain(own).map(ToString::to_string).collect();
        if let Self::Workload(kind) = self {
            applied.extend(pod::APPLIED_FIELDS.iter().map(|field| match workload::template_path(kind) {
                "" => field.to_string(),
                path => format!("{path}.{field}"),
            }));
        }
        applied
    }
}

/// The version to write instead, if `document` is of a kind that has a part here in a version that Kubernetes has given up
/// (<https://kubernetes.io/docs/reference/using-api/deprecation-guide/>).
pub(super) fn current_version(document: &Document<'_>) -> Option<&'static str> {
    match (document.api_version.as_str(), document.kind.as_str()) {
        (
            "extensions/v1beta1" | "apps/v1beta1" | "apps/v1beta2",
            "Deployment" | "DaemonSet" | "ReplicaSet" | "StatefulSet",
        ) => Some("apps/v1"),
        ("batch/v1beta1" | "batch/v2alpha1", "CronJob") => Some("batch/v1"),
        ("discovery.k8s.io/v1beta1", "EndpointSlice") => Some("discovery.k8s.io/v1"),
        _ => None,
    }
}
