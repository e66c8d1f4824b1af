//! One node with its kube-proxy, and `kubectl`.

use std::net::SocketAddr;
use std::sync::Arc;

use sim_core::engine::rng::Seed;
use sim_core::engine::time::Instant;
use sim_core::netns::socket::tcp::SocketOptions;
use sim_core::world::{Happened, World};

use super::*;
use crate::agent::{AgentId, ControlPlane};
use crate::api::{EndpointPort, EndpointSlice, ObjectKey, Protocol, Service, ServiceType, TrafficPolicy};
use crate::apiserver::{Apiserver, Request};
use crate::kubeproxy::objects::samples::{service, slice};
use crate::kubeproxy::proxier;
use crate::timings::Timings;

struct Bench {
    world: World,
    plane: ControlPlane,
    node: NetnsId,
}

fn at(millis: u64) -> Instant {
    Instant::START + Duration::from_millis(millis)
}

impl Bench {
    /// Node `n1`, 192.168.0.2, whose kube-proxy starts at 0.
    fn new(config: Config) -> (Self, AgentId) {
        let mut world = World::new(Seed(1));
        let node = world.add_netns("n1").expect("a new name");
        for line in
            ["link set lo up", "link add eth0 type bridge", "link set eth0 up", "addr add 192.168.0.2/24 dev eth0"]
        {
            world.ip(node, line).expect(line);
        }
        world.ip(node, "route add default via 192.168.0.1").expect("a route");
        let apiserver = Apiserver::new(&["10.96.0.0/12".parse().expect("a network")], Vec::new());
        let mut plane = ControlPlane::new(Seed(1), Timings::default(), apiserver);
        let ip = "192.168.0.2".parse().expect("an address");
        let knows = Node { name: "n1".into(), ip, addresses: Vec::new(), zone: String::new(), cores: 4 };
        let agent = KubeProxy::new(proxier("iptables").expect("a mode"), &config, vec![knows], node);
        let agent = plane.spawn(&mut world, "kube-proxy/n1", Box::new(agent));
        (Self { world, plane, node }, agent)
    }

    fn kubectl(&mut self, request: Request) {
        self.plane.kubectl(&mut self.world, request).expect("granted");
    }

    fn create(&mut self, object: Object) {
        self.kubectl(Request::Create(object));
    }

    /// Creates Service `shop/NAME` with one endpoint on the node.
    fn expose(&mut self, name: &str, cluster_ip: &str, change: impl FnOnce(&mut Service, &mut EndpointSlice)) {
        let mut slice = slice(name, &format!("{name}-1"), &["10.244.1.2"]);
        slice.endpoints[0].node_name = Some("n1".into());
        let mut service = service(name, cluster_ip);
        change(&mut service, &mut slice);
        self.create(Object::Service(Arc::new(service)));
        self.create(Object::EndpointSlice(Arc::new(slice)));
    }

    /// The slice of `shop/NAME` loses all its endpoints.
    fn scale_to_zero(&mut self, name: &str) {
        let key = ObjectKey::new("shop", format!("{name}-1"));
        let mut slice = EndpointSlice::clone(&self.plane.objects().endpoint_slices[&key]);
        slice.endpoints.clear();
        self.kubectl(Request::Update(Object::EndpointSlice(Arc::new(slice))));
    }

    /// Lets time pass until `until`, or until `stop` holds; whether it held.
    fn run(&mut self, until: Instant, stop: impl Fn(&World) -> bool) -> bool {
        while !stop(&self.world) {
            match self.world.step(until) {
                Some(Happened::Alarm(token)) => assert!(self.plane.alarm(&mut self.world, token)),
                Some(Happened::Wake(netns, socket)) => drop(self.plane.woken(&mut self.world, netns, socket)),
                Some(_) => {}
                None => return stop(&self.world),
            }
        }
        true
    }

    fn pass(&mut self, until: Instant) {
        self.run(until, |_| false);
    }

    /// When the node's rules begin to hold `words`, in milliseconds.
    fn written(&mut self, words: &str) -> Option<u64> {
        let (node, until) = (self.node, self.world.now() + Duration::from_secs(120));
        let found = self.run(until, |world| world.iptables_save(node, false).contains(words));
        found.then(|| self.world.now().since(Instant::START).as_millis())
    }

    /// The answer of a server of the node to `GET PATH`.
    fn get(&mut self, port: u16, path: &str) -> String {
        let peer: SocketAddr = format!("192.168.0.2:{port}").parse().expect("an address");
        let any = "0.0.0.0:0".parse().expect("an address");
        let client = self.world.tcp_connect(self.node, any, peer, SocketOptions::default()).expect("a route");
        let soon = self.world.now() + Duration::from_millis(20);
        self.pass(soon);
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        if self.world.tcp_send(self.node, client, request.as_bytes()).is_err() {
            return "refused".into();
        }
        let soon = self.world.now() + Duration::from_millis(20);
        self.pass(soon);
        let answer = self.world.tcp_recv(self.node, client, 4096).expect("an answer");
        self.world.tcp_close(self.node, client);
        String::from_utf8(answer.to_vec()).expect("text")
    }
}

#[test]
fn conntrack_is_set_and_nothing_is_written_before_everything_is_known() {
    let (mut bench, _) = Bench::new(Config::default());
    bench.expose("web", "10.96.0.20", |_, _| {});
    let written = bench.written("-A KUBE-SERVICES").expect("rules");
    let rules = bench.world.iptables_save(bench.node, false);
    assert!(rules.contains("shop/web:http -> 10.244.1.2:8080"), "the first rules are whole: {rules}");
    assert!((60..150).contains(&written), "start, the longer list, and a sync of 60 ms: {written} ms");
    let timeout = bench.world.sysctl_get(bench.node, "net.netfilter.nf_conntrack_tcp_timeout_established");
    assert_eq!(timeout.as_deref(), Ok("86400"));
}

