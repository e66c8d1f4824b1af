//! Pods spread over domains, nodes with one value of a label each (upstream plugins/podtopologyspread).

use std::collections::BTreeMap;

use crate::api::{HOSTNAME, Pod, Selector, TopologySpreadConstraint, ZONE};

use super::super::cycle::Cycle;
use super::super::snapshot::{Count, NodeInfo};
use super::ln::{self, ln};
use super::{MAX_SCORE, Objection, Plugin};

const MISMATCH: &str = "node(s) didn't match pod topology spread constraints";

/// How pods are spread that do not say themselves (`systemDefaultConstraints`): topology key and maxSkew.
const DEFAULTS: [(&str, u32); 2] = [(HOSTNAME, 3), (ZONE, 5)];

/// A constraint, and which classes of pods it counts.
struct Counted<'a> {
    constraint: Constraint<'a>,
    matching: Vec<bool>,
    /// The pod itself is one of them.
    counts_itself: bool,
}

/// What of a constraint is used.
#[derive(Clone, Copy)]
struct Constraint<'a> {
    key: &'a str,
    max_skew: u32,
    min_domains: u32,
    honors_affinity: bool,
    honors_taints: bool,
}

struct PodTopologySpread<'a> {
    cycle: &'a Cycle<'a>,
    required: Vec<Counted<'a>>,
    /// Of each required constraint: how many pods each domain has.
    domains: Vec<BTreeMap<&'a str, u32>>,
}

pub(super) fn prepare<'a>(cycle: &'a Cycle<'a>) -> Box<dyn Plugin + 'a> {
    let required = own_constraints(cycle, true);
    let mut domains = vec![BTreeMap::new(); required.len()];
    for node in cycle.nodes.iter().filter(|node| !required.is_empty() && has_all_keys(node, &required)) {
        for (counted, domains) in required.iter().zip(&mut domains) {
            if is_domain(cycle, &counted.constraint, node) {
                let value = node.label(counted.constraint.key).expect("the node has all keys");
                *domains.entry(value).or_default() += counted.on(node);
            }
        }
    }
    Box::new(PodTopologySpread { cycle, required, domains })
}

/// Whether a change of `other` can matter to the required constraints of `pod`.
pub(in super::super) fn concerns(pod: &Pod, other: &Pod) -> bool {
    let required = pod.template.topology_spread.iter().filter(|constraint| constraint.required);
    pod.key.namespace == other.key.namespace
        && required.filter_map(|c| selector(pod, c)).any(|selector| selector.matches(&other.labels))
}

/// The selector of a constraint; with `matchLabelKeys` only pods whose labels equal those of `pod` are counted.
fn selector(pod: &Pod, constraint: &TopologySpreadConstraint) -> Option<Selector> {
    let mut selector = constraint.selector.clone()?;
    let keys = constraint.match_label_keys.iter();
    let equal = keys.filter_map(|key| pod.labels.get_key_value(key)).map(|(key, value)| (key.clone(), value.clone()));
    selector.requirements.extend(Selector::equal_to(&equal.collect()).requirements);
    Some(selector)
}

/// The pod's own constraints, those that are required or those that are not.
fn own_constraints<'a>(cycle: &'a Cycle<'a>, required: bool) -> Vec<Counted<'a>> {
    let constraints = cycle.pod.template.topology_spread.iter().filter(|c| c.required == required);
    let counted = constraints.map(|c| {
        let constraint = Constraint {
            key: &c.topology_key,
            max_skew: c.max_skew,
            min_domains: c.min_domains,
            honors_affinity: c.honors_affinity,
            honors_taints: c.honors_taints,
        };
        Counted::new(cycle, constraint, selector(cycle.pod, c).as_ref())
    });
    counted.collect()
}

/// Those that hold for a pod without any (`buildDefaultConstraints`).
fn default_constraints<'a>(cycle: &'a Cycle<'a>) -> Vec<Counted<'a>> {
    let Some(selector) = cycle.default_selector else { return Vec::new() };
    let counted = DEFAULTS.map(|(key, max_skew)| {
        let constraint = Constraint { key, max_skew, min_domains: 1, honors_affinity: true, honors_taints: false };
        Counted::new(cycle, constraint, Some(selector))
    });
    counted.into()
}

impl<'a> Counted<'a> {
    fn new(cycle: &'a Cycle<'a>, constraint: Constraint<'a>, selector: Option<&Selector>) -> Self {
        let matches = |labels| selector.is_some_and(|selector| selector.matches(labels));
        let namespace = &cycle.pod.key.namespace;
        let matching = cycle.snapshot.classes.iter().map(|c| c.namespace == *namespace && matches(&c.labels));
        Self { constraint, matching: matching.collect(), counts_itself: matches(&cycle.pod.labels) }
    }

