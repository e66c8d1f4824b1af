//! A cluster for tests: the controllers, and nodes that take up every pod.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sim_core::engine::rng::Seed;
use sim_core::engine::time::{Duration, Instant};
use sim_core::world::{Happened, World};

use crate::agent::{Agent, Context, ControlPlane, Event, Interest};
use crate::api::{
    Condition, ContainerStatus, Kind, Labels, Node, Object, ObjectKey, ObjectRef, Phase, Pod, PodStatus, PodTemplate,
    Selector, Workload, WorkloadKind, WorkloadRef,
};
use crate::apiserver::{Apiserver, Cache, Change, Request};
use crate::ipam::PodCidrs;
use crate::timings::Timings;

/// How long a pod takes from its node to being ready, and from its deletion to being gone.
pub(super) const TO_START: Duration = Duration::from_secs(1);
pub(super) const TO_STOP: Duration = Duration::from_secs(2);

/// Scheduler and kubelets in one: each pod gets the next node, is ready a second later, and gone two seconds after its
/// deletion. Pods with the label `broken` never become ready; Jobs' pods end after ten seconds. Nodes with the label
/// `dead` do and say nothing.
#[derive(Clone, Debug, Default)]
struct Nodes {
    alive: BTreeSet<String>,
    bound: usize,
    /// What the timer of a token is for.
    due: BTreeMap<u64, (Arc<Pod>, What)>,
    timers: u64,
    addresses: u8,
}

/// The timer for the next signs of life.
const LEASES: u64 = u64::MAX;

#[derive(Clone, Copy, PartialEq, Debug)]
enum What {
    Start,
    End,
    Stop,
}

impl Nodes {
    fn later(&mut self, pod: &Arc<Pod>, what: What, after: Duration, cx: &mut Context<'_>) {
        self.timers += 1;
        let token = self.timers;
        self.due.insert(token, (pod.clone(), what));
        cx.timer(cx.now() + after, token);
    }

    fn node_changed(&mut self, change: &Change, node: &Node) {
        if change.is_deletion() || node.labels.contains_key("dead") {
            self.alive.remove(node.name());
        } else {
            self.alive.insert(node.name().to_owned());
        }
    }

    fn renew_leases(&mut self, cx: &mut Context<'_>) {
        self.alive.iter().for_each(|node| cx.request(Request::RenewLease { node: node.clone() }, 0));
        cx.timer(cx.now() + Duration::from_secs(10), LEASES);
    }

    fn changed(&mut self, pod: &Arc<Pod>, cx: &mut Context<'_>) {
        let broken = pod.labels.contains_key("broken");
        if pod.is_finished() {
            self.due.retain(|_, (other, what)| other.meta.uid != pod.meta.uid || *what != What::End);
        }
        if pod.node_name.as_ref().is_some_and(|node| !self.alive.contains(node)) {
            // Nobody is there to do anything.
        } else if pod.is_terminating() {
            self.later(pod, What::Stop, TO_STOP, cx);
        } else if pod.node_name.is_none() {
            let fields = pod.template.affinity.node.required.iter().flatten().flat_map(|t| &t.fields.requirements);
            let required = fields.flat_map(|requirement| &requirement.values).next();
            let node =
                required.or_else(|| self.alive.iter().nth(self.bound % self.alive.len())).expect("a node").clone();
            self.bound += 1;
            cx.request(Request::Bind { pod: pod.key.clone(), uid: pod.meta.uid, node }, 0);
        } else if pod.status.phase == Phase::Pending && !broken {
            self.later(pod, What::Start, TO_START, cx);
        } else if pod.status.phase == Phase::Running && pod.labels.contains_key("job-name") {
            self.later(pod, What::End, Duration::from_secs(10), cx);
        }
    }

    fn status(&mut self, what: What, now: Instant) -> PodStatus {
        self.addresses += 1;
        let running = what == What::Start;
        PodStatus {
            phase: if running { Phase::Running } else { Phase::Succeeded },
            ips: vec![[10, 244, 0, self.addresses].into()],
            ready: running,
            ready_changed: now,
            started: Some(now),
            containers: vec![ContainerStatus { running_since: Some(now), ready: running, ..Default::default() }],
            ..PodStatus::default()
        }
    }
}

