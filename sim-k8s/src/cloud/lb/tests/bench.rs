//! A cloud with three machines, each of which answers for every load balancer's address as kube-proxy would, with a single
//! server of its own: what reaches a node is seen in the answer.

use sim_core::wire::ip::Family;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sim_core::capture::Direction;
use sim_core::engine::arena::{NetnsId, SocketId};
use sim_core::engine::errno::Errno;
use sim_core::engine::rng::Seed;
use sim_core::engine::time::Duration;
use sim_core::link::LinkConfig;
use sim_core::netns::socket::Socket;
use sim_core::netns::socket::tcp::SocketOptions;
use sim_core::world::{Happened, World};

use super::super::{LbConfig, LoadBalancers};
use crate::agent::ControlPlane;
use crate::api::{Ingress, Kind, Labels, Node, Object, ObjectKey, ObjectRef, Service};
use crate::apiserver::{Apiserver, Request};
use crate::cloud::{Plan, nat};
use crate::command::Command;
use crate::manifest::{self, SourceFile};
use crate::timings::Timings;

/// Clients outside.
pub(super) const CLIENTS: [&str; 2] = ["198.51.100.7", "198.51.100.8"];
/// What answers on every node.
const SERVER: u16 = 8080;

/// What a socket of the bench is for.
#[derive(Clone, Debug)]
enum Role {
    /// Answers everything with the node's name and the caller's address.
    Echo(String),
    /// `/healthz` of a node.
    Health(String),
    Connection(Box<Role>),
}

pub(super) struct Bench {
    pub(super) world: World,
    pub(super) plane: ControlPlane,
    pub(super) outside: NetnsId,
    sockets: BTreeMap<(NetnsId, SocketId), Role>,
    /// Whether a node's health checks pass.
    healthy: BTreeMap<String, bool>,
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(super) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A Service of type LoadBalancer with port 80 and what `spec` adds.
pub(super) fn service(name: &str, spec: &str) -> Service {
    let text = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  type: LoadBalancer\n  selector: {{app: a}}\n  \
         ports: [{{port: 80, targetPort: 8080}}]\n{spec}"
    );
    let loaded = manifest::load(&[SourceFile { name: "t".into(), text }]).expect("a good manifest");
    loaded.objects.services[0].clone()
}

impl Bench {
    pub(super) fn new(config: LbConfig, services: &[Service]) -> Self {
        let mut world = World::new(Seed(1));
        let [switch, gateway, balancer, outside] =
            ["ul", "gw", "lb", "world"].map(|name| world.add_netns(name).expect("a new name"));
        ip_lines(&mut world, switch, &["link add br0 type bridge", "link set br0 up"]);
        let plan = Plan::of(Family::V4);
        plug(&mut world, switch, (gateway, "gw"), plan.gateway);
        plug(&mut world, switch, (balancer, "lb"), plan.balancer);
        let wire = "link add ext0 type veth peer name eth0 netns world";
        ip_lines(&mut world, gateway, &[wire, "addr add 192.0.2.1/24 dev ext0", "link set ext0 up"]);
        let there =
            ["link set lo up", "link set eth0 up", "addr add 192.0.2.2/24 dev eth0", "route add default via 192.0.2.1"];
        ip_lines(&mut world, outside, &there);
        CLIENTS.iter().for_each(|client| ip_lines(&mut world, outside, &[&format!("addr add {client}/32 dev lo")]));
        ip_lines(&mut world, gateway, &["route add default via 192.0.2.2"]);
        ip_lines(&mut world, balancer, &["route add default via 10.240.0.1"]);
        nat::start(Family::V4).iter().for_each(|command| command.run(&mut world, &[gateway]).expect("understood"));
        let apiserver = Apiserver::new(&["10.96.0.0/12".parse().expect("a network")], Vec::new());
        let plane = ControlPlane::new(Seed(1), Timings::default(), apiserver);
        let (sockets, healthy) = (BTreeMap::new(), BTreeMap::new());
        let mut bench = Self { world, plane, outside, sockets, healthy };
        for number in 1..=3 {
            bench.add_node(switch, number);
        }
        for service in services {
            bench.create(Object::Service(Arc::new(service.clone())));
        }
        let agent = LoadBalancers::new(config, vec![Family::V4], (gateway, balancer), Vec::new());
        bench.plane.spawn(&mut bench.world, "cloud", Box::new(agent));
        bench.run_for(secs(60));
        bench
    }

