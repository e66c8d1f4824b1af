//! The kubelet of a node: it registers its node, brings up the pods that are bound to it, probes them, and winds them up.
//!
//! | room | what it decides | upstream, pkg/kubelet |
//! | --- | --- | --- |
//! | `node` | registration, leases, when the node is ready | `kubelet_node_status.go`, `nodelease` |
//! | `pod` | what is known of one pod and its containers | `pod_workers.go`, `container/` |
//! | `start` | sandbox, network, containers one after the other | `kuberuntime/kuberuntime_manager.go` `SyncPod` |
//! | `stop` | preStop, stop signal, kill, sandbox, the end | `kubelet.go` `SyncTerminatingPod`, `kuberuntime_container.go` |
//! | `restart` | what ended and is started again | `computePodActions`, `doBackOff` |
//! | `probes`, `hooks` | tries, by packets from the node's netns | `prober/`, `lifecycle/` |
//! | `worker`, `backoff`, `attempt`, `grpc` | pure parts of these | `prober/worker.go`, `pkg/probe` |
//! | `status` | what the apiserver is told | `status/status_manager.go`, `kubelet_pods.go` |
//!
//! The container runtime is part of it. Nothing ticks but probes of running containers and the node's lease; what a listing
//! of the containers (PLEG) would find is looked at when the next one is due after something happened.

mod attempt;
mod backoff;
mod grpc;
mod hooks;
mod node;
mod pod;
mod probes;
mod restart;
mod start;
mod status;
mod stop;
mod worker;

use std::collections::{BTreeMap, VecDeque};

use ipnet::IpNet;
use sim_core::engine::arena::{NetnsId, SocketId};
use sim_core::engine::time::{Duration, Instant};
use sim_core::netns::socket::Socket;

use crate::agent::{Agent, ContainerRef, Context, Event, Interest};
use crate::api::{Condition, Node, Object, ObjectRef, Pod};
use crate::apiserver::{Change, Request};
use crate::command::CommandFailed;
use crate::timings::Span;

use hooks::Hook;
use node::Network;
use pod::PodLife;
use probes::Try;
use status::Write;

/// Requests a second, and at once (pkg/kubelet/apis/config/v1beta1/defaults.go, `KubeAPIQPS`, `KubeAPIBurst`).
const REQUESTS: (u64, u64) = (50, 100);

/// What a kubelet is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node as it registers: name, labels, taints, addresses.
    pub node: Node,
    /// Its netns.
    pub netns: NetnsId,
    /// All nodes' pod networks together, one a family, the primary one first.
    pub pod_networks: Vec<IpNet>,
    /// MTU of pods, in bytes.
    pub pod_mtu: u16,
    /// Whether a pod reaches itself by a Service (`hairpinMode` of the CNI configuration). flannel's says yes.
    pub hairpin: bool,
}

/// A kubelet.
#[derive(Clone, Debug)]
pub struct Kubelet {
    config: Config,
    born: Instant,
    /// When in a second the containers are listed.
    relist_phase: Duration,
    /// Its node's condition, as the apiserver has it.
    ready: Condition,
    /// Once the node has a pod network and may use it.
    network: Option<Network>,
    /// By uid.
    pods: BTreeMap<u64, PodLife>,
    /// What is due at which timer, or once which commands have been carried out.
    due: BTreeMap<u64, Due>,
    scheduled: u64,
    /// Connections of probes and hooks.
    tries: BTreeMap<SocketId, Try>,
    /// What the apiserver is to be told, one after the other (the status manager has one goroutine).
    writes: VecDeque<Write>,
    writing: Option<Write>,
}

/// Which start of which container: later ones make it void.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Run {
    uid: u64,
    container: usize,
    run: u32,
}

/// Something that will happen. What was overtaken by then does nothing.
#[derive(Clone, Copy, Debug)]
enum Due {
    Lease,
    /// The sandbox of a pod stands, or is to be tried again.
    Sandbox(u64),
    /// The next part of a pod's network was made, or taken down.
    Wired(u64),
    /// An init container ended.
    InitEnded(u64),
    /// The next container may be looked at.
    NextStep(u64),
    /// A container starts.
    Starts(u64, usize),
    /// The containers of the node were listed.
    Relist(u64),
    /// A tick of the worker with this index.
    Tick(u64, usize),
    /// An exec probe of the worker with this index ended.
    ExecEnded(Run, usize, bool),
    /// A connection takes too long.
    TooLong(SocketId),
    HookOver(Run, Hook, bool),
    /// A sidecar has waited long enough for its turn.
    TurnOver(Run),
    GraceOver(Run),
    SandboxStops(u64),
    /// Nothing of a pod is left.
    Finished(u64),
}