    /// The pods on `node` that count: those that are going away do not (`countPodsMatchSelector`).
    fn on(&self, node: &NodeInfo) -> u32 {
        node.count(&self.matching, |Count { staying, .. }| staying)
    }
}

fn has_all_keys(node: &NodeInfo, constraints: &[Counted<'_>]) -> bool {
    constraints.iter().all(|counted| node.label(counted.constraint.key).is_some())
}

/// Whether `node` counts for the constraint (`matchNodeInclusionPolicies`).
fn is_domain(cycle: &Cycle<'_>, constraint: &Constraint<'_>, node: &NodeInfo) -> bool {
    let template = &cycle.pod.template;
    (!constraint.honors_affinity || template.selects(&node.node))
        && (!constraint.honors_taints || template.untolerated_taint(&node.node).is_none())
}

impl Plugin for PodTopologySpread<'_> {
    /// With the pod its domain has at most `maxSkew` pods more than the emptiest one.
    fn filter(&self, node: &NodeInfo) -> Result<(), Objection> {
        for (counted, domains) in self.required.iter().zip(&self.domains) {
            let constraint = &counted.constraint;
            let Some(value) = node.label(constraint.key) else {
                return Err(Objection::node(format!("{MISMATCH} (missing required label)")));
            };
            let few = domains.len() < constraint.min_domains as usize;
            let fewest = if few { 0 } else { domains.values().copied().min().unwrap_or(0) };
            let here = domains.get(value).copied().unwrap_or(0) + u32::from(counted.counts_itself);
            if here.saturating_sub(fewest) > constraint.max_skew {
                return Err(Objection::pods(MISMATCH));
            }
        }
        Ok(())
    }

    /// The fewer pods the domains have that a node is in, the better.
    fn score(&self, nodes: &[&NodeInfo]) -> Option<Vec<u64>> {
        let is_default = self.cycle.pod.template.topology_spread.is_empty();
        let constraints = if is_default { default_constraints(self.cycle) } else { own_constraints(self.cycle, false) };
        if constraints.is_empty() {
            return None;
        }
        // Nodes without a zone are still spread by their names if nobody asked for zones (`requireAllTopologies`).
        let taken: Vec<bool> = nodes.iter().map(|node| is_default || has_all_keys(node, &constraints)).collect();
        let scored: Vec<&NodeInfo> = nodes.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(n, _)| *n).collect();
        let mut sums = vec![0; scored.len()];
        for counted in &constraints {
            for (sum, score) in sums.iter_mut().zip(self.scores(counted, &constraints, &scored, is_default)) {
                *sum += score;
            }
        }
        let half = 1 << (ln::PLACES - 1);
        let mut rounded =
            spread_normalized(&sums.iter().map(|sum| ((sum + half) >> ln::PLACES) as u64).collect::<Vec<_>>())
                .into_iter();
        Some(taken.into_iter().map(|taken| if taken { rounded.next().unwrap_or(0) } else { 0 }).collect())
    }
}

impl<'a> PodTopologySpread<'a> {
    /// What one constraint adds for each of `scored`, with [`ln::PLACES`] binary places: pods of the domain, weighted by
    /// how many domains there are (`topologyNormalizingWeight`), and `maxSkew - 1`, which waters differences down.
    fn scores(&self, counted: &Counted<'a>, all: &[Counted<'a>], scored: &[&NodeInfo], is_default: bool) -> Vec<u128> {
        let constraint = &counted.constraint;
        let by_node = constraint.key == HOSTNAME;
        let mut domains: BTreeMap<&str, u32> = BTreeMap::new();
        if !by_node {
            domains = scored.iter().map(|node| (node.label(constraint.key).unwrap_or_default(), 0)).collect();
            let counts = |node: &&NodeInfo| is_default || has_all_keys(node, all);
            for node in self.cycle.nodes.iter().filter(|node| counts(node)) {
                if let Some(pods) = domains.get_mut(node.label(constraint.key).unwrap_or_default())
                    && is_domain(self.cycle, constraint, node)
                {
                    *pods += counted.on(node);
                }
            }
        }
        let size = if by_node { scored.len() } else { domains.len() };
        let (weight, skew) = (ln(size as u64 + 2), u128::from(constraint.max_skew - 1) << ln::PLACES);
        let score = |node: &&NodeInfo| {
            let Some(value) = node.label(constraint.key) else { return 0 };
            let pods = if by_node { counted.on(node) } else { domains[value] };
            u128::from(pods) * weight + skew
        };
        scored.iter().map(score).collect()
    }
}

/// The lowest score becomes the best (`NormalizeScore`).
fn spread_normalized(scores: &[u64]) -> Vec<u64> {
    let lowest = scores.iter().copied().min().unwrap_or(0);
    let highest = scores.iter().copied().max().unwrap_or(0);
    let score = move |score: &u64| (MAX_SCORE * (highest + lowest - score)).checked_div(highest).unwrap_or(MAX_SCORE);
    scores.iter().map(score).collect()
}
