//! What becomes of a node that is not ready: taints, and its pods are not ready either
//! (pkg/controller/nodelifecycle/node_lifecycle_controller.go).

use std::collections::BTreeMap;

use sim_core::engine::time::{Duration, Instant};

use crate::api::{Condition, Kind, Node, Object, PodStatus, Taint, TaintEffect};
use crate::apiserver::{Change, NodePatch, Request};

use super::pod_gc::next;
use super::reconciler::{Plan, Reconciler};
use super::store::Store;

/// Taint of a node that says it is not ready.
pub(super) const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// Taint of a node that says nothing.
pub(super) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const NETWORK_UNAVAILABLE: &str = "node.kubernetes.io/network-unavailable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Of a zone's nodes so many in a hundred must be unhealthy, and more than two, for it to be disrupted
/// (`--unhealthy-zone-threshold`).
const UNHEALTHY_PERCENT: usize = 55;
/// Time from one node whose pods are evicted to the next of its zone (`--node-eviction-rate` 0.1).
const EVICTION_EVERY: Duration = Duration::from_secs(10);
/// The same in a zone that is disrupted and has more than [`LARGE`] nodes (`--secondary-node-eviction-rate` 0.01).
const SECONDARY_EVERY: Duration = Duration::from_secs(100);
/// A disrupted zone with more nodes evicts slowly, a smaller one not at all (`--large-cluster-size-threshold`).
const LARGE: usize = 50;

/// The node lifecycle controller.
#[derive(Clone, Debug)]
pub(super) struct NodeLifecycle {
    /// How long a node may say nothing.
    grace: Duration,
    /// How often it looks at all nodes.
    period: Duration,
    /// When it last noticed that a node lives; it looks every `period`.
    alive: BTreeMap<String, Instant>,
    /// When a zone's next node may be evicted.
    next_eviction: BTreeMap<String, Instant>,
}

impl NodeLifecycle {
    /// One that looks every `period` and says after `grace` that a silent node is in an unknown state.
    pub(super) fn new(grace: Duration, period: Duration) -> Self {
        Self { grace, period, alive: BTreeMap::new(), next_eviction: BTreeMap::new() }
    }
}

impl Reconciler for NodeLifecycle {
    /// The name of a node.
    type Key = String;

    fn kinds(&self) -> Vec<Kind> {
        vec![Kind::Node, Kind::Lease, Kind::Pod]
    }

    fn concerned(&mut self, _store: &Store, change: &Change, _before: Option<&Object>) -> Vec<String> {
        let name = change.object.key().name.clone();
        match &change.object {
            Object::Node(_) if change.is_deletion() => {
                self.alive.remove(&name);
                Vec::new()
            }
            Object::Node(_) => vec![name],
            // A sign of life is looked at when it is missed, or when the node was given up.
            Object::Lease(_) => vec![name],
            _ => Vec::new(),
        }
    }

    fn reconcile(&mut self, store: &Store, name: &String, now: Instant) -> Plan {
        let Some(node) = store.nodes.get(name) else { return Plan::default() };
        let noticed = next(store.leases.get(name).map_or(node.meta.created, |lease| lease.renewed), self.period);
        let alive = self.alive.entry(name.clone()).or_insert(noticed);
        *alive = noticed.max(*alive);
        let missed = *alive + self.grace;
        let mut plan = Plan::default();
        if now >= missed && node.ready != Condition::Unknown {
            give_up(store, name, now, &mut plan);
            plan.look_again([now + self.period]);
            return plan;
        }
        plan.look_again((now < missed).then_some(missed));
        let mut taints = node.taints.clone();
        by_condition(node, &mut taints);
        if self.evicting(store, node, &mut taints, now) {
            plan.look_again([next(now + Duration::from_nanos(1), self.period)]);
        }
        if taints != node.taints {
            plan.then(vec![Request::Update(Object::Node(Node { taints, ..Node::clone(node) }.into()))]);
        }
        plan
    }
}

/// The node's state is unknown, and its pods count as not ready at once (`MarkPodsNotReady`), so that Services leave them
/// alone; they are evicted much later.
fn give_up(store: &Store, name: &str, now: Instant, plan: &mut Plan) {
    let patch = NodePatch { ready: Some(Condition::Unknown), ..NodePatch::default() };
    plan.then(vec![Request::PatchNode { node: name.to_owned(), patch }]);
    for pod in store.pods_on(name).filter(|pod| pod.status.ready) {
        let status = PodStatus { ready: false, ready_changed: now, ..pod.status.clone() };
        plan.then(vec![Request::UpdatePodStatus { pod: pod.key.clone(), uid: pod.meta.uid, status }]);
    }
}

