//! No new pods on a cordoned node (upstream plugins/nodeunschedulable).

use crate::api::{PodTemplate, Taint, TaintEffect};

use super::super::cycle::Cycle;
use super::super::snapshot::NodeInfo;
use super::{Objection, Plugin};

struct NodeUnschedulable {
    tolerated: bool,
}

pub(super) fn prepare<'a>(cycle: &'a Cycle<'a>) -> Box<dyn Plugin + 'a> {
    Box::new(NodeUnschedulable { tolerated: tolerates(&cycle.pod.template) })
}

/// Whether a pod comes to a cordoned node all the same.
fn tolerates(template: &PodTemplate) -> bool {
    let (key, value) = ("node.kubernetes.io/unschedulable".to_owned(), String::new());
    template.tolerates(&Taint { key, value, effect: TaintEffect::NoSchedule })
}

impl Plugin for NodeUnschedulable {
    fn filter(&self, node: &NodeInfo) -> Result<(), Objection> {
        let closed = node.node.unschedulable && !self.tolerated;
        if closed { Err(Objection::node("node(s) were unschedulable")) } else { Ok(()) }
    }
}
