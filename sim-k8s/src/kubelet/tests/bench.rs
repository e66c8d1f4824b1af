//! A node, its kubelet, an apiserver, and applications that answer HTTP.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use sim_core::engine::arena::SocketId;
use sim_core::engine::rng::Seed;
use sim_core::world::{Happened, World};

use super::super::*;
use crate::agent::{ControlPlane, Notice};
use crate::api::{
    Container, Handler, HttpGet, Meta, ObjectKey, PodStatus, PodTemplate, Probe, WorkloadKind, WorkloadRef,
};
use crate::apiserver::{Apiserver, NodePatch};
use crate::timings::Timings;

/// What an application does.
#[derive(Clone, Copy, Debug)]
pub(super) struct App {
    /// It listens so long after its start; `None`: never.
    pub(super) listens_after: Option<Duration>,
    /// So long after the stop signal it ends; `None`: it ignores the signal.
    pub(super) stops_after: Option<Duration>,
    /// It ends by itself so long after its start.
    pub(super) ends_after: Option<(Duration, u8)>,
}

/// It listens at once and stops at once.
pub(super) const GOOD: App =
    App { listens_after: Some(Duration::ZERO), stops_after: Some(Duration::ZERO), ends_after: None };

#[derive(Clone, Debug)]
enum Alarm {
    Listen(ContainerRef, NetnsId),
    End(ContainerRef, u8),
}

pub(super) struct Bench {
    pub(super) world: World,
    pub(super) plane: ControlPlane,
    pub(super) app: App,
    alarms: Vec<Alarm>,
    listeners: BTreeMap<(NetnsId, SocketId), ContainerRef>,
    /// What the applications were told, and when.
    pub(super) told: Vec<(u64, String)>,
    /// What became of pods in the apiserver, and when.
    pub(super) seen: Vec<(u64, String)>,
}

pub(super) const NODE: &str = "n1";

impl Bench {
    pub(super) fn new(seed: u64, app: App) -> Self {
        Self::with_cidr(seed, app, "10.244.1.0/24")
    }

    /// A node whose pod network is `cidr`.
    pub(super) fn with_cidr(seed: u64, app: App, cidr: &str) -> Self {
        let mut world = World::new(Seed(seed));
        let netns = world.add_netns(NODE).expect("a new name");
        for line in ["link set lo up", "addr add 10.240.0.11/24 dev lo"] {
            world.ip(netns, line).expect("understood");
        }
        let apiserver = Apiserver::new(&["10.96.0.0/12".parse().expect("a network")], Vec::new());
        let mut plane = ControlPlane::new(Seed(seed), Timings::default(), apiserver);
        let mut node = Node::new(NODE);
        node.internal_ips = vec![[10, 240, 0, 11].into()];
        let pod_networks = vec!["10.244.0.0/16".parse().expect("a network")];
        let config = Config { node, netns, pod_networks, pod_mtu: 1450, hairpin: true };
        plane.spawn(&mut world, "kubelet n1", Box::new(Kubelet::new(config)));
        let (alarms, listeners) = (Vec::new(), BTreeMap::new());
        let mut bench = Self { world, plane, app, alarms, listeners, told: Vec::new(), seen: Vec::new() };
        bench.run_to(100);
        let patch = NodePatch {
            pod_cidrs: Some(vec![cidr.parse().expect("a network")]),
            network_available: Some(true),
            ..NodePatch::default()
        };
        bench.kubectl(Request::PatchNode { node: NODE.into(), patch });
        bench.run_to(30_000);
        assert_eq!(bench.plane.objects().nodes[NODE].ready, Condition::True);
        bench
    }

    pub(super) fn kubectl(&mut self, request: Request) {
        self.plane.kubectl(&mut self.world, request).expect("taken");
    }

    /// Lets everything happen until `ms` after the start of the world.
    pub(super) fn run_to(&mut self, ms: u64) {
        let until = Instant::START + Duration::from_millis(ms);
        while let Some(happened) = self.world.step(until) {
            match happened {
                Happened::Inside => continue,
                Happened::Alarm(token) => {
                    if !self.plane.alarm(&mut self.world, token) {
                        self.alarm(token);
                    }
                }
                Happened::Wake(netns, socket) => {
                    if !self.plane.woken(&mut self.world, netns, socket) {
                        self.serve(netns, socket);
                    }
                }
            }
            self.play();
            self.look();
        }
    }

    fn now(&self) -> u64 {
        self.world.now().since(Instant::START).as_millis()
    }

    fn set(&mut self, after: Duration, alarm: Alarm) {
        self.world.alarm(self.world.now() + after, self.alarms.len() as u64);
        self.alarms.push(alarm);
    }

