//! What a control plane did, for whoever looks at a run afterwards. Nothing that happens depends on it.

use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::Instant;

use crate::apiserver::Change;

/// One thing the control plane did.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// When.
    pub at: Instant,
    /// What.
    pub deed: Deed,
}

/// What was done.
#[derive(Clone, PartialEq, Debug)]
pub enum Deed {
    /// An object changed that is no lease.
    Changed(Change),
    /// An agent's commands were carried out at a netns.
    Programmed {
        /// The agent: `kube-proxy n1`.
        agent: String,
        /// Where.
        netns: NetnsId,
        /// How many lines they had: of a restore each rule is one.
        lines: usize,
        /// Why the last of them was refused; the rest was left out.
        refused: Option<String>,
    },
}
