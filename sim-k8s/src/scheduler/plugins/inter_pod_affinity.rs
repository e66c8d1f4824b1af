//! Pods that want to be near certain pods, or far from them (upstream plugins/interpodaffinity).

use std::collections::BTreeMap;

use crate::api::{Labels, Operator, Pod, PodAffinityTerm, Requirement, Selector};

use super::super::cycle::Cycle;
use super::super::snapshot::{Count, NodeInfo};
use super::{MAX_SCORE, Objection, Plugin};

/// What a required affinity of a pod that is there counts for another that it wants near
/// (`hardPodAffinityWeight`, pkg/scheduler/apis/config/v1/defaults.go).
const REQUIRED_WEIGHT: i64 = 1;

/// A label of nodes and its value.
type Topology<'a> = (&'a str, &'a str);

/// Pods by where they are.
type Pods<'a> = BTreeMap<Topology<'a>, i64>;

/// One side of a match: a pod's namespace and labels.
#[derive(Clone, Copy)]
struct Party<'a> {
    namespace: &'a str,
    labels: &'a Labels,
}

impl<'a> Party<'a> {
    fn of(pod: &'a Pod) -> Self {
        Self { namespace: &pod.key.namespace, labels: &pod.labels }
    }
}

type Namespaces = BTreeMap<String, Labels>;

/// A term of one pod, ready to be compared with others.
struct Term<'a> {
    from: &'a PodAffinityTerm,
    owner: Party<'a>,
    selector: Option<Selector>,
}

impl<'a> Term<'a> {
    /// `matchLabelKeys` and `mismatchLabelKeys` become part of the selector, as the apiserver makes them
    /// (`applyMatchLabelKeysAndMismatchLabelKeys`, pkg/registry/core/pod/strategy.go).
    fn new(from: &'a PodAffinityTerm, owner: Party<'a>) -> Self {
        let mut selector = from.selector.clone();
        if let Some(selector) = &mut selector {
            for (keys, operator) in
                [(&from.match_label_keys, Operator::In), (&from.mismatch_label_keys, Operator::NotIn)]
            {
                let known = keys.iter().filter_map(|key| owner.labels.get_key_value(key));
                let requirement = |(key, value): (&String, &String)| Requirement {
                    key: key.clone(),
                    operator,
                    values: vec![value.clone()],
                };
                selector.requirements.extend(known.map(requirement));
            }
        }
        Self { from, owner, selector }
    }

    /// Whether it means `pod` (`AffinityTerm.Matches`, kube-scheduler framework/types.go).
    fn matches(&self, pod: Party<'_>, namespaces: &Namespaces) -> bool {
        self.selector.as_ref().is_some_and(|selector| selector.matches(pod.labels))
            && self.covers(pod.namespace, namespaces)
    }

    fn covers(&self, namespace: &str, namespaces: &Namespaces) -> bool {
        let own = self.from.namespaces.is_empty() && self.from.namespace_selector.is_none();
        let none = Labels::new();
        let labels = namespaces.get(namespace).unwrap_or(&none);
        (own && namespace == self.owner.namespace)
            || self.from.namespaces.iter().any(|name| name == namespace)
            || self.from.namespace_selector.as_ref().is_some_and(|selector| selector.matches(labels))
    }
}

/// Whether a change of `other` can matter to what `pod` requires, or requires of `pod`.
pub(in super::super) fn concerns(pod: &Pod, other: &Pod, namespaces: &Namespaces) -> bool {
    let required = |pod: &'_ Pod| {
        let affinity = &pod.template.affinity;
        affinity.pod.required.iter().chain(&affinity.anti.required).cloned().collect::<Vec<_>>()
    };
    let wants =
        |a: &Pod, b: &Pod| required(a).iter().any(|t| Term::new(t, Party::of(a)).matches(Party::of(b), namespaces));
    wants(pod, other) || wants(other, pod)
}

struct InterPodAffinity<'a> {
    cycle: &'a Cycle<'a>,
    /// What the pod requires to be near.
    required: Vec<Term<'a>>,
    /// Where the pods are that match all required terms.
    near: Pods<'a>,
    /// Where the pods are that match a required anti-affinity term.
    far: Pods<'a>,
    /// Where the pods are that do not want this one near.
    refusing: Pods<'a>,
}