/// New pods do not come to a node that is not ready, has no network or is cordoned (`doNoScheduleTaintingPass`).
fn by_condition(node: &Node, taints: &mut Vec<Taint>) {
    let conditions = [
        (NOT_READY, node.ready == Condition::False),
        (UNREACHABLE, node.ready == Condition::Unknown),
        (NETWORK_UNAVAILABLE, !node.network_available),
        (UNSCHEDULABLE, node.unschedulable),
    ];
    for (key, holds) in conditions {
        set(taints, key, TaintEffect::NoSchedule, holds);
    }
}

/// Puts a taint on or takes it away.
fn set(taints: &mut Vec<Taint>, key: &str, effect: TaintEffect, holds: bool) {
    let there = taints.iter().any(|taint| taint.key == key && taint.effect == effect);
    if holds && !there {
        taints.push(Taint { key: key.to_owned(), value: String::new(), effect });
    } else if !holds && there {
        taints.retain(|taint| taint.key != key || taint.effect != effect);
    }
}

/// How much of a zone is unhealthy (`ComputeZoneState`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ZoneState {
    Normal,
    Partial,
    Full,
}

fn zone_state<'n>(nodes: impl Iterator<Item = &'n Node>) -> (ZoneState, usize) {
    let (mut all, mut unhealthy) = (0, 0);
    for node in nodes {
        all += 1;
        unhealthy += usize::from(node.ready != Condition::True);
    }
    let state = match unhealthy {
        0 => ZoneState::Normal,
        _ if unhealthy == all => ZoneState::Full,
        3.. if unhealthy * 100 >= all * UNHEALTHY_PERCENT => ZoneState::Partial,
        _ => ZoneState::Normal,
    };
    (state, all)
}

impl NodeLifecycle {
    /// Pods leave a node that is not ready (`processTaintBaseEviction`, `doNoExecuteTaintingPass`): nodes of a zone one
    /// after the other, and none if all nodes of all zones are unhealthy, for then it is rather the controller that is
    /// cut off. Whether there is something left to do at the next look.
    fn evicting(&mut self, store: &Store, node: &Node, taints: &mut Vec<Taint>, now: Instant) -> bool {
        let wanted = match node.ready {
            Condition::True => None,
            Condition::False => Some((NOT_READY, UNREACHABLE)),
            Condition::Unknown => Some((UNREACHABLE, NOT_READY)),
        };
        let has = |taints: &[Taint], key: &str| {
            taints.iter().any(|taint| taint.key == key && taint.effect == TaintEffect::NoExecute)
        };
        let (state, size) = zone_state(of_zone(store, node.zone()));
        let all_down = zone_state(store.nodes.values().map(AsRef::as_ref)).0 == ZoneState::Full;
        let Some((taint, opposite)) = wanted.filter(|_| !all_down) else {
            set(taints, NOT_READY, TaintEffect::NoExecute, false);
            set(taints, UNREACHABLE, TaintEffect::NoExecute, false);
            return false;
        };
        if has(taints, taint) {
            return false;
        }
        let every = match state {
            ZoneState::Normal | ZoneState::Full => Some(EVICTION_EVERY),
            ZoneState::Partial => (size > LARGE).then_some(SECONDARY_EVERY),
        };
        // It is noticed at a look, and one taint is swapped for the other at once.
        let looks = next(now, self.period) == now;
        let swapped = has(taints, opposite);
        let turn = self.next_eviction.entry(node.zone().to_owned()).or_default();
        let Some(every) = every.filter(|_| looks && (swapped || *turn <= now)) else { return true };
        if !swapped {
            *turn = now + every;
        }
        set(taints, opposite, TaintEffect::NoExecute, false);
        set(taints, taint, TaintEffect::NoExecute, true);
        false
    }
}

fn of_zone<'s>(store: &'s Store, zone: &str) -> impl Iterator<Item = &'s Node> {
    store.nodes.values().map(AsRef::as_ref).filter(move |node: &&Node| node.zone() == zone)
}

#[cfg(test)]
mod tests;
