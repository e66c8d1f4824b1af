//! What runs where: the nodes, and what each has taken on (upstream pkg/scheduler/backend/cache).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::{Labels, Node, ObjectKey, Pod, PodTemplate, Resources};

/// What a container that does not say counts for when nodes are compared (`GetNonzeroRequests`,
/// pkg/scheduler/util/pod_resources.go): a tenth of a core and 200 MiB.
const UNSAID: [(&str, u64); 2] = [("cpu", 100), ("memory", 200 << 20)];

/// Pods that are alike to the scheduler.
#[derive(Clone, Debug)]
pub(super) struct PodClass {
    pub(super) namespace: String,
    pub(super) labels: Arc<Labels>,
    pub(super) template: Arc<PodTemplate>,
    /// What each asks for.
    pub(super) requests: Resources,
    /// The same, [`UNSAID`] where it says nothing.
    pub(super) counted: Resources,
}

impl PodClass {
    pub(super) fn of(pod: &Pod) -> Self {
        let unsaid = UNSAID.map(|(name, amount)| (name.to_owned(), amount)).into();
        Self {
            namespace: pod.key.namespace.clone(),
            labels: pod.labels.clone(),
            template: pod.template.clone(),
            requests: pod.template.requests(&Resources::new()),
            counted: pod.template.requests(&unsaid),
        }
    }

    fn is_of(&self, pod: &Pod) -> bool {
        Arc::ptr_eq(&self.template, &pod.template) || self.template == pod.template
    }
}

/// Index of a [`PodClass`].
pub(super) type ClassId = usize;

/// How many pods of a class are on a node.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Count {
    /// Those that stay.
    pub(super) staying: u32,
    /// Those that are going away.
    pub(super) terminating: u32,
}

impl Count {
    /// All of them.
    pub(super) fn all(self) -> u32 {
        self.staying + self.terminating
    }
}

/// A node and what it has taken on.
#[derive(Clone, Debug)]
pub(super) struct NodeInfo {
    pub(super) node: Arc<Node>,
    pub(super) pods: BTreeMap<ClassId, Count>,
    pub(super) requested: Resources,
    pub(super) counted: Resources,
}

impl NodeInfo {
    fn new(node: Arc<Node>) -> Self {
        Self { node, pods: BTreeMap::new(), requested: Resources::new(), counted: Resources::new() }
    }

    /// Value of label `key`.
    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.node.labels.get(key).map(String::as_str)
    }

    /// How much it has for pods.
    pub(super) fn allocatable(&self, resource: &str) -> u64 {
        self.node.allocatable.get(resource).copied().unwrap_or(0)
    }

    /// Pods of those classes that `matching` marks, as `counted` counts them.
    pub(super) fn count(&self, matching: &[bool], counted: fn(Count) -> u32) -> u32 {
        self.pods.iter().filter(|(class, _)| matching[**class]).map(|(_, count)| counted(*count)).sum()
    }

    fn change(&mut self, placed: &Placed, class: &PodClass, by: i64) {
        let count = self.pods.entry(placed.class).or_default();
        let number = if placed.pod.is_terminating() { &mut count.terminating } else { &mut count.staying };
        *number = number.saturating_add_signed(by as i32);
        if count.all() == 0 {
            self.pods.remove(&placed.class);
        }
        for (sum, part) in [(&mut self.requested, &class.requests), (&mut self.counted, &class.counted)] {
            for (name, amount) in part {
                let total = sum.entry(name.clone()).or_default();
                *total = total.saturating_add_signed(by * i64::try_from(*amount).unwrap_or(i64::MAX));
            }
        }
    }
}

/// A pod on a node.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) pod: Arc<Pod>,
    pub(super) node: String,
    class: ClassId,
}

/// All nodes and the pods on them, those included whose binding is still under way.
#[derive(Clone, Default, Debug)]
pub(super) struct Snapshot {
    nodes: BTreeMap<String, NodeInfo>,
    /// Region and zone, and the nodes in it, each in the order in which they appeared.
    zones: Vec<((String, String), Vec<String>)>,
    pub(super) classes: Vec<PodClass>,
    by_labels: BTreeMap<(String, Arc<Labels>), Vec<ClassId>>,
    placed: BTreeMap<ObjectKey, Placed>,
}

