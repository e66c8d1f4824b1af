//! What the manifests say and everyhop does not act on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::document::Document;
use super::shown::shown;
use super::tree::{Node, Value};

/// What was passed over, each once, in alphabetical order.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct PassedOver {
    /// Kinds (`networking.k8s.io/v1 Ingress`) and how many objects of each.
    pub kinds: BTreeMap<String, usize>,
    /// Fields, and in how many objects of the kind they stand.
    pub fields: BTreeMap<PassedField, usize>,
}

/// A field that is passed over.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PassedField {
    /// Kind of the objects it stands in.
    pub kind: String,
    /// Its path, list indices left out: `spec.template.spec.containers[].resources`.
    pub path: String,
    /// Kubernetes knows it. One it does not know is probably misspelt.
    pub known: bool,
}

impl fmt::Display for PassedField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let note = if self.known { "" } else { " (Kubernetes knows no such field)" };
        write!(f, "{} {}{note}", self.kind, self.path)
    }
}

impl PassedOver {
    /// Notes an object of a kind that has no part here.
    pub(super) fn kind(&mut self, document: &Document<'_>) {
        self.other(&format!("{} {}", shown(&document.api_version), shown(&document.kind)));
    }

    /// Notes an object that has no part here for some other reason, which `what` tells.
    pub(super) fn other(&mut self, what: &str) {
        *self.kinds.entry(what.to_owned()).or_default() += 1;
    }

    /// Notes the fields of one object that Kubernetes does not know.
    pub(super) fn unknown_fields(&mut self, kind: &str, paths: BTreeSet<String>) {
        for path in paths {
            self.field(PassedField { kind: kind.to_owned(), path, known: false });
        }
    }

    /// Notes the fields of one object that have no effect here. `applied` lists those that have one, each with all below it.
    pub(super) fn fields_without_effect(&mut self, document: &Document<'_>, applied: &[String]) {
        let mut found = BTreeSet::new();
        without_effect(&document.node, "", applied, &mut found);
        for path in found {
            let unknown = PassedField { kind: document.kind.clone(), path, known: false };
            if !self.fields.contains_key(&unknown) {
                self.field(PassedField { known: true, ..unknown });
            }
        }
    }

    fn field(&mut self, field: PassedField) {
        *self.fields.entry(field).or_default() += 1;
    }
}

/// Collects the highest paths under `node` that are not in `applied`. Null, empty lists and maps say nothing.
fn without_effect(node: &Node, path: &str, applied: &[String], found: &mut BTreeSet<String>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| without_effect(item, &format!("{path}[]"), applied, found)),
        Value::Map(entries) => {
            for (key, child) in entries {
                let dot = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{dot}{}", shown(&key.text));
                let below = |a: &&String| a.strip_prefix(&path).is_some_and(|rest| rest.starts_with(['.', '[']));
                if applied.contains(&path) || is_empty(child) {
                    continue;
                } else if applied.iter().any(|a| below(&a)) {
                    without_effect(child, &path, applied, found);
                } else {
                    found.insert(path);
                }
            }
        }
        _ => {}
    }
}

fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Null => true,
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        _ => false,
    }
}
