//! What people get wrong, and what they are told.

use proptest::prelude::*;

use super::super::load;
use super::{deployment, files, lines, service};

fn refused(texts: &[&str]) -> String {
    lines(&load(&files(texts)).expect_err("refused"))
}

/// What is said about `text`, with a good object before and after it.
pub(super) fn refused_one(text: &str) -> String {
    refused(&[text])
}

#[test]
fn every_error_of_every_file_is_told_at_once() {
    let broken = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports: [80\n";
    let wrong = service("b", "  ports:\n  - port: \"eighty\"\n  - {port: 70000, protocol: tcp}\n");
    insta::assert_snapshot!(refused(&[broken, &wrong, "kind: Pod\n", "just text\n"]));
}

#[test]
fn ports_replicas_and_names_out_of_range() {
    let port = deployment(
        "web",
        "        ports:\n        - containerPort: 70000\n        - {containerPort: 80, name: HTTP}\n        - name: x\n",
    );
    insta::assert_snapshot!("container_ports", refused_one(&port));
    let replicas = deployment("web", "").replace("spec:\n  selector", "spec:\n  replicas: -1\n  selector");
    insta::assert_snapshot!("negative_replicas", refused_one(&replicas));
    insta::assert_snapshot!("too_many_replicas", refused_one(&replicas.replace("-1", "2000000000")));
    insta::assert_snapshot!("bad_name", refused_one(&deployment("My_App", "")));
    let no_name = service("", "  ports: [{port: 80}]\n");
    insta::assert_snapshot!("no_name", refused_one(&no_name));
}

#[test]
fn a_name_that_attacks_the_terminal_is_shown_harmless() {
    let name = "\"\\e]0;owned\\a\\u202e\"";
    insta::assert_snapshot!("escapes", refused_one(&service(name, "  ports: [{port: 80}]\n")));
    let long = "a".repeat(10 << 20);
    let message = refused_one(&service(&long, "  ports: [{port: 80}]\n"));
    assert!(message.len() < 1000, "{} bytes", message.len());
}

#[test]
fn selectors_that_are_missing_or_match_nothing() {
    let missing = deployment("web", "").replace("  selector:\n    matchLabels: {app: web}\n", "");
    insta::assert_snapshot!("no_selector", refused_one(&missing));
    let other = deployment("web", "").replace("matchLabels: {app: web}", "matchLabels: {app: api, tier: front}");
    insta::assert_snapshot!("labels_differ", refused_one(&other));
    let bad = "matchExpressions: [{key: app, operator: Like, values: [x]}, {key: app, operator: Exists, values: [x]}]";
    insta::assert_snapshot!(
        "bad_expression",
        refused_one(&deployment("web", "").replace("matchLabels: {app: web}", bad))
    );
}

#[test]
fn two_objects_of_one_name_and_claims_that_clash() {
    let web = deployment("web", "");
    insta::assert_snapshot!("twice", refused(&[&web, &web]));
    let a = service("a", "  type: NodePort\n  clusterIP: 10.96.0.50\n  ports: [{port: 80, nodePort: 30080}]\n");
    let b = service("b", "  type: NodePort\n  clusterIP: 10.96.0.50\n  ports: [{port: 81, nodePort: 30080}]\n");
    insta::assert_snapshot!("claims", refused(&[&a, &b]));
    let udp = b.replace("nodePort: 30080", "nodePort: 30080, protocol: UDP").replace("0.50", "0.51");
    load(&files(&[&a, &udp])).expect("TCP and UDP may share a node port");
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
    load(&files(&[namespace, namespace])).expect("a namespace may be declared by each file");
}

#[test]
fn too_much_of_anything() {
    let many = "---\napiVersion: v1\nkind: Service\n".repeat(20_001);
    insta::assert_snapshot!("many_objects", refused_one(&many));
    let nameless = refused_one(&"---\napiVersion: v1\nkind: Service\n".repeat(2000));
    assert!(
        nameless.ends_with("more than 500 findings; the rest is left out\n  repair the ones above and try again\n")
    );
    let labels: Vec<String> = (0..1000).map(|i| format!("label-number-{i:05}: x")).collect();
    let labels =
        deployment("web", "").replace("labels: {app: web}", &format!("labels: {{app: web, {}}}", labels.join(", ")));
    insta::assert_snapshot!("many_labels", refused_one(&labels));
    let text = "x".repeat(2 << 20);
    let config = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: big}}\ndata: {{a: {text}}}\n");
    insta::assert_snapshot!("big_config_map", refused_one(&config));
}

