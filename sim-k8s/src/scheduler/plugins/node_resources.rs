//! Room for what a pod asks for, and how well it is used (upstream plugins/noderesources).

use crate::api::{Node, PodTemplate, Resources};

use super::super::cycle::Cycle;
use super::super::snapshot::{NodeInfo, PodClass};
use super::{MAX_SCORE, Objection, Plugin};

/// The resources that are compared between nodes, each as important as the other (`defaultResourceSpec`).
const COMPARED: [&str; 2] = ["cpu", "memory"];

struct Fit<'a> {
    class: &'a PodClass,
}

struct Balanced<'a> {
    requests: &'a Resources,
}

pub(super) fn prepare_fit<'a>(cycle: &'a Cycle<'a>) -> Box<dyn Plugin + 'a> {
    Box::new(Fit { class: cycle.class })
}

pub(super) fn prepare_balanced<'a>(cycle: &'a Cycle<'a>) -> Box<dyn Plugin + 'a> {
    Box::new(Balanced { requests: &cycle.class.requests })
}

/// Whether a pod would fit on `node` if nobody else was there (`isFit`).
pub(in super::super) fn fits_when_empty(template: &PodTemplate, node: &Node) -> bool {
    let has = |name: &str| node.allocatable.get(name).copied().unwrap_or(0);
    has("pods") > 0 && template.requests(&Resources::new()).iter().all(|(name, amount)| *amount <= has(name))
}

fn amount(resources: &Resources, name: &str) -> u64 {
    resources.get(name).copied().unwrap_or(0)
}

impl Plugin for Fit<'_> {
    /// `fitsRequest`: too many pods first, then cpu and memory, then the others by name.
    fn filter(&self, node: &NodeInfo) -> Result<(), Objection> {
        let pods: u64 = node.pods.values().map(|count| u64::from(count.all())).sum();
        let mut reasons = Vec::new();
        if pods + 1 > node.allocatable("pods") {
            reasons.push("Too many pods".to_owned());
        }
        for (name, asked) in self.class.requests.iter().filter(|(_, asked)| **asked > 0) {
            if *asked > node.allocatable(name).saturating_sub(amount(&node.requested, name)) {
                reasons.push(format!("Insufficient {name}"));
            }
        }
        if reasons.is_empty() { Ok(()) } else { Err(Objection { reasons, resolvable: true }) }
    }

    /// The less of a node is asked for, this pod included, the better (`leastResourceScorer`).
    fn score(&self, nodes: &[&NodeInfo]) -> Option<Vec<u64>> {
        let score = |node: &&NodeInfo| {
            let known = COMPARED.iter().filter(|name| node.allocatable(name) > 0);
            let scores: Vec<u64> = known.map(|name| self.unused(node, name)).collect();
            scores.iter().sum::<u64>().checked_div(scores.len() as u64).unwrap_or(0)
        };
        Some(nodes.iter().map(score).collect())
    }
}

impl Fit<'_> {
    fn unused(&self, node: &NodeInfo, name: &str) -> u64 {
        let capacity = node.allocatable(name);
        let requested = amount(&node.counted, name).saturating_add(amount(&self.class.counted, name));
        let rest = u128::from(capacity.saturating_sub(requested));
        (rest * u128::from(MAX_SCORE) / u128::from(capacity)) as u64
    }
}

impl Plugin for Balanced<'_> {
    /// The more alike the shares of cpu and of memory that are asked for, this pod included, the better: 100 less half
    /// their difference in percent (`balancedResourceScorer`). Pods that ask for neither are not scored.
    fn score(&self, nodes: &[&NodeInfo]) -> Option<Vec<u64>> {
        let asks = COMPARED.iter().any(|name| amount(self.requests, name) > 0);
        let score = |node: &&NodeInfo| {
            // Millionths of millionths: fine enough for any amount.
            let share = |name: &str| {
                let requested = amount(&node.requested, name).saturating_add(amount(self.requests, name));
                let capacity = u128::from(node.allocatable(name));
                (capacity > 0).then(|| (u128::from(requested).min(capacity) << 40) / capacity)
            };
            match COMPARED.map(share) {
                [Some(a), Some(b)] => (((2 << 40) - a.abs_diff(b)) * u128::from(MAX_SCORE) / (2 << 40)) as u64,
                _ => MAX_SCORE,
            }
        };
        asks.then(|| nodes.iter().map(score).collect())
    }
}
