//! What all controllers have in common: they watch, look at one thing at a time, and ask for what it lacks.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::sync::Arc;

use sim_core::engine::time::{Duration, Instant};

use crate::agent::{Agent, Context, Event, Interest};
use crate::api::{Kind, Object, ObjectRef, Workload, WorkloadStatus};
use crate::apiserver::{Change, Refused, Request};

use super::queue::{Backoff, Queue};
use super::store::Store;

/// Threads of one controller, and so how many things it works on at once (`--concurrent-*-syncs`).
const WORKERS: usize = 5;
/// Requests a second and at once of each client of the kube-controller-manager (`--kube-api-qps`, `--kube-api-burst`).
const QPS: u64 = 20;
const BURST: u64 = 30;

/// The decisions of one controller.
pub(super) trait Reconciler: Clone + Debug + Send + Sync + 'static {
    /// What it looks at one at a time.
    type Key: Ord + Clone + Debug + Send + Sync;

    /// The kinds it watches.
    fn kinds(&self) -> Vec<Kind>;

    /// What is to be looked at because of `change`. `before` is the object as it was seen before.
    fn concerned(&mut self, store: &Store, change: &Change, before: Option<&Object>) -> Vec<Self::Key>;

    /// How long what `change` concerns waits before it is looked at.
    fn delay(&self, _change: &Change) -> Duration {
        Duration::ZERO
    }

    /// What to do about `key`, from what has been seen.
    fn reconcile(&mut self, store: &Store, key: &Self::Key, now: Instant) -> Plan;

    /// The apiserver has carried out a request of `key`'s last plan.
    fn succeeded(&mut self, _key: &Self::Key, _request: &Request) {}

    /// Whether a key is left alone until the pods it asked for, or asked to delete, have been seen to come or go
    /// (`ControllerExpectations`).
    const EXPECTS_PODS: bool = false;

    /// How long a key waits that could not be put right.
    fn backoff(&self) -> Backoff {
        Backoff::default()
    }
}

/// What a controller does about a key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Requests: those of one step all at once, the next step when all of it has been carried out.
    pub(super) steps: Vec<Vec<Request>>,
    /// When to look again though nothing has changed.
    pub(super) again: Option<Instant>,
    /// What has been seen is out of date: look again after a while.
    pub(super) stale: bool,
}

impl Plan {
    /// One request after the other.
    pub(super) fn in_turn(requests: impl IntoIterator<Item = Request>) -> Self {
        Self { steps: requests.into_iter().map(|request| vec![request]).collect(), ..Self::default() }
    }

    /// Also, afterwards.
    pub(super) fn then(&mut self, requests: Vec<Request>) {
        if !requests.is_empty() {
            self.steps.push(requests);
        }
    }

    /// Also, afterwards, in batches of 1, 2, 4 …: if they are refused, few are refused in vain (`slowStartBatch`,
    /// pkg/controller/replicaset/replica_set.go).
    pub(super) fn then_slowly(&mut self, requests: impl IntoIterator<Item = Request>) {
        let mut requests = requests.into_iter().peekable();
        let mut batch = 1;
        while requests.peek().is_some() {
            self.steps.push(requests.by_ref().take(batch).collect());
            batch *= 2;
        }
    }

    /// Also, afterwards: the workload has this status, if it had another.
    pub(super) fn then_status(&mut self, workload: &Workload, status: WorkloadStatus) {
        if status != workload.status {
            let workload = Workload { status, ..workload.clone() };
            self.then(vec![Request::Update(Object::Workload(Arc::new(workload)))]);
        }
    }

    /// Look again at `at`, or before if that was asked for.
    pub(super) fn look_again(&mut self, at: impl IntoIterator<Item = Instant>) {
        self.again = at.into_iter().chain(self.again).min();
    }
}

/// A controller: its decisions, what it has seen, and what it is doing.
#[derive(Clone, Debug)]
pub(super) struct Controller<R: Reconciler> {
    reconciler: R,
    store: Store,
    queue: Queue<R::Key>,
    /// How many kinds it has not yet seen all objects of.
    unlisted: usize,
    jobs: BTreeMap<u64, Job<R::Key>>,
    /// Requests that have not been answered, and the job they belong to.
    asked: BTreeMap<u64, (u64, Request)>,
    /// Pods that are to come or go, and for whom.
    expected: BTreeMap<ObjectRef, R::Key>,
    /// For how many pods a key waits.
    expectations: BTreeMap<R::Key, usize>,
    tokens: u64,
}

/// A plan that is being carried out.
#[derive(Clone, Debug)]
struct Job<K> {
    key: K,
    steps: VecDeque<Vec<Request>>,
    unanswered: usize,
    failed: bool,
    again: Option<Instant>,
}

impl<R: Reconciler> Controller<R> {
    pub(super) fn new(reconciler: R) -> Self {
        Self {
            queue: Queue::new(reconciler.backoff()),
            reconciler,
            store: Store::default(),
            unlisted: usize::MAX,
            jobs: BTreeMap::new(),
            asked: BTreeMap::new(),
            expected: BTreeMap::new(),
            expectations: BTreeMap::new(),
            tokens: 0,
        }
    }

