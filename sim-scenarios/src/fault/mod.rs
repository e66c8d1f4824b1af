//! What is done to a run at a given moment: pods deleted, workloads scaled, nodes switched off, wires cut.
//!
//! A fault is one file: how it is written, and what it does. They are all listed in `KINDS`.

mod file;
mod link;
mod node;
mod pod;
mod scale;
mod watches;

use std::fmt;

use sim_core::engine::time::Duration;
use sim_k8s::api::{ObjectKey, WorkloadKind};

use crate::run::Run;

pub use file::read_faults;

/// One fault at one moment.
#[derive(Clone, Debug)]
pub struct Planned {
    /// When, counted from when the cluster has settled.
    pub at: Duration,
    /// What.
    pub fault: Box<dyn Fault>,
}

/// Something that is done to a run. Its `Display` is how it is written.
pub trait Fault: fmt::Debug + fmt::Display + Send + Sync + CloneFault {
    /// Does it; what was done, in words, where the fault left that open.
    ///
    /// # Errors
    /// Why nothing was done.
    fn strike(&self, run: &mut Run) -> Result<String, String>;
}

/// Every fault that is `Clone` can be cloned without knowing its type.
pub trait CloneFault {
    /// A copy.
    fn boxed(&self) -> Box<dyn Fault>;
}

impl<T: Fault + Clone + 'static> CloneFault for T {
    fn boxed(&self) -> Box<dyn Fault> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Fault> {
    fn clone(&self) -> Self {
        (**self).boxed()
    }
}

/// A kind of fault.
struct Kind {
    /// How it is written.
    usage: &'static [&'static str],
    /// Reads it; `None` if these words are another kind's.
    read: fn(&[&str]) -> Option<Box<dyn Fault>>,
}

/// All kinds.
const KINDS: &[Kind] = &[pod::KIND, scale::KIND, node::KIND, link::KIND, watches::KIND];

/// Reads one fault as it is written in a file: `delete pod shop/web-0`.
///
/// # Errors
/// How faults are written.
pub fn read(text: &str) -> Result<Box<dyn Fault>, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let found = KINDS.iter().find_map(|kind| (kind.read)(&words));
    found.ok_or_else(|| KINDS.iter().flat_map(|kind| kind.usage).copied().collect::<Vec<_>>().join(" · "))
}

/// `namespace/name`; without a namespace: default.
fn key(text: &str) -> ObjectKey {
    let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
    ObjectKey::new(namespace, name)
}

/// The kind of a workload, as kubectl takes it.
fn workload_kind(word: &str) -> Option<WorkloadKind> {
    Some(match word {
        "deployment" | "deploy" => WorkloadKind::Deployment,
        "replicaset" | "rs" => WorkloadKind::ReplicaSet,
        "replicationcontroller" | "rc" => WorkloadKind::ReplicationController,
        "statefulset" | "sts" => WorkloadKind::StatefulSet,
        "daemonset" | "ds" => WorkloadKind::DaemonSet,
        "job" => WorkloadKind::Job,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
