//! The agent: what Services and Nodes ask of the cloud becomes balancers (cloud-provider
//! `controllers/service/controller.go`, and what the cloud does behind it).
//!
//! One Service is looked after at a time (`--concurrent-service-syncs` is 1), and each call to the cloud takes its time.
//! A Service is told its addresses once the first health checks are over: before, a balancer does not know where to send.
//!
//! A balancer is known by its address, and so is a node: a Service of both families has two balancers, and a node two targets.

use sim_core::wire::ip::Family;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::{Duration, Instant};
use sim_core::netns::socket::Socket;

use super::super::{Plan, nat};
use super::addresses::Addresses;
use super::balancer::{Balancer, needs_update, wants_balancer};
use super::checks::{CheckId, Checks};
use super::config::{Established, LbConfig};
use super::nodes::{is_reason, is_target};
use super::rules::{self, Cut, FIRST_MARK, Target};
use crate::agent::{Agent, Context, Event, Interest};
use crate::api::{Ingress, Kind, Node, Object, ObjectKey, Service};
use crate::apiserver::{Cache, Change, Request};
use crate::command::Command;

/// A Service that could not be served is tried again (`minRetryDelay`, `maxRetryDelay`): twice as long each time.
const RETRY: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(300)];

/// What the agent watches.
const WATCHED: [Kind; 2] = [Kind::Service, Kind::Node];

/// The load balancers of the cloud.
#[derive(Clone, Debug)]
pub struct LoadBalancers {
    config: LbConfig,
    families: Vec<Family>,
    gateway: NetnsId,
    netns: NetnsId,
    cache: Cache,
    /// Services to look after, the next one first.
    queue: VecDeque<ObjectKey>,
    /// Lists that are not complete yet, of Services and of Nodes: until then nobody is looked after.
    unlisted: usize,
    /// The cloud is busy with a Service.
    is_busy: bool,
    /// Services that could not be served: why, and how long each waits for the next attempt.
    failed: BTreeMap<ObjectKey, (String, Duration)>,
    addresses: Addresses,
    balancers: BTreeMap<IpAddr, Live>,
    targets: BTreeMap<IpAddr, Target>,
    /// Balancers, nodes that are no target of theirs any more, and when connections to them end.
    draining: BTreeMap<(IpAddr, IpAddr), Instant>,
    next_mark: u32,
    checks: Checks,
    tasks: BTreeMap<u64, Task>,
    next_task: u64,
    /// Commands that wait for those before them.
    commands: VecDeque<(NetnsId, Vec<Command>)>,
    is_executing: bool,
}

/// A balancer that is there.
#[derive(Clone, Debug)]
struct Live {
    balancer: Balancer,
    /// Its nodes.
    nodes: BTreeSet<IpAddr>,
    /// Those that get new connections.
    serving: BTreeSet<IpAddr>,
}

/// Something to be done later.
#[derive(Clone, Debug)]
enum Task {
    /// The cloud has done what was asked of it for a Service: the Service and the nodes as they were then; `None`: take
    /// its balancers down.
    Synced(ObjectKey, Option<(Arc<Service>, BTreeSet<IpAddr>)>),
    /// A Service is looked after once more.
    Retry(ObjectKey),
    /// The first checks of a Service's balancers are over.
    Tell(ObjectKey),
    /// It is time for a check.
    Check(CheckId, u64),
    /// It is too late for an answer.
    Timeout(CheckId, u64),
    /// A balancer takes in what is believed of its nodes.
    Program(IpAddr),
    /// Connections of a balancer to a node that is no target any more have gone on for long enough.
    Drained(IpAddr, IpAddr),
}

