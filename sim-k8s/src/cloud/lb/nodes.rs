//! Which nodes load balancers know (cloud-provider `controllers/service/controller.go`, `stableNodeSetPredicates`).
//!
//! That a node is not ready is no reason to leave it out: its health checks say so sooner.

use crate::api::Node;

/// Label of nodes that are to be left alone (`LabelNodeExcludeBalancers`).
const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// Taint of nodes that the cluster autoscaler is about to remove.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// Whether a node is to be a target, whenever somebody looks.
pub(super) fn is_target(node: &Node) -> bool {
    node.meta.deletion.is_none() && is_included(node) && node.taints.iter().all(|taint| taint.key != TO_BE_DELETED)
}

/// Whether a change of a node is a reason to look (`shouldSyncUpdatedNode`): the taint alone is not.
pub(super) fn is_reason(old: &Node, new: &Node) -> bool {
    is_included(old) != is_included(new) || old.internal_ips != new.internal_ips
}

/// `strconv.ParseBool` of the label; what cannot be read excludes.
fn is_included(node: &Node) -> bool {
    let value = node.labels.get(EXCLUDE).map(String::as_str);
    matches!(value, None | Some("0" | "f" | "F" | "false" | "FALSE" | "False"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Condition, Taint, TaintEffect};

    #[test]
    fn a_label_excludes_a_node_and_not_being_ready_does_not() {
        let node = Node { ready: Condition::Unknown, ..Node::new("n1") };
        assert!(is_target(&node));
        for (value, target) in [("", false), ("true", false), ("yes", false), ("false", true), ("0", true)] {
            let mut labelled = node.clone();
            labelled.labels.insert(EXCLUDE.into(), value.into());
            assert_eq!(is_target(&labelled), target, "{value:?}");
            assert_eq!(is_reason(&node, &labelled), !target, "{value:?}");
        }
    }

    #[test]
    fn the_autoscalers_taint_counts_only_when_somebody_looks() {
        let node = Node::new("n1");
        let taint = Taint { key: TO_BE_DELETED.into(), value: String::new(), effect: TaintEffect::NoSchedule };
        let tainted = Node { taints: vec![taint], ..node.clone() };
        assert!(!is_target(&tainted) && !is_reason(&node, &tainted));
    }
}
