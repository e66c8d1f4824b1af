//! What makes calls from outside come to the endpoints evenly and without a second hop.

use std::fmt;
use std::fmt::Write as _;

use serde::Serialize;
use sim_k8s::api::{HOSTNAME, Node, Operator, Selector, Workload, WorkloadKind};

use super::Facts;

/// What to change, and why. Its text is what a person reads; [`Advice::patches`] is what to paste.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Advice {
    /// Why, a sentence each.
    pub why: Vec<String>,
    /// What to change.
    pub patches: Vec<Patch>,
}

/// A change of one object, in YAML: what to merge into it (`kubectl patch --patch-file`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Patch {
    /// Its kind.
    pub kind: String,
    /// Namespace and name.
    pub object: String,
    /// The fields to merge, from the root of the object.
    pub yaml: String,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.iter().try_for_each(|why| writeln!(f, "{why}"))?;
        self.patches.iter().try_for_each(|patch| write!(f, "# {} {}\n{}", patch.kind, patch.object, patch.yaml))
    }
}

/// What would make it better; `None` if nothing would, or nothing need be.
pub(super) fn advise(facts: &Facts<'_>) -> Option<Advice> {
    let workload = facts.workload.filter(|_| !facts.endpoints.is_empty())?;
    let homes = facts.nodes.iter().filter(|node| is_home(workload, node)).count() as u64;
    let mut advice = Advice { why: Vec::new(), patches: Vec::new() };
    if !facts.is_local() {
        go_local(facts, workload, homes, &mut advice)?;
    }
    let wanted = workload_fields(facts, workload, homes, &mut advice);
    if !wanted.is_empty() {
        let (kind, object) = (workload.kind.to_string(), workload.key.to_string());
        advice.patches.push(Patch { kind, object, yaml: format!("spec:\n{wanted}") });
    }
    (!advice.patches.is_empty()).then_some(advice)
}

/// Whether a pod of `workload` may run on `node`.
fn is_home(workload: &Workload, node: &Node) -> bool {
    let template = &workload.template;
    template.selects(node) && template.untolerated_taint(node).is_none() && !node.unschedulable
}

/// Second hops end with `externalTrafficPolicy: Local`. A load balancer leaves out nodes without endpoints, by their
/// health check; a client that calls a node port does not: then every node must have one.
fn go_local(facts: &Facts<'_>, workload: &Workload, homes: u64, advice: &mut Advice) -> Option<()> {
    if facts.expected_second_hops() == 0 || (!facts.is_balanced() && homes < facts.nodes.len() as u64) {
        return None;
    }
    if !facts.is_balanced() && workload.kind != WorkloadKind::DaemonSet && scales(workload).is_none() {
        return None;
    }
    advice.why.push(format!(
        "{} of 100 calls go on to another node, and lose the client's address: externalTrafficPolicy Local ends that.",
        facts.expected_second_hops()
    ));
    advice.patches.push(Patch {
        kind: "Service".into(),
        object: facts.service.key.to_string(),
        yaml: "spec:\n  externalTrafficPolicy: Local\n".into(),
    });
    Some(())
}

/// How many pods it wants, if that can be changed.
fn scales(workload: &Workload) -> Option<u64> {
    use WorkloadKind::*;
    matches!(workload.kind, Deployment | ReplicaSet | ReplicationController | StatefulSet)
        .then_some(u64::from(workload.replicas))
}

