//! Which nodes a DaemonSet's pods belong on (`nodeShouldRunDaemonPod`, pkg/controller/daemon/daemon_controller.go).

use std::sync::Arc;

use crate::api::{
    Node, NodeAffinity, NodeSelectorTerm, Operator, Pod, PodTemplate, Requirement, Selector, TaintEffect, Toleration,
};

/// Whether a pod of `template` should run on a node, and whether one that does may go on.
pub(super) fn should_run(template: &PodTemplate, node: &Node) -> (bool, bool) {
    let elsewhere = template.node_name.as_ref().is_some_and(|name| *name != node.key.name);
    if elsewhere || !template.selects(node) {
        return (false, false);
    }
    let evicts = |effect| effect == TaintEffect::NoExecute;
    let evicted = node.taints.iter().any(|taint| evicts(taint.effect) && !template.tolerates(taint));
    (template.untolerated_taint(node).is_none(), !evicted)
}

/// `template` with what every pod of a DaemonSet puts up with: it is on its node whatever becomes of that
/// (`AddOrUpdateDaemonPodTolerations`, pkg/controller/daemon/util).
pub(super) fn hardened(template: &PodTemplate) -> PodTemplate {
    let mut hardened = template.clone();
    let mut puts_up_with = |name: &str, effect| {
        let key = Some(format!("node.kubernetes.io/{name}"));
        let toleration = Toleration { key, value: None, effect: Some(effect), seconds: None };
        hardened.tolerations.retain(|other| (&other.key, other.effect) != (&toleration.key, toleration.effect));
        hardened.tolerations.push(toleration);
    };
    puts_up_with("not-ready", TaintEffect::NoExecute);
    puts_up_with("unreachable", TaintEffect::NoExecute);
    for name in ["disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"] {
        puts_up_with(name, TaintEffect::NoSchedule);
    }
    if template.host_network {
        puts_up_with("network-unavailable", TaintEffect::NoSchedule);
    }
    hardened
}

/// `template` for the pod of one node: it requires the node by name, and the scheduler does the rest
/// (`ReplaceDaemonSetPodNodeNameNodeAffinity`).
pub(super) fn on_node(template: &PodTemplate, node: &str) -> Arc<PodTemplate> {
    let mut template = template.clone();
    let name = Requirement { key: FIELD.into(), operator: Operator::In, values: vec![node.to_owned()] };
    let fields = Selector { requirements: vec![name] };
    let preferred = std::mem::take(&mut template.affinity.node.preferred);
    let required = Some(vec![NodeSelectorTerm { labels: Selector::default(), fields }]);
    template.affinity.node = NodeAffinity { required, preferred };
    Arc::new(template)
}

/// The field by which a pod requires its node.
const FIELD: &str = "metadata.name";

/// The node a pod is on or will be (`GetTargetNodeName`).
pub(super) fn target(pod: &Pod) -> Option<&str> {
    let required = || {
        let terms = pod.template.affinity.node.required.as_ref()?;
        let requirements = terms.iter().flat_map(|term| &term.fields.requirements);
        requirements.filter(|r| r.key == FIELD).find_map(|r| r.values.first()).map(String::as_str)
    };
    pod.node_name.as_deref().or_else(required)
}
