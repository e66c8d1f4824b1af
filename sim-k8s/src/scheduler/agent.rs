//! The scheduler as an agent: it hears of pods and nodes, tries one pod at a time, and binds it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sim_core::engine::time::Instant;

use crate::agent::{Agent, Context, Event, Interest};
use crate::api::{
    Kind, Labels, Namespace, Node, Object, ObjectKey, ObjectRef, Pod, PodStatus, Selector, WorkloadKind, WorkloadRef,
};
use crate::apiserver::{Action, Cache, Change, Refused, Request};

use super::cycle::{Cycle, Unschedulable, schedule};
use super::plugins::{self, Name};
use super::preemption::{Futile, preempt};
use super::queue::Queue;
use super::snapshot::{PodClass, Snapshot};

/// The attempt is over.
const TRIED: u64 = 0;
/// Something is due in the queue.
const DUE: u64 = 1;
/// Tokens of requests, from here on.
const REQUESTS: u64 = 2;

/// The kinds that own pods and have a selector (`DefaultSelector`, plugins/helper/spread.go).
const OWNERS: [WorkloadKind; 3] =
    [WorkloadKind::ReplicationController, WorkloadKind::ReplicaSet, WorkloadKind::StatefulSet];

/// kube-scheduler, with its default profile.
#[derive(Clone, Debug)]
pub struct Scheduler {
    namespaces: BTreeMap<String, Labels>,
    /// Lists that are not complete yet.
    lists: usize,
    cache: Cache,
    snapshot: Snapshot,
    queue: Queue,
    /// Pods that wait for a node to be cleared for them.
    nominated: BTreeMap<ObjectKey, (Arc<Pod>, String)>,
    /// The pod that is being tried.
    trying: Option<ObjectKey>,
    /// Where the search for nodes begins.
    start: usize,
    /// Bindings that are under way.
    binding: BTreeMap<u64, Arc<Pod>>,
    requests: u64,
    /// When the queue will be looked at.
    alarm: Option<Instant>,
}

impl Agent for Scheduler {
    fn on(&mut self, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Start => self.watch(cx),
            Event::Listed(_) => self.lists -= 1,
            Event::Changed(change) => self.changed(&change, cx),
            Event::Timer(TRIED) => self.tried(cx),
            Event::Timer(_) => {
                self.alarm = None;
                self.queue.flush(cx.now(), cx.timings().pod_backoff);
            }
            Event::Replied(token, result) => self.replied(token, &result, cx),
            Event::Done(..) | Event::Woken(..) | Event::Exited(..) | Event::Signal(_) => {}
        }
        self.go_on(cx);
    }
}

impl Scheduler {
    /// A scheduler of a cluster with these namespaces; others are there without labels of their own.
    pub fn new(namespaces: &[Namespace]) -> Self {
        Self {
            namespaces: namespaces.iter().map(|n| (n.name.clone(), n.labels.clone())).collect(),
            lists: 0,
            cache: Cache::default(),
            snapshot: Snapshot::default(),
            queue: Queue::default(),
            nominated: BTreeMap::new(),
            trying: None,
            start: 0,
            binding: BTreeMap::new(),
            requests: REQUESTS,
            alarm: None,
        }
    }

    /// kube-scheduler asks at most 50 things a second, 100 at once (pkg/scheduler/apis/config/v1/defaults.go).
    fn watch(&mut self, cx: &mut Context<'_>) {
        cx.limit_requests(50, 100);
        for kind in [Kind::Node, Kind::Service, Kind::Pod].into_iter().chain(OWNERS.map(Kind::Workload)) {
            self.lists += 1;
            cx.watch(Interest::All(kind));
        }
    }

    /// Takes up the next pod, and looks after the queue when something is due there.
    fn go_on(&mut self, cx: &mut Context<'_>) {
        // Nothing is decided before it is known what there is (`WaitForCacheSync`).
        if self.trying.is_none() && self.lists == 0 {
            self.trying = self.queue.pop();
            if self.trying.is_some() {
                let time = cx.timings().scheduling;
                let over = cx.now() + cx.draw(time);
                cx.timer(over, TRIED);
            }
        }
        if let Some(due) = self.queue.next_due().filter(|due| self.alarm.is_none_or(|alarm| *due < alarm)) {
            self.alarm = Some(due);
            cx.timer(due, DUE);
        }
    }

