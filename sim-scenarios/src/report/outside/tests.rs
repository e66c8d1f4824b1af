use sim_k8s::manifest::{Loaded, SourceFile, load};
use sim_k8s::workload::infer_calls;

use super::*;
use crate::report::Report;
use crate::run::{Run, RunConfig};

/// A Service of `more` in its spec, and a Deployment of so many pods behind it.
fn objects(replicas: u32, more: &str, pod_spec: &str) -> Loaded {
    let text = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{selector: {{app: web}}, ports: [{{port: 80}}], {more}}}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: {replicas}\n  selector: {{matchLabels: \
         {{app: web, tier: \"1\"}}}}\n  template:\n    metadata: {{labels: {{app: web, tier: \"1\"}}}}\n    spec: {{containers: [{{name: a}}]{pod_spec}}}\n"
    );
    load(&[SourceFile { name: "web.yaml".into(), text }]).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// The report of a Service whose endpoints stand on these nodes, of three; each call is one way.
fn report(loaded: &Loaded, homes: &[usize], ways: &[(usize, usize)]) -> OutsideReport {
    let nodes: Vec<Node> = ["n1", "n2", "n3"].map(Node::new).into();
    let endpoints = homes.iter().enumerate().map(|(number, home)| (format!("default/web-{number}"), *home));
    let mut counted = BTreeMap::new();
    ways.iter().for_each(|way| *counted.entry(*way).or_default() += 1);
    OutsideReport::of(&Facts {
        service: &loaded.objects.services[0],
        nodes: nodes.iter().collect(),
        endpoints: endpoints.collect(),
        ways: counted,
        workload: Some(&loaded.objects.workloads[0]),
    })
}

#[test]
fn a_call_that_is_answered_on_another_node_is_a_second_hop() {
    let report = report(&objects(2, "type: LoadBalancer", ""), &[0, 1], &[(0, 0), (0, 1), (2, 1), (2, 1)]);
    assert_eq!((report.answered, report.second_hops, report.expected_second_hops_percent), (4, 3, 67));
    let rows: Vec<_> = report.nodes.iter().map(|node| (node.entered, node.endpoints, node.answered)).collect();
    assert_eq!(rows, [(2, 1, 1), (0, 1, 3), (2, 0, 0)]);
    assert_eq!((report.busiest_percent, report.expected_busiest_percent), (Some(150), Some(100)));
}

#[test]
fn with_local_a_lonely_endpoint_is_busier_than_those_that_share_a_node() {
    let local = "type: LoadBalancer, externalTrafficPolicy: Local";
    let uneven = report(&objects(3, local, ""), &[0, 0, 1], &[]);
    assert_eq!((uneven.expected_second_hops_percent, uneven.expected_busiest_percent), (0, Some(150)));
    insta::assert_snapshot!("uneven", uneven.advice.expect("advice"));
    assert_eq!(report(&objects(3, local, ""), &[0, 1, 2], &[]).advice, None, "even as it is");
    assert_eq!(report(&objects(2, local, ""), &[0, 2], &[]).advice, None, "a node without endpoint gets no calls");
}

#[test]
fn second_hops_end_with_local_and_a_spread_that_keeps_it_even() {
    let cluster = report(&objects(4, "type: LoadBalancer", ""), &[0, 1, 2, 2], &[]);
    insta::assert_snapshot!("second_hops", cluster.advice.expect("advice"));
    let spread = ", topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, \
                  whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}]";
    let kept = report(&objects(3, "type: LoadBalancer", spread), &[0, 1, 2], &[]).advice.expect("advice");
    assert_eq!(kept.patches.len(), 1, "it is spread already: {kept}");
}

#[test]
fn who_calls_node_ports_needs_an_endpoint_on_every_node() {
    let advice = report(&objects(1, "type: NodePort", ""), &[0], &[]).advice.expect("advice");
    insta::assert_snapshot!("node_port", advice);
    let picky = objects(1, "type: NodePort", ", nodeSelector: {disk: ssd}");
    assert_eq!(report(&picky, &[0], &[]).advice, None, "not every node can have one");
}

#[test]
fn labels_that_yaml_would_take_for_something_else_are_quoted() {
    let advice = report(&objects(3, "type: LoadBalancer", ""), &[0, 0, 1], &[]).advice.expect("advice");
    assert!(advice.to_string().contains("            tier: \"1\"\n"));
}

/// A Service and its Deployment, which would rather have all pods on `n1`, where two fit. `service` and `deployment` are
/// what advice says to merge into them.
fn drawn_to_one_node(service: &str, deployment: &str) -> String {
    format!(
        "apiVersion: v1
kind: Node
metadata: {{name: n1}}
status: {{allocatable: {{cpu: 2500m}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec:
  type: NodePort
  selector: {{app: web}}
  ports: [{{port: 80}}]
{service}---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 3
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers: [{{name: a, ports: [{{containerPort: 80}}], resources: {{requests: {{cpu: 1}}}}}}]
      affinity:
        nodeAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - {{weight: 100, preference: {{matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [n1]}}]}}}}
{deployment}"
    )
}

fn run(text: &str) -> Report {
    let loaded =
        load(&[SourceFile { name: "web.yaml".into(), text: text.into() }]).expect("manifests without mistakes");
    let mut run = Run::new(&loaded.objects, &infer_calls(&loaded.objects), RunConfig::default()).expect("a cluster");
    while run.advance(10_000) {
        run.take_seen();
    }
    Report::of(&run, &loaded)
}

/// The fields of a patch at its deepest level, where the manifests above go on.
fn innermost(patch: &Patch) -> String {
    let is_parent = |line: &&str| matches!(line.trim(), "spec:" | "template:");
    patch.yaml.lines().skip_while(is_parent).map(|line| format!("{line}\n")).collect()
}

#[test]
fn what_the_advice_says_cures_second_hops_and_imbalance() {
    let before = run(&drawn_to_one_node("", ""));
    let web = &before.outside[0];
    assert_eq!(web.nodes.iter().map(|node| node.endpoints).max(), Some(2), "{before}");
    assert!(web.answered >= 60 && web.nodes.iter().all(|node| node.entered > 0), "{before}");
    assert!((40..=95).contains(&(100 * web.second_hops / web.answered)), "two of three are to be expected: {before}");
    let advice = web.advice.as_ref().expect("advice");
    let [service, deployment] = advice.patches.as_slice() else { panic!("{advice}") };

    let after = run(&drawn_to_one_node(&innermost(service), &innermost(deployment)));
    let web = &after.outside[0];
    assert_eq!((web.second_hops, web.expected_busiest_percent, &web.advice), (0, Some(100), &None), "{after}");
    assert!(web.answered >= 60, "no call is lost: {after}");
    assert!(web.nodes.iter().all(|node| node.endpoints == 1 && node.entered == node.answered), "{after}");
}