impl Agent for LoadBalancers {
    fn on(&mut self, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Start => {
                for family in self.families.clone() {
                    self.exec(cx, self.netns, rules::start(&self.config, family));
                }
                WATCHED.into_iter().for_each(|kind| cx.watch(Interest::All(kind)));
            }
            Event::Listed(_) => {
                self.unlisted = self.unlisted.saturating_sub(1);
                self.sync_next(cx);
            }
            Event::Changed(change) => self.changed(cx, &change),
            Event::Timer(token) => {
                if let Some(task) = self.tasks.remove(&token) {
                    self.perform(cx, task);
                }
            }
            Event::Woken(_, Socket::Tcp(socket)) => {
                let believed = self.checks.woken(cx, socket);
                self.believed(cx, believed);
            }
            // What someone took out of the netns by hand is put back with the next change.
            Event::Done(..) => {
                self.is_executing = false;
                self.exec_next(cx);
            }
            _ => {}
        }
    }
}

impl LoadBalancers {
    /// Balancers in the netns `balancer`, whose addresses `gateway` leads there: those that the [`Plan`]s of these families have
    /// for them, none of them out of the networks `elsewhere`.
    pub fn new(
        config: LbConfig,
        families: Vec<Family>,
        (gateway, balancer): (NetnsId, NetnsId),
        elsewhere: Vec<IpNet>,
    ) -> Self {
        Self {
            addresses: Addresses::new(families.iter().map(|family| Plan::of(*family).balanced).collect(), elsewhere),
            config,
            families,
            gateway,
            netns: balancer,
            cache: Cache::default(),
            queue: VecDeque::new(),
            unlisted: WATCHED.len(),
            is_busy: false,
            failed: BTreeMap::new(),
            balancers: BTreeMap::new(),
            targets: BTreeMap::new(),
            draining: BTreeMap::new(),
            next_mark: FIRST_MARK,
            checks: Checks::new(balancer),
            tasks: BTreeMap::new(),
            next_task: 0,
            commands: VecDeque::new(),
            is_executing: false,
        }
    }

    fn changed(&mut self, cx: &mut Context<'_>, change: &Change) {
        let old = self.cache.apply(change);
        let gone = change.is_deletion();
        match (&change.object, old) {
            (Object::Service(new), Some(Object::Service(old))) if !gone && !needs_update(&old, new) => {}
            (Object::Service(service), _) => self.enqueue(&service.key),
            (Object::Node(new), Some(Object::Node(old))) if !gone && !is_reason(&old, new) => {}
            (Object::Node(_), _) => {
                let services: BTreeSet<ObjectKey> =
                    self.balancers.values().map(|live| live.balancer.service.clone()).collect();
                services.iter().for_each(|service| self.enqueue_if_nodes_differ(service));
            }
            _ => {}
        }
        self.sync_next(cx);
    }

    fn perform(&mut self, cx: &mut Context<'_>, task: Task) {
        match task {
            Task::Synced(service, asked) => {
                self.is_busy = false;
                match asked {
                    Some((asked, nodes)) => {
                        let done = self.ensure(cx, &asked, &nodes);
                        // Nodes that came while the cloud was at it.
                        self.enqueue_if_nodes_differ(&service);
                        done.unwrap_or_else(|why| self.retry(cx, service, why));
                    }
                    None => self.take_down(cx, &service),
                }
                self.sync_next(cx);
            }
            Task::Retry(service) => {
                self.enqueue(&service);
                self.sync_next(cx);
            }
            Task::Tell(service) => self.tell(cx, &service),
            Task::Check(id, serial) => self.check(cx, id, serial),
            Task::Timeout(id, serial) => {
                let believed = self.checks.timed_out(cx, &id, serial);
                self.believed(cx, believed);
            }
            Task::Program(ip) => self.program(cx, ip),
            Task::Drained(ip, node) => self.drained(cx, (ip, node)),
        }
    }

    fn later(&mut self, cx: &mut Context<'_>, after: Duration, task: Task) {
        self.tasks.insert(self.next_task, task);
        cx.timer(cx.now() + after, self.next_task);
        self.next_task += 1;
    }

    fn exec(&mut self, cx: &mut Context<'_>, netns: NetnsId, commands: Vec<Command>) {
        if !commands.is_empty() {
            self.commands.push_back((netns, commands));
            self.exec_next(cx);
        }
    }

