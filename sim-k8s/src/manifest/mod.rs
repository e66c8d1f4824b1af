//! Manifests: YAML and JSON files in, objects out.
//!
//! The way of a file: text → `parse` → trees of values with positions → `document` opens Lists and finds kind and key
//! → `typed` gives Kubernetes' types → `check` and a file for each kind (`workload`, `service`, `endpoints`,
//! `config`) judge and default every field and give the objects of [`crate::api`] → `clashes` looks at all of them
//! together. Errors of all files are collected on the way; if there is one, nothing is handed out.

mod check;
mod clashes;
mod config;
mod dns;
mod document;
mod endpoints;
mod finding;
mod job;
mod list_file;
mod names;
mod node;
mod parse;
mod part;
mod passed_over;
mod pod;
mod priority;
mod probe;
mod quantity;
mod rollout;
mod scalar;
mod scheduling;
mod selector;
mod service;
mod shown;
mod tree;
mod typed;
mod workload;

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::scheduling::v1::PriorityClass;

use crate::api::{Objects, Service};

pub use finding::{Finding, Position};
pub use list_file::ListFile;
pub use passed_over::{PassedField, PassedOver};
pub use shown::{is_invisible, shown};

use check::Check;
use config::Configs;
use document::Document;
use finding::Findings;
use part::Part;
use priority::PriorityClasses;

/// The text of one file. The library opens no files.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Name to be used in messages.
    pub name: String,
    /// Content: YAML of any number of documents, or JSON.
    pub text: String,
}

impl SourceFile {
    /// A file from its bytes. The error names the first place that is not UTF-8.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self, Finding> {
        let name = name.into();
        String::from_utf8(bytes).map(|text| Self { name: name.clone(), text }).map_err(|error| {
            let before = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned();
            let last_line = before.rsplit('\n').next().unwrap_or_default();
            let count = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
            let at = Position { line: count(before.matches('\n').count()), column: count(last_line.chars().count()) };
            let advice = "save the file as UTF-8".into();
            Finding { file: name, at, message: "the file is not text in UTF-8".into(), advice }
        })
    }
}

/// What was read from a set of files.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Loaded {
    /// The objects.
    pub objects: Objects,
    /// Kinds and fields that have no effect.
    pub passed_over: PassedOver,
    /// What will hardly mean what was intended.
    pub warnings: Vec<Finding>,
}

/// Objects that a set of files may hold: twice what a large cluster has in Services and workloads, as every Service is
/// compared with every workload.
const MAX_OBJECTS: usize = 20_000;

/// Reads `files`. The error holds everything that is wrong in all of them, in the order of the files.
pub fn load(files: &[SourceFile]) -> Result<Loaded, Vec<Finding>> {
    let mut loading = Loading::default();
    let mut documents = Vec::new();
    for file in files {
        for node in parse::parse(&file.name, &file.text, &mut loading.findings) {
            if is_kustomization(&file.name) && node.get("kind").is_none() {
                loading.loaded.passed_over.other("kustomization.yaml");
            } else {
                Document::open(&file.name, node, &mut loading.findings, &mut documents);
            }
        }
    }
    if let Some(document) = documents.get(MAX_OBJECTS) {
        let message = format!("the files hold {} objects; at most {MAX_OBJECTS} are taken", documents.len());
        loading.findings.error(document.finding("", &message, "run fewer files at once".into()));
    } else {
        loading.read(&documents);
    }
    loading.finish(files)
}

/// kustomize's own file may lie among the manifests, and need not say what it is.
fn is_kustomization(file: &str) -> bool {
    let name = file.rsplit(['/', '\\']).next().unwrap_or_default();
    matches!(name, "kustomization.yaml" | "kustomization.yml" | "Kustomization")
}

/// What pod templates refer to by name.
#[derive(Default)]
struct Referred {
    configs: Configs,
    priorities: PriorityClasses,
}

/// The objects that have been read so far.
#[derive(Default)]
struct Loading<'a> {
    findings: Findings,
    loaded: Loaded,
    referred: Referred,
    services: Vec<(&'a Document<'a>, Service)>,
}

