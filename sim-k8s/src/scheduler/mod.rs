//! kube-scheduler: which node a pod gets.
//!
//! | room | what it is |
//! | --- | --- |
//! | `snapshot` | the nodes and what each has taken on |
//! | `cycle` | one decision: which nodes fit, which of them is best |
//! | `plugins` | what makes a node fit, and good: one file each, one line in a table |
//! | `preemption` | who has to go for a more important pod |
//! | `queue` | the pods that wait: their order, their backoff |
//! | `agent` | what it hears and asks of the apiserver |
//!
//! A decision is a function of the snapshot, the pod and one stream of draws; upstream's floating point is whole numbers
//! here. The words are those of Kubernetes 1.33.

mod agent;
mod cycle;
mod plugins;
mod preemption;
mod queue;
mod snapshot;

pub use agent::Scheduler;

#[cfg(test)]
mod tests;