    fn exec_next(&mut self, cx: &mut Context<'_>) {
        if !self.is_executing
            && let Some((netns, commands)) = self.commands.pop_front()
        {
            self.is_executing = true;
            cx.exec(netns, commands, Duration::ZERO, 0);
        }
    }

    fn enqueue(&mut self, service: &ObjectKey) {
        if !self.queue.contains(service) {
            self.queue.push_back(service.clone());
        }
    }

    /// Looks after a Service if its balancers have other nodes than they are to have.
    fn enqueue_if_nodes_differ(&mut self, service: &ObjectKey) {
        let now = self.nodes_now();
        if self.balancers_of(service).any(|(ip, live)| live.nodes != reached_from(ip, &now)) {
            self.enqueue(service);
        }
    }

    /// The balancers of a Service, each with its address.
    fn balancers_of(&self, service: &ObjectKey) -> impl Iterator<Item = (IpAddr, &Live)> {
        let all = self.balancers.iter().map(|(ip, live)| (*ip, live));
        all.filter(move |(_, live)| live.balancer.service == *service)
    }

    /// The addresses of the nodes that are to be targets, one a family.
    fn nodes_now(&self) -> BTreeSet<IpAddr> {
        let targets = self.cache.nodes.values().filter(|node| is_target(node));
        let ip = |node: &Node, family: &Family| node.internal_ips.iter().copied().find(|ip| family.has(ip));
        targets.flat_map(|node| self.families.iter().filter_map(|family| ip(node, family))).collect()
    }

    /// Begins to look after the next Service, unless the cloud is busy.
    fn sync_next(&mut self, cx: &mut Context<'_>) {
        while !self.is_busy && self.unlisted == 0 {
            let Some(key) = self.queue.pop_front() else { return };
            let service = self.cache.services.get(&key).filter(|service| wants_balancer(service)).cloned();
            let is_served = self.balancers_of(&key).next().is_some();
            let span = match (&service, is_served) {
                (None, false) => {
                    if self.failed.remove(&key).is_some() {
                        self.tell(cx, &key);
                    }
                    continue;
                }
                (Some(_), true) => self.config.update,
                _ => self.config.provisioning,
            };
            let (asked, takes) = (service.map(|service| (service, self.nodes_now())), cx.draw(span));
            self.is_busy = true;
            self.later(cx, takes, Task::Synced(key, asked));
        }
    }

    fn retry(&mut self, cx: &mut Context<'_>, service: ObjectKey, why: String) {
        let [first, last] = RETRY;
        let delay = self.failed.get(&service).map_or(first, |(_, delay)| delay.saturating_mul(2).min(last));
        self.failed.insert(service.clone(), (why, delay));
        self.tell(cx, &service);
        self.later(cx, delay, Task::Retry(service));
    }

    /// Makes the balancers of a Service, or makes them as they are to be now.
    fn ensure(&mut self, cx: &mut Context<'_>, service: &Service, nodes: &BTreeSet<IpAddr>) -> Result<(), String> {
        let key = &service.key;
        Balancer::can_serve(service, &self.config)?;
        let ips = self.addresses.give(key, &service.ip_families, service.load_balancer_ip)?;
        self.failed.remove(key);
        let gone: Vec<IpAddr> = self.balancers_of(key).map(|(ip, _)| ip).filter(|ip| !ips.contains(ip)).collect();
        gone.into_iter().for_each(|ip| self.take_rules_down(cx, ip));
        let has_all = ips.iter().all(|ip| self.balancers.contains_key(ip));
        for ip in ips {
            self.ensure_balancer(cx, service, ip, reached_from(ip, nodes));
        }
        if has_all {
            self.tell(cx, key);
        } else {
            let pace = self.balancers_of(key).map(|(_, live)| live.balancer.check.1).next();
            let checked = pace.map(|pace| pace.interval.saturating_mul(u64::from(pace.healthy)) + pace.timeout);
            self.later(cx, checked.unwrap_or_default(), Task::Tell(key.clone()));
        }
        Ok(())
    }

