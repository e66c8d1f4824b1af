//! DaemonSets: one pod on every node that fits (pkg/controller/daemon/{daemon_controller,update}.go).

mod nodes;

use std::collections::BTreeMap;
use std::sync::Arc;

use sim_core::engine::time::Instant;

use crate::api::{
    Kind, Node, Object, ObjectKey, Phase, Pod, PodTemplate, UpdateStrategy, Workload, WorkloadKind, WorkloadStatus,
};
use crate::apiserver::{Change, Request};
use crate::workload::name;

use super::pods::{self, Claim, Mold, is_available};
use super::reconciler::{Plan, Reconciler};
use super::stateful_set::{REVISION, revised, revision_hash};
use super::store::Store;

/// Pods that one look creates or deletes at most (`BurstReplicas`).
const BURST_REPLICAS: usize = 250;

/// The controller of DaemonSets.
#[derive(Clone, Debug, Default)]
pub(super) struct DaemonSets {
    /// How many pods each has made, for their names.
    made: BTreeMap<ObjectKey, u64>,
}

impl Reconciler for DaemonSets {
    type Key = ObjectKey;
    const EXPECTS_PODS: bool = true;

    fn kinds(&self) -> Vec<Kind> {
        vec![Kind::Workload(WorkloadKind::DaemonSet), Kind::Node, Kind::Pod]
    }

    fn concerned(&mut self, store: &Store, change: &Change, before: Option<&Object>) -> Vec<ObjectKey> {
        match &change.object {
            Object::Pod(pod) => store.controllers_of(WorkloadKind::DaemonSet, pod, before),
            Object::Node(node) => {
                let was = before.and_then(|before| if let Object::Node(node) = before { Some(node) } else { None });
                // Of a node only what decides who runs there (`updateNode`).
                let matters = |node: &Arc<Node>| (node.labels.clone(), node.taints.clone());
                if !change.is_deletion() && was.map(matters) == Some(matters(node)) {
                    return Vec::new();
                }
                store.all(Kind::Workload(WorkloadKind::DaemonSet)).iter().map(|set| set.key().clone()).collect()
            }
            object => vec![object.key().clone()],
        }
    }

    fn reconcile(&mut self, store: &Store, key: &ObjectKey, now: Instant) -> Plan {
        let Some(stored) = store.workload(WorkloadKind::DaemonSet, key) else { return Plan::default() };
        let Claim { pods, requests } = Claim::new(store, stored);
        let mut set = Workload::clone(stored);
        set.status = revised(&set);
        let look = Look::new(store, &set, pods, now);
        let mut todo = look.manage();
        if todo.is_empty() {
            todo = look.roll();
        }
        let mut plan = Plan::default();
        plan.then(requests);
        plan.then(todo.delete.iter().take(BURST_REPLICAS).map(|pod| pods::delete(pod)).collect());
        let create: Vec<_> = todo.create.into_iter().take(BURST_REPLICAS).collect();
        plan.then_slowly(self.create(&look, create));
        let status = look.status();
        plan.then_status(stored, status);
        plan.look_again(pods::next_available(look.pods(), set.min_ready, now));
        plan
    }
}

impl DaemonSets {
    /// A pod for each of `nodes`.
    fn create(&mut self, look: &Look<'_>, nodes: Vec<&str>) -> Vec<Request> {
        let made = self.made.entry(look.set.key.clone()).or_default();
        let (base, by) = (format!("{}-", look.set.key.name), look.set.reference());
        let mut create = |node: &str| {
            let labels = [(REVISION, look.hash.clone())];
            let mold = Mold::new(look.set, &nodes::on_node(&look.template, node), labels);
            *made += 1;
            mold.create(name::with_suffix(&base, &by, *made - 1))
        };
        nodes.into_iter().map(&mut create).collect()
    }
}

/// What is to be done.
#[derive(Default)]
struct Todo<'s> {
    delete: Vec<&'s Arc<Pod>>,
    /// Nodes that need a pod.
    create: Vec<&'s str>,
}

