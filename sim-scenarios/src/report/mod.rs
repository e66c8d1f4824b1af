//! What came of a run: as values, as JSON ([`serde::Serialize`]), and as text for people ([`std::fmt::Display`]).
//!
//! Everything is sorted or in the order of the manifests, so two equal runs have equal reports.

mod gather;
mod outside;
mod table;
mod text;

use serde::Serialize;

pub(crate) use gather::where_failed;
pub use outside::{Advice, NodeReport, OutsideReport, Patch};
pub(crate) use text::port;

/// What came of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The hash of everything that happened, in 16 hexadecimal digits.
    pub fingerprint: String,
    /// Events that happened.
    pub events: u64,
    /// Frames that passed a device.
    pub hops: u64,
    /// Simulated time at the end, in ns.
    pub ended_ns: u64,
    /// When the cluster had settled and calls began, in ns of simulated time.
    pub settled_ns: u64,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// Pods that run at the end.
    pub pods: usize,
    /// Calls in all.
    pub calls: Calls,
    /// Every call was answered, and every Service port has an endpoint to answer one.
    pub ok: bool,
    /// Who called whom.
    pub edges: Vec<EdgeReport>,
    /// Every Service port, called or not.
    pub services: Vec<ServiceReport>,
    /// Services that are called from outside by way of nodes, by name.
    pub outside: Vec<OutsideReport>,
    /// Packets dropped.
    pub drops: Vec<DropReport>,
    /// Where packets raced for a place in a conntrack table.
    pub races: Vec<RaceReport>,
    /// Kinds and fields of the manifests that have no effect.
    pub not_applied: Vec<String>,
    /// What was done to the run.
    pub faults: Vec<String>,
    /// What looks like a call or a server and is none.
    pub not_called: Vec<String>,
    /// Pods that fit on no node.
    pub pending: Vec<String>,
    /// What will hardly mean what was intended.
    pub warnings: Vec<String>,
    /// Files written, by path.
    pub files: Vec<String>,
}

/// A number of calls. Each one that was sent was either answered or failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Calls {
    /// Begun.
    pub sent: u64,
    /// Answered.
    pub answered: u64,
    /// Not answered.
    pub failed: u64,
}

/// Calls of one caller to one Service port.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct EdgeReport {
    /// The workload that called, or `world`.
    pub from: String,
    /// The Service, as `namespace/name`; a DNS name outside the cluster.
    pub service: String,
    /// The port's number.
    pub port: u16,
    /// Its protocol.
    pub protocol: String,
    /// What they spoke.
    pub speaks: &'static str,
    /// How many calls.
    #[serde(flatten)]
    pub calls: Calls,
    /// Who answered.
    pub endpoints: Vec<EndpointReport>,
    /// Why calls failed, and where.
    pub failures: Vec<FailureReport>,
    /// How long answers took; absent if there was none.
    pub latency: Option<Latency>,
}

/// How often a pod answered.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct EndpointReport {
    /// The pod, as `namespace/name`; `?` where the protocol's answers do not say who gave them.
    pub pod: String,
    /// How many answers.
    pub answered: u64,
}

/// Calls that failed alike.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FailureReport {
    /// Why: an errno's name, `timed out`, `NXDOMAIN`, `cut short`.
    pub reason: String,
    /// Where a packet of the call was dropped, or who reset it; empty if no packet was lost.
    #[serde(rename = "where")]
    pub place: String,
    /// How many calls.
    pub count: u64,
}

/// How long answers took, in ns. Quantiles are the nearest rank.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Latency {
    /// The fastest.
    pub min_ns: u64,
    /// Half of them took no longer.
    pub median_ns: u64,
    /// 99 of 100 took no longer.
    pub p99_ns: u64,
}

/// One Service port.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ServiceReport {
    /// The Service, as `namespace/name`.
    pub service: String,
    /// The port's number.
    pub port: u16,
    /// Its protocol.
    pub protocol: String,
    /// Calls to it.
    pub calls: u64,
    /// Of these, answered.
    pub answered: u64,
    /// Who answered: every endpoint, also those that never did.
    pub endpoints: Vec<EndpointReport>,
}

/// Packets dropped at one place for one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DropReport {
    /// The kernel's name of the reason.
    pub reason: String,
    /// Netns, device and stage.
    #[serde(rename = "where")]
    pub place: String,
    /// How many packets.
    pub count: u64,
}

/// Packets that were new at the same time in one conntrack table, as `conntrack -S` counts them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RaceReport {
    /// The netns.
    pub netns: String,
    /// Clashes that cost no packet.
    pub clash_resolve: u64,
    /// Entries refused, each with its packet.
    pub insert_failed: u64,
}

#[cfg(test)]
mod tests;