impl Agent for Nodes {
    fn on(&mut self, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Start => cx.watch(Interest::All(Kind::Node)),
            Event::Listed(Interest::All(Kind::Node)) => {
                cx.watch(Interest::All(Kind::Pod));
                self.renew_leases(cx);
            }
            Event::Changed(change) => match &change.object {
                Object::Node(node) => self.node_changed(&change, node),
                Object::Pod(pod) if !change.is_deletion() => self.changed(pod, cx),
                _ => {}
            },
            Event::Timer(LEASES) => self.renew_leases(cx),
            Event::Timer(token) => {
                let Some((pod, what)) = self.due.remove(&token) else { return };
                let (pod, uid) = (pod.key.clone(), pod.meta.uid);
                let request = match what {
                    What::Stop => {
                        let grace = Some(Duration::ZERO);
                        Request::Delete { object: ObjectRef::pod(pod), uid: Some(uid), grace }
                    }
                    what => Request::UpdatePodStatus { pod, uid, status: self.status(what, cx.now()) },
                };
                cx.request(request, 0);
            }
            _ => {}
        }
    }
}

/// A control plane with all controllers and three nodes.
pub(super) struct Bench {
    pub(super) world: World,
    pub(super) plane: ControlPlane,
}

impl Bench {
    pub(super) fn new() -> Self {
        let apiserver = Apiserver::new(&["10.96.0.0/12".parse().expect("a network")], Vec::new());
        let (seed, timings) = (Seed(1), Timings::default());
        let mut bench = Self { world: World::new(seed), plane: ControlPlane::new(seed, timings, apiserver) };
        for name in ["n1", "n2", "n3"] {
            bench.create(Object::Node(Arc::new(node(name))));
        }
        bench.plane.spawn(&mut bench.world, "nodes", Box::new(Nodes::default()));
        let pod_cidrs = vec![PodCidrs::new("10.244.0.0/16".parse().expect("a network"), 24).expect("a good range")];
        for (name, controller) in super::all(&Timings::default(), pod_cidrs) {
            bench.plane.spawn(&mut bench.world, name, controller);
        }
        bench
    }

    pub(super) fn create(&mut self, object: Object) {
        self.plane.kubectl(&mut self.world, Request::Create(object)).expect("it is new");
    }

    pub(super) fn delete(&mut self, object: ObjectRef) {
        let request = Request::Delete { object, uid: None, grace: None };
        self.plane.kubectl(&mut self.world, request).expect("it is there");
    }

    pub(super) fn update(&mut self, object: Object) {
        self.plane.kubectl(&mut self.world, Request::Update(object)).expect("nobody else is at it");
    }

    /// `kubectl edit`.
    pub(super) fn edit(&mut self, kind: WorkloadKind, name: &str, change: impl FnOnce(&mut Workload)) {
        let mut workload = self.workload(kind, name);
        change(&mut workload);
        self.update(Object::Workload(Arc::new(workload)));
    }

    pub(super) fn workload(&self, kind: WorkloadKind, name: &str) -> Workload {
        let reference = WorkloadRef { kind, key: ObjectKey::new("default", name) };
        Workload::clone(&self.objects().workloads[&reference])
    }

    pub(super) fn objects(&self) -> &Cache {
        self.plane.objects()
    }

    pub(super) fn now(&self) -> Instant {
        self.world.now()
    }

    /// Lets so much time pass; `look` is called whenever an object has changed.
    pub(super) fn watch(&mut self, time: Duration, mut look: impl FnMut(&Cache, Instant)) {
        let until = self.now() + time;
        self.world.alarm(until, 0);
        let mut version = self.plane.version();
        while let Some(happened) = self.world.step(Instant::NEVER) {
            match happened {
                Happened::Alarm(0) => return,
                Happened::Alarm(token) => assert!(self.plane.alarm(&mut self.world, token)),
                _ => {}
            }
            if std::mem::replace(&mut version, self.plane.version()) != self.plane.version() {
                look(self.plane.objects(), self.world.now());
            }
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        self.watch(time, |_, _| {});
    }

    pub(super) fn run_secs(&mut self, secs: u64) {
        self.run(Duration::from_secs(secs));
    }

    /// Names of the pods that are not going away.
    pub(super) fn pods(&self) -> Vec<String> {
        self.objects().pods.values().filter(|pod| !pod.is_terminating()).map(|pod| pod.key.name.clone()).collect()
    }
}

/// A node that is ready.
pub(super) fn node(name: &str) -> Node {
    Node { ready: Condition::True, network_available: true, ..Node::new(name) }
}

/// A workload whose pods have the label `app`, its own name.
pub(super) fn workload(kind: WorkloadKind, name: &str, replicas: u32) -> Workload {
    let labels: Labels = [("app".to_owned(), name.to_owned())].into();
    let selector = Selector::equal_to(&labels);
    let template = Arc::new(PodTemplate { labels, ..PodTemplate::default() });
    Workload { selector, replicas, ..Workload::new(kind, ObjectKey::new("default", name), template) }
}

/// Another template: `change` made to the old one.
pub(super) fn changed(workload: &Workload, change: impl FnOnce(&mut PodTemplate)) -> Arc<PodTemplate> {
    let mut template = PodTemplate::clone(&workload.template);
    change(&mut template);
    Arc::new(template)
}
