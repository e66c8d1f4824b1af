//! What a pod asks of the node it is to run on.

use std::collections::BTreeMap;

use super::{Labels, Node, PodTemplate, Selector, Taint, TaintEffect};

/// Amounts by resource name (`cpu`, `memory`, `pods`, `nvidia.com/gpu`): cpu in thousandths of a core, the rest in units.
pub type Resources = BTreeMap<String, u64>;

/// The label that tells one node from all others.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// The label of a node's zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// `spec.affinity`. Default: none.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Affinity {
    /// To nodes.
    pub node: NodeAffinity,
    /// To where certain pods are.
    pub pod: PodAffinity,
    /// Away from where certain pods are (`podAntiAffinity`).
    pub anti: PodAffinity,
}

/// Which nodes a pod wants.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct NodeAffinity {
    /// One of these must match the node; `None`: any node will do. An empty list matches no node.
    pub required: Option<Vec<NodeSelectorTerm>>,
    /// Nodes that match are better.
    pub preferred: Vec<Preference<NodeSelectorTerm>>,
}

/// Something wanted, but not at any price.
#[derive(Clone, PartialEq, Debug)]
pub struct Preference<T> {
    /// How much, 1 to 100.
    pub weight: u32,
    /// What.
    pub term: T,
}

/// A description of nodes. An empty one matches no node.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct NodeSelectorTerm {
    /// Labels of the node.
    pub labels: Selector,
    /// Fields of the node, as labels; there is but `metadata.name`.
    pub fields: Selector,
}

impl NodeSelectorTerm {
    /// Whether it describes `node` (`nodeSelectorTerm.match`, component-helpers scheduling/corev1/nodeaffinity).
    pub fn matches(&self, node: &Node) -> bool {
        let empty = self.labels.requirements.is_empty() && self.fields.requirements.is_empty();
        !empty && self.labels.matches(&node.labels) && (self.fields.requirements.is_empty() || self.names(node))
    }

    fn names(&self, node: &Node) -> bool {
        self.fields.matches(&Labels::from([("metadata.name".to_owned(), node.key.name.clone())]))
    }
}

/// Which pods a pod wants near, or far.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct PodAffinity {
    /// All of these must hold.
    pub required: Vec<PodAffinityTerm>,
    /// Nodes for which these hold are better.
    pub preferred: Vec<Preference<PodAffinityTerm>>,
}

/// Pods, and what counts as near them.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct PodAffinityTerm {
    /// Their labels; `None` matches no pod.
    pub selector: Option<Selector>,
    /// Keys of labels that must be equal to those of the pod that asks (`matchLabelKeys`).
    pub match_label_keys: Vec<String>,
    /// Keys of labels that must differ from those of the pod that asks (`mismatchLabelKeys`).
    pub mismatch_label_keys: Vec<String>,
    /// Nodes with one value of this label are near each other.
    pub topology_key: String,
    /// Their namespaces. With no selector of namespaces either: that of the pod that asks.
    pub namespaces: Vec<String>,
    /// Labels of their namespaces; an empty selector matches all of them.
    pub namespace_selector: Option<Selector>,
}

/// `spec.topologySpreadConstraints[]`: how evenly pods are to be spread.
#[derive(Clone, PartialEq, Debug)]
pub struct TopologySpreadConstraint {
    /// How many pods more than the emptiest domain a domain may have, at least 1.
    pub max_skew: u32,
    /// Nodes with one value of this label are a domain.
    pub topology_key: String,
    /// A pod that would break it has to wait (`DoNotSchedule`, the default); else it is only better elsewhere.
    pub required: bool,
    /// Which pods are counted; `None` matches no pod.
    pub selector: Option<Selector>,
    /// Keys of labels by which the pods counted must be equal to the one that asks (`matchLabelKeys`).
    pub match_label_keys: Vec<String>,
    /// With fewer domains than this the emptiest one counts as having no pods. Default 1.
    pub min_domains: u32,
    /// Only nodes that the pod's node selector and affinity match are domains (`nodeAffinityPolicy: Honor`, the default).
    pub honors_affinity: bool,
    /// Only nodes whose taints the pod tolerates are domains (`nodeTaintsPolicy: Honor`). Default false.
    pub honors_taints: bool,
}

/// A taint, or many, that a pod puts up with.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Toleration {
    /// The taint's key; `None`: any.
    pub key: Option<String>,
    /// The taint's value; `None`: any (`operator: Exists`).
    pub value: Option<String>,
    /// What the taint does; `None`: any.
    pub effect: Option<TaintEffect>,
    /// How long after a `NoExecute` taint appeared (`tolerationSeconds`), 0 if negative; `None`: for ever.
    pub seconds: Option<u64>,
}

impl Toleration {
    /// Whether it covers `taint` (`Toleration.ToleratesTaint`, api core/v1/toleration.go).
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.effect.is_none_or(|effect| effect == taint.effect)
            && self.key.as_ref().is_none_or(|key| *key == taint.key)
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
    }
}