    /// A machine, and its node as the apiserver has it.
    fn add_node(&mut self, switch: NetnsId, number: u8) {
        let (name, own) = (format!("n{number}"), IpAddr::from([10, 240, 0, 10 + number]));
        let netns = self.world.add_netns(&name).expect("a new name");
        plug(&mut self.world, switch, (netns, &name), own);
        ip_lines(&mut self.world, netns, &["route add default via 10.240.0.1"]);
        // Addresses of load balancers and the node port lead to the server.
        let dnat = format!("-j DNAT --to-destination {own}:{SERVER}");
        let rules = format!(
            "*nat\n-A PREROUTING -d 198.18.0.0/16 -p tcp --dport 80 {dnat}\n-A PREROUTING -d 198.18.0.0/16 -p udp --dport 53 {dnat}\n-A PREROUTING -p tcp --dport 30000:30999 {dnat}\nCOMMIT\n"
        );
        Command::Restore(Family::V4, rules).run(&mut self.world, &[netns]).expect("understood");
        for (port, role) in [
            (SERVER, Role::Echo(name.clone())),
            (10256, Role::Health(name.clone())),
            (31000, Role::Health(name.clone())),
        ] {
            let socket = self.world.tcp_listen(netns, SocketAddr::new(own, port), 16).expect("a free port");
            self.sockets.insert((netns, socket), role);
        }
        let names = self.world.udp_bind(netns, SocketAddr::new(own, SERVER), false).expect("a free port");
        self.sockets.insert((netns, names), Role::Echo(name.clone()));
        self.healthy.insert(name.clone(), true);
        self.create(Object::Node(Arc::new(Node { internal_ips: vec![own], ..Node::new(name) })));
    }

    pub(super) fn create(&mut self, object: Object) {
        self.plane.kubectl(&mut self.world, Request::Create(object)).expect("created");
    }

    pub(super) fn delete_service(&mut self, name: &str) {
        let object = ObjectRef { kind: Kind::Service, key: ObjectKey::new("default", name) };
        self.plane.kubectl(&mut self.world, Request::Delete { object, uid: None, grace: None }).expect("deleted");
    }

    /// The labels of a node become these.
    pub(super) fn label(&mut self, node: &str, labels: &[(&str, &str)]) {
        let old = self.plane.objects().nodes[node].clone();
        let labels: Labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let new = Object::Node(Arc::new(Node { labels, ..Node::clone(&old) }));
        self.plane.kubectl(&mut self.world, Request::Update(new)).expect("updated");
    }

    pub(super) fn set_healthy(&mut self, node: &str, healthy: bool) {
        self.healthy.insert(node.to_owned(), healthy);
    }

    /// Where a Service is told to be reached.
    pub(super) fn ingress(&self, name: &str) -> Vec<Ingress> {
        self.plane.objects().services[&ObjectKey::new("default", name)].ingress.clone()
    }

    /// The address of a Service's balancer.
    pub(super) fn vip(&self, name: &str) -> SocketAddr {
        SocketAddr::new(self.ingress(name)[0].ip.expect("an address"), 80)
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let until = self.world.now() + time;
        while let Some(happened) = self.world.step(until) {
            self.happened(happened);
        }
    }

    fn happened(&mut self, happened: Happened) {
        match happened {
            Happened::Alarm(token) => assert!(self.plane.alarm(&mut self.world, token), "all alarms are the plane's"),
            Happened::Wake(netns, socket) => {
                if !self.plane.woken(&mut self.world, netns, socket) {
                    match socket {
                        Socket::Tcp(socket) => self.serve(netns, socket),
                        Socket::Udp(socket) | Socket::Raw(socket) | Socket::Sctp(socket) => {
                            self.serve_datagrams(netns, socket)
                        }
                    }
                }
            }
            Happened::Inside => {}
        }
    }

    fn serve(&mut self, netns: NetnsId, socket: SocketId) {
        match self.sockets.get(&(netns, socket)).cloned() {
            None => {}
            Some(Role::Connection(role)) => {
                let Some((_, caller)) = self.world.tcp_endpoints(netns, socket) else { return };
                let answer = match *role {
                    Role::Echo(node) => format!("{node} {}", caller.ip()),
                    Role::Health(node) if self.healthy[&node] => "HTTP/1.1 200 OK\r\n\r\n".into(),
                    _ => "HTTP/1.1 503 Service Unavailable\r\n\r\n".into(),
                };
                match self.world.tcp_recv(netns, socket, 4096) {
                    Ok(data) if !data.is_empty() => drop(self.world.tcp_send(netns, socket, answer.as_bytes())),
                    Err(Errno::EAGAIN) => {}
                    _ => self.world.tcp_close(netns, socket),
                }
            }
            Some(role) => {
                while let Some((connection, _)) = self.world.tcp_accept(netns, socket) {
                    self.sockets.insert((netns, connection), Role::Connection(Box::new(role.clone())));
                    self.serve(netns, connection);
                }
            }
        }
    }

