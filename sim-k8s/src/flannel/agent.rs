//! flanneld as an agent of its node (upstream `main.go`, `pkg/subnet/kube/kube.go`, `pkg/backend/vxlan/vxlan_network.go`,
//! `pkg/trafficmngr/iptables/iptables.go`).

use sim_core::wire::ip::Family;
use std::collections::{BTreeMap, VecDeque};

use ipnet::IpNet;
use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::Duration;
use sim_core::netns::netlink::TableName;
use sim_core::world::World;

use super::{Config, Lease, RuleSet, Step, Uplink};
use crate::agent::{Agent, Context, Event, Interest};
use crate::api::{Kind, Node, Object, ObjectRef};
use crate::apiserver::{Change, NodePatch, Request};
use crate::command::{Command, CommandFailed};

/// What a command of netlink takes.
const NETLINK_COST: Duration = Duration::from_micros(100);
/// What a command of iptables takes.
const IPTABLES_COST: Duration = Duration::from_millis(2);
/// A flanneld that could not start ends, and the kubelet starts it again after this (its first back-off).
const RESTART: Duration = Duration::from_secs(10);
/// A node that could not be written is written again after this (`PollUntilContextTimeout` of `kube.go`).
const WRITE_AGAIN: Duration = Duration::from_secs(3);

/// A command that fails is tried this often (retry-go's default) …
const ATTEMPTS: u32 = 10;
/// … first after this, then after twice as long each time, and a draw of at most as much.
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// Tokens of timers.
const START_AGAIN: u64 = 1;
const TRY_AGAIN: u64 = 2;
const CHECK_RULES: u64 = 3;
const CHECK_ROUTES: u64 = 4;
const SAY_AGAIN: u64 = 5;

/// Tokens of commands.
const STARTED: u64 = 1;
const RULED: u64 = 2;
const WORKED: u64 = 3;
const REPAIRED: u64 = 4;

/// Token of the only request.
const SAID: u64 = 1;

/// The flanneld of one node.
#[derive(Clone, Debug)]
pub struct Flannel {
    config: Config,
    node: String,
    netns: NetnsId,
    uplink: Uplink,
    /// Its own leases, one a family; none until its node has its pod networks.
    own: Vec<Lease>,
    /// Its own device and rules are there, so that peers can be added.
    is_up: bool,
    /// The leases of other nodes, as last seen.
    peers: BTreeMap<String, Vec<Lease>>,
    /// Steps to do, the first being under way.
    work: VecDeque<Task>,
}

/// One thing to be done, command by command.
#[derive(Clone, Debug)]
struct Task {
    steps: VecDeque<Step>,
    /// What takes back the steps that are done.
    undo: Vec<Command>,
    /// A step that fails for good ends the task, and what was done is undone; otherwise the next is tried all the same.
    whole: bool,
    attempt: u32,
}

impl Flannel {
    /// The flanneld of node `node`, which lives in `netns` and reaches the others by `uplink`.
    pub fn new(config: Config, node: impl Into<String>, netns: NetnsId, uplink: Uplink) -> Self {
        let (peers, work) = (BTreeMap::new(), VecDeque::new());
        Self { config, node: node.into(), netns, uplink, own: Vec::new(), is_up: false, peers, work }
    }

    /// A node is new or has changed.
    fn seen(&mut self, cx: &mut Context<'_>, node: &Node) {
        let Some(leases) = self.leases(node) else { return };
        if node.name() == self.node {
            if self.own.is_empty() {
                self.own = leases;
                self.start(cx);
            }
        // Its own flanneld has to have run: it writes the lease.
        } else if node.network_available && self.peers.get(node.name()) != Some(&leases) {
            self.peers.insert(node.name().to_owned(), leases.clone());
            if self.is_up {
                leases.iter().for_each(|lease| self.add(cx, lease));
            }
        }
    }

