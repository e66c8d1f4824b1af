//! What a pod template asks of the node it is to run on.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity as K8sAffinity, NodeAffinity as K8sNodeAffinity, PodAffinityTerm as K8sTerm, PodSpec,
    ResourceRequirements, Toleration as K8sToleration, TopologySpreadConstraint as K8sSpread, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::api::{
    Affinity, NodeAffinity, PodAffinity, PodAffinityTerm, Preference, Resources, TaintEffect, Toleration,
    TopologySpreadConstraint,
};

use super::check::Check;
use super::shown::shown;
use super::{names, quantity};

/// The effects of a taint.
const EFFECTS: [(&str, TaintEffect); 3] = [
    ("NoSchedule", TaintEffect::NoSchedule),
    ("PreferNoSchedule", TaintEffect::PreferNoSchedule),
    ("NoExecute", TaintEffect::NoExecute),
];

impl Check<'_> {
    /// The affinities at `path` (`validateAffinity`: pkg/apis/core/validation).
    pub(super) fn affinity(&mut self, path: &str, from: Option<&K8sAffinity>) -> Affinity {
        let Some(from) = from else { return Affinity::default() };
        let pod = from.pod_affinity.as_ref();
        let anti = from.pod_anti_affinity.as_ref();
        Affinity {
            node: self.node_affinity(&format!("{path}.nodeAffinity"), from.node_affinity.as_ref()),
            pod: self.pod_affinity(
                &format!("{path}.podAffinity"),
                pod.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()),
                pod.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref()),
            ),
            anti: self.pod_affinity(
                &format!("{path}.podAntiAffinity"),
                anti.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()),
                anti.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref()),
            ),
        }
    }

    fn node_affinity(&mut self, path: &str, from: Option<&K8sNodeAffinity>) -> NodeAffinity {
        let Some(from) = from else { return NodeAffinity::default() };
        let required = from.required_during_scheduling_ignored_during_execution.as_ref().map(|selector| {
            let path = format!("{path}.{REQUIRED}.nodeSelectorTerms");
            if selector.node_selector_terms.is_empty() {
                self.error(&path, "there is no term", "add one, or leave the requirement out");
            }
            let terms = selector.node_selector_terms.iter().enumerate();
            terms.map(|(index, from)| self.node_selector_term(&format!("{path}[{index}]"), from)).collect()
        });
        let preferred = from.preferred_during_scheduling_ignored_during_execution.iter().flatten().enumerate();
        let preferred = preferred.map(|(index, from)| {
            let path = format!("{path}.{PREFERRED}[{index}]");
            let weight = self.weight(&path, from.weight);
            Preference { weight, term: self.node_selector_term(&format!("{path}.preference"), &from.preference) }
        });
        NodeAffinity { required, preferred: preferred.collect() }
    }

    fn pod_affinity(
        &mut self,
        path: &str,
        required: Option<&Vec<K8sTerm>>,
        preferred: Option<&Vec<WeightedPodAffinityTerm>>,
    ) -> PodAffinity {
        let required = required.into_iter().flatten().enumerate();
        let required =
            required.map(|(index, from)| self.pod_affinity_term(&format!("{path}.{REQUIRED}[{index}]"), from));
        let required = required.collect();
        let preferred = preferred.into_iter().flatten().enumerate().map(|(index, from)| {
            let path = format!("{path}.{PREFERRED}[{index}]");
            let weight = self.weight(&path, from.weight);
            let term = self.pod_affinity_term(&format!("{path}.podAffinityTerm"), &from.pod_affinity_term);
            Preference { weight, term }
        });
        PodAffinity { required, preferred: preferred.collect() }
    }

    fn pod_affinity_term(&mut self, path: &str, from: &K8sTerm) -> PodAffinityTerm {
        self.name(&format!("{path}.topologyKey"), &from.topology_key, names::label_key);
        let selector = from.label_selector.as_ref().map(|s| self.selector(&format!("{path}.labelSelector"), s));
        let namespaces = from.namespace_selector.as_ref();
        PodAffinityTerm {
            selector,
            match_label_keys: self.label_keys(&format!("{path}.matchLabelKeys"), from.match_label_keys.as_ref()),
            mismatch_label_keys: self
                .label_keys(&format!("{path}.mismatchLabelKeys"), from.mismatch_label_keys.as_ref()),
            topology_key: from.topology_key.clone(),
            namespaces: from.namespaces.clone().unwrap_or_default(),
            namespace_selector: namespaces.map(|s| self.selector(&format!("{path}.namespaceSelector"), s)),
        }
    }

    fn weight(&mut self, path: &str, weight: i32) -> u32 {
        match u32::try_from(weight) {
            Ok(weight @ 1..=100) => weight,
            _ => {
                self.error(&format!("{path}.weight"), format!("{weight} is no weight"), "write a number from 1 to 100");
                1
            }
        }
    }

    fn label_keys(&mut self, path: &str, keys: Option<&Vec<String>>) -> Vec<String> {
        let keys = keys.cloned().unwrap_or_default();
        keys.iter().enumerate().for_each(|(index, key)| self.name(&format!("{path}[{index}]"), key, names::label_key));
        keys
    }

    /// The tolerations at `path` (`ValidateTolerations`).
    pub(super) fn tolerations(&mut self, path: &str, from: Option<&Vec<K8sToleration>>) -> Vec<Toleration> {
        let tolerations = from.into_iter().flatten().enumerate();
        tolerations.map(|(index, from)| self.toleration(&format!("{path}[{index}]"), from)).collect()
    }

    fn toleration(&mut self, path: &str, from: &K8sToleration) -> Toleration {
        let key = from.key.clone().filter(|key| !key.is_empty());
        let value = from.value.clone().filter(|value| !value.is_empty());
        if let Some(key) = &key {
            self.name(&format!("{path}.key"), key, names::label_key);
        }
        let operators = [("Equal", false), ("Exists", true)];
        let exists = self.one_of(&format!("{path}.operator"), from.operator.as_deref(), &operators, false);
        if exists && value.is_some() {
            self.error(&format!("{path}.value"), "Exists takes no value", "leave it out, or write operator: Equal");
        }
        if !exists && key.is_none() {
            self.error(&format!("{path}.operator"), "without a key it must be Exists", "write operator: Exists");
        }
        let effects = EFFECTS.map(|(word, effect)| (word, Some(effect)));
        let effect = self.one_of(&format!("{path}.effect"), from.effect.as_deref(), &effects, None);
        let seconds = from.toleration_seconds.map(|seconds| u64::try_from(seconds).unwrap_or(0));
        if seconds.is_some() && effect != Some(TaintEffect::NoExecute) {
            let message = "only what NoExecute does can be put off";
            self.error(&format!("{path}.tolerationSeconds"), message, "write effect: NoExecute, or leave it out");
        }
        Toleration { key, value: (!exists).then(|| value.unwrap_or_default()), effect, seconds }
    }

    /// What a taint at `path` does.
    pub(super) fn taint_effect(&mut self, path: &str, effect: &str) -> TaintEffect {
        if effect.is_empty() {
            self.error(path, "it is missing", "write NoSchedule, PreferNoSchedule or NoExecute");
        }
        self.one_of(path, Some(effect), &EFFECTS, TaintEffect::NoSchedule)
    }

    /// The constraints at `path` (`validateTopologySpreadConstraints`).
    pub(super) fn topology_spread(
        &mut self,
        path: &str,
        from: Option<&Vec<K8sSpread>>,
    ) -> Vec<TopologySpreadConstraint> {
        let mut constraints: Vec<TopologySpreadConstraint> = Vec::new();
        for (index, from) in from.into_iter().flatten().enumerate() {
            let path = format!("{path}[{index}]");
            let constraint = self.spread_constraint(&path, from);
            let twice = |c: &TopologySpreadConstraint| {
                (&c.topology_key, c.required) == (&constraint.topology_key, constraint.required)
            };
            if constraints.iter().any(twice) {
                let message = format!("there are two such constraints for \"{}\"", shown(&from.topology_key));
                self.error(&format!("{path}.topologyKey"), message, "keep one of the two");
            }
            constraints.push(constraint);
        }
        constraints
    }

    fn spread_constraint(&mut self, path: &str, from: &K8sSpread) -> TopologySpreadConstraint {
        let at = |field: &str| format!("{path}.{field}");
        self.name(&at("topologyKey"), &from.topology_key, names::label_key);
        let when = [("DoNotSchedule", true), ("ScheduleAnyway", false)];
        let word = Some(from.when_unsatisfiable.as_str());
        let required = self.one_of(&at("whenUnsatisfiable"), word, &when, true);
        if from.when_unsatisfiable.is_empty() {
            self.error(&at("whenUnsatisfiable"), "it is missing", "write DoNotSchedule or ScheduleAnyway");
        }
        if from.min_domains.is_some() && !required {
            self.error(&at("minDomains"), "it needs whenUnsatisfiable: DoNotSchedule", "write that, or leave it out");
        }
        let policies = [("Honor", true), ("Ignore", false)];
        TopologySpreadConstraint {
            max_skew: self.at_least_one(&at("maxSkew"), from.max_skew),
            topology_key: from.topology_key.clone(),
            required,
            selector: from.label_selector.as_ref().map(|s| self.selector(&at("labelSelector"), s)),
            match_label_keys: self.label_keys(&at("matchLabelKeys"), from.match_label_keys.as_ref()),
            min_domains: from.min_domains.map_or(1, |domains| self.at_least_one(&at("minDomains"), domains)),
            honors_affinity: self.one_of(
                &at("nodeAffinityPolicy"),
                from.node_affinity_policy.as_deref(),
                &policies,
                true,
            ),
            honors_taints: self.one_of(&at("nodeTaintsPolicy"), from.node_taints_policy.as_deref(), &policies, false),
        }
    }

    fn at_least_one(&mut self, path: &str, number: i32) -> u32 {
        match u32::try_from(number) {
            Ok(number @ 1..) => number,
            _ => {
                self.error(path, format!("{number} is too small"), "write 1 or more");
                1
            }
        }
    }

    /// What the container at `path` asks for: its requests, and where they are silent its limits
    /// (`SetDefaults_Pod`: pkg/apis/core/v1/defaults.go).
    pub(super) fn requests(&mut self, path: &str, from: Option<&ResourceRequirements>) -> Resources {
        let Some(from) = from else { return Resources::new() };
        let mut requests = self.resources(&format!("{path}.resources.limits"), from.limits.as_ref());
        requests.extend(self.resources(&format!("{path}.resources.requests"), from.requests.as_ref()));
        requests
    }

    /// Amounts by resource name.
    pub(super) fn resources(&mut self, path: &str, from: Option<&BTreeMap<String, Quantity>>) -> Resources {
        let mut resources = Resources::new();
        for (name, Quantity(text)) in from.into_iter().flatten() {
            self.name(path, name, names::label_key);
            match quantity::parse(text, name == "cpu") {
                Some(amount) => {
                    resources.insert(name.clone(), amount);
                }
                None => {
                    let message = format!("\"{}\" is no amount", shown(text));
                    self.error(&format!("{path}.{name}"), message, "write one like 2, 100m or 1.5Gi");
                }
            }
        }
        resources
    }

    /// The most that an init container of `spec`, whose fields stand under `path`, asks for, together with the sidecars
    /// that run by then (`AggregateContainerRequests`: component-helpers resource/helpers.go).
    pub(super) fn init_requests(&mut self, path: &str, spec: &PodSpec) -> Resources {
        let (mut sidecars, mut most) = (Resources::new(), Resources::new());
        for (index, container) in spec.init_containers.iter().flatten().enumerate() {
            let own = self.requests(&format!("{path}[{index}]"), container.resources.as_ref());
            let mut now = sidecars.clone();
            for (name, amount) in own {
                let sum: &mut u64 = now.entry(name).or_default();
                *sum = sum.saturating_add(amount);
            }
            if container.restart_policy.as_deref() == Some("Always") {
                sidecars.clone_from(&now);
            }
            for (name, amount) in now {
                let highest = most.entry(name).or_default();
                *highest = amount.max(*highest);
            }
        }
        most
    }
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
