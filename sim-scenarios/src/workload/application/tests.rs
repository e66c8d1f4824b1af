//! An application in one netns, its client in another.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sim_core::engine::arena::SocketId;
use sim_core::engine::rng::Seed;
use sim_core::netns::socket::tcp::SocketOptions;
use sim_core::world::Happened;
use sim_k8s::api::{ObjectKey, Protocol as Transport};

use super::*;
use crate::workload::protocol::spoken;

struct Bench {
    world: World,
    applications: Applications,
    container: ContainerRef,
    client: NetnsId,
    ended: Vec<(u64, u8)>,
}

const ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 5000);
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Bench {
    fn new(habits: Habits) -> Self {
        let mut world = World::new(Seed(1));
        let [pod, client] = ["pod", "client"].map(|name| world.add_netns(name).expect("a new name"));
        world.ip(client, "link add eth0 type veth peer name eth0 netns pod").expect("understood");
        for (netns, host) in [(pod, 1), (client, 2)] {
            world.ip(netns, "link set eth0 up").expect("understood");
            world.ip(netns, &format!("addr add 10.0.0.{host}/24 dev eth0")).expect("understood");
        }
        let container = ContainerRef { pod: ObjectKey::new("default", "a"), uid: 1, container: 0 };
        let (transport, protocol) = (Transport::Tcp, spoken(Transport::Tcp, [5000]));
        let server = Server { netns: pod, local: ADDR, transport, protocol, signature: "pod 0 (a/b)".into() };
        let mut applications = Applications::default();
        applications.start(&mut world, container.clone(), vec![server], habits);
        Self { world, applications, container, client, ended: Vec::new() }
    }

    fn run(&mut self, ms: u64) {
        let until = self.world.now() + Duration::from_millis(ms);
        loop {
            while let Some((_, code)) = self.applications.next_ended() {
                let now = self.world.now().since(sim_core::engine::time::Instant::START).as_millis();
                self.ended.push((now, code));
            }
            match self.world.step(until) {
                None => return,
                Some(Happened::Inside) => {}
                Some(Happened::Alarm(token)) => assert!(self.applications.alarm(&mut self.world, token)),
                Some(Happened::Wake(netns, socket)) => self.applications.wake(&mut self.world, netns, socket),
            }
        }
    }

    fn connect(&mut self) -> SocketId {
        let socket = self.world.tcp_connect(self.client, ANY, ADDR, SocketOptions::default()).expect("a route");
        self.run(10);
        socket
    }

    fn ask(&mut self, socket: SocketId, question: &[u8]) -> Vec<u8> {
        self.world.tcp_send(self.client, socket, question).expect("connected");
        self.run(10);
        self.world.tcp_recv(self.client, socket, 4096).map(|data| data.to_vec()).unwrap_or_default()
    }

    /// Whether a connection is refused.
    fn refuses(&mut self) -> bool {
        let socket = self.connect();
        self.world.tcp_take_error(self.client, socket) == Some(Errno::ECONNREFUSED)
    }

    fn is_closed(&self, socket: SocketId) -> bool {
        self.world.tcp_readiness(self.client, socket).read_closed
    }

    fn stop(&mut self) {
        self.applications.stop(&mut self.world, &self.container.clone());
    }
}

#[test]
fn until_it_listens_connections_are_refused() {
    let mut bench = Bench::new(Habits { listens_after: Duration::from_secs(3), ..Habits::default() });
    assert!(bench.refuses());
    bench.run(3_000);
    assert!(!bench.refuses());
}

#[test]
fn health_checks_are_answered_in_kind_on_any_port() {
    let mut bench = Bench::new(Habits::default());
    let socket = bench.connect();
    let answer = bench.ask(socket, b"GET /_healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let socket = bench.connect();
    let answer = bench.ask(socket, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    assert!(answer.starts_with(&[0, 0, 0, 4]), "SETTINGS");
    let socket = bench.connect();
    let sealed = b"\x17\x03\x03\x00\x10GET / HTTP/1.1\r\n";
    assert!(bench.ask(socket, sealed).starts_with(&[23, 3, 3]), "whatever a record holds");
    let socket = bench.connect();
    assert_eq!(bench.ask(socket, b"hello"), b"hello from pod 0 (a/b)\n");
}

#[test]
fn who_drains_refuses_the_new_closes_the_idle_and_answers_the_begun() {
    let mut bench = Bench::new(Habits::default());
    let (idle, begun) = (bench.connect(), bench.connect());
    bench.ask(idle, b"hello");
    bench.stop();
    bench.run(100);
    assert!(bench.refuses() && bench.is_closed(idle) && !bench.is_closed(begun));
    assert_eq!(bench.ended, []);
    assert!(!bench.ask(begun, b"hello").is_empty());
    bench.run(10);
    assert_eq!(bench.ended.len(), 1, "and ends with the last answer");
}

#[test]
fn a_connection_on_which_nothing_is_asked_does_not_hold_it_up_for_ever() {
    let mut bench = Bench::new(Habits::default());
    bench.connect();
    bench.run(990);
    bench.stop();
    bench.run(20_000);
    assert_eq!(bench.ended, [(6_000, 0)]);
}

#[test]
fn who_cuts_ends_at_once_and_who_ignores_not_at_all() {
    let mut bench = Bench::new(Habits { on_stop: OnStop::Cut, ..Habits::default() });
    let begun = bench.connect();
    bench.stop();
    bench.run(10);
    assert!(bench.is_closed(begun) && bench.ended.len() == 1 && bench.refuses());

    let mut bench = Bench::new(Habits { on_stop: OnStop::Ignore, ..Habits::default() });
    bench.stop();
    bench.run(60_000);
    assert!(bench.ended.is_empty() && !bench.refuses());
    bench.applications.kill(&mut bench.world, &bench.container.clone());
    bench.run(10);
    assert!(bench.refuses() && bench.ended.is_empty(), "who killed it knows");
}

#[test]
fn a_lame_duck_serves_on_for_a_while() {
    let mut bench = Bench::new(Habits { lame_duck: Duration::from_secs(5), ..Habits::default() });
    bench.stop();
    bench.run(4_000);
    assert!(!bench.refuses());
    let idle = bench.connect();
    bench.ask(idle, b"hello");
    bench.run(1_000);
    assert!(bench.refuses());
}

#[test]
fn what_was_due_for_an_earlier_start_does_not_concern_the_next_one() {
    let mut bench = Bench::new(Habits { ends_after: Some((Duration::from_secs(5), 1)), ..Habits::default() });
    bench.run(1_000);
    let container = bench.container.clone();
    bench.applications.kill(&mut bench.world, &container);
    bench.applications.start(&mut bench.world, container, Vec::new(), Habits::default());
    bench.run(60_000);
    assert_eq!(bench.ended, []);
}
