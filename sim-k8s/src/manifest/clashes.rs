//! What is wrong only when all objects are seen together.

use std::collections::BTreeMap;

use crate::api::{ClusterIp, Selector, Service, Workload};

use super::document::Document;
use super::finding::Findings;
use super::shown::shown_path;

/// Notes every object that has the kind, namespace and name of an earlier one. Namespaces may be declared again: each file
/// of a folder often brings its own.
pub(super) fn duplicate_objects<'a>(documents: impl Iterator<Item = &'a Document<'a>>, findings: &mut Findings) {
    let mut first = BTreeMap::new();
    for document in documents.filter(|d| d.kind != "Namespace" && !d.key.name.is_empty()) {
        let earlier = *first.entry((&document.kind, &document.key)).or_insert(document);
        if !std::ptr::eq(earlier, document) {
            let message = format!("it is already defined {}", place(earlier, "metadata.name"));
            let finding = document.finding("metadata.name", &message, "remove or rename one of the two".into());
            findings.error(finding);
        }
    }
}

/// Notes every node port and every cluster address that two Services claim.
pub(super) fn claims(services: &[(&Document<'_>, Service)], findings: &mut Findings) {
    let mut node_ports = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    for (document, service) in services {
        for (index, port) in service.ports.iter().enumerate() {
            let Some(number) = port.node_port else { continue };
            let path = format!("spec.ports[{index}].nodePort");
            let claim = (*document, path.clone());
            let (earlier, at) = node_ports.entry((port.protocol, number)).or_insert(claim);
            if !std::ptr::eq(*earlier, *document) {
                let message =
                    format!("{} node port {number} is already taken by {}", port.protocol, named(earlier, at));
                findings.error(document.finding(&path, &message, "choose another, or leave it out".into()));
            }
        }
        let ClusterIp::Fixed(asked) = &service.cluster_ip else { continue };
        for address in asked {
            let path =
                if document.node.at_path("spec.clusterIP").is_some() { "spec.clusterIP" } else { "spec.clusterIPs" };
            let (earlier, at) = addresses.entry(address).or_insert((*document, path));
            if !std::ptr::eq(*earlier, *document) {
                let message = format!("{address} is already taken by {}", named(earlier, at));
                findings.error(document.finding(path, &message, "choose another, or leave it out".into()));
            }
        }
    }
}

/// Labels that controllers give to pods, and no template has.
const ADDED_LABELS: [&str; 6] = [
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/job-name",
    "controller-revision-hash",
    "job-name",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
];

/// Warns of Services whose selector matches no pod of the manifests.
pub(super) fn selectors(services: &[(&Document<'_>, Service)], workloads: &[Workload], findings: &mut Findings) {
    let mut by_label: BTreeMap<_, Vec<&Workload>> = BTreeMap::new();
    for workload in workloads {
        for label in &workload.template.labels {
            by_label.entry((&workload.key.namespace, label)).or_default().push(workload);
        }
    }
    for (document, service) in services {
        let Some(mut wanted) = service.selector.clone() else { continue };
        wanted.retain(|key, _| !ADDED_LABELS.contains(&key.as_str()));
        let pods_with = |label| by_label.get(&(&service.key.namespace, label)).map(Vec::as_slice).unwrap_or_default();
        let Some(fewest) = wanted.iter().map(pods_with).min_by_key(|pods| pods.len()) else { continue };
        let selector = Selector::equal_to(&wanted);
        if fewest.iter().any(|workload| selector.matches(&workload.template.labels)) {
            continue;
        }
        let message = "no pod of the manifests carries these labels, so the Service has no endpoint";
        let advice = "compare with the labels of the pod templates in the same namespace".into();
        findings.warn(document.finding("spec.selector", message, advice));
    }
}

fn named(document: &Document<'_>, path: &str) -> String {
    format!("{document}, {}", place(document, path))
}

fn place(document: &Document<'_>, path: &str) -> String {
    let at = document.node.position_of(path);
    format!("at {}:{}:{}", shown_path(document.file), at.line, at.column)
}
