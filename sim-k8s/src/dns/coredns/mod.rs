//! CoreDNS as an agent in a pod: its watches, its sockets, and how it comes and goes.

mod health;
mod upstream;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::{Duration, Instant};
use sim_core::netns::socket::Socket;

use super::listener::Listener;
use super::records::Records;
use super::resolver::PORT;
use super::server::{Output, Server};
use crate::agent::{Agent, ContainerRef, Context, Event, Interest, Notice, Signal};
use crate::api::Kind;
use health::{About, Health};
use upstream::{Heard, Upstream};

/// How often it looks whether it knows the cluster, before it listens (`checkSyncTicker`, plugin/kubernetes/kubernetes.go).
const CHECK_SYNC: Duration = Duration::from_millis(100);
/// After this time it listens even without (`startup_timeout`).
const STARTUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Services and EndpointSlices.
const WATCHES: u32 = 2;
/// Timer: time to listen.
const LISTEN: u64 = 0;
/// Timer: a socket has been idle for too long.
const EXPIRE: u64 = 1;
/// Timer: time to end.
const EXIT: u64 = 2;
/// Timers of exchanges begin here.
const FIRST_EXCHANGE: u64 = 3;

/// What a CoreDNS is made with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoreDnsConfig {
    /// The cluster's domain. Default `cluster.local`.
    pub domain: String,
    /// The namespaces that exist beside those an object is in.
    pub namespaces: Vec<String>,
    /// The resolver outside: the first of its node's `resolv.conf`. Default 8.8.8.8.
    pub upstream: IpAddr,
    /// How long it goes on after it was told to stop (`health { lameduck 5s }`). Default 5 s.
    pub lameduck: Duration,
}

impl Default for CoreDnsConfig {
    fn default() -> Self {
        let namespaces = ["default", "kube-node-lease", "kube-public", "kube-system"];
        Self {
            domain: "cluster.local".into(),
            namespaces: namespaces.map(str::to_owned).into(),
            upstream: [8, 8, 8, 8].into(),
            lameduck: Duration::from_secs(5),
        }
    }
}

/// One CoreDNS.
#[derive(Clone, Debug)]
pub struct CoreDns {
    config: CoreDnsConfig,
    container: ContainerRef,
    netns: NetnsId,
    ips: Vec<IpAddr>,
    /// The parts it has once it runs.
    running: Option<Running>,
}

#[derive(Clone, Debug)]
struct Running {
    netns: NetnsId,
    begun: Instant,
    /// How many of its watches have told all there is.
    listed: u32,
    server: Server,
    listener: Option<Listener>,
    upstream: Upstream,
    health: Health,
    /// When it will look after its idle sockets.
    expires: Instant,
}

impl CoreDns {
    /// One that runs in `container`, in `netns` with the addresses `ips`.
    pub fn new(config: CoreDnsConfig, container: ContainerRef, netns: NetnsId, ips: Vec<IpAddr>) -> Self {
        Self { config, container, netns, ips, running: None }
    }

    fn start(&mut self, cx: &mut Context<'_>) {
        cx.watch(Interest::All(Kind::Service));
        cx.watch(Interest::All(Kind::EndpointSlice));
        let domain = &self.config.domain;
        let records = Records::new(domain, self.config.namespaces.iter().cloned(), self.ips.clone());
        let draws = cx.world().seed().stream("coredns", self.container.uid);
        let upstream = SocketAddr::new(self.config.upstream, PORT);
        let now = cx.now();
        self.running = Some(Running {
            netns: self.netns,
            begun: now,
            listed: 0,
            server: Server::new(domain, records, draws),
            listener: None,
            upstream: Upstream::new(self.netns, upstream),
            health: Health::open(cx, self.netns, unspecified(&self.ips)),
            expires: Instant::NEVER,
        });
        cx.timer(now + STARTUP_TIMEOUT, LISTEN);
    }

    /// It was told to stop: it is no longer ready at once, but goes on answering for a while.
    fn stop(&mut self, cx: &mut Context<'_>) {
        if let Some(running) = &mut self.running {
            running.health.close(cx, About::Ready);
        }
        cx.timer(cx.now() + self.config.lameduck, EXIT);
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        let Some(mut running) = self.running.take() else { return };
        running.health.close_all(cx);
        running.upstream.close_all(cx);
        if let Some(mut listener) = running.listener {
            listener.close_all(cx);
        }
    }
}