    fn ensure_balancer(&mut self, cx: &mut Context<'_>, service: &Service, ip: IpAddr, nodes: BTreeSet<IpAddr>) {
        let old = self.balancers.remove(&ip);
        let seed = old.as_ref().map_or_else(|| cx.draws().next_u32(), |old| old.balancer.seed);
        self.add_targets(cx, &nodes);
        let serving = old.as_ref().map_or_else(BTreeSet::new, |old| old.serving.clone());
        for node in old.iter().flat_map(|old| &old.nodes).filter(|node| !nodes.contains(node)) {
            self.draining.insert((ip, *node), cx.now() + self.config.draining);
            self.later(cx, self.config.draining, Task::Drained(ip, *node));
        }
        let balancer = Balancer::of(service, ip, seed, &self.config);
        self.balancers.insert(ip, Live { nodes, balancer, serving });
        self.renew_checks(cx);
        self.program(cx, ip);
        if old.is_none() {
            self.exec(cx, self.gateway, nat::publish(ip, Plan::of(Family::of(ip)).balancer));
        }
    }

    fn take_down(&mut self, cx: &mut Context<'_>, service: &ObjectKey) {
        let ips: Vec<IpAddr> = self.balancers_of(service).map(|(ip, _)| ip).collect();
        ips.into_iter().for_each(|ip| self.take_rules_down(cx, ip));
        self.addresses.release(service);
        self.failed.remove(service);
        self.renew_checks(cx);
        self.forget_targets(cx);
        self.tell(cx, service);
    }

    fn take_rules_down(&mut self, cx: &mut Context<'_>, ip: IpAddr) {
        self.balancers.remove(&ip);
        self.draining.retain(|(draining, _), _| *draining != ip);
        self.exec(cx, self.gateway, nat::withdraw(ip, Plan::of(Family::of(ip)).balancer));
        let commands = rules::remove(self.config.kind, self.balancers_like(ip), ip);
        self.exec(cx, self.netns, commands);
    }

    /// The balancers of the family of `ip`, whose rules are in one table.
    fn balancers_like(&self, ip: IpAddr) -> impl Iterator<Item = &Balancer> + Clone {
        let all = self.balancers.values().map(|live| &live.balancer);
        all.filter(move |other| Family::of(other.ip) == Family::of(ip))
    }

    /// Tells a Service where its balancers are reached, and what was wrong.
    fn tell(&mut self, cx: &mut Context<'_>, key: &ObjectKey) {
        let Some(service) = self.cache.services.get(key) else { return };
        let ingress = |ip: IpAddr| Ingress { ip: Some(ip), is_vip: !self.config.is_proxy };
        let ingress: Vec<Ingress> = self.balancers_of(key).map(|(ip, _)| ingress(ip)).collect();
        let error = self.failed.get(key).map(|(why, _)| why.clone());
        if service.ingress != ingress || service.balancer_error != error {
            let (service, uid) = (key.clone(), service.meta.uid);
            cx.request(Request::UpdateServiceStatus { service, uid, ingress, error }, 0);
        }
    }

    fn add_targets(&mut self, cx: &mut Context<'_>, nodes: &BTreeSet<IpAddr>) {
        for ip in nodes {
            if self.targets.contains_key(ip) {
                continue;
            }
            let target = Target { ip: *ip, mark: self.next_mark };
            self.next_mark += 1;
            let commands = rules::add_target(self.config.kind, &target);
            self.targets.insert(*ip, target);
            self.exec(cx, self.netns, commands);
        }
    }

    /// Nodes that no balancer knows are forgotten, with all connections to them.
    fn forget_targets(&mut self, cx: &mut Context<'_>) {
        let live = self.balancers.values().flat_map(|live| &live.nodes);
        let known: BTreeSet<IpAddr> = live.chain(self.draining.keys().map(|(_, node)| node)).copied().collect();
        let unknown: Vec<IpAddr> = self.targets.keys().filter(|node| !known.contains(node)).copied().collect();
        for node in unknown {
            let commands = self.targets.remove(&node).map(|target| rules::remove_target(self.config.kind, &target));
            self.exec(cx, self.netns, commands.unwrap_or_default());
        }
    }

