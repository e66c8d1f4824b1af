//! Pods leave a node with a `NoExecute` taint that they do not tolerate, or no longer (pkg/controller/tainteviction).

use std::collections::BTreeMap;

use sim_core::engine::time::{Duration, Instant};

use crate::api::{Kind, Node, Object, ObjectKey, Pod, Taint, TaintEffect};
use crate::apiserver::Change;

use super::node_lifecycle::{NOT_READY, UNREACHABLE};
use super::pods;
use super::reconciler::{Plan, Reconciler};
use super::store::Store;

/// The taint eviction controller.
#[derive(Clone, Debug)]
pub(super) struct TaintEviction {
    /// How long pods that say nothing tolerate a node that is not ready.
    default: Duration,
    /// Since when each pod has been on borrowed time.
    since: BTreeMap<ObjectKey, Instant>,
}

impl TaintEviction {
    /// One for which pods that say nothing of it tolerate a node that is not ready for so long.
    pub(super) fn new(default: Duration) -> Self {
        Self { default, since: BTreeMap::new() }
    }

    /// How long `pod` tolerates a taint; `None`: for ever. A pod that says nothing of nodes that are not ready or not
    /// reachable is given a default when it is created (admission plugin DefaultTolerationSeconds).
    fn tolerates(&self, pod: &Pod, taint: &Taint) -> Option<Duration> {
        let covering = pod.template.tolerations.iter().filter(|toleration| toleration.tolerates(taint));
        let times: Vec<Option<u64>> = covering.map(|toleration| toleration.seconds).collect();
        if times.is_empty() {
            let by_default = taint.key == NOT_READY || taint.key == UNREACHABLE;
            return Some(if by_default { self.default } else { Duration::ZERO });
        }
        // The shortest counts (`getMinTolerationTime`).
        times.into_iter().flatten().min().map(|seconds| Duration::from_secs(1).saturating_mul(seconds))
    }
}

fn evicting(node: &Node) -> impl Iterator<Item = &Taint> {
    node.taints.iter().filter(|taint| taint.effect == TaintEffect::NoExecute)
}

impl Reconciler for TaintEviction {
    type Key = ObjectKey;

    fn kinds(&self) -> Vec<Kind> {
        vec![Kind::Node, Kind::Pod]
    }

    fn concerned(&mut self, store: &Store, change: &Change, before: Option<&Object>) -> Vec<ObjectKey> {
        match (&change.object, before) {
            (Object::Pod(pod), _) if change.is_deletion() => {
                self.since.remove(&pod.key);
                Vec::new()
            }
            (Object::Pod(pod), Some(Object::Pod(was))) if was.node_name == pod.node_name => Vec::new(),
            (Object::Pod(pod), _) => {
                let node = pod.node_name.as_ref().and_then(|node| store.nodes.get(node));
                let evicted = node.is_some_and(|node| evicting(node).next().is_some());
                evicted.then(|| pod.key.clone()).into_iter().collect()
            }
            (Object::Node(node), before) => {
                let was = before.and_then(|before| if let Object::Node(was) = before { Some(was) } else { None });
                let same = was.map_or(evicting(node).next().is_none(), |was| evicting(was).eq(evicting(node)));
                if same {
                    return Vec::new();
                }
                store.pods_on(node.name()).map(|pod| pod.key.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    fn reconcile(&mut self, store: &Store, key: &ObjectKey, now: Instant) -> Plan {
        let pod = store.pods.get(key).filter(|pod| !pod.is_terminating());
        let node = pod.and_then(|pod| store.nodes.get(pod.node_name.as_ref()?));
        let (Some(pod), Some(node)) = (pod, node) else { return Plan::default() };
        let Some(time) = evicting(node).filter_map(|taint| self.tolerates(pod, taint)).min() else {
            // No such taint any more, or all of them are tolerated for ever.
            self.since.remove(key);
            return Plan::default();
        };
        let due = *self.since.entry(key.clone()).or_insert(now) + time;
        if due <= now {
            return Plan::in_turn([pods::delete(pod)]);
        }
        Plan { again: Some(due), ..Plan::default() }
    }
}
