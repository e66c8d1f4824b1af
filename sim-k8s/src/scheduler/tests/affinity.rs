//! Pods near pods, and far from them.

use super::{Bench, labelled, node, pod, set};
use crate::api::Labels;

fn zones() -> Bench {
    Bench::new([node("n1", "a"), node("n2", "a"), node("n3", "b")])
}

/// `podAffinity` or `podAntiAffinity` with one required term for pods of this app.
fn required(kind: &str, app: &str, key: &str, more: &str) -> String {
    format!(
        "  affinity: {{{kind}: {{requiredDuringSchedulingIgnoredDuringExecution: [{{topologyKey: {key}, \
         labelSelector: {{matchLabels: {{app: {app}}}}}{more}}}]}}}}\n"
    )
}

fn preferred(kind: &str, app: &str, key: &str) -> String {
    format!(
        "  affinity: {{{kind}: {{preferredDuringSchedulingIgnoredDuringExecution: [{{weight: 10, podAffinityTerm: \
         {{topologyKey: {key}, labelSelector: {{matchLabels: {{app: {app}}}}}}}}}]}}}}\n"
    )
}

const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

#[test]
fn a_pod_goes_where_the_pods_are_that_it_requires() {
    let bench = zones().with(labelled("db", "app: db", ""), "n1");
    assert_eq!(bench.best(&pod("p", &required("podAffinity", "db", HOST, ""))), set(&["n1"]));
    assert_eq!(
        bench.best(&pod("p", &required("podAffinity", "db", ZONE, ""))),
        set(&["n2"]),
        "in its zone, on the emptier node"
    );
    assert_eq!(
        bench.failure(&pod("p", &required("podAffinity", "cache", HOST, ""))),
        "0/3 nodes are available: 3 node(s) didn't match pod affinity rules. \
         preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    );
}

#[test]
fn the_first_of_pods_that_want_each_other_may_go_anywhere_with_the_label() {
    let bench = Bench::new([node("n1", "a"), node("n2", "a"), node("n3", "")]);
    assert_eq!(bench.best(&pod("p", &required("podAffinity", "web", ZONE, ""))), set(&["n1", "n2"]));
}

#[test]
fn anti_affinity_holds_for_both_sides() {
    let shy = required("podAntiAffinity", "web", ZONE, "");
    let bench = zones().with(pod("a", ""), "n1");
    assert_eq!(bench.best(&pod("p", &shy)), set(&["n3"]));
    let bench = zones().with(pod("a", &shy), "n3");
    assert_eq!(bench.best(&pod("p", "")), set(&["n1", "n2"]), "who is there refuses");
    let bench = bench.with(pod("b", ""), "n1");
    assert!(
        bench
            .failure(&pod("p", &shy))
            .starts_with("0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.")
    );
    let alone = Bench::new([node("n1", "a")]).with(pod("a", &shy), "n1");
    assert!(
        alone
            .failure(&pod("p", ""))
            .starts_with("0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.")
    );
}

#[test]
fn a_term_means_its_own_namespace_unless_it_names_others() {
    let mut db = crate::api::Pod::clone(&labelled("db", "app: db", ""));
    db.key.namespace = "data".into();
    let mut bench = zones().with(db.into(), "n2");
    bench.namespaces.insert("data".into(), Labels::from([("team".into(), "storage".into())]));
    let near = |more: &str| pod("p", &required("podAffinity", "db", HOST, more));
    assert!(bench.failure(&near("")).contains("3 node(s) didn't match pod affinity rules"));
    for others in
        [", namespaces: [data]", ", namespaceSelector: {}", ", namespaceSelector: {matchLabels: {team: storage}}"]
    {
        assert_eq!(bench.best(&near(others)), set(&["n2"]), "{others}");
    }
    assert!(bench.failure(&near(", namespaceSelector: {matchLabels: {team: web}}")).contains("pod affinity rules"));
}

#[test]
fn match_label_keys_compare_the_pods_own_labels() {
    let of = |name: &str, rev: &str, fields: &str| labelled(name, &format!("app: web, rev: '{rev}'"), fields);
    let bench = Bench::new([node("n1", ""), node("n2", "")]).with(of("a", "1", ""), "n1").with(of("b", "2", ""), "n2");
    let anti = |keys: &str| required("podAntiAffinity", "web", HOST, keys);
    assert_eq!(bench.best(&of("c", "1", &anti(", matchLabelKeys: [rev]"))), set(&["n2"]));
    assert_eq!(bench.best(&of("c", "1", &anti(", mismatchLabelKeys: [rev]"))), set(&["n1"]));
}

#[test]
fn preferences_of_both_sides_are_weighed() {
    let bench = zones().with(labelled("db", "app: db", ""), "n1");
    assert_eq!(bench.best(&pod("p", &preferred("podAffinity", "db", ZONE))), set(&["n2"]));
    assert_eq!(bench.best(&pod("p", &preferred("podAntiAffinity", "db", ZONE))), set(&["n3"]));
    let bench = zones().with(labelled("db", "app: db", &preferred("podAntiAffinity", "web", ZONE)), "n1");
    assert_eq!(bench.best(&pod("p", "")), set(&["n3"]));
    let bench = zones().with(labelled("db", "app: db", &required("podAffinity", "web", ZONE, "")), "n3");
    assert_eq!(bench.best(&pod("p", "")), set(&["n3"]), "what one requires is welcome to it too");
}
