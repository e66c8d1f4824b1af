//! Taints keep pods away that do not tolerate them (upstream plugins/tainttoleration).

use crate::api::{PodTemplate, TaintEffect, Toleration};

use super::super::cycle::Cycle;
use super::super::snapshot::NodeInfo;
use super::{Objection, Plugin, normalized};

struct TaintToleration<'a> {
    template: &'a PodTemplate,
}

pub(super) fn prepare<'a>(cycle: &'a Cycle<'a>) -> Box<dyn Plugin + 'a> {
    Box::new(TaintToleration { template: &cycle.pod.template })
}

impl Plugin for TaintToleration<'_> {
    fn filter(&self, node: &NodeInfo) -> Result<(), Objection> {
        let Some(taint) = self.template.untolerated_taint(&node.node) else { return Ok(()) };
        Err(Objection::node(format!("node(s) had untolerated taint {{{}: {}}}", taint.key, taint.value)))
    }

    /// The fewer `PreferNoSchedule` taints it does not tolerate the better.
    fn score(&self, nodes: &[&NodeInfo]) -> Option<Vec<u64>> {
        let soft = |t: &&Toleration| t.effect.is_none_or(|effect| effect == TaintEffect::PreferNoSchedule);
        let tolerations: Vec<&Toleration> = self.template.tolerations.iter().filter(soft).collect();
        let intolerable = |node: &&NodeInfo| {
            let taints = node.node.taints.iter().filter(|taint| taint.effect == TaintEffect::PreferNoSchedule);
            taints.filter(|taint| !tolerations.iter().any(|t| t.tolerates(taint))).count() as u64
        };
        Some(normalized(nodes.iter().map(intolerable).collect(), true))
    }
}
