//! Pod networks in the cloud's route table: the plain way from node to node, without an overlay.
//!
//! The simplest true picture: the gateway, every node's default route, is the cloud's router, and each node's pod network
//! is a route via that node there. A node whose flannel leaves the way to others alone (backend `alloc`) sends packets for
//! pods elsewhere as they are to its default route, and they come back in by the wire of the node that has the pod:
//!
//! ```text
//! pod ─ cni0 n1 eth0 ── ul ── eth0 gw eth0 ── ul ── eth0 n2 cni0 ─ pod
//! ```
//!
//! What a pod sends to another pod may pass there under the pod's own address; to the world it may not.
//!
//! The agent is the route controller (cloud-provider 4666611, `controllers/route/route_controller.go`): every 10 s it makes
//! the routes those that the Nodes' `podCIDRs` ask for. Nothing ticks while nothing changes: it wakes at the tick after a
//! change.

use sim_core::wire::ip::Family;
use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::{Duration, Instant};

use super::INSIDE;
use crate::agent::{Agent, Context, Event, Interest};
use crate::api::{Kind, Node, Object};
use crate::apiserver::{Cache, NodePatch, Request};
use crate::command::Command;
use crate::timings::Span;

/// From one look to the next (`--route-reconciliation-period`).
const PERIOD: Duration = Duration::from_secs(10);
/// How long the cloud needs for its routes; all are made side by side (`maxConcurrentRouteOperations` is 200). Not
/// sourced: a call to a cloud's API takes about a second.
const CALL: Span = Span::secs(1, 2);

/// A pod network and the node it leads to.
type Routes = BTreeMap<IpNet, IpAddr>;

/// The route controller.
#[derive(Clone, Debug)]
pub struct RouteController {
    gateway: NetnsId,
    cache: Cache,
    /// The routes that the cloud has.
    routes: Routes,
    /// When it started.
    since: Instant,
    /// What it is about to do.
    doing: Option<Doing>,
    /// A Node changed since it last looked.
    is_dirty: bool,
}

/// A step of a look at the routes.
#[derive(Clone, Debug)]
enum Doing {
    /// It waits for the next tick.
    Waiting,
    /// The cloud is at work; then these are its routes.
    Calling(Routes),
    /// The routes are being programmed.
    Programming(Routes),
}

impl RouteController {
    /// One that programs the router in the netns `gateway`.
    pub fn new(gateway: NetnsId) -> Self {
        let (cache, routes, since) = (Cache::default(), Routes::new(), Instant::START);
        Self { gateway, cache, routes, since, doing: None, is_dirty: false }
    }

    /// Looks again at the next tick, unless it is at it.
    fn wake(&mut self, cx: &mut Context<'_>) {
        if self.is_dirty && self.doing.is_none() {
            self.doing = Some(Doing::Waiting);
            let ticks = cx.now().since(self.since).as_nanos().div_ceil(PERIOD.as_nanos());
            cx.timer(self.since + PERIOD.saturating_mul(ticks), 0);
        }
    }

    fn next(&mut self, cx: &mut Context<'_>) {
        match self.doing.take() {
            Some(Doing::Waiting) => {
                self.is_dirty = false;
                let wanted = wanted(self.cache.nodes.values().map(AsRef::as_ref));
                if wanted == self.routes {
                    self.tell(cx);
                } else {
                    self.doing = Some(Doing::Calling(wanted));
                    let done = cx.now() + cx.draw(CALL);
                    cx.timer(done, 0);
                }
            }
            Some(Doing::Calling(wanted)) => {
                cx.exec(self.gateway, changes(&self.routes, &wanted), Duration::ZERO, 0);
                self.doing = Some(Doing::Programming(wanted));
            }
            Some(Doing::Programming(wanted)) => {
                self.routes = wanted;
                self.tell(cx);
            }
            None => {}
        }
        self.wake(cx);
    }

    /// Nodes with routes have a network (`updateNetworkingCondition`).
    fn tell(&self, cx: &mut Context<'_>) {
        let routed = |node: &&std::sync::Arc<Node>| {
            !node.pod_cidrs.is_empty() && node.pod_cidrs.iter().all(|cidr| self.routes.contains_key(&cidr.trunc()))
        };
        for node in self.cache.nodes.values().filter(routed).filter(|node| !node.network_available) {
            let patch = NodePatch { network_available: Some(true), ..NodePatch::default() };
            cx.request(Request::PatchNode { node: node.key.name.clone(), patch }, 0);
        }
    }
}

impl Agent for RouteController {
    fn on(&mut self, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Start => {
                self.since = cx.now();
                cx.watch(Interest::All(Kind::Node));
            }
            Event::Changed(change) => {
                let old = self.cache.apply(&change);
                let asked = |node: &Node| (node.pod_cidrs.clone(), node.internal_ips.clone());
                let is_same = match (&old, &change.object) {
                    (Some(Object::Node(old)), Object::Node(new)) => !change.is_deletion() && asked(old) == asked(new),
                    _ => false,
                };
                self.is_dirty |= !is_same;
                self.wake(cx);
            }
            Event::Timer(_) | Event::Done(..) => self.next(cx),
            _ => {}
        }
    }
}

