//! Nodes and Namespaces.

use k8s_openapi::api::core::v1::{Namespace as K8sNamespace, Node as K8sNode};

use crate::api::{Namespace, Node, Taint};

use super::check::{Check, or_default};
use super::names;
use super::passed_over::PassedOver;

/// What the document says of a node.
pub(super) fn read(check: &mut Check<'_>, passed_over: &mut PassedOver) -> Option<Node> {
    let from = check.read::<K8sNode>(passed_over)?;
    let mut node = Node::new(check.key(names::dns_subdomain).name);
    node.labels = check.own_labels();
    let spec = or_default::<k8s_openapi::api::core::v1::NodeSpec>(from.spec);
    node.unschedulable = spec.unschedulable.unwrap_or_default();
    for (index, taint) in spec.taints.iter().flatten().enumerate() {
        let at = |field: &str| format!("spec.taints[{index}].{field}");
        check.name(&at("key"), &taint.key, names::label_key);
        let value = taint.value.clone().unwrap_or_default();
        check.name(&at("value"), &value, names::label_value);
        let effect = check.taint_effect(&at("effect"), &taint.effect);
        node.taints.push(Taint { key: taint.key.clone(), value, effect });
    }
    let allocatable = from.status.and_then(|status| status.allocatable.or(status.capacity));
    node.allocatable.extend(check.resources("status.allocatable", allocatable.as_ref()));
    Some(node)
}

/// The document as a Namespace.
pub(super) fn read_namespace(check: &mut Check<'_>, passed_over: &mut PassedOver) -> Option<Namespace> {
    check.read::<K8sNamespace>(passed_over)?;
    let name = check.document.key.name.clone();
    check.name("metadata.name", &name, names::dns_label);
    Some(Namespace::new(name, check.own_labels()))
}
