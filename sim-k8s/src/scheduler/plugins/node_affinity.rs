//! Node selectors and node affinity (upstream plugins/nodeaffinity).

use std::collections::BTreeSet;

use crate::api::{NodeSelectorTerm, Operator, PodTemplate};

use super::super::cycle::Cycle;
use super::super::snapshot::NodeInfo;
use super::{Narrowed, Objection, Plugin, normalized};

struct NodeAffinity<'a> {
    template: &'a PodTemplate,
}

pub(super) fn prepare<'a>(cycle: &'a Cycle<'a>) -> Box<dyn Plugin + 'a> {
    Box::new(NodeAffinity { template: &cycle.pod.template })
}

impl Plugin for NodeAffinity<'_> {
    /// If every term names nodes, only these need be looked at. The pods of DaemonSets do so.
    fn narrow(&self) -> Narrowed {
        let terms = self.template.affinity.node.required.as_deref().unwrap_or_default();
        let named: Option<Vec<_>> = terms.iter().map(names).collect();
        let names: BTreeSet<String> = named.unwrap_or_default().into_iter().flatten().collect();
        match (terms.iter().all(|term| self::names(term).is_some()), names.is_empty()) {
            _ if terms.is_empty() => Narrowed::All,
            (false, _) => Narrowed::All,
            (true, true) => Narrowed::None("pod affinity terms conflict"),
            (true, false) => Narrowed::To(names),
        }
    }

    fn filter(&self, node: &NodeInfo) -> Result<(), Objection> {
        match self.template.selects(&node.node) {
            true => Ok(()),
            false => Err(Objection::node("node(s) didn't match Pod's node affinity/selector")),
        }
    }

    fn score(&self, nodes: &[&NodeInfo]) -> Option<Vec<u64>> {
        let preferred = &self.template.affinity.node.preferred;
        let score = |node: &&NodeInfo| {
            let matching = preferred.iter().filter(|preference| preference.term.matches(&node.node));
            matching.map(|preference| u64::from(preference.weight)).sum()
        };
        (!preferred.is_empty()).then(|| normalized(nodes.iter().map(score).collect(), false))
    }
}

/// The nodes a term names: those that all its `metadata.name In` have in common; `None` if it has none.
fn names(term: &NodeSelectorTerm) -> Option<BTreeSet<String>> {
    let lists = term.fields.requirements.iter().filter(|r| r.operator == Operator::In);
    let sets = lists.map(|requirement| requirement.values.iter().cloned().collect::<BTreeSet<_>>());
    sets.reduce(|a, b| a.intersection(&b).cloned().collect())
}
