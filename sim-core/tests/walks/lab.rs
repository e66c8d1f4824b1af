//! A small bench for tests: netns by name, the words of the tools, hops as lines.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sim_core::capture::{Direction, Hop};
use sim_core::engine::arena::{LinkId, NetnsId, SocketId};
use sim_core::engine::rng::Seed;
use sim_core::engine::time::Duration;
use sim_core::link::LinkConfig;
use sim_core::netns::socket::Socket;
use sim_core::netns::socket::tcp::SocketOptions;
use sim_core::wire::arp::{Arp, REQUEST};
use sim_core::wire::eth::EthHeader;
use sim_core::wire::icmp::IcmpHeader;
use sim_core::wire::ip::Family;
use sim_core::wire::ip::{ICMP, IpHeader, protocol_name};
use sim_core::world::{Happened, World};

/// How long after a packet was sent its hops are awaited.
const PATIENCE: Duration = Duration::from_secs(4);

pub(crate) struct Lab {
    world: World,
    /// Listening sockets whose connections are echoed.
    echo: Vec<(NetnsId, SocketId)>,
}

impl Lab {
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = World::new(Seed(seed));
        world.capture(true);
        Self { world, echo: Vec::new() }
    }

    pub(crate) fn netns(&mut self, names: &[&str]) {
        for name in names {
            self.world.add_netns(name).expect("a new name");
        }
    }

    pub(crate) fn id(&self, netns: &str) -> NetnsId {
        self.world.netns_id(netns).expect("a netns of that name")
    }

    pub(crate) fn ip(&mut self, netns: &str, line: &str) {
        let id = self.id(netns);
        self.world.ip(id, line).unwrap_or_else(|e| panic!("{netns}: ip {line}: {e}"));
    }

    pub(crate) fn bridge(&mut self, netns: &str, line: &str) {
        let id = self.id(netns);
        self.world.bridge(id, line).unwrap_or_else(|e| panic!("{netns}: bridge {line}: {e}"));
    }

    pub(crate) fn restore(&mut self, netns: &str, text: &str) {
        let id = self.id(netns);
        self.world.iptables_restore(id, text, false).unwrap_or_else(|e| panic!("{netns}: {e}"));
    }

    pub(crate) fn sysctl(&mut self, netns: &str, key: &str, value: &str) {
        let id = self.id(netns);
        self.world.sysctl(id, key, value).unwrap_or_else(|e| panic!("{netns}: {key}: {e}"));
    }

    /// Joins `eth0` of both by an underlay wire.
    pub(crate) fn wire(&mut self, a: &str, b: &str) -> LinkId {
        let ends = (self.id(a), self.id(b));
        self.world.add_link(LinkConfig::default(), (ends.0, "eth0", None), (ends.1, "eth0", None)).expect("new devices")
    }

    /// Nothing passes the wire any more.
    pub(crate) fn cut(&mut self, wire: LinkId) {
        let config = self.world.link_config(wire).expect("a wire");
        self.world.set_link_config(wire, LinkConfig { down: true, ..config });
    }

    pub(crate) fn capture(&mut self, on: bool) {
        self.world.capture(on);
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        self.world.fingerprint().value()
    }

    pub(crate) fn event_count(&self) -> u64 {
        self.world.fingerprint().events()
    }

    pub(crate) fn hop_count(&self) -> u64 {
        self.world.hop_count()
    }

    pub(crate) fn run_for_ms(&mut self, ms: u64) {
        let until = self.world.now() + Duration::from_millis(ms);
        while self.world.step(until).is_some() {}
    }

    /// Sends any bytes as a frame.
    pub(crate) fn send_frame(&mut self, netns: &str, dev: &str, frame: &[u8]) {
        let ns = self.id(netns);
        let dev = self.world.dev_id(ns, dev).expect("a device of that name");
        self.world.send_frame(ns, dev, frame);
    }

    pub(crate) fn send_ping(&mut self, netns: &str, to: &str) {
        self.echo(netns, to, None);
    }

    /// Sends one echo request and returns every hop of the next seconds, as `name/dev`s.
    pub(crate) fn ping(&mut self, netns: &str, to: &str) -> Vec<(String, Hop)> {
        self.echo(netns, to, None);
        self.collect()
    }

    pub(crate) fn ping_ttl(&mut self, netns: &str, to: &str, ttl: u8) -> Vec<(String, Hop)> {
        self.echo(netns, to, Some(ttl));
        self.collect()
    }

    fn echo(&mut self, netns: &str, to: &str, ttl: Option<u8>) {
        let ns = self.id(netns);
        let socket = self.world.raw_open(ns, Family::V4.unspecified());
        self.world.raw(ns, socket).expect("just opened").ttl = ttl;
        self.world.drain_hops();
        let to: IpAddr = to.parse().expect("an address");
        self.world.ping(ns, socket, to, (77, 1), b"xxxxxxxx").expect("a route");
    }

    fn collect(&mut self) -> Vec<(String, Hop)> {
        let until = self.world.now() + PATIENCE;
        while self.world.step(until).is_some() {}
        let hops = self.world.drain_hops();
        hops.into_iter().map(|h| (self.place(&h), h)).collect()
    }

    fn place(&self, hop: &Hop) -> String {
        let ns = self.world.netns(hop.netns);
        format!("{}/{}", ns.name, ns.dev_name(hop.dev))
    }

    /// Sends a datagram from a connected socket and waits for the answer.
    pub(crate) fn udp(&mut self, netns: &str, to: &str) -> Result<Vec<u8>, String> {
        let ns = self.id(netns);
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let socket = self.world.udp_bind(ns, any, false).map_err(|e| e.to_string())?;
        let to: SocketAddr = to.parse().expect("an address and port");
        self.world.udp_connect(ns, socket, to).map_err(|e| e.to_string())?;
        self.world.udp_send(ns, socket, None, b"hello").map_err(|e| format!("{e:?}"))?;
        self.collect();
        self.world.udp_recv(ns, socket).map(|d| d.data.to_vec()).map_err(|e| e.to_string())
    }

    /// From now on every connection to `port` gets back what it sends.
    pub(crate) fn echo_server(&mut self, netns: &str, port: u16) {
        let ns = self.id(netns);
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let listener = self.world.tcp_listen(ns, any, 8).expect("a free port");
        self.echo.push((ns, listener));
    }

    /// Connects, sends `hello`, reads the answer and closes.
    pub(crate) fn tcp(&mut self, netns: &str, to: &str) -> Result<Vec<u8>, String> {
        let ns = self.id(netns);
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let to: SocketAddr = to.parse().expect("an address and port");
        let options = SocketOptions::default();
        let socket = self.world.tcp_connect(ns, any, to, options).map_err(|e| e.to_string())?;
        self.serve();
        if let Some(errno) = self.world.tcp_take_error(ns, socket) {
            return Err(errno.to_string());
        }
        self.world.tcp_send(ns, socket, b"hello").map_err(|e| e.to_string())?;
        self.serve();
        let answer = self.world.tcp_recv(ns, socket, 4096).map_err(|e| e.to_string())?;
        self.world.tcp_close(ns, socket);
        self.serve();
        Ok(answer.to_vec())
    }

    /// Lets time pass; the echo servers do their work.
    fn serve(&mut self) {
        let until = self.world.now() + PATIENCE;
        while let Some(happened) = self.world.step(until) {
            if let Happened::Wake(ns, Socket::Tcp(socket)) = happened {
                self.serve_socket(ns, socket);
            }
        }
    }

    fn serve_socket(&mut self, ns: NetnsId, socket: SocketId) {
        if self.echo.contains(&(ns, socket)) {
            while self.world.tcp_accept(ns, socket).is_some() {}
            return;
        }
        let is_server = self.world.tcp_endpoints(ns, socket).is_some_and(|(local, _)| local.port() < 1024);
        if !is_server {
            return;
        }
        match self.world.tcp_recv(ns, socket, 4096) {
            Ok(data) if data.is_empty() => self.world.tcp_close(ns, socket),
            Ok(data) => drop(self.world.tcp_send(ns, socket, &data)),
            Err(_) => {}
        }
    }

    /// Lines of `conntrack -L -o extended`.
    pub(crate) fn conntrack(&self, netns: &str) -> Vec<String> {
        self.world.netns(self.id(netns)).show_conntrack(self.world.now())
    }

    /// Drops as `netns stage REASON count`.
    pub(crate) fn drops(&self) -> String {
        let row = |(p, n): (&sim_core::engine::trail::DropPlace, u64)| {
            format!("{} {} {} {n}\n", self.world.netns(p.netns).name, p.stage, p.reason.name())
        };
        self.world.drops().iter().map(row).collect()
    }
}