impl Snapshot {
    /// The nodes, one of each zone in turn (`nodeTree.list`, pkg/scheduler/backend/cache/node_tree.go): whoever looks
    /// at the first ones only still sees all zones.
    pub(super) fn nodes(&self) -> Vec<&NodeInfo> {
        let rounds = self.zones.iter().map(|(_, names)| names.len()).max().unwrap_or(0);
        let names = (0..rounds).flat_map(|round| self.zones.iter().filter_map(move |(_, names)| names.get(round)));
        names.map(|name| &self.nodes[name]).collect()
    }

    pub(super) fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.nodes.get(name)
    }

    /// A node is new, or has changed.
    pub(super) fn set_node(&mut self, node: &Arc<Node>) {
        let name = node.name();
        match self.nodes.get_mut(name) {
            Some(info) if zone(&info.node) == zone(node) => info.node = node.clone(),
            known => {
                match known {
                    Some(info) => info.node = node.clone(),
                    None => {
                        let mut info = NodeInfo::new(node.clone());
                        for placed in self.placed.values().filter(|placed| placed.node == name) {
                            info.change(placed, &self.classes[placed.class], 1);
                        }
                        self.nodes.insert(name.to_owned(), info);
                    }
                }
                self.leave_zone(name);
                match self.zones.iter_mut().find(|(other, _)| *other == zone(node)) {
                    Some((_, names)) => names.push(name.to_owned()),
                    None => self.zones.push((zone(node), vec![name.to_owned()])),
                }
            }
        }
    }

    /// A node is gone. Its pods are remembered: it may come back before they go.
    pub(super) fn remove_node(&mut self, name: &str) {
        self.nodes.remove(name);
        self.leave_zone(name);
    }

    fn leave_zone(&mut self, name: &str) {
        self.zones.iter_mut().for_each(|(_, names)| names.retain(|other| other != name));
        self.zones.retain(|(_, names)| !names.is_empty());
    }

    /// A pod is on `node`, or will be as soon as it is bound.
    pub(super) fn place(&mut self, pod: &Arc<Pod>, node: &str) {
        self.remove(&pod.key);
        let placed = Placed { pod: pod.clone(), node: node.to_owned(), class: self.class_of(pod) };
        if let Some(info) = self.nodes.get_mut(node) {
            info.change(&placed, &self.classes[placed.class], 1);
        }
        self.placed.insert(pod.key.clone(), placed);
    }

    /// A pod is on no node any more; what is known of it, if it was on one.
    pub(super) fn remove(&mut self, pod: &ObjectKey) -> Option<Placed> {
        let placed = self.placed.remove(pod)?;
        if let Some(info) = self.nodes.get_mut(&placed.node) {
            info.change(&placed, &self.classes[placed.class], -1);
        }
        Some(placed)
    }

    pub(super) fn placed(&self, pod: &ObjectKey) -> Option<&Placed> {
        self.placed.get(pod)
    }

    /// The pods on `node`.
    pub(super) fn pods_on<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a Arc<Pod>> {
        self.placed.values().filter(move |placed| placed.node == node).map(|placed| &placed.pod)
    }

    fn class_of(&mut self, pod: &Pod) -> ClassId {
        let classes = &mut self.classes;
        let alike = self.by_labels.entry((pod.key.namespace.clone(), pod.labels.clone())).or_default();
        if let Some(class) = alike.iter().find(|class| classes[**class].is_of(pod)) {
            return *class;
        }
        classes.push(PodClass::of(pod));
        alike.push(classes.len() - 1);
        classes.len() - 1
    }
}

/// What sets a zone apart (`GetZoneKey`, component-helpers node/topology).
fn zone(node: &Node) -> (String, String) {
    let region = node.labels.get("topology.kubernetes.io/region").cloned().unwrap_or_default();
    (region, node.zone().to_owned())
}
