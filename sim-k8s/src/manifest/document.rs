//! Documents become objects with a kind and a key; Lists are opened.

use std::collections::BTreeMap;
use std::fmt;

use crate::api::ObjectKey;

use super::finding::{Finding, Findings};
use super::shown::shown;
use super::tree::{Node, Value};

/// One object as the file has it.
pub(super) struct Document<'a> {
    pub(super) file: &'a str,
    pub(super) node: Node,
    /// Group and version: `v1`, `apps/v1`.
    pub(super) api_version: String,
    pub(super) kind: String,
    /// Where `metadata` says it is; the name may still be wrong.
    pub(super) key: ObjectKey,
}

impl fmt::Display for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectKey { namespace, name } = &self.key;
        write!(f, "{} {}/{}", shown(&self.kind), shown(namespace), shown(name))
    }
}

impl<'a> Document<'a> {
    /// The objects of one YAML document: itself, or the items of a List (`kubectl get -o yaml`). What is no object is
    /// an error.
    pub(super) fn open(file: &'a str, node: Node, findings: &mut Findings, objects: &mut Vec<Document<'a>>) {
        let faults = findings.errors.len();
        duplicate_keys(file, &node, findings);
        if findings.errors.len() == faults {
            Self::collect(file, node, findings, objects);
        }
    }

    fn collect(file: &'a str, node: Node, findings: &mut Findings, objects: &mut Vec<Document<'a>>) {
        let text = |field: &str| node.get(field).and_then(Node::text).unwrap_or_default().to_owned();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        if !matches!(node.value, Value::Map(_)) || api_version.is_empty() || kind.is_empty() {
            let missing = if kind.is_empty() { "kind" } else { "apiVersion" };
            let message = format!("this is no Kubernetes object: it has no {missing}");
            let advice = "begin each document with apiVersion: and kind:, or leave the file out".into();
            return findings.error(Finding { file: file.into(), at: node.position_of(missing), message, advice });
        }
        if kind.ends_with("List") && node.get("items").is_some() {
            return Self::open_list(file, node, findings, objects);
        }
        let metadata = |field: &str| node.get("metadata").and_then(|m| m.get(field)).and_then(Node::text);
        // An object without a namespace goes where kubectl puts it: into `default`.
        let namespace = metadata("namespace").filter(|n| !n.is_empty()).unwrap_or("default");
        let name = metadata("name").filter(|n| !n.is_empty()).map(str::to_owned);
        let name = name.or_else(|| metadata("generateName").map(|prefix| format!("{prefix}{}", objects.len())));
        let key = ObjectKey::new(namespace, name.unwrap_or_default());
        objects.push(Document { file, node, api_version, kind, key });
    }

    fn open_list(file: &'a str, mut list: Node, findings: &mut Findings, objects: &mut Vec<Document<'a>>) {
        let Value::Map(entries) = &mut list.value else { return };
        let items = entries.iter_mut().find(|(key, _)| key.text == "items");
        let Some((key, Node { value: items, .. })) = items else { return };
        match std::mem::replace(items, Value::Null) {
            Value::List(items) => items.into_iter().for_each(|item| Self::collect(file, item, findings, objects)),
            Value::Null => {}
            _ => {
                let (message, advice) = ("the items of a List are no list".into(), "begin each with \"- \"".into());
                findings.error(Finding { file: file.into(), at: key.at, message, advice });
            }
        }
    }

    /// Kinds and keys of the objects that made it.
    pub(super) fn owners(&self) -> impl Iterator<Item = (&str, ObjectKey)> {
        let owners = self.node.at_path("metadata.ownerReferences").map(Node::items).unwrap_or_default();
        owners.iter().filter_map(|owner| {
            let text = |field: &str| owner.get(field).and_then(Node::text);
            Some((text("kind")?, ObjectKey::new(&self.key.namespace, text("name")?)))
        })
    }

    /// A finding about the field at `path`.
    pub(super) fn finding(&self, path: &str, message: &str, advice: String) -> Finding {
        let colon = if path.is_empty() { "" } else { ": " };
        let message = format!("{self}: {path}{colon}{message}");
        Finding { file: self.file.to_owned(), at: self.node.position_of(path), message, advice }
    }
}

/// Notes every key that stands twice in one map.
fn duplicate_keys(file: &str, node: &Node, findings: &mut Findings) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| duplicate_keys(file, item, findings)),
        Value::Map(entries) => {
            let mut first = BTreeMap::new();
            for (key, value) in entries {
                if let Some(line) = first.insert(&key.text, key.at.line) {
                    let message =
                        format!("the key \"{}\" stands twice in one map, first in line {line}", shown(&key.text));
                    let advice = "keep one of the two, or separate two objects with ---".into();
                    findings.error(Finding { file: file.into(), at: key.at, message, advice });
                }
                duplicate_keys(file, value, findings);
            }
        }
        _ => {}
    }
}