    fn drained(&mut self, cx: &mut Context<'_>, drained: (IpAddr, IpAddr)) {
        if self.draining.get(&drained).is_none_or(|until| *until > cx.now()) {
            return;
        }
        self.draining.remove(&drained);
        let (ip, node) = drained;
        let live = self.balancers.get(&ip).filter(|live| !live.nodes.contains(&node));
        if let (Some(live), Some(target)) = (live, self.targets.get(&node)) {
            let commands = vec![rules::cut(&live.balancer, target, Cut::All)];
            self.exec(cx, self.netns, commands);
        }
        self.forget_targets(cx);
    }

    /// Makes the checks those that the balancers ask for.
    fn renew_checks(&mut self, cx: &mut Context<'_>) {
        let mut wanted = BTreeMap::new();
        for Live { balancer, nodes, .. } in self.balancers.values() {
            let (asked, pace) = balancer.check;
            wanted.extend(nodes.iter().map(|node| ((*node, asked), pace)));
        }
        for (id, serial) in self.checks.keep(cx, &wanted) {
            let interval = u32::try_from(wanted[&id].interval.as_micros()).unwrap_or(u32::MAX);
            let phase = Duration::from_micros(u64::from(cx.draws().below(interval.max(1))));
            self.later(cx, phase, Task::Check(id, serial));
        }
    }

    fn check(&mut self, cx: &mut Context<'_>, id: CheckId, serial: u64) {
        let Some(pace) = self.checks.pace(&id, serial) else { return };
        let believed = self.checks.begin(cx, &id);
        let timeout = pace.timeout.min(pace.interval);
        self.later(cx, timeout, Task::Timeout(id, serial));
        self.later(cx, pace.interval, Task::Check(id, serial));
        self.believed(cx, believed);
    }

    /// A node is believed to be healthy that was not, or the other way: the balancers that asked hear of it.
    fn believed(&mut self, cx: &mut Context<'_>, check: Option<CheckId>) {
        let Some((node, asked)) = check else { return };
        let concerned =
            self.balancers.iter().filter(|(_, live)| live.balancer.check.0 == asked && live.nodes.contains(&node));
        for ip in concerned.map(|(ip, _)| *ip).collect::<Vec<_>>() {
            let takes = cx.draw(self.config.propagation);
            self.later(cx, takes, Task::Program(ip));
        }
    }

    /// A balancer sends new connections to its healthy nodes from now on.
    fn program(&mut self, cx: &mut Context<'_>, ip: IpAddr) {
        let Some(live) = self.balancers.get(&ip) else { return };
        let healthy = self.checks.healthy(live.balancer.check.0);
        let mut serving: BTreeSet<IpAddr> = live.nodes.intersection(&healthy).copied().collect();
        if serving.is_empty() && self.config.last_resort {
            serving.clone_from(&live.nodes);
        }
        let targets: Vec<Target> = serving.iter().map(|node| self.targets[node].clone()).collect();
        let mut commands = vec![rules::program(self.config.kind, self.balancers_like(ip), &live.balancer, &targets)];
        let what = if self.config.unhealthy == Established::Cut { Cut::All } else { Cut::Udp };
        let failed = live.serving.iter().filter(|node| live.nodes.contains(node) && !serving.contains(node));
        commands.extend(failed.map(|node| rules::cut(&live.balancer, &self.targets[node], what)));
        self.exec(cx, self.netns, commands);
        if let Some(live) = self.balancers.get_mut(&ip) {
            live.serving = serving;
        }
    }
}

/// Those of `nodes` to which a balancer at `ip` can send: the ones of its family.
fn reached_from(ip: IpAddr, nodes: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
    nodes.iter().copied().filter(|node| Family::of(ip).has(node)).collect()
}