    fn serve_datagrams(&mut self, netns: NetnsId, socket: SocketId) {
        let Some(Role::Echo(node)) = self.sockets.get(&(netns, socket)) else { return };
        while let Ok(question) = self.world.udp_recv(netns, socket) {
            let answer = format!("{node} {}", question.from.ip());
            self.world.udp_send(netns, socket, Some(question.from), answer.as_bytes()).expect("sent");
        }
    }

    /// A datagram from a port of a client outside: which node answers.
    pub(super) fn datagram(&mut self, from: SocketAddr, to: SocketAddr) -> Result<String, Errno> {
        let socket = self.world.udp_bind(self.outside, from, false)?;
        self.world.udp_send(self.outside, socket, Some(to), b"who?").expect("sent");
        let until = self.world.now() + Duration::from_millis(100);
        while let Some(happened) = self.world.step(until) {
            self.happened(happened);
        }
        let answer = self.world.udp_recv(self.outside, socket);
        self.world.close(self.outside, socket);
        let answer = String::from_utf8_lossy(&answer?.data).into_owned();
        Ok(answer.split(' ').next().expect("a node").to_owned())
    }

    /// A connection from a client outside.
    pub(super) fn connect(&mut self, client: &str, to: SocketAddr) -> SocketId {
        let from = SocketAddr::new(ip(client), 0);
        self.world.tcp_connect(self.outside, from, to, SocketOptions::default()).expect("there is a route")
    }

    /// One question over a connection: who answers, and whom he saw.
    pub(super) fn ask(&mut self, connection: SocketId) -> Result<(String, IpAddr), Errno> {
        let until = self.world.now() + secs(3);
        let mut asked = false;
        loop {
            let (world, outside) = (&mut self.world, self.outside);
            if let Some(errno) = world.tcp_take_error(outside, connection) {
                return Err(errno);
            }
            if !asked && world.tcp_readiness(outside, connection).writable {
                asked = true;
                world.tcp_send(outside, connection, b"who?")?;
            }
            match world.tcp_recv(outside, connection, 4096) {
                Ok(data) if data.is_empty() => return Err(Errno::ECONNRESET),
                Ok(data) => {
                    let answer = String::from_utf8_lossy(&data).into_owned();
                    let (node, caller) = answer.split_once(' ').expect("a node and an address");
                    return Ok((node.to_owned(), ip(caller)));
                }
                Err(Errno::EAGAIN) => {}
                Err(errno) => return Err(errno),
            }
            let Some(happened) = self.world.step(until) else { return Err(Errno::ETIMEDOUT) };
            self.happened(happened);
        }
    }

    /// A connection for one question.
    pub(super) fn call(&mut self, client: &str, to: SocketAddr) -> Result<(String, IpAddr), Errno> {
        let connection = self.connect(client, to);
        let answer = self.ask(connection);
        self.world.tcp_close(self.outside, connection);
        answer
    }

    /// How many of `n` connections each node answers.
    pub(super) fn spread(&mut self, n: usize, to: SocketAddr) -> BTreeMap<String, usize> {
        let mut spread = BTreeMap::new();
        for _ in 0..n {
            let (node, _) = self.call(CLIENTS[0], to).expect("answered");
            *spread.entry(node).or_default() += 1;
        }
        spread
    }

    /// The netns that IP packets came into since the last call, in order.
    pub(super) fn path(&mut self) -> Vec<String> {
        let hops = self.world.drain_hops();
        let hops = hops.iter().filter(|hop| hop.direction == Direction::In && hop.frame.get(12..14) == Some(&[8, 0]));
        let places = hops.map(|hop| self.world.netns_name(hop.netns).to_owned());
        places.filter(|place| place != "ul").collect()
    }

    /// How many packets the rule of a netns with this comment has dropped.
    pub(super) fn dropped(&self, netns: &str, comment: &str) -> u64 {
        let saved = self.world.iptables_save(self.world.netns_id(netns).expect("there is one"), true);
        let rules = saved.lines().filter(|line| line.contains(&format!("\"{comment}\"")));
        rules.map(|rule| rule[1..].split(':').next().expect("a counter").parse::<u64>().expect("a number")).sum()
    }
}

fn ip_lines(world: &mut World, netns: NetnsId, lines: &[&str]) {
    lines.iter().for_each(|line| Command::Ip((*line).to_owned()).run(world, &[netns]).expect("understood"));
}

fn plug(world: &mut World, switch: NetnsId, (host, name): (NetnsId, &str), own: IpAddr) {
    let port = format!("p-{name}");
    world.add_link(LinkConfig::default(), (switch, &port, None), (host, "eth0", None)).expect("new names");
    ip_lines(world, switch, &[&format!("link set {port} master br0"), &format!("link set {port} up")]);
    ip_lines(world, host, &["link set lo up", "link set eth0 up", &format!("addr add {own}/24 dev eth0")]);
}