    fn start(&mut self, cx: &mut Context<'_>) {
        cx.limit_requests(QPS, BURST);
        let kinds = self.reconciler.kinds();
        self.unlisted = kinds.len();
        kinds.into_iter().for_each(|kind| cx.watch(Interest::All(kind)));
    }

    /// All objects of one kind more have been seen; work begins when that is so of every kind (`WaitForNamedCacheSync`).
    fn listed(&mut self) {
        self.unlisted -= 1;
    }

    fn changed(&mut self, change: &Change, cx: &mut Context<'_>) {
        let before = self.store.apply(change);
        let came_or_goes = change.object.meta().deletion.is_some() || before.is_none() || change.is_deletion();
        if came_or_goes && let Some(key) = self.expected.remove(&change.object.reference()) {
            self.met(&key);
        }
        let delay = self.reconciler.delay(change);
        for key in self.reconciler.concerned(&self.store, change, before.as_ref()) {
            if delay == Duration::ZERO {
                self.queue.add(key);
            } else {
                self.look_again(key, cx.now() + delay, cx);
            }
        }
    }

    /// One pod of those a key waits for has come or gone, or will not.
    fn met(&mut self, key: &R::Key) {
        if let Some(left) = self.expectations.get_mut(key) {
            *left -= 1;
            if *left == 0 {
                self.expectations.remove(key);
                self.queue.add(key.clone());
            }
        }
    }

    fn look_again(&mut self, key: R::Key, at: Instant, cx: &mut Context<'_>) {
        if self.queue.add_at(key, at) {
            cx.timer(at, 0);
        }
    }

    /// Takes up what waits, as far as there is someone to work on it.
    fn work(&mut self, cx: &mut Context<'_>) {
        while self.unlisted == 0 && self.jobs.len() < WORKERS {
            let Some(key) = self.queue.take() else { return };
            if self.expectations.contains_key(&key) {
                self.queue.done(&key);
                continue;
            }
            let Plan { steps, again, stale } = self.reconciler.reconcile(&self.store, &key, cx.now());
            let job = Job { key, steps: steps.into(), unanswered: 0, failed: stale, again };
            let id = self.token();
            self.jobs.insert(id, job);
            self.proceed(id, cx);
        }
    }

    fn token(&mut self) -> u64 {
        self.tokens += 1;
        self.tokens
    }

    /// Begins the next step of a job, or ends it.
    fn proceed(&mut self, id: u64, cx: &mut Context<'_>) {
        let job = self.jobs.get_mut(&id).expect("a job ends here alone");
        if job.unanswered > 0 {
            return;
        }
        let next = if job.failed { None } else { job.steps.pop_front() };
        let Some(requests) = next else { return self.end(id, cx) };
        let key = job.key.clone();
        job.unanswered = requests.len();
        for request in requests {
            if R::EXPECTS_PODS
                && let Some(pod) = pod_of(&request)
                && self.expected.insert(pod, key.clone()).is_none()
            {
                *self.expectations.entry(key.clone()).or_default() += 1;
            }
            let token = self.token();
            cx.request(request.clone(), token);
            self.asked.insert(token, (id, request));
        }
    }

    fn end(&mut self, id: u64, cx: &mut Context<'_>) {
        let Some(Job { key, failed, again, .. }) = self.jobs.remove(&id) else { return };
        if failed {
            if let Some(delay) = self.queue.failed(&key) {
                self.look_again(key.clone(), cx.now() + delay, cx);
            }
        } else {
            self.queue.forget(&key);
        }
        if let Some(at) = again {
            self.look_again(key.clone(), at, cx);
        }
        self.queue.done(&key);
    }

    fn replied(&mut self, token: u64, result: &Result<(), Refused>, cx: &mut Context<'_>) {
        let Some((id, request)) = self.asked.remove(&token) else { return };
        let job = self.jobs.get_mut(&id).expect("a job ends when all is answered");
        job.unanswered -= 1;
        let is_deletion = matches!(request, Request::Delete { .. });
        match result {
            Ok(()) => self.reconciler.succeeded(&job.key, &request),
            // Whoever wants it gone has what he wants.
            Err(Refused::NotFound) if is_deletion => {}
            Err(_) => job.failed = true,
        }
        if result.is_err()
            && let Some(pod) = pod_of(&request)
            && let Some(key) = self.expected.remove(&pod)
        {
            self.met(&key);
        }
        self.proceed(id, cx);
    }
}

/// The pod that comes or goes by a request.
fn pod_of(request: &Request) -> Option<ObjectRef> {
    match request {
        Request::Create(object) if object.kind() == Kind::Pod => Some(object.reference()),
        Request::Delete { object, .. } if object.kind == Kind::Pod => Some(object.clone()),
        _ => None,
    }
}

impl<R: Reconciler> Agent for Controller<R> {
    fn on(&mut self, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Start => self.start(cx),
            Event::Changed(change) => self.changed(&change, cx),
            Event::Listed(_) => self.listed(),
            Event::Timer(_) => self.queue.ripen(cx.now()),
            Event::Replied(token, result) => self.replied(token, &result, cx),
            Event::Done(..) | Event::Woken(..) | Event::Exited(..) | Event::Signal(_) => {}
        }
        self.work(cx);
    }
}
