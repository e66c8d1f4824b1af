//! Namespaces.

use super::Labels;

/// A namespace.
#[derive(Clone, PartialEq, Debug)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Its labels, `kubernetes.io/metadata.name` among them.
    pub labels: Labels,
}

impl Namespace {
    /// Namespace `name` with `labels`, and the one the apiserver adds (`NamespaceDefaultLabelName`).
    pub fn new(name: impl Into<String>, mut labels: Labels) -> Self {
        let name = name.into();
        labels.insert("kubernetes.io/metadata.name".into(), name.clone());
        Self { name, labels }
    }
}
