//! What pods ask of their node, as it is written and as it is mistaken.

use super::mistakes::refused_one;
use super::{deployment, loaded};
use crate::api::{Operator, PodTemplate, Resources, TaintEffect, ZONE};

/// A pod whose spec has `fields`, indented by two.
fn pod(fields: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p, labels: {{app: web}}}}\nspec:\n  containers: [{{name: a}}]\n{fields}"
    )
}

fn template(fields: &str) -> PodTemplate {
    PodTemplate::clone(&loaded(&pod(fields)).objects.workloads[0].template)
}

#[test]
fn affinities_are_read_with_their_terms() {
    let affinity = template(
        "  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms:
        - matchExpressions: [{key: cores, operator: Gt, values: ['8']}]
          matchFields: [{key: metadata.name, operator: In, values: [n1]}]
      preferredDuringSchedulingIgnoredDuringExecution:
      - {weight: 7, preference: {matchExpressions: [{key: disk, operator: Exists}]}}
    podAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
      - {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: db}}, namespaces: [data]}
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
      - {weight: 100, podAffinityTerm: {topologyKey: zone, namespaceSelector: {}, matchLabelKeys: [app]}}
",
    )
    .affinity;
    let required = &affinity.node.required.expect("required")[0];
    assert_eq!(required.labels.requirements[0].operator, Operator::Gt);
    assert_eq!(required.fields.requirements[0].values, ["n1"]);
    assert_eq!(affinity.node.preferred[0].weight, 7);
    assert_eq!(affinity.pod.required[0].namespaces, ["data"]);
    let anti = &affinity.anti.preferred[0].term;
    assert_eq!((anti.selector.clone(), anti.namespace_selector.is_some()), (None, true));
    assert_eq!(anti.match_label_keys, ["app"]);
}

#[test]
fn spread_constraints_have_the_defaults_of_the_scheduler() {
    let spread = template(
        "  topologySpreadConstraints:
  - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}
  - {maxSkew: 2, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: ScheduleAnyway, nodeTaintsPolicy: Honor, nodeAffinityPolicy: Ignore}
",
    )
    .topology_spread;
    assert!(spread[0].required && spread[0].honors_affinity && !spread[0].honors_taints);
    assert_eq!((spread[0].min_domains, spread[1].max_skew), (1, 2));
    assert!(!spread[1].required && !spread[1].honors_affinity && spread[1].honors_taints);
    assert_eq!((spread[1].topology_key.as_str(), &spread[1].selector), (ZONE, &None));
}

#[test]
fn tolerations_and_taints_meet() {
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: n2, labels: {disk: ssd}}\nspec:\n  unschedulable: true\n  taints:\n  \
                - {key: gpu, effect: NoSchedule}\nstatus: {allocatable: {cpu: 2, memory: 1500Mi}}\n";
    let tolerating = pod(
        "  tolerations:\n  - {key: gpu, operator: Exists}\n  - {key: x, effect: NoExecute, tolerationSeconds: -5}\n",
    );
    let objects = loaded(&format!("{node}---\n{tolerating}")).objects;
    let (node, template) = (&objects.nodes[0], &objects.workloads[0].template);
    assert_eq!((node.name(), node.labels["disk"].as_str(), node.unschedulable), ("n2", "ssd", true));
    assert_eq!(
        (node.allocatable["cpu"], node.allocatable["memory"], node.allocatable["pods"]),
        (2000, 1500 << 20, 110)
    );
    assert_eq!(node.taints[0].effect, TaintEffect::NoSchedule);
    assert_eq!(template.untolerated_taint(node), None);
    assert_eq!((template.tolerations[1].value.as_deref(), template.tolerations[1].seconds), (Some(""), Some(0)));
}

#[test]
fn requests_may_be_numbers_and_default_to_the_limits() {
    let container = "        resources: {requests: {cpu: 1}, limits: {cpu: 2, memory: 1Gi, nvidia.com/gpu: 1}}\n";
    let template = &loaded(&deployment("web", container)).objects.workloads[0].template;
    let requests: Resources = [("cpu".into(), 1000), ("memory".into(), 1 << 30), ("nvidia.com/gpu".into(), 1)].into();
    assert_eq!(template.requests(&Resources::new()), requests);
}

#[test]
fn an_init_container_counts_with_the_sidecars_before_it() {
    let requests = |cpu: &str| format!("resources: {{requests: {{cpu: {cpu}}}}}");
    let spec = format!(
        "  initContainers:\n  - {{name: proxy, restartPolicy: Always, {}}}\n  - {{name: migrate, {}}}\n",
        requests("200m"),
        requests("'1'")
    );
    assert_eq!(template(&spec).requests(&Resources::new()), [("cpu".into(), 1200)].into());
}

#[test]
fn priorities_come_from_their_classes_wherever_these_stand() {
    let classes = "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: high}\nvalue: 1000\npreemptionPolicy: Never\n---\n\
                   apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: usual}\nvalue: 5\nglobalDefault: true\n";
    let of = |fields: &str| {
        let template = loaded(&format!("{}---\n{classes}", pod(fields))).objects.workloads[0].template.clone();
        (template.priority, template.never_preempts)
    };
    assert_eq!(of("  priorityClassName: high\n"), (1000, true));
    assert_eq!(of("  priorityClassName: system-node-critical\n"), (2_000_001_000, false));
    assert_eq!(of(""), (5, false));
    let unknown = loaded(&pod("  priorityClassName: nobody\n"));
    assert_eq!(unknown.objects.workloads[0].template.priority, 0);
    assert!(unknown.warnings[0].to_string().contains("there is no PriorityClass \"nobody\""));
}

#[test]
fn scheduling_that_makes_no_sense() {
    let cases = [
        (
            "operators",
            "  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Gt, values: [x]}, {key: b, operator: Like}], matchFields: [{key: spec.x, operator: Exists}]}]}}}\n",
        ),
        (
            "affinity_terms",
            "  affinity: {podAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 0, podAffinityTerm: {topologyKey: ''}}]}, nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}}}\n",
        ),
        (
            "spread",
            "  topologySpreadConstraints: [{maxSkew: 0, topologyKey: a, whenUnsatisfiable: Never}, {maxSkew: 1, topologyKey: b, whenUnsatisfiable: ScheduleAnyway, minDomains: 2}, {maxSkew: 1, topologyKey: b, whenUnsatisfiable: ScheduleAnyway}]\n",
        ),
        (
            "tolerations",
            "  tolerations: [{operator: Equal}, {key: a, operator: Exists, value: x}, {key: b, effect: Never}, {key: c, tolerationSeconds: 5}]\n",
        ),
    ];
    for (name, fields) in cases {
        insta::assert_snapshot!(name, refused_one(&pod(fields)));
    }
    let requests = "        resources: {requests: {cpu: many, memory: -1}}\n";
    insta::assert_snapshot!("requests", refused_one(&deployment("web", requests)));
}
