//! kube-proxy as an agent of its node (upstream `cmd/kube-proxy/app/server.go` and `proxier.go`).

use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::{Duration, Instant};
use sim_core::netns::netlink::TableName;

use super::health::{ProxyHealth, Servers};
use super::iptables::chains::CANARY;
use super::monitor::{self, Monitor, Seen};
use super::runner::Runner;
use super::{Config, Node, Proxier, Proxy};
use crate::agent::{Agent, Context, Event, Interest};
use crate::api::{self, Kind, Object, ObjectRef};
use crate::apiserver::Change;
use crate::command::{Command, CommandFailed};

/// Taint of a node that the cluster autoscaler is about to delete.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";
/// A kube-proxy that could not start ends, and the kubelet starts it again after this (its first back-off).
const RESTART: Duration = Duration::from_secs(10);
/// What one command takes when it starts.
const START_COST: Duration = Duration::from_millis(2);

/// A port 10256 that is taken is tried again after this (`serveHealthz` of `server.go`).
const SERVE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Tokens of timers.
const RUN: u64 = 1;
const LOOK: u64 = 2;
const START_AGAIN: u64 = 3;
const SERVE_AGAIN: u64 = 4;

/// Tokens of commands.
const STARTED: u64 = 1;
const SYNCED: u64 = 2;
const CLEANED: u64 = 3;

/// The kube-proxy of one node.
#[derive(Clone, Debug)]
pub struct KubeProxy {
    netns: NetnsId,
    proxy: Proxy,
    runner: Runner,
    monitor: Monitor,
    health: ProxyHealth,
    servers: Servers,
    /// Kinds of which not everything has been heard yet. Nothing is written before.
    unlisted: Vec<Kind>,
    sync: UnderWay,
    /// Someone who does not care for the pace waits for the sync under way to end: all is listed, or the canary is gone.
    next_at_once: bool,
    /// When the next [`RUN`] rings.
    armed: Instant,
}

/// The sync that is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum UnderWay {
    None,
    /// The runner began it.
    Paced,
    /// It was begun whatever the pace.
    AtOnce,
}

impl KubeProxy {
    /// The kube-proxy of `node`, which lives in `netns`.
    pub fn new(proxier: &'static dyn Proxier, config: Config, node: Node, netns: NetnsId) -> Self {
        let start = Instant::START;
        Self {
            netns,
            runner: Runner::new(config.pace(), start),
            monitor: Monitor::new(config.sync_period, start),
            health: ProxyHealth::new(config.sync_period),
            servers: Servers::default(),
            unlisted: vec![Kind::Service, Kind::EndpointSlice],
            sync: UnderWay::None,
            next_at_once: false,
            armed: Instant::NEVER,
            proxy: Proxy::new(proxier, config, node),
        }
    }

    /// What it knows.
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    fn started(&mut self, cx: &mut Context<'_>, done: Result<(), CommandFailed>) {
        let now = cx.now();
        if done.is_err() {
            return cx.timer(now + RESTART, START_AGAIN);
        }
        let liberal = cx.world().sysctl_get(self.netns, "net.netfilter.nf_conntrack_tcp_be_liberal");
        self.proxy.set_tcp_be_liberal(liberal.is_ok_and(|value| value != "0"));
        let Config { sync_period, .. } = *self.proxy.config();
        self.monitor = Monitor::new(sync_period, now);
        cx.timer(self.monitor.due(), LOOK);
        self.runner = Runner::new(self.proxy.config().pace(), now);
        self.health.updated(now);
        self.serve(cx);
        for kind in &self.unlisted {
            cx.watch(Interest::All(*kind));
        }
        cx.watch(Interest::One(ObjectRef::node(&self.proxy.node().name)));
    }

    /// Says on port 10256 how it is.
    fn serve(&mut self, cx: &mut Context<'_>) {
        if !self.servers.serve_proxy(cx, self.netns, self.proxy.node().ip) {
            cx.timer(cx.now() + SERVE_AGAIN_AFTER, SERVE_AGAIN);
        }
    }

    fn changed(&mut self, cx: &mut Context<'_>, change: Change) {
        let gone = change.is_deletion();
        let due = match change.object {
            Object::Service(service) => {
                let key = service.key.clone();
                self.proxy.service(&key, (!gone).then_some(service))
            }
            Object::EndpointSlice(slice) => {
                let key = slice.key.clone();
                self.proxy.slice(&key, (!gone).then_some(slice))
            }
            Object::Node(node) => {
                self.health.set_node_eligible(!gone && is_eligible(&node));
                self.proxy.zone(node.zone())
            }
            _ => false,
        };
        if due && self.unlisted.is_empty() {
            let now = cx.now();
            self.health.queued(now);
            self.runner.request(now);
            self.arm(cx);
        }
    }