    /// A node is gone; that it is not ready does not matter.
    fn gone(&mut self, cx: &mut Context<'_>, node: &Node) {
        let Some(leases) = self.peers.remove(node.name()).filter(|_| self.is_up) else { return };
        let commands = leases.iter().flat_map(|lease| self.config.backend.remove_peer(lease, &self.uplink));
        let steps = commands.map(|command| Step { command, undo: None }).collect();
        self.enqueue(cx, Task { steps, undo: Vec::new(), whole: false, attempt: 0 });
    }

    /// The leases of a node, one a family; `None` as long as it lacks a pod network, or has none within flannel's.
    fn leases(&self, node: &Node) -> Option<Vec<Lease>> {
        let lease = |network: &IpNet| {
            let subnet = node.pod_cidrs.iter().find(|subnet| network.contains(*subnet))?;
            let ip = node.internal_ips.iter().find(|ip| Family::of_net(*network).has(ip))?;
            Some(Lease::new(*ip, *subnet))
        };
        self.config.networks.iter().map(lease).collect()
    }

    fn start(&mut self, cx: &mut Context<'_>) {
        let backend = self.config.backend;
        if !self.own.iter().all(|own| backend.check(own, &self.uplink)) {
            return cx.timer(cx.now() + RESTART, START_AGAIN);
        }
        let netns = self.netns;
        let world = cx.world();
        let is_there = |own: &&Lease| {
            let dev = backend.dev(Family::of_net(own.subnet));
            dev.is_some_and(|dev| world.dev_id(netns, dev).is_some())
        };
        let missing = self.own.iter().filter(|own| !is_there(own));
        let commands = missing.flat_map(|own| backend.start(own, &self.uplink)).collect();
        cx.exec(netns, commands, NETLINK_COST, STARTED);
    }

    fn rule_sets(&self) -> Vec<RuleSet> {
        self.own.iter().flat_map(|own| self.config.rules(own.subnet)).collect()
    }

    fn started(&mut self, cx: &mut Context<'_>, done: Result<(), CommandFailed>) {
        match done {
            Ok(()) => self.write_rules(cx, |_, _| true, RULED),
            Err(_) => cx.timer(cx.now() + RESTART, START_AGAIN),
        }
    }

    /// Writes the rule sets for which `wanted` holds.
    fn write_rules(&self, cx: &mut Context<'_>, wanted: impl Fn(&World, &RuleSet) -> bool, token: u64) {
        let world = &*cx.world();
        let sets = self.rule_sets();
        let sets = sets.iter().filter(|set| wanted(world, set));
        let commands = sets.map(|set| set.restore(has(world, self.netns, set, set.base, &set.jump()))).collect();
        cx.exec(self.netns, commands, IPTABLES_COST, token);
    }

    fn ruled(&mut self, cx: &mut Context<'_>, done: Result<(), CommandFailed>) {
        if done.is_err() {
            return cx.timer(cx.now() + RESTART, START_AGAIN);
        }
        self.is_up = true;
        self.say_that_the_network_is_there(cx);
        cx.timer(cx.now() + self.config.rules_resync, CHECK_RULES);
        if let Some(after) = self.config.backend.route_check() {
            cx.timer(cx.now() + after, CHECK_ROUTES);
        }
        for peer in self.peers.values().flatten().cloned().collect::<Vec<_>>() {
            self.add(cx, &peer);
        }
    }

    /// Condition `NetworkUnavailable` is false (`CompleteLease`); to the others it is the sign that there is a lease.
    fn say_that_the_network_is_there(&self, cx: &mut Context<'_>) {
        let patch = NodePatch { network_available: Some(true), ..NodePatch::default() };
        cx.request(Request::PatchNode { node: self.node.clone(), patch }, SAID);
    }

    fn add(&mut self, cx: &mut Context<'_>, peer: &Lease) {
        let steps = self.config.backend.add_peer(peer, &self.uplink).into();
        self.enqueue(cx, Task { steps, undo: Vec::new(), whole: true, attempt: 0 });
    }

    fn enqueue(&mut self, cx: &mut Context<'_>, task: Task) {
        self.work.push_back(task);
        if self.work.len() == 1 {
            self.work_on(cx);
        }
    }

