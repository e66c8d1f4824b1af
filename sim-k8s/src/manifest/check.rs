//! One document under examination, and where its errors go.

use std::net::IpAddr;

use serde::Deserialize;

use crate::api::{Labels, ObjectKey, Protocol};

use super::document::Document;
use super::finding::{Finding, Findings};
use super::passed_over::PassedOver;
use super::shown::shown;
use super::typed;

/// Bytes of the labels of one object: each pod may have a copy.
const MAX_LABEL_BYTES: usize = 16 << 10;

/// A document and the findings about it. Its methods turn a field of Kubernetes' types into one of ours; where the field
/// is wrong they note an error and give some value, which nobody sees because nothing with errors is handed out.
pub(super) struct Check<'a> {
    pub(super) document: &'a Document<'a>,
    pub(super) findings: &'a mut Findings,
}

/// A field that some versions of Kubernetes' types take for optional and others not.
pub(super) fn or_default<T: Default>(field: impl Into<Option<T>>) -> T {
    field.into().unwrap_or_default()
}

impl Check<'_> {
    /// The document as a `T`. `None` if values do not fit; each of them is then an error.
    pub(super) fn read<T: for<'de> Deserialize<'de>>(&mut self, passed_over: &mut PassedOver) -> Option<T> {
        match typed::read_all(&self.document.node) {
            Ok((value, unknown)) => {
                passed_over.unknown_fields(&self.document.kind, unknown);
                Some(value)
            }
            Err(errors) => {
                for error in errors {
                    let (at, path, message, advice) = error.into_parts();
                    let message = format!("{}: {path}: {message}", self.document);
                    let file = self.document.file.to_owned();
                    self.findings.error(Finding { file, at, message, advice: advice.into() });
                }
                None
            }
        }
    }

    /// Notes that the field at `path` is wrong, or missing.
    pub(super) fn error(&mut self, path: &str, message: impl AsRef<str>, advice: impl Into<String>) {
        let finding = self.finding(path, message.as_ref(), advice.into());
        self.findings.error(finding);
    }

    /// Notes that the field at `path` will hardly mean what was intended.
    pub(super) fn warn(&mut self, path: &str, message: impl AsRef<str>, advice: impl Into<String>) {
        let finding = self.finding(path, message.as_ref(), advice.into());
        self.findings.warn(finding);
    }

    fn finding(&self, path: &str, message: &str, advice: String) -> Finding {
        self.document.finding(path, message, advice)
    }

    /// Whether the document says anything at `path`, null not counted.
    pub(super) fn says(&self, path: &str) -> bool {
        self.document.node.at_path(path).is_some()
    }

    /// The object's key, its name judged by `rule` (one of [`super::names`]).
    pub(super) fn key(&mut self, rule: fn(&str) -> Option<String>) -> ObjectKey {
        let key = self.document.key.clone();
        if key.name.is_empty() {
            self.error("metadata.name", "the object has no name", "add name: under metadata:");
        } else {
            self.name("metadata.name", &key.name, rule);
        }
        self.name("metadata.namespace", &key.namespace, super::names::dns_label);
        key
    }

    /// Notes an error if `rule` finds fault with `name`.
    pub(super) fn name(&mut self, path: &str, name: &str, rule: fn(&str) -> Option<String>) {
        if let Some(fault) = rule(name) {
            self.error(path, fault, "choose a name of that form");
        }
    }

    /// Labels, or a plain selector.
    pub(super) fn labels(&mut self, path: &str, labels: Option<&Labels>) -> Labels {
        let labels = labels.cloned().unwrap_or_default();
        let bytes: usize = labels.iter().map(|(key, value)| key.len() + value.len()).sum();
        if let Some(fault) = super::names::labels(&labels) {
            self.error(path, fault, "choose a label of that form");
        } else if bytes > MAX_LABEL_BYTES {
            let message = format!("these labels take {bytes} bytes; at most {MAX_LABEL_BYTES} are taken");
            self.error(path, message, "use fewer labels");
        }
        labels
    }

    /// The labels of the object itself.
    pub(super) fn own_labels(&mut self) -> Labels {
        let labels = self.document.node.at_path("metadata.labels").and_then(|node| typed::read_all(node).ok());
        self.labels("metadata.labels", labels.map(|(labels, _)| labels).as_ref())
    }

    /// A port number, 1 to 65535.
    pub(super) fn port(&mut self, path: &str, number: i32) -> u16 {
        match u16::try_from(number) {
            Ok(port @ 1..) => port,
            _ if !self.says(path) => {
                self.error(path, "the port number is missing", "add it: a number from 1 to 65535");
                1
            }
            _ => {
                self.error(path, format!("{number} is no port"), "write a number from 1 to 65535");
                1
            }
        }
    }

    /// A number that may be 0 or more, `otherwise` if absent.
    pub(super) fn count(&mut self, path: &str, number: Option<i32>, otherwise: u32) -> u32 {
        match number.map(u32::try_from) {
            None => otherwise,
            Some(Ok(count)) => count,
            Some(Err(_)) => {
                let number = number.unwrap_or_default();
                self.error(path, format!("{number} is negative"), "write 0 or more");
                otherwise
            }
        }
    }

    /// A protocol; TCP if absent (`SetDefaults_ServicePort`, `SetDefaults_ContainerPort`: pkg/apis/core/v1/defaults.go).
    pub(super) fn protocol(&mut self, path: &str, protocol: Option<&str>) -> Protocol {
        let known = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
        self.one_of(path, protocol, &known.map(|p| (p.to_string(), p)), Protocol::Tcp)
    }

    /// One of several words; `otherwise` if absent or empty.
    pub(super) fn one_of<T: Clone>(
        &mut self,
        path: &str,
        word: Option<&str>,
        known: &[(impl AsRef<str>, T)],
        otherwise: T,
    ) -> T {
        let Some(word) = word.filter(|w| !w.is_empty()) else { return otherwise };
        if let Some((_, value)) = known.iter().find(|(name, _)| name.as_ref() == word) {
            return value.clone();
        }
        let names: Vec<&str> = known.iter().map(|(name, _)| name.as_ref()).collect();
        self.error(
            path,
            format!("\"{}\" is not known here", shown(word)),
            format!("write one of {}", names.join(", ")),
        );
        otherwise
    }

    /// An IP address.
    pub(super) fn address(&mut self, path: &str, text: &str) -> Option<IpAddr> {
        let address = text.parse().ok();
        if address.is_none() {
            self.error(path, format!("\"{}\" is no IP address", shown(text)), "write one like 10.96.0.10");
        }
        address
    }
}
