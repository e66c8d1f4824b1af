//! A cluster with a UDP server on every port that is served, and calls that tell what became of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use sim_core::capture::{Direction, Hop};
use sim_core::engine::arena::{NetnsId, SocketId};
use sim_core::engine::errno::Errno;
use sim_core::engine::time::{Duration, Instant};
use sim_core::netns::socket::Socket;
use sim_core::wire::ip::{Family, ICMPV6};
use sim_core::world::{Happened, World};

use crate::agent::Notice;
use crate::api::{self, ObjectKey, Objects, Protocol};
use crate::cluster::{Cluster, ClusterConfig, Pod, Service};
use crate::manifest::{self, SourceFile};
use crate::workload::served_ports;

/// The objects of a manifest.
pub(super) fn objects(yaml: &str) -> Objects {
    let file = SourceFile { name: "test.yaml".into(), text: yaml.into() };
    let loaded = manifest::load(&[file]);
    loaded.unwrap_or_else(|errors| panic!("{}", errors.iter().map(|e| format!("{e}\n")).collect::<String>())).objects
}

pub(super) struct Bench {
    pub(super) world: World,
    pub(super) cluster: Cluster,
    services: Vec<api::Service>,
    /// Whose server a socket is.
    servers: BTreeMap<(NetnsId, SocketId), ObjectKey>,
}

/// How long a caller waits.
const PATIENCE: Duration = Duration::from_secs(5);

impl Bench {
    pub(super) fn new(yaml: &str, nodes: u32) -> Self {
        Self::with(yaml, ClusterConfig { nodes, ..ClusterConfig::default() })
    }

    pub(super) fn with(yaml: &str, config: ClusterConfig) -> Self {
        let config = ClusterConfig { dns: false, ..config };
        let objects = objects(yaml);
        let (mut world, cluster) = Cluster::build(&objects, &config).unwrap_or_else(|error| panic!("{error}"));
        world.capture(true);
        let mut bench = Self { world, cluster, services: objects.services, servers: BTreeMap::new() };
        bench.settle();
        bench
    }

    /// Lets the control plane do what there is to do.
    pub(super) fn settle(&mut self) {
        let deadline = self.world.now() + Duration::from_secs(300);
        loop {
            let soon = self.world.now() + Duration::from_secs(1);
            while self.step(soon).is_some() {}
            if self.cluster.is_settled(self.world.now()) {
                break;
            }
            let unready: Vec<String> = self.cluster.unready().collect();
            assert!(self.world.now() < deadline, "not settled: {unready:?}\n{}", self.story());
        }
        self.world.drain_hops();
    }