impl Todo<'_> {
    fn is_empty(&self) -> bool {
        self.delete.is_empty() && self.create.is_empty()
    }
}

/// A set as it is looked at.
struct Look<'s> {
    set: &'s Workload,
    now: Instant,
    /// What its pods are made from, whatever their node.
    template: PodTemplate,
    /// The label of the pods of the new template.
    hash: String,
    /// The nodes, the oldest first, and their pods.
    nodes: Vec<(&'s Node, Vec<&'s Arc<Pod>>)>,
    /// Pods whose node is gone.
    lost: Vec<&'s Arc<Pod>>,
}

impl<'s> Look<'s> {
    fn new(store: &'s Store, set: &'s Workload, pods: Vec<&'s Arc<Pod>>, now: Instant) -> Self {
        let mut by_node: BTreeMap<&str, Vec<&Arc<Pod>>> = BTreeMap::new();
        let mut lost = Vec::new();
        for pod in pods {
            match nodes::target(pod) {
                Some(node) => by_node.entry(node).or_default().push(pod),
                None => lost.push(pod),
            }
        }
        let mut all: Vec<&Node> = store.nodes.values().map(AsRef::as_ref).collect();
        all.sort_by_key(|node| node.meta.uid);
        let nodes = all.into_iter().map(|node| (node, by_node.remove(node.name()).unwrap_or_default())).collect();
        lost.extend(by_node.into_values().flatten());
        let update = set.status.update.as_ref().expect("filled in by revised()");
        let (template, hash) = (nodes::hardened(&set.template), revision_hash(set, update));
        Self { set, now, template, hash, nodes, lost }
    }