impl<'a> Loading<'a> {
    fn read(&mut self, documents: &'a [Document<'a>]) {
        clashes::duplicate_objects(documents.iter().filter(|d| Part::of(d).is_some()), &mut self.findings);
        // What pod templates refer to may be in any file, so it comes first.
        let referred = |part| matches!(part, Part::ConfigMap | Part::Secret | Part::PriorityClass);
        let first = |document: &Document<'_>| Part::of(document).is_some_and(referred);
        let present: BTreeSet<_> = documents.iter().map(|d| (d.kind.as_str(), &d.key)).collect();
        for document in documents.iter().filter(|d| first(d)).chain(documents.iter().filter(|d| !first(d))) {
            match Part::of(document) {
                // `kubectl get all -o yaml` lists a Deployment and the pods made from it.
                Some(_) if document.owners().any(|(kind, key)| present.contains(&(kind, &key))) => {
                    self.loaded.passed_over.other(&format!("{} made by another object", document.kind));
                }
                Some(part) => self.object(document, part),
                None => self.passed_over(document),
            }
        }
        clashes::claims(&self.services, &mut self.findings);
        clashes::selectors(&self.services, &self.loaded.objects.workloads, &mut self.findings);
    }

    fn passed_over(&mut self, document: &Document<'_>) {
        self.loaded.passed_over.kind(document);
        if let Some(current) = part::current_version(document) {
            let message = format!("Kubernetes serves {} no longer, so it is passed over", shown(&document.api_version));
            let advice = format!("write {current}");
            self.findings.warn(document.finding("apiVersion", &message, advice));
        }
    }

    fn object(&mut self, document: &'a Document<'a>, part: Part) {
        let Self { findings, loaded: Loaded { objects, passed_over, .. }, referred, .. } = self;
        let check = &mut Check { document, findings };
        match part {
            Part::Workload(kind) => objects.workloads.extend(workload::read(check, kind, referred, passed_over)),
            Part::Service => self.services.extend(service::read(check, passed_over).map(|s| (document, s))),
            Part::EndpointSlice => objects.endpoint_slices.extend(endpoints::read_slice(check, passed_over)),
            Part::Endpoints => {
                objects.endpoint_slices.extend(endpoints::read_endpoints(check, passed_over).into_iter().flatten())
            }
            Part::ConfigMap => {
                if let Some(object) = check.read::<ConfigMap>(passed_over) {
                    referred.configs.add_config_map(check, object);
                }
            }
            Part::Secret => {
                if let Some(object) = check.read::<Secret>(passed_over) {
                    referred.configs.add_secret(check, object);
                }
            }
            Part::PriorityClass => {
                if let Some(object) = check.read::<PriorityClass>(passed_over) {
                    referred.priorities.add(check, &object);
                }
            }
            Part::Namespace => objects.namespaces.extend(node::read_namespace(check, passed_over)),
            Part::Node => objects.nodes.extend(node::read(check, passed_over)),
        }
        passed_over.fields_without_effect(document, &part.applied_fields());
    }

    /// Hands out what was read, if nothing is wrong.
    fn finish(mut self, files: &[SourceFile]) -> Result<Loaded, Vec<Finding>> {
        let order = |finding: &Finding| (files.iter().position(|f| f.name == finding.file), finding.at);
        if !self.findings.errors.is_empty() {
            self.findings.errors.sort_by_cached_key(order);
            return Err(self.findings.errors);
        }
        self.findings.warnings.sort_by_cached_key(order);
        self.loaded.warnings = self.findings.warnings;
        // The control plane writes the endpoints of a Service with a selector; those of a dump are out of date.
        let selecting = self.services.iter().filter(|(_, service)| service.selector.is_some());
        let selecting: BTreeSet<_> = selecting.map(|(_, service)| service.key.clone()).collect();
        self.loaded.objects.endpoint_slices.retain(|slice| {
            let by_hand = slice.managed_by.as_ref().is_none_or(|by| !endpoints::CONTROLLERS.contains(&by.as_str()));
            by_hand || slice.service.as_ref().is_none_or(|key| !selecting.contains(key))
        });
        self.loaded.objects.services = self.services.into_iter().map(|(_, service)| service).collect();
        Ok(self.loaded)
    }
}

#[cfg(test)]
mod tests;