    fn alarm(&mut self, token: u64) {
        match self.alarms[token as usize].clone() {
            Alarm::Listen(container, netns) => {
                let local = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 8080);
                if let Ok(listener) = self.world.tcp_listen(netns, local, 16) {
                    self.listeners.insert((netns, listener), container);
                }
            }
            Alarm::End(container, code) => {
                self.close(&container);
                self.plane.exited(&mut self.world, &container, code);
            }
        }
    }

    fn close(&mut self, container: &ContainerRef) {
        let of = self.listeners.iter().filter(|(_, owner)| *owner == container).map(|(at, _)| *at).collect::<Vec<_>>();
        for (netns, listener) in of {
            self.world.tcp_close(netns, listener);
            self.listeners.remove(&(netns, listener));
        }
    }

    fn play(&mut self) {
        while let Some(notice) = self.plane.next_notice() {
            let name = |of: &ContainerRef| format!("{}/{}", of.pod.name, of.container);
            let now = self.now();
            match notice {
                Notice::Started { container, netns, .. } => {
                    self.told.push((now, format!("{} started", name(&container))));
                    if let Some(after) = self.app.listens_after {
                        self.set(after, Alarm::Listen(container.clone(), netns));
                    }
                    if let Some((after, code)) = self.app.ends_after {
                        self.set(after, Alarm::End(container, code));
                    }
                }
                Notice::Stop(container) => {
                    self.told.push((now, format!("{} stop", name(&container))));
                    if let Some(after) = self.app.stops_after {
                        self.set(after, Alarm::End(container, 0));
                    }
                }
                Notice::Killed(container) => {
                    self.told.push((now, format!("{} killed", name(&container))));
                    self.close(&container);
                }
                Notice::Exited(..) => unreachable!("no agent runs in a container here"),
            }
        }
    }

    /// Notes what became of pods.
    fn look(&mut self) {
        for pod in self.plane.objects().pods.values() {
            let PodStatus { phase, ready, containers, .. } = &pod.status;
            let restarts: u32 = containers.iter().map(|container| container.restarts).sum();
            let ready = if *ready { " ready" } else { "" };
            let line = format!("{} {phase:?}{ready} {restarts}", pod.key.name);
            let last = self.seen.iter().rev().find(|(_, seen)| seen.split(' ').next() == Some(&pod.key.name));
            if last.is_none_or(|(_, last)| *last != line) {
                let now = self.world.now().since(Instant::START).as_millis();
                self.seen.push((now, line));
            }
        }
    }

    fn serve(&mut self, netns: NetnsId, socket: Socket) {
        let Socket::Tcp(id) = socket else { return };
        if self.listeners.contains_key(&(netns, id)) {
            while let Some((connection, _)) = self.world.tcp_accept(netns, id) {
                self.serve(netns, Socket::Tcp(connection));
            }
            return;
        }
        match self.world.tcp_recv(netns, id, 4096) {
            Ok(data) if data.is_empty() => self.world.tcp_close(netns, id),
            Ok(data) => {
                let answer: &[u8] = if data.starts_with(b"PRI") {
                    // SETTINGS, its ACK, headers, one message: serving; trailers.
                    b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x07\0\0\0\0\0\x01\0\0\0\0\x02\x08\x01"
                } else {
                    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                };
                self.world.tcp_send(netns, id, answer).expect("taken");
            }
            Err(_) => {}
        }
    }

    /// Creates a pod on the node.
    pub(super) fn create(&mut self, name: &str, template: PodTemplate) {
        let workload = WorkloadRef { kind: WorkloadKind::Pod, key: ObjectKey::new("default", name) };
        let pod = Pod {
            key: ObjectKey::new("default", name),
            meta: Meta::default(),
            workload,
            labels: Arc::default(),
            template: Arc::new(template),
            node_name: Some(NODE.into()),
            status: PodStatus::default(),
        };
        self.kubectl(Request::Create(Object::Pod(Arc::new(pod))));
    }

    pub(super) fn delete(&mut self, name: &str) {
        let object = ObjectRef::pod(ObjectKey::new("default", name));
        self.kubectl(Request::Delete { object, uid: None, grace: None });
    }

    pub(super) fn pod(&self, name: &str) -> Option<&Arc<Pod>> {
        self.plane.objects().pods.get(&ObjectKey::new("default", name))
    }

    pub(super) fn status(&self, name: &str) -> PodStatus {
        self.pod(name).expect("a pod of that name").status.clone()
    }

    /// When the applications were told `what`.
    pub(super) fn told_at(&self, what: &str) -> u64 {
        let found = self.told.iter().find(|(_, told)| told == what);
        found.unwrap_or_else(|| panic!("nobody was told {what}: {:?}", self.told)).0
    }

    /// When a pod was first seen so.
    pub(super) fn seen_at(&self, what: &str) -> u64 {
        let found = self.seen.iter().find(|(_, seen)| seen == what);
        found.unwrap_or_else(|| panic!("{what} was not seen: {:?}", self.seen)).0
    }
}

/// A pod of one container for each of `containers`.
pub(super) fn template(containers: Vec<Container>) -> PodTemplate {
    PodTemplate { containers, ..PodTemplate::default() }
}

pub(super) fn container(name: &str) -> Container {
    Container { name: name.into(), ..Container::default() }
}

/// An HTTP probe of port 8080 with the API's defaults.
pub(super) fn probe() -> Probe {
    let get = HttpGet { https: false, host: None, port: 8080, path: "/".into(), headers: Vec::new() };
    Probe {
        handler: Handler::HttpGet(get),
        initial_delay: 0,
        timeout: Duration::from_secs(1),
        period: Duration::from_secs(10),
        success_threshold: 1,
        failure_threshold: 3,
        grace: None,
    }
}
