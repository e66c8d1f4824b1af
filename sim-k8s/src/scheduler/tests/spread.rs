//! Pods spread over nodes and zones.

use std::sync::Arc;

use sim_core::engine::time::Duration;

use super::{Bench, labelled, node, pod, set, tainted};
use crate::api::{Deletion, Pod, Selector, TaintEffect};

fn constraint(rule: &str) -> String {
    format!("  topologySpreadConstraints: [{{{rule}, labelSelector: {{matchLabels: {{app: web}}}}}}]\n")
}

const BY_NODE: &str = "maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule";
const BY_ZONE: &str = "maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule";

/// Three nodes in two zones.
fn zones() -> Bench {
    Bench::new([node("n1", "a"), node("n2", "a"), node("n3", "b")])
}

#[test]
fn no_node_gets_more_than_the_skew_allows() {
    let bench = zones().with(pod("a", ""), "n1").with(pod("b", ""), "n2");
    assert_eq!(bench.best(&pod("c", &constraint(BY_NODE))), set(&["n3"]));
    let loose = BY_NODE.replace("maxSkew: 1", "maxSkew: 2");
    assert!(bench.best(&pod("c", &constraint(&loose))).contains("n3"));
    let full = Bench::new([node("n1", "a")]).with(pod("a", ""), "n1");
    assert_eq!(full.best(&pod("c", &constraint(BY_NODE))), set(&["n1"]), "there is no emptier node");
}

#[test]
fn zones_are_counted_over_all_their_nodes() {
    let bench = zones().with(pod("a", ""), "n1").with(pod("b", ""), "n3").with(pod("c", ""), "n2");
    assert_eq!(bench.best(&pod("d", &constraint(BY_ZONE))), set(&["n3"]));
}

#[test]
fn a_node_without_the_label_does_not_fit_and_is_no_domain() {
    let bench = Bench::new([node("n1", "a"), node("n2", "")]).with(pod("a", ""), "n1");
    assert_eq!(bench.best(&pod("b", &constraint(BY_ZONE))), set(&["n1"]));
    let bare = Bench::new([node("n1", "")]);
    assert!(bare.failure(&pod("b", &constraint(BY_ZONE))).starts_with(
        "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label)."
    ));
}

#[test]
fn only_pods_of_the_selector_and_the_namespace_count_and_none_that_leaves() {
    let other = labelled("x", "app: api", "");
    let leaving = |name: &str| {
        let mut pod = Pod::clone(&pod(name, ""));
        pod.meta.deletion = Some(Deletion { requested: Default::default(), grace: Duration::from_secs(30) });
        Arc::new(pod)
    };
    let mut elsewhere = Pod::clone(&pod("y", ""));
    elsewhere.key.namespace = "other".into();
    let bench = zones().with(other, "n3").with(leaving("l"), "n3").with(Arc::new(elsewhere), "n3");
    let bench = bench.with(pod("a", ""), "n1").with(pod("b", ""), "n2");
    assert_eq!(bench.best(&pod("c", &constraint(BY_NODE))), set(&["n3"]));
}

#[test]
fn too_few_domains_count_as_one_without_pods() {
    let bench = zones().with(pod("a", ""), "n1").with(pod("b", ""), "n3");
    let three = format!("{BY_ZONE}, minDomains: 3");
    assert!(
        bench
            .failure(&pod("c", &constraint(&three)))
            .contains("3 node(s) didn't match pod topology spread constraints.")
    );
    assert_eq!(bench.best(&pod("c", &constraint(&format!("{BY_ZONE}, minDomains: 2")))), set(&["n2"]));
}

#[test]
fn a_node_the_pod_cannot_go_to_is_a_domain_or_not_as_the_policies_say() {
    let nodes = [node("n1", ""), tainted("n2", "gpu", TaintEffect::NoSchedule)];
    let bench = Bench::new(nodes.clone()).with(pod("a", ""), "n1");
    assert!(
        bench
            .failure(&pod("b", &constraint(BY_NODE)))
            .contains("1 node(s) didn't match pod topology spread constraints")
    );
    assert_eq!(bench.best(&pod("b", &constraint(&format!("{BY_NODE}, nodeTaintsPolicy: Honor")))), set(&["n1"]));
    let mut nodes = nodes;
    nodes[0].labels.insert("disk".into(), "ssd".into());
    nodes[1].taints.clear();
    let bench = Bench::new(nodes).with(pod("a", ""), "n1");
    let picky = |policy: &str| format!("  nodeSelector: {{disk: ssd}}\n{}", constraint(&format!("{BY_NODE}{policy}")));
    assert_eq!(bench.best(&pod("b", &picky(""))), set(&["n1"]), "n2 is no domain for it");
    assert!(
        bench
            .failure(&pod("b", &picky(", nodeAffinityPolicy: Ignore")))
            .contains("1 node(s) didn't match pod topology")
    );
}

#[test]
fn with_match_label_keys_each_revision_is_spread_by_itself() {
    let rule = format!(
        "  topologySpreadConstraints: [{{{BY_NODE}, matchLabelKeys: [rev], labelSelector: {{matchLabels: {{app: web}}}}}}]\n"
    );
    let of = |name: &str, rev: &str, fields: &str| labelled(name, &format!("app: web, rev: '{rev}'"), fields);
    let bench = Bench::new([node("n1", ""), node("n2", "")]).with(of("a", "1", ""), "n1").with(of("b", "2", ""), "n2");
    assert_eq!(bench.best(&of("c", "2", &rule)), set(&["n1"]));
    assert_eq!(bench.best(&of("c", "1", &rule)), set(&["n2"]));
}

#[test]
fn a_soft_constraint_makes_emptier_domains_better() {
    let soft = constraint(&BY_ZONE.replace("DoNotSchedule", "ScheduleAnyway"));
    let bench = zones().with(pod("a", ""), "n1").with(pod("b", ""), "n2");
    assert_eq!(bench.best(&pod("c", &soft)), set(&["n3"]));
}

#[test]
fn pods_of_a_service_are_spread_over_nodes_and_zones_without_being_asked() {
    let mut bench = zones().with(pod("a", ""), "n1");
    // One of another kind as heavy as it, so that nothing but the spread is left to decide.
    for (name, node) in [("x", "n2"), ("y", "n3")] {
        bench = bench.with(labelled(name, "app: api", ""), node);
    }
    assert_eq!(bench.best(&pod("b", "")), set(&["n1", "n2", "n3"]), "a pod of nobody is not spread");
    bench.default_selector = Some(Selector::equal_to(&[("app".into(), "web".into())].into()));
    assert_eq!(bench.best(&pod("b", "")), set(&["n3"]));
    let bench = bench.with(pod("b", ""), "n3").with(labelled("z", "app: api", ""), "n1");
    assert_eq!(bench.best(&pod("c", "")), set(&["n2"]), "the zones are even, the nodes are not");
}