pub(super) fn prepare<'a>(cycle: &'a Cycle<'a>) -> Box<dyn Plugin + 'a> {
    let affinity = &cycle.pod.template.affinity;
    let terms = |from: &'a [PodAffinityTerm]| from.iter().map(|from| Term::new(from, Party::of(cycle.pod))).collect();
    let (near, far): (Vec<_>, Vec<_>) = (terms(&affinity.pod.required), terms(&affinity.anti.required));
    let mut found: [Vec<(usize, &'a str)>; 3] = Default::default();
    for (class, pods) in cycle.snapshot.classes.iter().enumerate() {
        let party = Party { namespace: &pods.namespace, labels: &pods.labels };
        let matches = |term: &&Term<'a>| term.matches(party, cycle.namespaces);
        if near.iter().all(|term| matches(&term)) {
            found[0].extend(near.iter().map(|term| (class, term.from.topology_key.as_str())));
        }
        found[1].extend(far.iter().filter(matches).map(|term| (class, term.from.topology_key.as_str())));
        let theirs = pods.template.affinity.anti.required.iter().map(|from| Term::new(from, party));
        let refusing = theirs.filter(|term| term.matches(Party::of(cycle.pod), cycle.namespaces));
        found[2].extend(refusing.map(|term| (class, term.from.topology_key.as_str())));
    }
    let required = near;
    let [near, far, refusing] = found.map(|found| weighed(cycle, found.into_iter().map(|(c, k)| (c, k, 1))));
    Box::new(InterPodAffinity { cycle, required, near, far, refusing })
}

/// Adds up, for each topology, the weights of the pods there: (class, topology key, weight) for each.
fn weighed<'a>(cycle: &'a Cycle<'a>, found: impl Iterator<Item = (usize, &'a str, i64)>) -> Pods<'a> {
    let mut by_class: BTreeMap<usize, Vec<(&'a str, i64)>> = BTreeMap::new();
    for (class, key, weight) in found {
        by_class.entry(class).or_default().push((key, weight));
    }
    let mut pods = Pods::new();
    for node in cycle.nodes.iter().filter(|_| !by_class.is_empty()) {
        for (class, count) in &node.pods {
            for (key, weight) in by_class.get(class).into_iter().flatten() {
                if let Some(value) = node.label(key) {
                    *pods.entry((key, value)).or_default() += weight * i64::from(Count::all(*count));
                }
            }
        }
    }
    pods
}

impl<'a> InterPodAffinity<'a> {
    /// Every required term has a pod near the node. The first of pods that want each other is let in anywhere
    /// (`satisfyPodAffinity`).
    fn is_near(&self, node: &NodeInfo) -> bool {
        let mut found = true;
        for term in &self.required {
            let Some(value) = node.label(&term.from.topology_key) else { return false };
            found &= self.near.contains_key(&(term.from.topology_key.as_str(), value));
        }
        let itself = |term: &Term<'_>| term.matches(Party::of(self.cycle.pod), self.cycle.namespaces);
        found || (self.near.is_empty() && self.required.iter().all(itself))
    }

    fn is_far(&self, node: &NodeInfo) -> bool {
        let mut terms = self.cycle.pod.template.affinity.anti.required.iter();
        terms.all(|term| {
            let key = term.topology_key.as_str();
            node.label(key).is_none_or(|value| !self.far.contains_key(&(key, value)))
        })
    }

    fn is_refused(&self, node: &NodeInfo) -> bool {
        self.refusing.keys().any(|(key, value)| node.label(key) == Some(value))
    }

    /// What the pod and those that are there prefer (`processExistingPod`).
    fn preferences(&self) -> Pods<'a> {
        let cycle = self.cycle;
        let (me, affinity) = (Party::of(cycle.pod), &cycle.pod.template.affinity);
        let mut found = Vec::new();
        for (class, pods) in cycle.snapshot.classes.iter().enumerate() {
            let party = Party { namespace: &pods.namespace, labels: &pods.labels };
            let theirs = &pods.template.affinity;
            let soft = [
                (&affinity.pod, me, party, 1),
                (&affinity.anti, me, party, -1),
                (&theirs.pod, party, me, 1),
                (&theirs.anti, party, me, -1),
            ];
            for (side, owner, other, sign) in soft {
                for preference in &side.preferred {
                    if Term::new(&preference.term, owner).matches(other, cycle.namespaces) {
                        found.push((class, preference.term.topology_key.as_str(), sign * i64::from(preference.weight)));
                    }
                }
            }
            let hard = theirs.pod.required.iter().filter(|t| Term::new(t, party).matches(me, cycle.namespaces));
            found.extend(hard.map(|term| (class, term.topology_key.as_str(), REQUIRED_WEIGHT)));
        }
        weighed(cycle, found.into_iter())
    }
}

impl Plugin for InterPodAffinity<'_> {
    fn filter(&self, node: &NodeInfo) -> Result<(), Objection> {
        if !self.is_near(node) {
            return Err(Objection::node("node(s) didn't match pod affinity rules"));
        }
        if !self.is_far(node) {
            return Err(Objection::pods("node(s) didn't match pod anti-affinity rules"));
        }
        if self.is_refused(node) {
            return Err(Objection::pods("node(s) didn't satisfy existing pods anti-affinity rules"));
        }
        Ok(())
    }

    fn score(&self, nodes: &[&NodeInfo]) -> Option<Vec<u64>> {
        let preferences = self.preferences();
        if preferences.is_empty() {
            return None;
        }
        let score = |node: &&NodeInfo| -> i64 {
            let near = preferences.iter().filter(|((key, value), _)| node.label(key) == Some(value));
            near.map(|(_, weight)| weight).sum()
        };
        let scores: Vec<i64> = nodes.iter().map(score).collect();
        // Zero always counts as one of them (`NormalizeScore`).
        let lowest = scores.iter().copied().min().unwrap_or(0).min(0);
        let highest = scores.iter().copied().max().unwrap_or(0).max(0);
        let range = highest.abs_diff(lowest);
        Some(scores.iter().map(|s| (MAX_SCORE * s.abs_diff(lowest)).checked_div(range).unwrap_or(0)).collect())
    }
}