impl PodTemplate {
    /// Whether its node selector and what it requires of nodes match `node` (`RequiredNodeAffinity.Match`).
    pub fn selects(&self, node: &Node) -> bool {
        let required = self.affinity.node.required.as_ref();
        self.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
            && required.is_none_or(|terms| terms.iter().any(|term| term.matches(node)))
    }

    /// The first taint of `node` that keeps the pod away: one that forbids (`NoSchedule`, `NoExecute`) and is not tolerated
    /// (`FindMatchingUntoleratedTaint`).
    pub fn untolerated_taint<'a>(&self, node: &'a Node) -> Option<&'a Taint> {
        let forbids = |taint: &&Taint| taint.effect != TaintEffect::PreferNoSchedule;
        node.taints.iter().filter(forbids).find(|taint| !self.tolerates(taint))
    }

    /// Whether one of its tolerations covers `taint`.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.tolerations.iter().any(|toleration| toleration.tolerates(taint))
    }

    /// What its containers ask for, together (`PodRequests`, component-helpers resource/helpers.go): as much as those that
    /// run at once need, or an init container before them. `otherwise` gives what a container that says nothing of a
    /// resource counts for.
    pub fn requests(&self, otherwise: &Resources) -> Resources {
        let mut sum = Resources::new();
        for container in &self.containers {
            let defaults = otherwise.iter().filter(|(name, _)| !container.requests.contains_key(*name));
            for (name, amount) in container.requests.iter().chain(defaults) {
                let total: &mut u64 = sum.entry(name.clone()).or_default();
                *total = total.saturating_add(*amount);
            }
        }
        for (name, amount) in &self.init_requests {
            let total = sum.entry(name.clone()).or_default();
            *total = (*total).max(*amount);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Container, Operator, Requirement};
    use super::*;

    fn taint(key: &str, value: &str, effect: TaintEffect) -> Taint {
        Taint { key: key.into(), value: value.into(), effect }
    }

    #[test]
    fn a_toleration_without_key_value_and_effect_covers_everything() {
        let gpu = taint("gpu", "a100", TaintEffect::NoSchedule);
        assert!(Toleration::default().tolerates(&gpu));
        let equal =
            |value: &str| Toleration { key: Some("gpu".into()), value: Some(value.into()), ..Toleration::default() };
        assert!(equal("a100").tolerates(&gpu));
        assert!(!equal("").tolerates(&gpu));
        let other = Toleration { effect: Some(TaintEffect::NoExecute), ..Toleration::default() };
        assert!(!other.tolerates(&gpu));
    }

    #[test]
    fn a_taint_that_only_prefers_keeps_nobody_away() {
        let mut node = Node::new("n1");
        node.taints = vec![taint("busy", "", TaintEffect::PreferNoSchedule), taint("gone", "", TaintEffect::NoExecute)];
        assert_eq!(PodTemplate::default().untolerated_taint(&node), Some(&node.taints[1]));
    }

    #[test]
    fn node_affinity_is_one_of_several_terms_and_an_empty_term_is_none() {
        let mut node = Node::new("n1");
        node.labels.insert("cores".into(), "16".into());
        let term = |key: &str, operator, values: &[&str]| Selector {
            requirements: vec![Requirement {
                key: key.into(),
                operator,
                values: values.iter().map(ToString::to_string).collect(),
            }],
        };
        let labels = |selector| NodeSelectorTerm { labels: selector, ..NodeSelectorTerm::default() };
        let selects = |terms: Vec<NodeSelectorTerm>| {
            let mut template = PodTemplate::default();
            template.affinity.node.required = Some(terms);
            template.selects(&node)
        };
        let more_than_8 = labels(term("cores", Operator::Gt, &["8"]));
        let by_name =
            NodeSelectorTerm { fields: term("metadata.name", Operator::In, &["n1"]), ..NodeSelectorTerm::default() };
        assert!(selects(vec![labels(term("cores", Operator::Lt, &["8"])), more_than_8.clone()]));
        assert!(selects(vec![by_name.clone()]));
        assert!(!selects(vec![NodeSelectorTerm { labels: term("cores", Operator::Gt, &["16"]), ..by_name }]));
        assert!(!selects(vec![NodeSelectorTerm::default()]));
        assert!(!selects(Vec::new()));
    }

    #[test]
    fn requests_add_up_and_an_init_container_may_need_more() {
        let asking = |cpu: u64| Container { requests: [("cpu".into(), cpu)].into(), ..Container::default() };
        let containers = vec![asking(100), asking(200), Container::default()];
        let init_requests = [("memory".into(), 9)].into();
        let template = PodTemplate { containers, init_requests, ..PodTemplate::default() };
        assert_eq!(template.requests(&Resources::new()), [("cpu".into(), 300), ("memory".into(), 9)].into());
        let counted = template.requests(&[("cpu".into(), 50), ("memory".into(), 2)].into());
        assert_eq!(counted, [("cpu".into(), 350), ("memory".into(), 9)].into());
    }
}