impl Agent for CoreDns {
    fn on(&mut self, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Start => self.start(cx),
            Event::Signal(Signal::Stop) => self.stop(cx),
            Event::Signal(Signal::Kill) => self.end(cx),
            Event::Timer(EXIT) => {
                self.end(cx);
                cx.tell(Notice::Exited(self.container.clone(), 0));
            }
            event => {
                let ip = unspecified(&self.ips);
                if let Some(running) = &mut self.running {
                    running.on(event, ip, cx);
                }
            }
        }
    }
}

impl Running {
    fn on(&mut self, event: Event, ip: IpAddr, cx: &mut Context<'_>) {
        match event {
            Event::Changed(change) => self.server.records_mut().apply(cx.now(), &change),
            Event::Listed(_) => {
                self.listed += 1;
                if self.listed == WATCHES {
                    self.server.records_mut().set_synced();
                    let ticks = cx.now().since(self.begun).as_nanos().div_ceil(CHECK_SYNC.as_nanos());
                    cx.timer(self.begun + CHECK_SYNC.saturating_mul(ticks), LISTEN);
                }
            }
            Event::Timer(LISTEN) if self.listener.is_none() => {
                self.listener = Listener::open(cx, self.netns, ip).ok();
            }
            Event::Timer(LISTEN) => {}
            Event::Timer(EXPIRE) => {
                self.expires = Instant::NEVER;
                self.upstream.expire(cx);
                self.listener.iter_mut().for_each(|listener| listener.expire(cx));
            }
            Event::Timer(token) => {
                let outputs = self.server.failed(cx.now(), token - FIRST_EXCHANGE);
                self.perform(outputs, cx);
            }
            Event::Woken(_, socket) => self.woken(socket, cx),
            _ => {}
        }
        self.see_to_idle_sockets(cx);
    }

    fn woken(&mut self, socket: Socket, cx: &mut Context<'_>) {
        let is_ready = self.server.records().is_synced();
        if self.health.woken(cx, socket, is_ready) {
            return;
        }
        let now = cx.now();
        if let Some(heard) = self.upstream.woken(cx, socket) {
            for heard in heard {
                let outputs = match heard {
                    Heard::Message(exchange, message) => self.server.answered(now, exchange, &message),
                    Heard::Failed(exchange) => self.server.failed(now, exchange),
                };
                self.perform(outputs, cx);
            }
            return;
        }
        let messages = self.listener.as_mut().and_then(|listener| listener.woken(cx, socket));
        for (client, message) in messages.unwrap_or_default() {
            let outputs = self.server.query(now, client, &message);
            self.perform(outputs, cx);
        }
    }

    fn perform(&mut self, outputs: Vec<Output>, cx: &mut Context<'_>) {
        let mut outputs = VecDeque::from(outputs);
        while let Some(output) = outputs.pop_front() {
            match output {
                Output::Answer { client, message } => {
                    if let Some(listener) = &mut self.listener {
                        listener.send(cx, client, &message);
                    }
                }
                Output::Ask { exchange, transport, message, until } => {
                    match self.upstream.ask(cx, exchange, transport, &message) {
                        Ok(()) => cx.timer(until, FIRST_EXCHANGE + exchange),
                        Err(_) => outputs.extend(self.server.failed(cx.now(), exchange)),
                    }
                }
                Output::Over { exchange, reusable } => self.upstream.over(cx, exchange, reusable),
            }
        }
    }

    /// Sets a timer if a socket will be too old before the last one rings.
    fn see_to_idle_sockets(&mut self, cx: &mut Context<'_>) {
        let streams = self.listener.as_ref().and_then(Listener::until);
        let next = self.upstream.until().into_iter().chain(streams).min();
        if let Some(next) = next.filter(|next| *next < self.expires) {
            self.expires = next;
            cx.timer(next, EXPIRE);
        }
    }
}

/// Every address of the family of the first of `ips`.
fn unspecified(ips: &[IpAddr]) -> IpAddr {
    match ips.first() {
        Some(IpAddr::V6(_)) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        _ => std::net::Ipv4Addr::UNSPECIFIED.into(),
    }
}

#[cfg(test)]
mod tests;