    fn pods(&self) -> impl Iterator<Item = &'s Arc<Pod>> {
        self.nodes.iter().flat_map(|(_, pods)| pods.iter().copied())
    }

    fn is_available(&self, pod: &Pod) -> bool {
        is_available(pod, self.set.min_ready, self.now)
    }

    fn is_new(&self, pod: &Pod) -> bool {
        pod.labels.get(REVISION) == Some(&self.hash)
    }

    /// Surge and unavailability that are allowed, of the `wanted` pods.
    fn fences(&self, wanted: u32) -> Option<(u32, u32)> {
        let UpdateStrategy::RollingUpdate { max_surge, max_unavailable, .. } = self.set.update else { return None };
        Some((max_surge.rounded_up(wanted), max_unavailable.rounded_up(wanted)))
    }

    /// One pod where one should be, none where none may be (`manage`, `podsShouldBeOnNode`).
    fn manage(&self) -> Todo<'s> {
        let mut todo = Todo::default();
        for (node, pods) in &self.nodes {
            let (should_run, may_stay) = nodes::should_run(&self.template, node);
            let staying = pods.iter().copied().filter(|pod| !pod.is_terminating());
            if !may_stay {
                todo.delete.extend(staying);
            } else if pods.is_empty() && should_run {
                todo.create.push(node.name());
            } else {
                let (ended, running): (Vec<_>, Vec<_>) = staying.partition(|pod| pod.is_finished());
                todo.delete.extend(ended);
                todo.delete.extend(self.surplus(running));
            }
        }
        // A pod whose node is gone and that never ran there (`getUnscheduledPodsWithoutNode`).
        todo.delete.extend(self.lost.iter().filter(|pod| pod.node_name.is_none() && !pod.is_terminating()));
        todo
    }

    /// Of several pods on a node the oldest stays; with a surge the oldest of each template, the old one until the new
    /// one is available.
    fn surplus(&self, mut running: Vec<&'s Arc<Pod>>) -> Vec<&'s Arc<Pod>> {
        running.sort_by_key(|pod| (pod.meta.created, pod.meta.uid));
        if self.fences(1).is_none_or(|(surge, _)| surge == 0) {
            return running.into_iter().skip(1).collect();
        }
        let (new, old): (Vec<_>, Vec<_>) = running.into_iter().partition(|pod| self.is_new(pod));
        let replaced = new.first().is_some_and(|pod| self.is_available(pod));
        let kept = usize::from(!replaced);
        new.into_iter().skip(1).chain(old.into_iter().skip(kept)).collect()
    }

    /// The next step from the old template to the new one (`rollingUpdate`).
    fn roll(&self) -> Todo<'s> {
        let wanted = self.nodes.iter().filter(|(node, _)| nodes::should_run(&self.template, node).0).count() as u32;
        let Some((surge, unavailable)) = self.fences(wanted) else { return Todo::default() };
        let on_nodes =
            self.nodes.iter().filter(|(node, pods)| !pods.is_empty() || nodes::should_run(&self.template, node).0);
        let on_nodes = on_nodes.map(|(node, pods)| {
            let staying = || pods.iter().copied().filter(|pod| !pod.is_terminating());
            let (new, old) = (staying().find(|pod| self.is_new(pod)), staying().find(|pod| !self.is_new(pod)));
            (node.name(), new, old)
        });
        if surge == 0 { self.replace(on_nodes, unavailable.max(1)) } else { self.surge(on_nodes, surge) }
    }

    /// The old pod goes first: a hole for each node.
    fn replace(&self, on_nodes: impl Iterator<Item = OnNode<'s>>, may_be_missing: u32) -> Todo<'s> {
        let (mut missing, mut delete, mut candidates) = (0, Vec::new(), Vec::new());
        for (_, new, old) in on_nodes {
            match (new, old) {
                (None, Some(old)) if !self.is_available(old) => delete.push(old),
                (None, Some(old)) => candidates.push(old),
                (Some(new), None) if self.is_available(new) => {}
                // None, both, or a new one that is not available yet.
                _ => missing += 1,
            }
        }
        let allowed = may_be_missing.saturating_sub(missing) as usize;
        delete.extend(candidates.into_iter().take(allowed));
        Todo { delete, create: Vec::new() }
    }

    /// The new pod comes first.
    fn surge(&self, on_nodes: impl Iterator<Item = OnNode<'s>>, max_surge: u32) -> Todo<'s> {
        let (mut surged, mut todo, mut candidates) = (0, Todo::default(), Vec::new());
        for (node, new, old) in on_nodes {
            match (new, old) {
                (_, None) => {}
                (None, Some(old)) if !self.is_available(old) => todo.create.push(node),
                (None, Some(_)) => candidates.push(node),
                (Some(new), Some(old)) if self.is_available(new) => todo.delete.push(old),
                (Some(_), Some(_)) => surged += 1,
            }
        }
        let allowed = max_surge.saturating_sub(surged) as usize;
        todo.create.extend(candidates.into_iter().take(allowed));
        todo
    }

    /// `updateDaemonSetStatus`; `replicas` is the number of nodes that should run a pod.
    fn status(&self) -> WorkloadStatus {
        let wanted = || self.nodes.iter().filter(|(node, _)| nodes::should_run(&self.template, node).0);
        let with = |holds: &dyn Fn(&Pod) -> bool| {
            let runs = |pods: &Vec<&Arc<Pod>>| {
                let oldest = pods.iter().filter(|pod| !pod.is_terminating()).min_by_key(|pod| pod.meta.created);
                oldest.is_some_and(|pod| holds(pod))
            };
            wanted().filter(|(_, pods)| runs(pods)).count() as u32
        };
        WorkloadStatus {
            replicas: wanted().count() as u32,
            ready: with(&|pod| pod.status.ready && pod.status.phase == Phase::Running),
            available: with(&|pod| self.is_available(pod)),
            updated: with(&|pod| self.is_new(pod)),
            ..self.set.status.clone()
        }
    }
}

/// A node, its pod of the new template and its pod of an old one.
type OnNode<'s> = (&'s str, Option<&'s Arc<Pod>>, Option<&'s Arc<Pod>>);

#[cfg(test)]
mod tests;