/// What of the workload's `spec` has to change for `Local` to be even: replicas for whoever calls node ports, and a
/// spread constraint.
fn workload_fields(facts: &Facts<'_>, workload: &Workload, homes: u64, advice: &mut Advice) -> String {
    let Some(replicas) = scales(workload) else { return String::new() };
    let mut fields = String::new();
    let few = !facts.is_balanced() && replicas < homes;
    if few {
        advice.why.push(format!("A client may call any node: each of the {homes} needs an endpoint."));
        let _ = writeln!(fields, "  replicas: {homes}");
    }
    let replicas = if few { homes } else { replicas };
    let even = attainable(replicas, homes);
    let found = facts.busiest_with_local().unwrap_or(100);
    // What nobody asks for today may be otherwise tomorrow: only a required constraint keeps the spread.
    if is_spread(workload) || (facts.is_local() && found <= even && !few) {
        return fields;
    }
    advice.why.push(if found > even {
        let busiest =
            format!("An endpoint that shares its node with the fewest others gets {found} % of an even share");
        format!("{busiest}; spread evenly over the nodes the busiest gets {even} %.")
    } else {
        "Nothing keeps the endpoints spread over the nodes as evenly as they are: a constraint does.".into()
    });
    if even > 100 {
        advice
            .why
            .push(format!("Replicas of a multiple of {homes} would all get the same, now the busiest gets {even} %."));
    }
    let tainted = facts.nodes.iter().any(|node| workload.template.untolerated_taint(node).is_some());
    let _ = write!(fields, "  template:\n    spec:\n{}", constraint(workload, tainted));
    fields
}

/// What the busiest of so many endpoints gets if they are spread evenly over so many nodes.
fn attainable(endpoints: u64, nodes: u64) -> u64 {
    let taking = endpoints.min(nodes);
    let fewest = endpoints.checked_div(taking).unwrap_or(0);
    (100 * endpoints).checked_div(taking * fewest).unwrap_or(100)
}

/// Whether it has such a constraint already.
fn is_spread(workload: &Workload) -> bool {
    let template = &workload.template;
    let counts_itself = |selector: &Selector| selector.matches(&template.labels);
    template.topology_spread.iter().any(|constraint| {
        let strict = constraint.required && constraint.max_skew == 1 && constraint.topology_key == HOSTNAME;
        strict && constraint.selector.as_ref().is_some_and(counts_itself)
    })
}

/// The constraint, as it stands in a pod's `spec`.
fn constraint(workload: &Workload, tainted: bool) -> String {
    let mut yaml = format!(
        "      topologySpreadConstraints:\n      - maxSkew: 1\n        topologyKey: {HOSTNAME}\n        \
         whenUnsatisfiable: DoNotSchedule\n"
    );
    // A tainted node would count as an empty one for ever, and nothing be scheduled once the others have a pod each.
    if tainted {
        yaml += "        nodeTaintsPolicy: Honor\n";
    }
    yaml += "        labelSelector:\n";
    selector(&workload.selector, &mut yaml);
    // Else the pods of the old revision count while a Deployment is rolled out, and the new ones end up uneven.
    if workload.kind == WorkloadKind::Deployment {
        yaml += "        matchLabelKeys: [pod-template-hash]\n";
    }
    yaml
}

fn selector(selector: &Selector, yaml: &mut String) {
    let (labels, others): (Vec<_>, Vec<_>) =
        selector.requirements.iter().partition(|r| r.operator == Operator::In && r.values.len() == 1);
    if !labels.is_empty() {
        *yaml += "          matchLabels:\n";
    }
    for label in labels {
        let _ = writeln!(yaml, "            {}: {}", scalar(&label.key), scalar(&label.values[0]));
    }
    if !others.is_empty() {
        *yaml += "          matchExpressions:\n";
    }
    for requirement in others {
        let values: Vec<String> = requirement.values.iter().map(|value| scalar(value)).collect();
        let values = if values.is_empty() { String::new() } else { format!(", values: [{}]", values.join(", ")) };
        let (key, operator) = (scalar(&requirement.key), requirement.operator);
        let _ = writeln!(yaml, "          - {{key: {key}, operator: {operator:?}{values}}}");
    }
}

/// A label's key or value, quoted unless it is plainly text.
fn scalar(text: &str) -> String {
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let is_text = text.starts_with(|c: char| c.is_ascii_alphabetic()) && !words.contains(&text.to_lowercase().as_str());
    if is_text { text.to_owned() } else { format!("\"{text}\"") }
}
