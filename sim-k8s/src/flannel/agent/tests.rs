//! Nodes on one switch, each with its flanneld.

use std::sync::Arc;

use sim_core::engine::rng::Seed;
use sim_core::engine::time::Instant;
use sim_core::world::Happened;

use super::*;
use crate::agent::ControlPlane;
use crate::apiserver::Apiserver;
use crate::flannel::backend;
use crate::timings::Timings;

struct Bench {
    world: World,
    plane: ControlPlane,
    config: Config,
}

fn at(millis: u64) -> Instant {
    Instant::START + Duration::from_millis(millis)
}

impl Bench {
    fn new(kind: &str) -> Self {
        let apiserver = Apiserver::new(&["10.96.0.0/12".parse().expect("a network")], Vec::new());
        let plane = ControlPlane::new(Seed(1), Timings::default(), apiserver);
        let network = "10.244.0.0/16".parse().expect("a network");
        let config = Config { backend: backend(kind).expect("a backend"), ..Config::new(vec![network]) };
        Self { world: World::new(Seed(1)), plane, config }
    }

    /// Node `nN`, 10.240.0.N, with pod network 10.244.N.0/24 and its flanneld.
    fn join(&mut self, n: u8) {
        let name = format!("n{n}");
        let netns = self.world.add_netns(&name).expect("a new name");
        for line in ["link add eth0 type bridge", &format!("addr add 10.240.0.{n}/24 dev eth0"), "link set eth0 up"] {
            self.world.ip(netns, line).expect(line);
        }
        let ip = [10, 240, 0, n].into();
        let mut node = Node::new(&name);
        node.internal_ips = vec![ip];
        node.pod_cidrs = vec![format!("10.244.{n}.0/24").parse().expect("a network")];
        self.kubectl(Request::Create(Object::Node(Arc::new(node))));
        let uplink = Uplink { dev: "eth0".into(), ips: vec![ip], mtu: 1500 };
        let agent = Flannel::new(self.config.clone(), &name, netns, uplink);
        self.plane.spawn(&mut self.world, format!("flannel/{name}"), Box::new(agent));
    }

    fn kubectl(&mut self, request: Request) {
        self.plane.kubectl(&mut self.world, request).expect("granted");
    }

    fn pass(&mut self, until: Instant) {
        while let Some(happened) = self.world.step(until) {
            if let Happened::Alarm(token) = happened {
                assert!(self.plane.alarm(&mut self.world, token));
            }
        }
    }

    fn netns(&self, n: u8) -> NetnsId {
        self.world.netns_id(&format!("n{n}")).expect("it joined")
    }

    /// Pod networks of others that the node has a route to.
    fn routes(&self, n: u8) -> Vec<u8> {
        let netns = self.world.netns(self.netns(n));
        let by = |peer: u8| [[10, 244, peer, 0].into(), [10, 240, 0, peer].into()];
        let subnet = |peer: u8| format!("10.244.{peer}.0/24").parse().expect("a network");
        (1..9).filter(|peer| by(*peer).iter().any(|via| netns.has_route(subnet(*peer), *via))).collect()
    }
}

#[test]
fn nodes_find_each_other_one_after_the_other() {
    let mut bench = Bench::new("vxlan");
    bench.join(1);
    bench.pass(at(1000));
    assert!(bench.routes(1).is_empty());
    assert!(bench.plane.objects().nodes["n1"].network_available);
    bench.join(2);
    bench.join(3);
    bench.pass(at(2000));
    assert_eq!([1, 2, 3].map(|n| bench.routes(n)), [vec![2, 3], vec![1, 3], vec![1, 2]]);
    let n1 = bench.world.netns(bench.netns(1));
    assert!(
        n1.show_neighs(None).iter().any(|line| line.starts_with("10.244.2.0 dev flannel.1 lladdr 0e:fa:0a:f4:02:00"))
    );
    assert!(
        n1.show_fdb(None, at(2000))
            .iter()
            .any(|line| line.contains("0e:fa:0a:f4:03:00") && line.contains("dst 10.240.0.3"))
    );
}