#[test]
fn changes_gather_for_a_second_after_a_sync() {
    let (mut bench, _) = Bench::new(Config::default());
    bench.pass(at(5000));
    bench.expose("a", "10.96.0.21", |_, _| {});
    let first = bench.written("shop/a:http").expect("rules");
    assert!((5030..5060).contains(&first), "at once, and the table filter takes half of the time: {first} ms");
    bench.expose("b", "10.96.0.22", |_, _| {});
    let second = bench.written("shop/b:http -> ").expect("rules");
    assert!((first + 1060..first + 1130).contains(&second), "{first} ms, {second} ms");
    assert!(bench.world.iptables_save(bench.node, false).contains("shop/a:http -> "), "both at once");
}

#[test]
fn filter_and_nat_are_committed_one_after_the_other() {
    let (mut bench, _) = Bench::new(Config::default());
    bench.pass(at(5000));
    bench.expose("a", "10.96.0.21", |_, _| {});
    bench.written("shop/a:http").expect("rules");
    bench.pass(at(8000));
    bench.scale_to_zero("a");
    bench.written("has no endpoints").expect("filter is first");
    assert!(bench.world.iptables_save(bench.node, false).contains("shop/a:http -> "), "nat still has it");
}

#[test]
fn after_a_flush_all_rules_come_back() {
    let (mut bench, _) = Bench::new(Config::default());
    bench.expose("web", "10.96.0.20", |_, _| {});
    bench.pass(at(10_000));
    bench.world.iptables_restore(bench.node, "*mangle\nCOMMIT\n*nat\nCOMMIT\n*filter\nCOMMIT\n", false).expect("rules");
    assert!(!bench.world.iptables_save(bench.node, false).contains("KUBE"));
    let back = bench.written("shop/web:http -> ").expect("rules");
    assert!((30_000..30_300).contains(&back), "with the next look at the canary: {back} ms");
    bench.pass(at(31_000));
    let rules = bench.world.iptables_save(bench.node, false);
    assert!(rules.contains("-A PREROUTING") && rules.matches(":KUBE-PROXY-CANARY").count() == 3, "{rules}");
}

#[test]
fn load_balancers_are_told_of_local_endpoints_and_of_kube_proxy_itself() {
    let (mut bench, _) = Bench::new(Config::default());
    bench.expose("web", "10.96.0.20", |service, _| {
        service.service_type = ServiceType::LoadBalancer;
        service.external_traffic_policy = TrafficPolicy::Local;
        service.health_check_node_port = Some(32000);
    });
    bench.pass(at(3000));
    assert!(bench.get(32000, "/").contains("200 OK") && bench.get(32000, "/").contains("\"localEndpoints\": 1"));
    assert!(bench.get(10256, "/healthz").contains("\"nodeEligible\": true"));
    bench.scale_to_zero("web");
    bench.pass(at(6000));
    assert!(bench.get(32000, "/").contains("503 Service Unavailable"));
    let service = crate::api::ObjectRef { kind: Kind::Service, key: ObjectKey::new("shop", "web") };
    bench.kubectl(Request::Delete { object: service, uid: None, grace: None });
    bench.pass(at(9000));
    assert_eq!(bench.get(32000, "/"), "refused", "its port is closed");
}

#[test]
fn a_udp_client_that_keeps_its_port_is_freed_from_an_endpoint_that_is_gone() {
    let (mut bench, _) = Bench::new(Config::default());
    bench.expose("statsd", "10.96.0.20", |service, slice| {
        service.ports[0].protocol = Protocol::Udp;
        slice.ports = vec![EndpointPort { name: "http".into(), protocol: Protocol::Udp, port: 8125 }];
    });
    bench.pass(at(3000));
    let local = "192.168.0.2:40000".parse().expect("an address");
    let socket = bench.world.udp_bind(bench.node, local, false).expect("free");
    let service = "10.96.0.20:80".parse().expect("an address");
    bench.world.udp_send(bench.node, socket, Some(service), b"1").expect("a route");
    let flows = |bench: &Bench| bench.world.netns(bench.node).flows(bench.world.now()).count();
    bench.pass(at(3010));
    assert_eq!(flows(&bench), 1);
    bench.scale_to_zero("statsd");
    bench.pass(at(5000));
    assert_eq!(flows(&bench), 0);
}

#[test]
fn a_kube_proxy_whose_watches_are_cut_keeps_its_old_rules() {
    let (mut bench, agent) = Bench::new(Config::default());
    bench.expose("web", "10.96.0.20", |_, _| {});
    bench.pass(at(3000));
    bench.plane.cut_watches(agent);
    bench.scale_to_zero("web");
    bench.pass(at(20_000));
    assert!(bench.world.iptables_save(bench.node, false).contains("shop/web:http -> "));
    bench.plane.heal_watches(&mut bench.world, agent);
    assert!(bench.written("has no endpoints").is_some_and(|when| when < 20_100));
}

#[test]
fn a_port_that_another_process_has_is_tried_again() {
    let (mut bench, _) = Bench::new(Config::default());
    let any = "0.0.0.0:10256".parse().expect("an address");
    let other = bench.world.tcp_listen(bench.node, any, 1).expect("free");
    bench.pass(at(3000));
    bench.world.tcp_close(bench.node, other);
    assert_eq!(bench.get(10256, "/livez"), "refused");
    bench.pass(at(6000));
    assert!(bench.get(10256, "/livez").starts_with("HTTP/1.0 200 OK"));
}