    fn ask(&mut self, request: Request, cx: &mut Context<'_>) -> u64 {
        self.requests += 1;
        cx.request(request, self.requests);
        self.requests
    }

    fn changed(&mut self, change: &Change, cx: &Context<'_>) {
        let before = self.cache.apply(change);
        match &change.object {
            Object::Node(node) => self.node_changed(change.action, node, before, cx),
            Object::Pod(pod) => self.pod_changed(change.action, pod, before, cx),
            _ => {}
        }
    }

    fn node_changed(&mut self, action: Action, node: &Arc<Node>, before: Option<Object>, cx: &Context<'_>) {
        let matters =
            |node: &Node| (node.labels.clone(), node.taints.clone(), node.unschedulable, node.allocatable.clone());
        let relabelled = match &before {
            _ if action == Action::Deleted => true,
            Some(Object::Node(before)) if matters(before) == matters(node) => {
                return self.snapshot.set_node(node);
            }
            Some(Object::Node(before)) => before.labels != node.labels,
            _ => false,
        };
        match action {
            Action::Deleted => self.snapshot.remove_node(node.name()),
            _ => self.snapshot.set_node(node),
        }
        let fits = |pod: &Pod| plugins::fits_when_empty(&pod.template, node) && pod.template.selects(node);
        let helped = self.stuck(|pod, rejected_by| {
            // With other domains the spread is another.
            (relabelled && rejected_by.contains(&Name::PodTopologySpread)) || (action != Action::Deleted && fits(pod))
        });
        self.wake(&helped, cx);
    }

    fn pod_changed(&mut self, action: Action, pod: &Arc<Pod>, before: Option<Object>, cx: &Context<'_>) {
        if action == Action::Deleted || pod.is_finished() {
            self.queue.remove(&pod.key);
            self.nominated.remove(&pod.key);
            if self.snapshot.remove(&pod.key).is_some() {
                self.pod_moved(pod, true, cx);
            }
            return;
        }
        let Some(node) = &pod.node_name else {
            let assumed = self.snapshot.placed(&pod.key).is_some_and(|placed| placed.pod.meta.uid == pod.meta.uid);
            if !assumed && !pod.is_terminating() {
                self.queue.add(pod, cx.now(), cx.timings().pod_backoff);
            }
            return;
        };
        self.queue.remove(&pod.key);
        self.nominated.remove(&pod.key);
        self.snapshot.place(pod, node);
        let matters = |pod: &Pod| (pod.node_name.clone(), pod.labels.clone(), pod.is_terminating());
        let before = match &before {
            Some(Object::Pod(before)) => Some(matters(before)),
            _ => None,
        };
        if before != Some(matters(pod)) {
            self.pod_moved(pod, false, cx);
        }
    }

    /// A pod came to a node, or left it: pods may fit now that it stood in the way of, or that want it near
    /// (`isSchedulableAfterPodChange` of each plugin).
    fn pod_moved(&mut self, moved: &Pod, left: bool, cx: &Context<'_>) {
        let helped = self.stuck(|pod, rejected_by| {
            let full = rejected_by.contains(&Name::NodePorts) || rejected_by.contains(&Name::NodeResourcesFit);
            let spread = rejected_by.contains(&Name::PodTopologySpread);
            let affinity = rejected_by.contains(&Name::InterPodAffinity);
            (left && full)
                || (spread && plugins::spread_concerns(pod, moved))
                || (affinity && plugins::affinity_concerns(pod, moved, &self.namespaces))
        });
        self.wake(&helped, cx);
    }

    /// Those of the pods that wait for a change which `helped` picks, given the plugins that objected.
    fn stuck(&self, helped: impl Fn(&Pod, &BTreeSet<Name>) -> bool) -> Vec<ObjectKey> {
        let stuck = self.queue.unschedulable().filter(|(pod, rejected_by)| helped(pod, rejected_by));
        stuck.map(|(pod, _)| pod.key.clone()).collect()
    }

    fn wake(&mut self, pods: &[ObjectKey], cx: &Context<'_>) {
        pods.iter().for_each(|pod| self.queue.wake(pod, cx.now(), cx.timings().pod_backoff));
    }

