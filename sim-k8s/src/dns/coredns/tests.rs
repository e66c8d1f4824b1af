//! A pod that asks, CoreDNS in another, and the world outside, with real packets between them.

use sim_core::engine::rng::Seed;
use sim_core::netns::socket::tcp::SocketOptions;
use sim_core::world::{Happened, World};

use super::super::bench::{CLUSTER, crowd, objects};
use super::super::{Failure, Libc, OutsideResolver, Resolution, ResolvConf, Resolved, Resolver, outside_address};
use super::*;
use crate::agent::{AgentId, ControlPlane};
use crate::api::ObjectKey;
use crate::apiserver::{Apiserver, Request};
use crate::timings::Timings;

struct Bench {
    world: World,
    plane: ControlPlane,
    client: NetnsId,
    outside: NetnsId,
    coredns: AgentId,
    resolver: Resolver,
    notices: Vec<Notice>,
}

/// client 10.244.1.9 ── 10.244.1.2 coredns 192.0.2.1 ── 192.0.2.2 world 8.8.8.8
const WIRES: [(&str, &[&str]); 3] = [
    (
        "client",
        &[
            "link set lo up",
            "link add eth0 type veth peer name eth0 netns coredns",
            "link set eth0 up",
            "addr add 10.244.1.9/24 dev eth0",
        ],
    ),
    (
        "coredns",
        &[
            "link set lo up",
            "link set eth0 up",
            "addr add 10.244.1.2/24 dev eth0",
            "link add eth1 type veth peer name eth0 netns world",
            "link set eth1 up",
            "addr add 192.0.2.1/24 dev eth1",
            "route add default via 192.0.2.2",
        ],
    ),
    ("world", &["link set lo up", "link set eth0 up", "addr add 192.0.2.2/24 dev eth0", "addr add 8.8.8.8/32 dev lo"]),
];

impl Bench {
    /// CoreDNS starts at 0, in a cluster of these manifests.
    fn new(manifests: &str) -> Self {
        let mut world = World::new(Seed(1));
        let [client, pod, outside] = WIRES.map(|(name, _)| world.add_netns(name).unwrap());
        for (name, lines) in WIRES {
            let netns = world.netns_id(name).unwrap();
            lines.iter().for_each(|line| world.ip(netns, line).expect(line));
        }
        let apiserver = Apiserver::new(&["10.96.0.0/12".parse().unwrap()], Vec::new());
        let mut plane = ControlPlane::new(Seed(1), Timings::default(), apiserver);
        for object in objects(manifests) {
            plane.kubectl(&mut world, Request::Create(object)).unwrap();
        }
        plane.spawn(&mut world, "outside", Box::new(OutsideResolver::new(outside, [8, 8, 8, 8].into(), vec![names()])));
        let ips = vec!["10.244.1.2".parse().unwrap()];
        let agent = CoreDns::new(CoreDnsConfig::default(), container(), pod, ips);
        let coredns = plane.spawn(&mut world, "coredns/1", Box::new(agent));
        let conf =
            "search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.244.1.2\noptions ndots:5";
        let resolver = Resolver::new(Libc::Glibc, ResolvConf::parse(conf));
        Self { world, plane, client, outside, coredns, resolver, notices: Vec::new() }
    }

    fn at(&mut self, millis: u64) -> &mut Self {
        while self.step(Instant::START + Duration::from_millis(millis)).is_some() {}
        self
    }

    /// One event; what happened, if it is none of an agent's.
    fn step(&mut self, until: Instant) -> Option<Happened> {
        let happened = self.world.step(until)?;
        match happened {
            Happened::Alarm(token) => drop(self.plane.alarm(&mut self.world, token)),
            Happened::Wake(netns, socket) => drop(self.plane.woken(&mut self.world, netns, socket)),
            Happened::Inside => {}
        }
        self.notices.extend(std::iter::from_fn(|| self.plane.next_notice()));
        Some(happened)
    }