/// Hops as lines a reader can follow.
pub(crate) fn hops(hops: &[(String, Hop)]) -> String {
    let mut out = String::new();
    for (place, hop) in hops {
        let way = if hop.direction == Direction::In { "in" } else { "out" };
        let _ = writeln!(out, "{place} {way} {}", frame(&hop.frame));
    }
    out
}

fn frame(bytes: &[u8]) -> String {
    let Some(eth) = EthHeader::read(bytes) else { return "short".to_owned() };
    let rest = &bytes[14..];
    let what = match (Arp::read(rest), IpHeader::read(rest)) {
        (_, Some(ip)) => packet(&ip, &rest[usize::from(ip.header_len)..]),
        (Some(a), _) if a.op == REQUEST => format!("who-has {} tell {}", a.tpa, a.spa),
        (Some(a), _) => format!("is-at {}", a.spa),
        _ => format!("type {:#06x}", eth.ethertype),
    };
    format!("{} > {} {what}", eth.src, eth.dst)
}

fn packet(ip: &IpHeader, l4: &[u8]) -> String {
    let what = match IcmpHeader::read(l4) {
        Some(icmp) if ip.proto == ICMP => format!("icmp {}/{}", icmp.kind, icmp.code),
        _ => protocol_name(ip.proto).unwrap_or("?").to_owned(),
    };
    format!("{} > {} ttl {} {what}", ip.src, ip.dst, ip.ttl)
}