/// The routes that `nodes` ask for.
fn wanted<'n>(nodes: impl Iterator<Item = &'n Node>) -> Routes {
    let of_one = |node: &'n Node| {
        let cidrs = node.pod_cidrs.iter().map(IpNet::trunc);
        cidrs.filter_map(|cidr| {
            let via = node.internal_ips.iter().find(|ip| ip.is_ipv4() == cidr.addr().is_ipv4())?;
            Some((cidr, *via))
        })
    };
    nodes.flat_map(of_one).collect()
}

/// What makes the routes `new` of `old`: what goes first, then what comes.
fn changes(old: &Routes, new: &Routes) -> Vec<Command> {
    let gone = old.iter().filter(|(cidr, via)| new.get(*cidr) != Some(*via));
    let come = new.iter().filter(|(cidr, via)| old.get(*cidr) != Some(*via));
    let gone = gone.flat_map(|(cidr, via)| remove(*cidr, *via));
    gone.chain(come.flat_map(|(cidr, via)| add(*cidr, *via))).collect()
}

/// A pod network leads to its node.
pub fn add(pod_network: IpNet, node: IpAddr) -> Vec<Command> {
    vec![Command::Ip(format!("route replace {pod_network} via {node} dev {INSIDE}")), pass("-A", pod_network)]
}

/// It leads nowhere any more.
pub fn remove(pod_network: IpNet, node: IpAddr) -> Vec<Command> {
    vec![pass("-D", pod_network), Command::Ip(format!("route del {pod_network} via {node} dev {INSIDE}"))]
}

/// Pods may speak to each other under their own addresses.
fn pass(action: &str, pod_network: IpNet) -> Command {
    let family = Family::of_net(pod_network);
    Command::Restore(family, format!("*filter\n{action} INSIDE -s {pod_network} -o {INSIDE} -j ACCEPT\nCOMMIT\n"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sim_core::engine::rng::Seed;
    use sim_core::wire::ip::Family;
    use sim_core::world::{Happened, World};

    use super::*;
    use crate::agent::ControlPlane;
    use crate::api::ObjectRef;
    use crate::apiserver::Apiserver;
    use crate::cloud::nat;
    use crate::command::kernel;
    use crate::timings::Timings;

    fn node(number: u8) -> Node {
        let name = format!("n{number}");
        let pod_cidrs = vec![format!("10.244.{number}.0/24").parse().expect("a network")];
        Node { internal_ips: vec![[10, 240, 0, 10 + number].into()], pod_cidrs, ..Node::new(name) }
    }

    #[test]
    fn a_kernel_takes_routes_and_lets_them_go() {
        let devs = ["link add eth0 type bridge", "link set eth0 up", "addr add 10.240.0.1/24 dev eth0"];
        let mut commands: Vec<_> = devs.map(|line| Command::Ip(line.into())).to_vec();
        commands.extend(nat::start(Family::V4));
        let [one, both] = [&[node(1)][..], &[node(1), node(2)][..]].map(|nodes| wanted(nodes.iter()));
        commands.extend(changes(&Routes::new(), &both));
        let gone = [commands.clone(), changes(&both, &one)].concat();
        let show = "ip route; iptables -S INSIDE";
        let [there, gone] = [&commands, &gone].map(|commands| kernel::run("nft", commands, show));
        let (Some(there), Some(gone)) = (there, gone) else { return };
        for line in ["10.244.2.0/24 via 10.240.0.12 dev eth0", "-A INSIDE -s 10.244.2.0/24 -o eth0 -j ACCEPT"] {
            assert!(there.contains(line) && !gone.contains(line), "{there}\n{gone}");
        }
        assert!(gone.contains("10.244.1.0/24 via 10.240.0.11"), "{gone}");
    }

    #[test]
    fn routes_follow_the_nodes_at_the_next_tick() {
        let mut world = World::new(Seed(1));
        let gateway = world.add_netns("gw").expect("a new name");
        for line in ["link add eth0 type bridge", "link set eth0 up", "addr add 10.240.0.1/24 dev eth0"] {
            world.ip(gateway, line).expect("understood");
        }
        nat::start(Family::V4).iter().for_each(|command| command.run(&mut world, &[gateway]).expect("understood"));
        let apiserver = Apiserver::new(&["10.96.0.0/12".parse().expect("a network")], Vec::new());
        let mut plane = ControlPlane::new(Seed(1), Timings::default(), apiserver);
        plane.spawn(&mut world, "route-controller", Box::new(RouteController::new(gateway)));
        let mut run = |plane: &mut ControlPlane, request: Request| {
            plane.kubectl(&mut world, request).expect("done");
            let until = world.now() + Duration::from_secs(13);
            while let Some(happened) = world.step(until) {
                if let Happened::Alarm(token) = happened {
                    plane.alarm(&mut world, token);
                }
            }
            let routes = world.netns(gateway).show_routes(Family::V4, 254);
            routes.into_iter().filter(|route| route.starts_with("10.244.")).collect::<Vec<_>>()
        };
        for number in [1, 2] {
            run(&mut plane, Request::Create(Object::Node(Arc::new(node(number)))));
        }
        assert!(plane.objects().nodes.values().all(|node| node.network_available));
        let object = ObjectRef::node("n1");
        let left = run(&mut plane, Request::Delete { object, uid: None, grace: None });
        assert_eq!(
            left.iter().map(|route| route.trim()).collect::<Vec<_>>(),
            ["10.244.2.0/24 via 10.240.0.12 dev eth0"]
        );
    }
}