    /// Looks `host` up from the client; the result, and how long it took in milliseconds.
    fn look_up(&mut self, host: &str) -> (Resolved, u64) {
        let begun = self.world.now();
        let draws = self.world.seed().stream("client", begun.as_nanos());
        let mut resolution = match Resolution::begin(&mut self.world, self.client, &self.resolver, host, draws) {
            Ok(resolution) => resolution,
            Err(result) => return (result, 0),
        };
        loop {
            let happened = self.step(resolution.until());
            let done = match happened {
                Some(Happened::Wake(netns, socket)) if netns == self.client => {
                    resolution.woken(&mut self.world, socket)
                }
                None => resolution.timed_out(&mut self.world),
                Some(_) => None,
            };
            if let Some(result) = done {
                self.resolver.learn(resolution.lookup());
                assert_eq!(resolution.sockets().count(), 0);
                return (result, self.world.now().since(begun).as_millis());
            }
        }
    }

    /// What CoreDNS says over HTTP; the errno's name if it does not.
    fn get(&mut self, port: u16, path: &str) -> String {
        let to = SocketAddr::new([10, 244, 1, 2].into(), port);
        let from = SocketAddr::new([0, 0, 0, 0].into(), 0);
        let socket = self.world.tcp_connect(self.client, from, to, SocketOptions::default()).unwrap();
        let until = self.world.now() + Duration::from_millis(10);
        while self.step(until).is_some() {}
        if let Some(errno) = self.world.tcp_take_error(self.client, socket) {
            return errno.name().to_owned();
        }
        self.world.tcp_send(self.client, socket, format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
        while self.step(until + Duration::from_millis(10)).is_some() {}
        let answer = self.world.tcp_recv(self.client, socket, 4096).unwrap();
        String::from_utf8_lossy(&answer).lines().next().unwrap_or("").to_owned()
    }
}

/// Where names outside have their addresses.
fn names() -> ipnet::IpNet {
    "198.51.100.64/26".parse().unwrap()
}

fn container() -> ContainerRef {
    ContainerRef { pod: ObjectKey::new("kube-system", "coredns-1"), uid: 1, container: 0 }
}

fn ips(list: &[&str]) -> Resolved {
    Ok(list.iter().map(|ip| ip.parse().unwrap()).collect())
}

#[test]
fn names_of_the_cluster_are_resolved_by_packets() {
    let mut bench = Bench::new(CLUSTER);
    bench.at(1000);
    assert_eq!(bench.look_up("web.default"), (ips(&["10.96.0.20"]), 0));
    let (db, _) = bench.look_up("db");
    assert_eq!(db.unwrap().len(), 4, "three addresses of IPv4, one of IPv6");
    assert_eq!(bench.look_up("nobody").0, Err(Failure::NameError));
}

#[test]
fn names_of_the_world_are_asked_there_and_kept() {
    let mut bench = Bench::new(CLUSTER);
    bench.at(1000);
    let ip = outside_address("api.example.com", names()).unwrap();
    assert_eq!(bench.look_up("api.example.com").0, Ok(vec![ip]));
    assert_eq!(bench.look_up("outside.default").0, Ok(vec![ip]), "an ExternalName");
    assert_eq!(bench.look_up("x.invalid").0, Err(Failure::NameError));
    bench.world.iptables_restore(bench.outside, "*filter\n-A INPUT -j DROP\nCOMMIT\n", false).unwrap();
    assert_eq!(bench.look_up("api.example.com.").0, Ok(vec![ip]), "from the cache");
}

/// Two attempts of 2 s each at CoreDNS, and the resolver asks twice.
#[test]
fn a_dead_resolver_outside_is_a_server_failure_after_8_seconds() {
    let mut bench = Bench::new(CLUSTER);
    bench.at(1000);
    bench.world.iptables_restore(bench.outside, "*filter\n-A INPUT -j DROP\nCOMMIT\n", false).unwrap();
    assert_eq!(bench.look_up("api.example.com."), (Err(Failure::ServerFailure), 8000));
}

#[test]
fn a_host_without_resolver_says_so_at_once() {
    let mut bench = Bench::new(CLUSTER);
    bench.at(1000);
    let outside = bench.plane.agent_named("outside").unwrap();
    bench.plane.retire(outside);
    let reject = "*filter\n-A INPUT -p udp -j REJECT --reject-with icmp-port-unreachable\nCOMMIT\n";
    bench.world.iptables_restore(bench.outside, reject, false).unwrap();
    // Two questions would be eight attempts in all, and a host sends six such errors at once (`icmp_ratelimit`).
    bench.resolver.conf.options.insert("no-aaaa".into(), String::new());
    assert_eq!(bench.look_up("api.example.com."), (Err(Failure::ServerFailure), 0));
}

#[test]
fn an_answer_that_is_too_long_is_asked_for_by_a_stream() {
    let mut bench = Bench::new(&crowd(60));
    bench.at(1000);
    let (result, _) = bench.look_up("crowd.default");
    assert_eq!(result.unwrap().len(), 60);
}

#[test]
fn what_changes_is_known_when_the_watch_says_so() {
    let mut bench = Bench::new(CLUSTER);
    bench.at(1000);
    assert_eq!(bench.look_up("crowd.default.svc.cluster.local.").0, Err(Failure::NameError));
    for object in objects(&crowd(2)) {
        bench.plane.kubectl(&mut bench.world, Request::Create(object)).unwrap();
    }
    assert_eq!(bench.look_up("crowd.default.svc.cluster.local.").0, Err(Failure::NameError), "not yet");
    bench.at(1020);
    assert_eq!(bench.look_up("crowd.default.svc.cluster.local.").0.unwrap().len(), 2);
}

#[test]
fn it_listens_when_it_knows_the_cluster() {
    let mut bench = Bench::new(CLUSTER);
    bench.at(1);
    assert_eq!(bench.get(8181, "/ready"), "HTTP/1.1 503 Service Unavailable");
    assert_eq!(bench.get(8080, "/health"), "HTTP/1.1 200 OK");
    assert_eq!(bench.get(8080, "/"), "HTTP/1.1 404 Not Found");
    assert_eq!(bench.at(90).look_up("web.default.").0, Err(Failure::Unreachable));
    assert_eq!(bench.at(110).get(8181, "/ready"), "HTTP/1.1 200 OK");
    assert_eq!(bench.look_up("web.default").0, ips(&["10.96.0.20"]));
}

#[test]
fn without_the_apiserver_it_listens_after_5_seconds_and_fails() {
    let mut bench = Bench::new(CLUSTER);
    let agent = bench.coredns;
    bench.plane.cut_watches(agent);
    assert_eq!(bench.at(4900).look_up("web.default.svc.cluster.local.").0, Err(Failure::Unreachable));
    bench.at(5100);
    assert_eq!(bench.look_up("web.default.svc.cluster.local.").0, Err(Failure::ServerFailure));
    assert_eq!(bench.get(8181, "/ready"), "HTTP/1.1 503 Service Unavailable");
}

#[test]
fn told_to_stop_it_is_not_ready_at_once_but_answers_for_5_seconds() {
    let mut bench = Bench::new(CLUSTER);
    bench.at(1000);
    bench.plane.signal(&mut bench.world, bench.coredns, Signal::Stop);
    assert_eq!(bench.get(8181, "/ready"), "ECONNREFUSED");
    assert_eq!(bench.get(8080, "/health"), "HTTP/1.1 200 OK");
    assert_eq!(bench.at(5900).look_up("web.default").0, ips(&["10.96.0.20"]));
    assert_eq!(bench.notices, []);
    bench.at(6001);
    assert_eq!(bench.notices, [Notice::Exited(container(), 0)]);
    assert_eq!(bench.look_up("web.default").0, Err(Failure::Unreachable));
}

#[test]
fn killed_it_is_gone() {
    let mut bench = Bench::new(CLUSTER);
    bench.at(1000);
    bench.plane.signal(&mut bench.world, bench.coredns, Signal::Kill);
    assert_eq!(bench.look_up("web.default").0, Err(Failure::Unreachable));
    assert_eq!(bench.get(8080, "/health"), "ECONNREFUSED");
}

#[test]
fn a_silent_stream_is_closed_and_idle_sockets_do_not_stay() {
    let mut bench = Bench::new(CLUSTER);
    bench.at(1000).look_up("api.example.com.").0.unwrap();
    let to = SocketAddr::new([10, 244, 1, 2].into(), PORT);
    let from = SocketAddr::new([0, 0, 0, 0].into(), 0);
    let socket = bench.world.tcp_connect(bench.client, from, to, SocketOptions::default()).unwrap();
    bench.at(3900);
    assert!(!bench.world.tcp_readiness(bench.client, socket).read_closed);
    bench.at(4100);
    assert!(bench.world.tcp_readiness(bench.client, socket).read_closed);
    assert!(bench.world.next_at().is_some_and(|at| at < Instant::NEVER), "one timer for the idle socket");
    bench.at(60_000);
    bench.world.tcp_close(bench.client, socket);
    bench.at(200_000);
    assert_eq!(bench.world.next_at(), None, "nothing ticks");
}
