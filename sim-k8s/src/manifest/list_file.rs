//! Our own files that are a list of entries: the same parser and the same errors as manifests have.

use serde::Deserialize;

use super::SourceFile;
use super::finding::{Finding, Findings};
use super::parse::parse;
use super::shown::shown;
use super::tree::{Node, Value};
use super::typed;

/// A file of one list, its entries typed and their places remembered.
#[derive(Debug)]
pub struct ListFile<'a, T> {
    /// The entries.
    pub items: Vec<T>,
    file: &'a SourceFile,
    nodes: Vec<Node>,
    findings: Findings,
}

impl<'a, T: for<'de> Deserialize<'de>> ListFile<'a, T> {
    /// Reads `file`, whose entries have `fields` and no others.
    ///
    /// # Errors
    /// Everything that does not fit.
    pub fn read(file: &'a SourceFile, fields: &[&str]) -> Result<Self, Vec<Finding>> {
        let mut findings = Findings::default();
        let mut nodes = Vec::new();
        for document in parse(&file.name, &file.text, &mut findings) {
            match document.value {
                Value::List(items) => nodes.extend(items),
                _ => {
                    let (message, advice) = ("this is no list".into(), "begin each entry with \"- \"".into());
                    findings.error(Finding { file: file.name.clone(), at: document.at, message, advice });
                }
            }
        }
        let mut this = Self { items: Vec::new(), file, nodes, findings };
        for index in 0..this.nodes.len() {
            this.unknown_fields(index, fields);
            match typed::read_all(&this.nodes[index]) {
                Ok((item, _)) => this.items.push(item),
                Err(errors) => {
                    for error in errors {
                        let (at, path, message, advice) = error.into_parts();
                        let message = if path.is_empty() { message } else { format!("{path}: {message}") };
                        let file = this.file.name.clone();
                        this.findings.error(Finding { file, at, message, advice: advice.into() });
                    }
                }
            }
        }
        if this.findings.errors.is_empty() { Ok(this) } else { Err(this.findings.errors) }
    }

    fn unknown_fields(&mut self, index: usize, fields: &[&str]) {
        let Value::Map(entries) = &self.nodes[index].value else { return };
        let mut seen = Vec::new();
        for (key, _) in entries {
            let file = self.file.name.clone();
            if !fields.contains(&key.text.as_str()) {
                let message = format!("there is no field \"{}\"", shown(&key.text));
                let advice = format!("write one of {}", fields.join(", "));
                self.findings.error(Finding { file, at: key.at, message, advice });
            } else if seen.contains(&key.text.as_str()) {
                let message = format!("the field \"{}\" stands twice", shown(&key.text));
                self.findings.error(Finding { file, at: key.at, message, advice: "keep one of the two".into() });
            } else {
                seen.push(&key.text);
            }
        }
    }

    /// Notes that `field` of entry `index` is wrong.
    pub fn fault(&mut self, index: usize, field: &str, message: String, advice: &str) {
        let at = self.nodes[index].position_of(field);
        let message = format!("{field}: {message}");
        self.findings.error(Finding { file: self.file.name.clone(), at, message, advice: advice.into() });
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// The faults that were noted, in the order of the file.
    pub fn finish(mut self) -> Result<(), Vec<Finding>> {
        self.findings.errors.sort_by_key(|fault| fault.at);
        if self.findings.errors.is_empty() { Ok(()) } else { Err(self.findings.errors) }
    }
}
