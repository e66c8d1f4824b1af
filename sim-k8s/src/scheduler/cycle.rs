//! One decision: which node a pod gets, or why none (upstream pkg/scheduler/schedule_one.go).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use sim_core::engine::rng::Stream;

use crate::api::{Labels, ObjectKey, Pod, Selector};

use super::plugins::{self, Name, Narrowed, Plugins, Rejection};
use super::snapshot::{NodeInfo, PodClass, Snapshot};

/// Up to so many nodes are all looked at (`minFeasibleNodesToFind`).
const FEW_NODES: usize = 100;

/// What a decision is made from.
#[derive(Clone, Debug)]
pub(super) struct Cycle<'a> {
    pub(super) pod: &'a Pod,
    /// What it has in common with others.
    pub(super) class: &'a PodClass,
    pub(super) snapshot: &'a Snapshot,
    /// Its nodes.
    pub(super) nodes: Vec<&'a NodeInfo>,
    /// Labels of the namespaces.
    pub(super) namespaces: &'a BTreeMap<String, Labels>,
    /// The pods among which it is spread if it does not say itself; `None`: it is not.
    pub(super) default_selector: Option<&'a Selector>,
    /// Pods that wait for a node to be cleared for them, and that node.
    pub(super) nominated: &'a BTreeMap<ObjectKey, (Arc<Pod>, String)>,
}

impl<'a> Cycle<'a> {
    /// The same with other pods on the nodes.
    pub(super) fn with<'b>(&self, snapshot: &'b Snapshot) -> Cycle<'b>
    where
        'a: 'b,
    {
        Cycle { snapshot, nodes: snapshot.nodes(), ..*self }
    }

    /// Whether the pod may go to `node`: with the pods for whom it is being cleared, if they are as important, and
    /// without (`RunFilterPluginsWithNominatedPods`).
    pub(super) fn filter(&self, plugins: &Plugins<'_>, node: &NodeInfo) -> Result<(), Rejection> {
        let name = node.node.name();
        let ahead = self.nominated.values().filter(|(pod, nominee)| {
            nominee == name && pod.key != self.pod.key && pod.template.priority >= self.pod.template.priority
        });
        let mut crowded: Option<Snapshot> = None;
        for (pod, _) in ahead {
            crowded.get_or_insert_with(|| self.snapshot.clone()).place(pod, name);
        }
        if let Some(crowded) = &crowded {
            let cycle = self.with(crowded);
            plugins::filter(&plugins::all(&cycle), crowded.node(name).expect("a clone has the same nodes"))?;
        }
        plugins::filter(plugins, node)
    }
}

/// Why a pod fits nowhere (`FitError`, pkg/scheduler/framework/types.go).
#[derive(Clone, Default, Debug)]
pub(super) struct Unschedulable {
    nodes: usize,
    /// Why no node was even looked at.
    impossible: Option<&'static str>,
    /// Why each of the nodes was not taken.
    pub(super) rejections: BTreeMap<String, Rejection>,
    /// What pushing others out would have done.
    pub(super) preemption: Option<String>,
}

impl Unschedulable {
    /// Names of the plugins that had an objection.
    pub(super) fn plugins(&self) -> BTreeSet<Name> {
        self.rejections.values().map(|rejection| rejection.plugin).collect()
    }
}

impl fmt::Display for Unschedulable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes == 0 {
            // `ErrNoNodesAvailable`.
            return f.write_str("no nodes available to schedule pods");
        }
        match self.impossible {
            Some(why) => write!(f, "0/{} nodes are available: {why}.", self.nodes)?,
            None => f.write_str(&histogram(self.nodes, self.rejections.values().flat_map(|r| &r.reasons)))?,
        }
        self.preemption.as_ref().map_or(Ok(()), |what| write!(f, " preemption: {what}"))
    }
}

/// `0/3 nodes are available: 1 this, 2 that.`: how often each reason was given, sorted as text.
pub(super) fn histogram<'a>(nodes: usize, reasons: impl Iterator<Item = &'a String>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut lines: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    lines.sort();
    format!("0/{nodes} nodes are available: {}.", lines.join(", "))
}

/// Chooses a node for the pod. `start` is where the search begins and moves on; `draws` decides between equals.
pub(super) fn schedule(cycle: &Cycle<'_>, start: &mut usize, draws: &mut Stream) -> Result<String, Unschedulable> {
    let nodes = &cycle.nodes;
    let mut failure = Unschedulable { nodes: nodes.len(), ..Unschedulable::default() };
    let plugins = plugins::all(cycle);
    let candidates = match plugins::narrow(&plugins) {
        Narrowed::All => nodes.clone(),
        Narrowed::None(why) => {
            failure.impossible = Some(why);
            failure.rejections = nodes.iter().map(|node| (name(node), Rejection::narrowed())).collect();
            return Err(failure);
        }
        Narrowed::To(names) => {
            let (considered, others) = nodes.iter().partition(|node| names.contains(node.node.name()));
            let others: Vec<&NodeInfo> = others;
            failure.rejections = others.into_iter().map(|node| (name(node), Rejection::narrowed())).collect();
            considered
        }
    };
    // A node that is being cleared for the pod is taken as soon as it is (`evaluateNominatedNode`).
    if let Some(node) = cycle.nominated.get(&cycle.pod.key).and_then(|(_, node)| cycle.snapshot.node(node))
        && cycle.filter(&plugins, node).is_ok()
    {
        return Ok(name(node));
    }
    let (wanted, mut looked_at, mut feasible) = (enough(candidates.len()), 0, Vec::new());
    while looked_at < candidates.len() && feasible.len() < wanted {
        let node = candidates[(*start + looked_at) % candidates.len()];
        looked_at += 1;
        match cycle.filter(&plugins, node) {
            Ok(()) => feasible.push(node),
            Err(rejection) => {
                failure.rejections.insert(name(node), rejection);
            }
        }
    }
    // `nextStartNodeIndex`: every node is looked at as often as the others.
    *start = (*start + looked_at) % nodes.len().max(1);
    match feasible.as_slice() {
        [] => Err(failure),
        [only] => Ok(name(only)),
        several => Ok(name(several[best(&plugins::scores(&plugins, several), draws)])),
    }
}

fn name(node: &NodeInfo) -> String {
    node.node.name().to_owned()
}

/// How many nodes that fit are enough (`numFeasibleNodesToFind`, with `percentageOfNodesToScore` at its default).
fn enough(nodes: usize) -> usize {
    if nodes < FEW_NODES {
        return nodes;
    }
    let percentage = 50usize.saturating_sub(nodes / 125).max(5);
    (nodes * percentage / 100).max(FEW_NODES)
}

/// Index of the highest score; of several each is as likely as the others (`selectHost`: a reservoir of one).
fn best(scores: &[u64], draws: &mut Stream) -> usize {
    let (mut best, mut equals) = (0, 0);
    for (index, score) in scores.iter().enumerate() {
        if *score > scores[best] || equals == 0 {
            (best, equals) = (index, 1);
        } else if *score == scores[best] {
            equals += 1;
            if draws.below(equals) == 0 {
                best = index;
            }
        }
    }
    best
}