    /// Everything of a kind is known. Once that is so of all, there is a sync at once.
    fn listed(&mut self, cx: &mut Context<'_>, kind: Kind) {
        let before = self.unlisted.len();
        self.unlisted.retain(|unlisted| *unlisted != kind);
        if before > 0 && self.unlisted.is_empty() {
            self.sync_at_once(cx);
        }
    }

    /// Looks for the canary.
    fn look(&mut self, cx: &mut Context<'_>) {
        let (now, netns) = (cx.now(), self.netns);
        let alive = monitor::TABLES.map(|table| {
            let table = TableName::named(table).expect("a table of iptables");
            cx.world().iptables_has_chain(netns, table, CANARY)
        });
        if self.monitor.look(now, alive) == Seen::Flushed {
            self.proxy.flushed();
            self.sync_at_once(cx);
        }
        cx.timer(self.monitor.due(), LOOK);
    }

    /// Sees to it that it is woken when the next sync is due.
    fn arm(&mut self, cx: &mut Context<'_>) {
        let due = self.runner.due().filter(|due| *due < self.armed);
        if let Some(due) = due.filter(|_| self.sync == UnderWay::None && self.unlisted.is_empty()) {
            self.armed = due;
            cx.timer(due, RUN);
        }
    }

    /// The time has come, unless a sync has been made meanwhile.
    fn rung(&mut self, cx: &mut Context<'_>) {
        let now = cx.now();
        if now >= self.armed {
            self.armed = Instant::NEVER;
        }
        if self.sync == UnderWay::None && self.runner.due().is_some_and(|due| due <= now) {
            self.runner.begin(now);
            self.begin(cx, UnderWay::Paced);
        }
        self.arm(cx);
    }

    fn sync_at_once(&mut self, cx: &mut Context<'_>) {
        if self.sync == UnderWay::None {
            self.begin(cx, UnderWay::AtOnce);
        } else {
            self.next_at_once = true;
        }
    }

    fn begin(&mut self, cx: &mut Context<'_>, sync: UnderWay) {
        self.sync = sync;
        let (now, netns) = (cx.now(), self.netns);
        let world = cx.world();
        self.proxy.set_addresses(world.netns(netns).addresses().collect());
        let commands = self.proxy.begin(now, || world.iptables_chains(netns, TableName::Nat));
        let Config { sync_cost, sync_cost_per_line, .. } = *self.proxy.config();
        let lines: usize = commands.iter().map(Command::lines).sum();
        let commands: Vec<_> = commands.into_iter().flat_map(Command::operations).collect();
        let cost = sync_cost + sync_cost_per_line.saturating_mul(lines as u64);
        let each = Duration::from_nanos(cost.as_nanos() / commands.len().max(1) as u64);
        cx.exec(netns, commands, each, SYNCED);
    }

    /// The rules are written, or not. Then, in upstream's order: health, conntrack.
    fn synced(&mut self, cx: &mut Context<'_>, success: bool) {
        let now = cx.now();
        self.proxy.end(now, success);
        if !success {
            return self.end(cx, false);
        }
        self.health.updated(now);
        let ips = self.proxy.config().health_check_addresses(self.proxy.node());
        self.servers.serve_services(cx, self.netns, &ips, self.proxy.service_health());
        if !self.proxy.cleans_conntrack() {
            return self.end(cx, true);
        }
        let flows: Vec<_> = cx.world().netns(self.netns).flows(now).collect();
        let commands = self.proxy.stale_flows(&flows);
        if commands.is_empty() {
            return self.end(cx, true);
        }
        cx.exec(self.netns, commands, Duration::ZERO, CLEANED);
    }

    fn end(&mut self, cx: &mut Context<'_>, success: bool) {
        if std::mem::replace(&mut self.sync, UnderWay::None) == UnderWay::Paced {
            self.runner.end(cx.now(), success);
        }
        if std::mem::take(&mut self.next_at_once) {
            self.begin(cx, UnderWay::AtOnce);
        } else {
            self.arm(cx);
        }
    }
}

/// Whether load balancers may count on the node.
fn is_eligible(node: &api::Node) -> bool {
    node.meta.deletion.is_none() && !node.taints.iter().any(|taint| taint.key == TO_BE_DELETED)
}

impl Agent for KubeProxy {
    fn on(&mut self, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Start | Event::Timer(START_AGAIN) => cx.exec(self.netns, self.proxy.start(), START_COST, STARTED),
            Event::Done(STARTED, done) => self.started(cx, done),
            Event::Changed(change) => self.changed(cx, change),
            Event::Listed(Interest::All(kind)) => self.listed(cx, kind),
            Event::Timer(RUN) => self.rung(cx),
            Event::Timer(LOOK) => self.look(cx),
            Event::Timer(SERVE_AGAIN) => self.serve(cx),
            Event::Done(SYNCED, done) => self.synced(cx, done.is_ok()),
            // Flows that could not be deleted expire; upstream logs that and goes on, too.
            Event::Done(CLEANED, _) => self.end(cx, true),
            Event::Woken(_, socket) => self.servers.woken(cx, self.netns, socket, &self.health),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