    /// Does the next step.
    fn work_on(&mut self, cx: &mut Context<'_>) {
        while let Some(task) = self.work.front() {
            if let Some(step) = task.steps.front() {
                return cx.exec(self.netns, vec![step.command.clone()], NETLINK_COST, WORKED);
            }
            self.work.pop_front();
        }
    }

    /// A step is done, or was refused.
    fn worked(&mut self, cx: &mut Context<'_>, done: Result<(), CommandFailed>) {
        let Some(task) = self.work.front_mut() else { return };
        task.attempt += 1;
        let retried = self.config.backend.route_check().is_none();
        if done.is_err() && retried && task.attempt < ATTEMPTS {
            let doubled = FIRST_DELAY.saturating_mul(1 << (task.attempt - 1));
            let jitter = u64::from(cx.draws().below(FIRST_DELAY.as_micros() as u32));
            return cx.timer(cx.now() + doubled + Duration::from_micros(jitter), TRY_AGAIN);
        }
        task.attempt = 0;
        let step = task.steps.pop_front();
        if done.is_ok() {
            task.undo.extend(step.and_then(|step| step.undo));
        } else if task.whole {
            let undo = std::mem::take(&mut task.undo).into_iter();
            task.steps = undo.map(|command| Step { command, undo: None }).collect();
            task.whole = false;
        }
        self.work_on(cx);
    }

    /// Rules that someone has taken out are written again.
    fn check_rules(&mut self, cx: &mut Context<'_>) {
        let netns = self.netns;
        let broken = |world: &World, set: &RuleSet| {
            !has(world, netns, set, set.base, &set.jump())
                || set.rules().any(|rule| !has(world, netns, set, set.chain, &rule))
        };
        if self.rule_sets().iter().any(|set| broken(cx.world(), set)) {
            self.write_rules(cx, broken, REPAIRED);
        }
        cx.timer(cx.now() + self.config.rules_resync, CHECK_RULES);
    }

    /// Routes that someone has taken out, or that could not be made, are made again.
    fn check_routes(&mut self, cx: &mut Context<'_>) {
        let Some(after) = self.config.backend.route_check() else { return };
        let netns = self.netns;
        for peer in self.peers.values().flatten().cloned().collect::<Vec<_>>() {
            if !cx.world().netns(netns).has_route(peer.subnet, peer.public_ip) {
                self.add(cx, &peer);
            }
        }
        cx.timer(cx.now() + after, CHECK_ROUTES);
    }
}

/// Whether a chain of the set's table has this rule.
fn has(world: &World, netns: NetnsId, set: &RuleSet, chain: &str, rule: &str) -> bool {
    let table = TableName::named(set.table).expect("a table of iptables");
    let rules = (netns, set.family);
    let jumps = world.iptables_has_chain(rules, table, set.chain);
    jumps && world.iptables_check(rules, table, chain, rule).expect("rules of flannel are understood")
}

impl Agent for Flannel {
    fn on(&mut self, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Start if self.config.backend.knows_peers() => cx.watch(Interest::All(Kind::Node)),
            Event::Start => cx.watch(Interest::One(ObjectRef::node(&self.node))),
            Event::Changed(change @ Change { object: Object::Node(_), .. }) => {
                let Object::Node(node) = &change.object else { return };
                if change.is_deletion() { self.gone(cx, node) } else { self.seen(cx, node) }
            }
            Event::Timer(START_AGAIN) => self.start(cx),
            Event::Timer(TRY_AGAIN) => self.work_on(cx),
            Event::Timer(CHECK_RULES) => self.check_rules(cx),
            Event::Timer(CHECK_ROUTES) => self.check_routes(cx),
            Event::Timer(SAY_AGAIN) => self.say_that_the_network_is_there(cx),
            Event::Done(STARTED, done) => self.started(cx, done),
            Event::Done(RULED, done) => self.ruled(cx, done),
            Event::Done(WORKED, done) => self.worked(cx, done),
            Event::Replied(SAID, Err(_)) => cx.timer(cx.now() + WRITE_AGAIN, SAY_AGAIN),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