    /// The pod's turn is over: it gets a node, or has to wait.
    fn tried(&mut self, cx: &mut Context<'_>) {
        let Some(pod) = self.trying.take().and_then(|key| self.queue.get(&key).cloned()) else { return };
        let (class, selector) = (PodClass::of(&pod), default_selector(&pod, &self.cache));
        let cycle = Cycle {
            pod: &pod,
            class: &class,
            snapshot: &self.snapshot,
            nodes: self.snapshot.nodes(),
            namespaces: &self.namespaces,
            default_selector: selector.as_ref(),
            nominated: &self.nominated,
        };
        match schedule(&cycle, &mut self.start, cx.draws()) {
            Ok(node) => self.bind(&pod, node, cx),
            Err(mut failure) => {
                match preempt(&cycle, &failure, cx.draws()) {
                    Ok(candidate) => self.push_out(&pod, candidate.node, &candidate.victims, cx),
                    Err(Futile::NotEligible(why)) => failure.preemption = Some(why.into()),
                    Err(Futile::NoCandidate(why)) => {
                        self.nominated.remove(&pod.key);
                        failure.preemption = Some(why);
                    }
                }
                self.fail(&pod, &failure, cx);
            }
        }
    }

    /// The pod counts as being on its node from now on, though that is not written yet (`assume`).
    fn bind(&mut self, pod: &Arc<Pod>, node: String, cx: &mut Context<'_>) {
        self.queue.remove(&pod.key);
        self.nominated.remove(&pod.key);
        self.snapshot.place(pod, &node);
        let request = Request::Bind { pod: pod.key.clone(), uid: pod.meta.uid, node };
        let token = self.ask(request, cx);
        self.binding.insert(token, pod.clone());
    }

    /// The node is cleared; the pod waits for it.
    fn push_out(&mut self, pod: &Arc<Pod>, node: String, victims: &[Arc<Pod>], cx: &mut Context<'_>) {
        for victim in victims.iter().filter(|victim| !victim.is_terminating()) {
            let object = ObjectRef::pod(victim.key.clone());
            self.ask(Request::Delete { object, uid: Some(victim.meta.uid), grace: None }, cx);
        }
        // Whoever waits for the same node and is less important has to look for another.
        self.nominated
            .retain(|_, (other, nominee)| *nominee != node || other.template.priority >= pod.template.priority);
        self.nominated.insert(pod.key.clone(), (pod.clone(), node));
    }

    fn fail(&mut self, pod: &Arc<Pod>, failure: &Unschedulable, cx: &mut Context<'_>) {
        self.queue.fail(&pod.key, cx.now(), failure.plugins());
        let unschedulable = Some(failure.to_string());
        if pod.status.unschedulable != unschedulable {
            let status = PodStatus { unschedulable, ..pod.status.clone() };
            self.ask(Request::UpdatePodStatus { pod: pod.key.clone(), uid: pod.meta.uid, status }, cx);
        }
    }

    /// A binding that was refused is taken back, and the pod tried again if it still has no node.
    fn replied(&mut self, token: u64, result: &Result<(), Refused>, cx: &mut Context<'_>) {
        let Some(pod) = self.binding.remove(&token).filter(|_| result.is_err()) else { return };
        let now_there = self.cache.pods.get(&pod.key).filter(|known| known.meta.uid == pod.meta.uid).cloned();
        if now_there.as_ref().is_some_and(|known| known.node_name.is_some()) {
            return;
        }
        self.snapshot.remove(&pod.key);
        self.pod_moved(&pod, true, cx);
        if let Some(known) = now_there.filter(|known| !known.is_terminating()) {
            self.queue.add(&known, cx.now(), cx.timings().pod_backoff);
        }
    }
}

/// The pods among which `pod` is spread: those of its Services and of its owner; `None`: it has neither
/// (`DefaultSelector`, plugins/helper/spread.go).
fn default_selector(pod: &Pod, cache: &Cache) -> Option<Selector> {
    let services = cache.services.values().filter(|service| service.key.namespace == pod.key.namespace);
    let selectors = services.filter_map(|service| service.pod_selector()).filter(|s| s.matches(&pod.labels));
    let owner = pod.meta.owner.as_ref().and_then(|owner| match owner.object.kind {
        Kind::Workload(kind) if OWNERS.contains(&kind) => {
            cache.workloads.get(&WorkloadRef { kind, key: owner.object.key.clone() })
        }
        _ => None,
    });
    let requirements = selectors.flat_map(|selector| selector.requirements);
    let requirements: Vec<_> =
        requirements.chain(owner.into_iter().flat_map(|o| o.selector.requirements.clone())).collect();
    (!requirements.is_empty()).then_some(Selector { requirements })
}