    /// Lets so much time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let until = self.world.now() + time;
        while self.step(until).is_some() {}
        self.world.drain_hops();
    }

    /// The next event that is none of the cluster's.
    fn step(&mut self, until: Instant) -> Option<Happened> {
        loop {
            let happened = self.world.step(until)?;
            if !self.cluster.handle(&mut self.world, happened) {
                return Some(happened);
            }
            while let Some(notice) = self.cluster.next_notice() {
                match notice {
                    Notice::Started { container, .. } => self.listen(&container.pod),
                    Notice::Stop(container) => self.cluster.exited(&mut self.world, &container, 0),
                    Notice::Killed(_) | Notice::Exited(..) => {}
                }
            }
        }
    }

    /// The pods of a workload that run on a node, by name.
    pub(super) fn on_node(&self, workload: &str, node: usize) -> Vec<Pod> {
        self.pods(workload).into_iter().filter(|pod| pod.node == node).collect()
    }

    /// The pod network of a node, by its index.
    pub(super) fn pod_network(&self, node: usize) -> IpNet {
        self.cluster.objects().nodes[&self.cluster.nodes[node].name].pod_cidrs[0]
    }

    fn listen(&mut self, pod: &ObjectKey) {
        let pod = self.cluster.pod(pod).expect("it was started");
        let served = served_ports(&pod.template, &pod.labels, &pod.key.namespace, &self.services);
        for (_, port) in served.into_iter().filter(|(protocol, _)| *protocol == Protocol::Udp) {
            // At the pod's own addresses: bound to all of a node's, a server answers a pod of that node from cni0's.
            for ip in &pod.ips {
                let own = SocketAddr::new(*ip, port);
                let socket = self.world.udp_bind(pod.netns, own, false).expect("a free port");
                self.servers.insert((pod.netns, socket), pod.key.clone());
            }
        }
    }

    /// The pods of a workload that run, by name.
    pub(super) fn pods(&self, workload: &str) -> Vec<Pod> {
        let mut pods: Vec<Pod> =
            self.cluster.running().filter(|pod| pod.workload.key.name == workload).cloned().collect();
        pods.sort_by(|a, b| a.key.cmp(&b.key));
        pods
    }

    /// A Service of the namespace `default`.
    pub(super) fn service(&self, name: &str) -> Service {
        self.cluster.service(&ObjectKey::new("default", name)).expect("it is in the manifest")
    }

    /// Where the only port of a Service is reached inside the cluster.
    pub(super) fn vip(&self, service: &str) -> SocketAddr {
        let service = self.service(service);
        SocketAddr::new(service.cluster_ip().expect("a cluster address"), service.ports[0].port)
    }

    /// One datagram and its answer: the answering pod, and whom it saw as caller.
    pub(super) fn call(&mut self, from: NetnsId, to: SocketAddr) -> (String, IpAddr) {
        self.try_call(from, to)
            .unwrap_or_else(|errno| panic!("{errno} instead of an answer from {to}\n{}", self.story()))
    }

    /// The same; `ETIMEDOUT` if there is no answer.
    pub(super) fn try_call(&mut self, from: NetnsId, to: SocketAddr) -> Result<(String, IpAddr), Errno> {
        let any = SocketAddr::new(Family::of(to.ip()).unspecified(), 0);
        let client = self.world.udp_bind(from, any, false)?;
        self.world.udp_connect(from, client, to)?;
        self.world.drain_hops();
        self.world.udp_send(from, client, None, b"hello").expect("sent");
        let deadline = self.world.now() + PATIENCE;
        while let Some(happened) = self.step(deadline) {
            let Happened::Wake(netns, Socket::Udp(socket)) = happened else { continue };
            if (netns, socket) == (from, client) {
                let answer = self.world.udp_recv(netns, socket)?;
                return Ok(read_answer(&String::from_utf8_lossy(&answer.data)));
            }
            self.serve(netns, socket);
        }
        Err(Errno::ETIMEDOUT)
    }

    fn serve(&mut self, netns: NetnsId, socket: SocketId) {
        let pod = self.servers.get(&(netns, socket)).expect("every other socket is a server's");
        while let Ok(question) = self.world.udp_recv(netns, socket) {
            let answer = format!("{pod} {}", question.from.ip());
            self.world.udp_send(netns, socket, Some(question.from), answer.as_bytes()).expect("sent");
        }
    }

    /// One ICMP echo and its answer.
    pub(super) fn ping(&mut self, from: NetnsId, to: IpAddr) -> Option<IpAddr> {
        let socket = self.world.raw_open(from, Family::V4.unspecified());
        self.world.ping(from, socket, to, (1, 1), b"hello").expect("sent");
        let deadline = self.world.now() + PATIENCE;
        while let Some(happened) = self.step(deadline) {
            if happened == Happened::Wake(from, Socket::Raw(socket)) {
                return self.world.raw_recv(from, socket).map(|(ip, _)| ip.src);
            }
        }
        None
    }

    /// The devices the frames of the last call passed, in order, without ARP and ICMPv6.
    pub(super) fn path(&mut self) -> Vec<String> {
        let is_ip = |hop: &&Hop| match hop.frame.get(12..14) {
            Some([0x08, 0x00]) => true,
            Some([0x86, 0xdd]) => hop.frame.get(20) != Some(&ICMPV6),
            _ => false,
        };
        let hops = self.world.drain_hops();
        hops.iter().filter(is_ip).map(|hop| self.place(hop)).collect()
    }

    fn place(&self, hop: &Hop) -> String {
        let netns = self.world.netns(hop.netns);
        let way = if hop.direction == Direction::In { "in" } else { "out" };
        format!("{}/{} {way}", netns.name, netns.dev_name(hop.dev))
    }

    /// What happened since the last call began, for a test that failed.
    fn story(&mut self) -> String {
        let mut story = String::from("hops:\n");
        for hop in self.world.drain_hops() {
            let bytes: String = hop.frame.iter().skip(12).take(30).map(|byte| format!("{byte:02x}")).collect();
            writeln!(story, "  {} {} {bytes}", hop.at, self.place(&hop)).expect("a String takes all");
        }
        story += "drops:\n";
        for (place, count) in self.world.drops().iter() {
            let netns = self.world.netns(place.netns);
            let dev = place.dev.map_or("", |dev| netns.dev_name(dev));
            writeln!(story, "  {}/{dev} {} {:?} {count}", netns.name, place.stage, place.reason).expect("as above");
        }
        story
    }
}

fn read_answer(answer: &str) -> (String, IpAddr) {
    let (pod, caller) = answer.split_once(' ').expect("a pod and an address");
    (pod.to_owned(), caller.parse().expect("an address"))
}