#[test]
fn keys_that_stand_twice() {
    insta::assert_snapshot!(refused_one(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  name: b\nspec:\n  ports: [{port: 1, port: 2}]\nkind: Service\n"
    ));
}

#[test]
fn services_that_make_no_sense() {
    let cases = [
        ("no_ports", "  selector: {app: a}\n"),
        ("unnamed_ports", "  ports: [{port: 80}, {port: 81, name: b}, {port: 81, name: b}]\n"),
        ("node_port_of_cluster_ip", "  ports: [{port: 80, nodePort: 30000}]\n"),
        ("node_port_out_of_range", "  type: NodePort\n  ports: [{port: 80, nodePort: 80}]\n"),
        ("headless_node_port", "  type: NodePort\n  clusterIP: None\n  ports: [{port: 80}]\n"),
        ("bad_addresses", "  clusterIP: 10.96.0.300\n  externalIPs: [127.0.0.1, x]\n  ports: [{port: 80}]\n"),
        ("bad_words", "  type: Clusterip\n  sessionAffinity: Cookie\n  ports: [{port: 80, protocol: http}]\n"),
        (
            "local_without_outside",
            "  externalTrafficPolicy: Local\n  healthCheckNodePort: 31000\n  ports: [{port: 80}]\n",
        ),
        ("external_name", "  type: ExternalName\n  externalName: http://x\n  clusterIP: 10.96.0.1\n"),
        ("source_ranges", "  loadBalancerSourceRanges: [10.0.0.0/33]\n  ports: [{port: 80}]\n"),
        (
            "affinity",
            "  sessionAffinity: ClientIP\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: 0}}\n  ports: [{port: 80}]\n",
        ),
    ];
    for (name, rest) in cases {
        insta::assert_snapshot!(name, refused_one(&service("a", rest)));
    }
}

#[test]
fn pods_that_make_no_sense() {
    let pod = |spec: &str| format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n{spec}");
    let cases = [
        ("no_containers", "  containers: []\n"),
        (
            "containers_of_one_name",
            "  containers: [{name: a}, {name: a, ports: [{containerPort: 1, name: x}, {containerPort: 2, name: x}]}]\n",
        ),
        (
            "host_ports",
            "  containers: [{name: a, ports: [{containerPort: 1, hostPort: 80}, {containerPort: 2, hostPort: 80}]}]\n",
        ),
        (
            "host_network_port",
            "  hostNetwork: true\n  containers: [{name: a, ports: [{containerPort: 1, hostPort: 80}]}]\n",
        ),
        (
            "environment",
            "  containers: [{name: a, env: [{name: A, value: 1}, {name: B, value: true}, {name: '', value: x}]}]\n",
        ),
        (
            "environment_names",
            "  containers: [{name: a, env: [{name: '', value: x}, {name: B, value: x, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]}]\n",
        ),
    ];
    for (name, spec) in cases {
        insta::assert_snapshot!(name, refused_one(&pod(spec)));
    }
}

proptest! {
    /// One character of a good file is replaced: it is read or refused, and says where.
    #[test]
    fn a_typing_error_is_read_or_refused(at in 0usize..2000, character in "[-a-z0-9:{}\\[\\]&*#!|>'\"% \t\n,]") {
        let good = include_str!("../../../../examples/shop/shop.yaml");
        let at = at % good.len();
        let text = format!("{}{character}{}", &good[..at], &good[at + 1..]);
        if let Err(findings) = load(&files(&[&text])) {
            prop_assert!(findings.iter().all(|f| f.at.line > 0 && !f.message.is_empty()));
        }
    }
}
