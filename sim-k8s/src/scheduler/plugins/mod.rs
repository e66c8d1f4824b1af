//! The scheduler's plugins: each may reject a node, and each may say how good those are that are left
//! (upstream pkg/scheduler/framework/plugins).
//!
//! Left out are those for volumes, images and claims, which everyhop does not model, and `NodeName`: a pod that names
//! its node is bound from the start.

mod inter_pod_affinity;
mod ln;
mod node_affinity;
mod node_ports;
mod node_resources;
mod node_unschedulable;
mod pod_topology_spread;
mod taint_toleration;

use std::collections::BTreeSet;

use super::cycle::Cycle;
use super::snapshot::NodeInfo;

pub(super) use inter_pod_affinity::concerns as affinity_concerns;
pub(super) use node_resources::fits_when_empty;
pub(super) use pod_topology_spread::concerns as spread_concerns;

/// The plugins, by upstream's names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Name {
    NodeUnschedulable,
    TaintToleration,
    NodeAffinity,
    NodePorts,
    NodeResourcesFit,
    PodTopologySpread,
    InterPodAffinity,
    NodeResourcesBalancedAllocation,
}

/// The best score of a node (`MaxNodeScore`).
const MAX_SCORE: u64 = 100;

/// What a plugin knows of one decision.
pub(super) trait Plugin {
    /// Which nodes need be looked at at all (`PreFilter`).
    fn narrow(&self) -> Narrowed {
        Narrowed::All
    }

    /// Whether the pod may run on `node`; else the reasons (`Filter`).
    fn filter(&self, _node: &NodeInfo) -> Result<(), Objection> {
        Ok(())
    }

    /// How good each of `nodes` is, 0 to [`MAX_SCORE`]; `None`: all the same (`Score`, `NormalizeScore`).
    fn score(&self, _nodes: &[&NodeInfo]) -> Option<Vec<u64>> {
        None
    }
}

/// Which nodes need be looked at.
pub(super) enum Narrowed {
    /// All.
    All,
    /// Those of these names.
    To(BTreeSet<String>),
    /// None, and why.
    None(&'static str),
}

/// Why a plugin does not want a node.
#[derive(Clone, Debug)]
pub(super) struct Objection {
    reasons: Vec<String>,
    resolvable: bool,
}

impl Objection {
    /// Other pods stand in the way: it may help if they go (`Unschedulable`).
    fn pods(reason: impl Into<String>) -> Self {
        Self { reasons: vec![reason.into()], resolvable: true }
    }

    /// The node itself does not fit (`UnschedulableAndUnresolvable`).
    fn node(reason: impl Into<String>) -> Self {
        Self { reasons: vec![reason.into()], resolvable: false }
    }
}

/// Why a node is not taken.
#[derive(Clone, Debug)]
pub(super) struct Rejection {
    /// The plugin that objects.
    pub(super) plugin: Name,
    /// Why, in upstream's words.
    pub(super) reasons: Vec<String>,
    /// Whether it may help if pods leave the node.
    pub(super) resolvable: bool,
}

impl Rejection {
    /// Of a node that was not looked at. Only one plugin narrows.
    pub(super) fn narrowed() -> Self {
        let plugin = Name::NodeAffinity;
        Self { plugin, reasons: vec![format!("node(s) didn't satisfy plugin(s) [{plugin:?}]")], resolvable: false }
    }
}

/// A plugin of the scheduler.
struct Registered {
    name: Name,
    /// What its score is multiplied with.
    weight: u64,
    prepare: for<'a> fn(&'a Cycle<'a>) -> Box<dyn Plugin + 'a>,
}

/// All of them, in the order in which they are asked, with upstream's weights (`getDefaultPlugins`,
/// pkg/scheduler/apis/config/v1/default_plugins.go).
const PLUGINS: [Registered; 8] = {
    use Name::*;
    [
        Registered { name: NodeUnschedulable, weight: 0, prepare: node_unschedulable::prepare },
        Registered { name: TaintToleration, weight: 3, prepare: taint_toleration::prepare },
        Registered { name: NodeAffinity, weight: 2, prepare: node_affinity::prepare },
        Registered { name: NodePorts, weight: 0, prepare: node_ports::prepare },
        Registered { name: NodeResourcesFit, weight: 1, prepare: node_resources::prepare_fit },
        Registered { name: PodTopologySpread, weight: 2, prepare: pod_topology_spread::prepare },
        Registered { name: InterPodAffinity, weight: 2, prepare: inter_pod_affinity::prepare },
        Registered { name: NodeResourcesBalancedAllocation, weight: 1, prepare: node_resources::prepare_balanced },
    ]
};

/// What all plugins know of one decision.
pub(super) type Plugins<'a> = Vec<Box<dyn Plugin + 'a>>;

/// All plugins, prepared for a decision.
pub(super) fn all<'a>(cycle: &'a Cycle<'a>) -> Plugins<'a> {
    PLUGINS.iter().map(|registered| (registered.prepare)(cycle)).collect()
}

/// Which nodes need be looked at.
pub(super) fn narrow(plugins: &Plugins<'_>) -> Narrowed {
    let narrowed = plugins.iter().map(|plugin| plugin.narrow());
    narrowed.into_iter().find(|narrowed| !matches!(narrowed, Narrowed::All)).unwrap_or(Narrowed::All)
}

/// Whether the pod may run on `node`; else what the first plugin says that objects.
pub(super) fn filter(plugins: &Plugins<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    for (registered, plugin) in PLUGINS.iter().zip(plugins) {
        let name = registered.name;
        plugin.filter(node).map_err(|Objection { reasons, resolvable }| Rejection {
            plugin: name,
            reasons,
            resolvable,
        })?;
    }
    Ok(())
}

/// The weighted scores of `nodes`.
pub(super) fn scores(plugins: &Plugins<'_>, nodes: &[&NodeInfo]) -> Vec<u64> {
    let mut total = vec![0; nodes.len()];
    for (registered, plugin) in PLUGINS.iter().zip(plugins) {
        for (sum, score) in total.iter_mut().zip(plugin.score(nodes).unwrap_or_default()) {
            *sum += registered.weight * score;
        }
    }
    total
}

/// Scores from 0 to the highest become scores from 0 to [`MAX_SCORE`] (`DefaultNormalizeScore`, plugins/helper).
fn normalized(scores: Vec<u64>, lower_is_better: bool) -> Vec<u64> {
    let highest = scores.iter().copied().max().unwrap_or(0);
    let scaled = scores.into_iter().map(|score| (MAX_SCORE * score).checked_div(highest).unwrap_or(0));
    scaled.map(|score| if lower_is_better { MAX_SCORE - score } else { score }).collect()
}
