//! The proxier of one family within a kube-proxy: when it syncs, and what comes after.

use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::{Duration, Instant};
use sim_core::netns::netlink::TableName;
use sim_core::netns::socket::Socket;
use sim_core::wire::ip::Family;

use super::{CLEANED, LOOK, RUN, SYNCED};
use crate::agent::Context;
use crate::api::Object;
use crate::apiserver::Change;
use crate::command::Command;
use crate::kubeproxy::health::{ProxyHealth, Servers};
use crate::kubeproxy::iptables::chains::CANARY;
use crate::kubeproxy::monitor::{self, Monitor, Seen};
use crate::kubeproxy::runner::Runner;
use crate::kubeproxy::{Config, Proxy};

/// Tokens of a family begin at its index times this.
const STRIDE: u64 = 16;

/// The index of the family that a token belongs to, and the token as that family knows it.
pub(super) fn split(token: u64) -> (usize, u64) {
    ((token / STRIDE) as usize, token % STRIDE)
}

/// A proxier with its clock.
#[derive(Clone, Debug)]
pub(super) struct FamilyProxier {
    index: u64,
    netns: NetnsId,
    proxy: Proxy,
    runner: Runner,
    monitor: Monitor,
    servers: Servers,
    /// All is listed: syncs may be made.
    is_listed: bool,
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

impl FamilyProxier {
    pub(super) fn new(index: u64, netns: NetnsId, proxy: Proxy) -> Self {
        let start = Instant::START;
        Self {
            index,
            netns,
            runner: Runner::new(proxy.config().pace(), start),
            monitor: Monitor::new(proxy.config().sync_period, start),
            servers: Servers::default(),
            is_listed: false,
            sync: UnderWay::None,
            next_at_once: false,
            armed: Instant::NEVER,
            proxy,
        }
    }

    pub(super) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    fn family(&self) -> Family {
        Family::of(self.proxy.node().ip)
    }

    fn token(&self, token: u64) -> u64 {
        self.index * STRIDE + token
    }

    fn timer(&self, cx: &mut Context<'_>, at: Instant, token: u64) {
        cx.timer(at, self.token(token));
    }

    /// The process has started; `liberal`: its node's conntrack lets packets outside a window pass.
    pub(super) fn started(&mut self, cx: &mut Context<'_>, liberal: bool, health: &mut ProxyHealth) {
        let now = cx.now();
        self.proxy.set_tcp_be_liberal(liberal);
        self.monitor = Monitor::new(self.proxy.config().sync_period, now);
        self.timer(cx, self.monitor.due(), LOOK);
        self.runner = Runner::new(self.proxy.config().pace(), now);
        health.updated(self.family(), now);
    }

    /// Serves the health of the whole process; whether the port could be had.
    pub(super) fn serve_proxy(&mut self, cx: &mut Context<'_>) -> bool {
        self.servers.serve_proxy(cx, self.netns, self.proxy.node().all_addresses())
    }

    /// Takes in a change; whether a sync is due.
    pub(super) fn changed(&mut self, change: &Change) -> bool {
        let gone = change.is_deletion();
        match &change.object {
            Object::Service(service) => self.proxy.service(&service.key, (!gone).then(|| service.clone())),
            Object::EndpointSlice(slice) => self.proxy.slice(&slice.key, (!gone).then(|| slice.clone())),
            Object::Node(node) => self.proxy.zone(node.zone()),
            _ => false,
        }
    }

    /// A sync is due.
    pub(super) fn request(&mut self, cx: &mut Context<'_>, health: &mut ProxyHealth) {
        let now = cx.now();
        health.queued(self.family(), now);
        self.runner.request(now);
        self.arm(cx);
    }

    /// All is known: there is a sync at once.
    pub(super) fn listed(&mut self, cx: &mut Context<'_>) {
        self.is_listed = true;
        self.sync_at_once(cx);
    }

    pub(super) fn rung(&mut self, cx: &mut Context<'_>, token: u64) {
        match token {
            RUN => self.run(cx),
            LOOK => self.look(cx),
            _ => {}
        }
    }

    pub(super) fn done(&mut self, cx: &mut Context<'_>, token: u64, success: bool, health: &mut ProxyHealth) {
        match token {
            SYNCED => self.synced(cx, success, health),
            // Flows that could not be deleted expire; upstream logs that and goes on, too.
            CLEANED => self.end(cx, true),
            _ => {}
        }
    }

    /// Whether a socket is one of its health servers'.
    pub(super) fn has(&self, socket: Socket) -> bool {
        self.servers.has(socket)
    }

    pub(super) fn woken(&mut self, cx: &mut Context<'_>, socket: Socket, health: &ProxyHealth) {
        self.servers.woken(cx, self.netns, socket, health);
    }

    /// Looks for the canary.
    fn look(&mut self, cx: &mut Context<'_>) {
        let (now, rules) = (cx.now(), (self.netns, self.family()));
        let alive = monitor::TABLES.map(|table| {
            let table = TableName::named(table).expect("a table of iptables");
            cx.world().iptables_has_chain(rules, table, CANARY)
        });
        if self.monitor.look(now, alive) == Seen::Flushed {
            self.proxy.flushed();
            self.sync_at_once(cx);
        }
        self.timer(cx, self.monitor.due(), LOOK);
    }

    /// Sees to it that it is woken when the next sync is due.
    fn arm(&mut self, cx: &mut Context<'_>) {
        let due = self.runner.due().filter(|due| *due < self.armed);
        if let Some(due) = due.filter(|_| self.sync == UnderWay::None && self.is_listed) {
            self.armed = due;
            self.timer(cx, due, RUN);
        }
    }

    /// The time has come, unless a sync has been made meanwhile.
    fn run(&mut self, cx: &mut Context<'_>) {
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
        let (now, netns, family) = (cx.now(), self.netns, self.family());
        let world = cx.world();
        self.proxy.set_addresses(world.netns(netns).addresses().collect());
        let commands = self.proxy.begin(now, || world.iptables_chains((netns, family), TableName::Nat));
        let Config { sync_cost, sync_cost_per_line, .. } = *self.proxy.config();
        let lines: usize = commands.iter().map(Command::lines).sum();
        let commands: Vec<_> = commands.into_iter().flat_map(Command::operations).collect();
        let cost = sync_cost + sync_cost_per_line.saturating_mul(lines as u64);
        let each = Duration::from_nanos(cost.as_nanos() / commands.len().max(1) as u64);
        cx.exec(netns, commands, each, self.token(SYNCED));
    }

    /// The rules are written, or not. Then, in upstream's order: health, conntrack.
    fn synced(&mut self, cx: &mut Context<'_>, success: bool, health: &mut ProxyHealth) {
        let now = cx.now();
        self.proxy.end(now, success);
        if !success {
            return self.end(cx, false);
        }
        health.updated(self.family(), now);
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
        cx.exec(self.netns, commands, Duration::ZERO, self.token(CLEANED));
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