#[test]
fn a_node_is_forgotten_when_its_object_is_deleted() {
    let mut bench = Bench::new("vxlan");
    [1, 2].into_iter().for_each(|n| bench.join(n));
    bench.pass(at(1000));
    bench.kubectl(Request::Delete { object: ObjectRef::node("n2"), uid: None, grace: None });
    bench.pass(at(2000));
    assert!(bench.routes(1).is_empty());
    let n1 = bench.world.netns(bench.netns(1));
    assert!(
        n1.show_neighs(None).iter().chain(&n1.show_fdb(None, at(2000))).all(|line| !line.contains("0e:fa:0a:f4:02:00"))
    );
}

#[test]
fn without_its_device_a_peer_is_tried_ten_times_and_then_left() {
    let mut bench = Bench::new("vxlan");
    bench.join(1);
    bench.pass(at(1000));
    bench.world.ip(bench.netns(1), "link del flannel.1").expect("it is there");
    bench.join(2);
    bench.pass(at(40_000));
    assert!(bench.routes(1).is_empty(), "51 seconds of back-off are not over");
    bench
        .world
        .ip(bench.netns(1), "link add flannel.1 type vxlan id 1 local 10.240.0.1 dev eth0 dstport 8472 nolearning")
        .expect("again");
    bench.world.ip(bench.netns(1), "link set flannel.1 up").expect("up");
    bench.pass(at(60_000));
    assert_eq!(bench.routes(1), [2], "the last attempt");
}

#[test]
fn rules_that_someone_takes_out_come_back() {
    let mut bench = Bench::new("vxlan");
    bench.join(1);
    bench.pass(at(3000));
    let n1 = bench.netns(1);
    let written = bench.world.iptables_save(n1, false);
    assert!(written.contains("-A POSTROUTING -m comment --comment \"flanneld masq\" -j FLANNEL-POSTRTG"), "{written}");
    bench.world.iptables_restore(n1, "*nat\n-F FLANNEL-POSTRTG\nCOMMIT\n", true).expect("rules");
    bench.world.iptables_restore(n1, "*filter\n-F FORWARD\nCOMMIT\n", true).expect("rules");
    bench.pass(at(9000));
    assert_eq!(bench.world.iptables_save(n1, false), written);
}

#[test]
fn host_gw_makes_routes_again_and_refuses_nodes_that_are_no_neighbours() {
    let mut bench = Bench::new("host-gw");
    [1, 2].into_iter().for_each(|n| bench.join(n));
    bench.pass(at(1000));
    assert_eq!((bench.routes(1), bench.routes(2)), (vec![2], vec![1]));
    bench.world.ip(bench.netns(1), "route del 10.244.2.0/24").expect("it is there");
    let mut far = Node::new("far");
    (far.internal_ips, far.network_available) = (vec![[172, 16, 0, 9].into()], true);
    far.pod_cidrs = vec!["10.244.8.0/24".parse().expect("a network")];
    bench.kubectl(Request::Create(Object::Node(Arc::new(far))));
    bench.pass(at(12_000));
    assert_eq!(bench.routes(1), [2]);
}

#[test]
fn with_alloc_others_bring_the_packets() {
    let mut bench = Bench::new("alloc");
    [1, 2].into_iter().for_each(|n| bench.join(n));
    bench.pass(at(1000));
    assert_eq!((bench.routes(1), bench.world.dev_id(bench.netns(1), "flannel.1")), (vec![], None));
    assert!(bench.plane.objects().nodes["n1"].network_available);
}

#[test]
fn a_flanneld_that_starts_again_finds_everything_there() {
    let mut bench = Bench::new("vxlan");
    [1, 2].into_iter().for_each(|n| bench.join(n));
    bench.pass(at(1000));
    let before = bench.world.iptables_save(bench.netns(1), false);
    let old = bench.plane.agent_named("flannel/n1").expect("it runs");
    bench.plane.retire(old);
    let uplink = Uplink { dev: "eth0".into(), ips: vec![[10, 240, 0, 1].into()], mtu: 1500 };
    let again = Flannel::new(bench.config.clone(), "n1", bench.netns(1), uplink);
    bench.plane.spawn(&mut bench.world, "flannel/n1", Box::new(again));
    bench.pass(at(2000));
    assert_eq!((bench.routes(1), bench.world.iptables_save(bench.netns(1), false)), (vec![2], before));
}
