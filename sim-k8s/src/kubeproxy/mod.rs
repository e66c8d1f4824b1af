//! kube-proxy: service ports and endpoints in, rules out.
//!
//! | room | what it decides |
//! | --- | --- |
//! | `objects` | from API objects to service ports and their endpoints |
//! | `service_port` | one port of one Service |
//! | `endpoints` | which of its endpoints a node uses |
//! | `config` | kube-proxy's knobs with upstream's defaults; the node |
//! | `tracker` | what changed since the last sync |
//! | `runner`, `monitor` | when a sync runs: because something changed, because someone flushed iptables |
//! | `sync` | full or partial, and when stale chains are looked for |
//! | `iptables` | the rules themselves, as iptables mode writes them |
//! | `health` | what load balancers are told of a Service, a node and kube-proxy |
//! | `conntrack` | which UDP flows outlive their endpoint |
//! | `proxy` | all that together: one kube-proxy, without a clock or a kernel |
//! | `agent` | the same in simulated time, on its node, for each family of the node |
//!
//! A sync is a pure function of ([`Work`]); it touches nothing but returns [`Command`]s. Facts were
//! read from upstream kubernetes `pkg/proxy` (about v1.35); the files are named where they decide.
mod agent;
pub mod config;
pub mod conntrack;
pub mod endpoints;
pub mod health;
pub mod iptables;
pub mod monitor;
mod objects;
mod proxy;
pub mod runner;
pub mod service_port;
pub mod sync;
mod tracker;

use std::collections::BTreeSet;
use std::fmt;

pub use agent::KubeProxy;
pub use config::{Config, DetectLocal, Node};
pub use endpoints::Endpoint;
pub use monitor::Monitor;
pub use proxy::Proxy;
pub use service_port::{BadName, ServiceMap, ServicePort, ServicePortName};
pub use sync::{Scope, SyncState};
pub use tracker::{Changes, Tracker};

use crate::command::Command;

/// Everything a sync is a function of.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// kube-proxy's configuration.
    pub config: &'a Config,
    /// The node it runs on.
    pub node: &'a Node,
    /// Every service port, changed or not.
    pub services: &'a ServiceMap,
    /// What is to be rewritten.
    pub scope: &'a Scope,
    /// Names of the chains that are in the node's nat table now, as `iptables-save` lists them;
    /// `None`: stale chains are not looked for this time ([`SyncState::cleans_up`]).
    pub existing_chains: Option<&'a BTreeSet<String>>,
}

impl Work<'_> {
    /// Endpoints of all service ports together, usable or not.
    pub fn endpoints(&self) -> usize {
        self.services.values().map(|port| port.endpoints.len()).sum()
    }
}

/// One way to turn service ports into kernel rules: a mode of kube-proxy.
///
/// It holds no state; what must be remembered is in [`SyncState`].
pub trait Proxier: Sync + fmt::Debug {
    /// What kube-proxy does once, when it starts.
    fn start(&self, config: &Config, node: &Node) -> Vec<Command>;

    /// Sets up what is gone once someone has flushed the rules ([`Monitor`]).
    fn canary(&self, node: &Node) -> Vec<Command>;

    /// The commands of one sync, in order. If one fails the rest is not done and the sync has failed.
    fn sync(&self, work: &Work<'_>) -> Vec<Command>;
}

/// The proxier of a mode (`mode` of the configuration, `--proxy-mode`); `None`: no such mode here.
pub fn proxier(mode: &str) -> Option<&'static dyn Proxier> {
    match mode {
        "" | "iptables" => Some(&iptables::Iptables),
        _ => None,
    }
}