impl Kubelet {
    /// The kubelet of a node, not started yet.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            born: Instant::START,
            relist_phase: Duration::ZERO,
            ready: Condition::Unknown,
            network: None,
            pods: BTreeMap::new(),
            due: BTreeMap::new(),
            scheduled: 0,
            tries: BTreeMap::new(),
            writes: VecDeque::new(),
            writing: None,
        }
    }

    /// `due` gets a token of its own.
    fn expect(&mut self, due: Due) -> u64 {
        self.scheduled += 1;
        self.due.insert(self.scheduled, due);
        self.scheduled
    }

    fn at(&mut self, cx: &mut Context<'_>, at: Instant, due: Due) {
        let token = self.expect(due);
        cx.timer(at, token);
    }

    fn after(&mut self, cx: &mut Context<'_>, delay: Duration, due: Due) {
        let at = cx.now() + delay;
        self.at(cx, at, due);
    }

    fn changed(&mut self, cx: &mut Context<'_>, change: &Change) {
        match &change.object {
            Object::Node(node) if !change.is_deletion() => self.node_changed(cx, node),
            Object::Pod(pod) if change.is_deletion() => self.pod_gone(cx, pod),
            Object::Pod(pod) => self.pod_changed(cx, pod),
            _ => {}
        }
    }

    fn pod_changed(&mut self, cx: &mut Context<'_>, pod: &std::sync::Arc<Pod>) {
        let uid = pod.meta.uid;
        match self.pods.get_mut(&uid) {
            Some(life) => life.pod = pod.clone(),
            None if pod.is_finished() => return,
            None => self.take_up(cx, pod.clone()),
        }
        if let Some(deletion) = pod.meta.deletion {
            self.begin_stop(cx, uid, deletion.grace);
        }
    }

    /// Deleted by force: what runs gets no more than a second.
    fn pod_gone(&mut self, cx: &mut Context<'_>, pod: &Pod) {
        let Some(life) = self.pods.get_mut(&pod.meta.uid) else { return };
        life.object_gone = true;
        self.begin_stop(cx, pod.meta.uid, Duration::ZERO);
        self.forget_if_over(pod.meta.uid);
    }

    fn happen(&mut self, cx: &mut Context<'_>, due: Due) {
        match due {
            Due::Lease => self.renew_lease(cx),
            Due::Sandbox(uid) => self.make_network(cx, uid),
            Due::Wired(uid) => self.wired(cx, uid, Ok(())),
            Due::InitEnded(uid) => self.init_ended(cx, uid),
            Due::NextStep(uid) => self.next_step(cx, uid),
            Due::Starts(uid, container) => self.starts(cx, uid, container),
            Due::Relist(uid) => self.relisted(cx, uid),
            Due::Tick(uid, worker) => self.tick(cx, uid, worker),
            Due::ExecEnded(run, worker, ok) => self.tried(cx, run, worker, ok),
            Due::TooLong(socket) => self.end_try(cx, socket, false),
            Due::HookOver(run, hook, ok) => self.hook_over(cx, run, hook, ok),
            Due::TurnOver(run) => self.turn_over(cx, run),
            Due::GraceOver(run) => self.grace_over(cx, run),
            Due::SandboxStops(uid) => self.take_down_network(cx, uid),
            Due::Finished(uid) => self.finished(cx, uid),
        }
    }

    fn done(&mut self, cx: &mut Context<'_>, token: u64, result: Result<(), CommandFailed>) {
        if let Some(Due::Wired(uid)) = self.due.remove(&token) {
            self.wired(cx, uid, result);
        }
    }

    /// The container that others call so.
    fn reference(&self, run: Run) -> Option<ContainerRef> {
        let pod = self.pods.get(&run.uid)?.pod.key.clone();
        Some(ContainerRef { pod, uid: run.uid, container: run.container })
    }
}

impl Agent for Kubelet {
    fn on(&mut self, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Start => {
                self.born = cx.now();
                let every = cx.timings().kubelet.relist;
                self.relist_phase = cx.draw(Span { from: Duration::ZERO, to: every });
                cx.limit_requests(REQUESTS.0, REQUESTS.1);
                cx.request(Request::Create(Object::Node(self.config.node.clone().into())), status::UNHEEDED);
                self.renew_lease(cx);
                cx.watch(Interest::One(ObjectRef::node(self.config.node.name())));
                cx.watch(Interest::PodsOn(self.config.node.name().to_owned()));
            }
            Event::Changed(change) => self.changed(cx, &change),
            Event::Timer(token) => {
                if let Some(due) = self.due.remove(&token) {
                    self.happen(cx, due);
                }
            }
            Event::Done(token, result) => self.done(cx, token, result),
            Event::Replied(status::UNHEEDED, _) => {}
            Event::Replied(_, result) => self.written(cx, result),
            Event::Woken(_, Socket::Tcp(socket)) => self.woken(cx, socket),
            Event::Woken(..) | Event::Listed(_) | Event::Signal(_) => {}
            Event::Exited(ContainerRef { uid, container, .. }, code) => self.exited(cx, uid, container, code),
        }
    }
}

#[cfg(test)]
mod tests;
