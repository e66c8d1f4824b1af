//! kube-proxy as an agent of its node (upstream `cmd/kube-proxy/app/server.go`, `pkg/proxy/metaproxier`).
//!
//! One process has a proxier for each family of its node; each syncs at its own pace (`family`). Watches and the health
//! server are shared.

mod family;

use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::Duration;
use sim_core::netns::socket::Socket;

use super::health::ProxyHealth;
use super::{Config, Node, Proxier, Proxy};
use crate::agent::{Agent, Context, Event, Interest};
use crate::api::{self, Kind, Object, ObjectRef};
use crate::apiserver::Change;
use crate::command::CommandFailed;
use family::FamilyProxier;

/// Taint of a node that the cluster autoscaler is about to delete.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";
/// A kube-proxy that could not start ends, and the kubelet starts it again after this (its first back-off).
const RESTART: Duration = Duration::from_secs(10);
/// What one command takes when it starts.
const START_COST: Duration = Duration::from_millis(2);

/// A port 10256 that is taken is tried again after this (`serveHealthz` of `server.go`).
const SERVE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Tokens of timers. Those of a family's own have its index above (`family`).
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
    name: String,
    /// One a family, the primary one first.
    families: Vec<FamilyProxier>,
    health: ProxyHealth,
    /// Kinds of which not everything has been heard yet. Nothing is written before.
    unlisted: Vec<Kind>,
}

impl KubeProxy {
    /// The kube-proxy of a node, which lives in `netns`. `nodes` are what its proxiers know of it: one a family, which is that
    /// of the address, the primary one first.
    pub fn new(proxier: &'static dyn Proxier, config: &Config, nodes: Vec<Node>, netns: NetnsId) -> Self {
        let health = ProxyHealth::new(config.sync_period);
        let name = nodes.first().map(|node| node.name.clone()).unwrap_or_default();
        let family = |(index, node): (usize, Node)| {
            FamilyProxier::new(index as u64, netns, Proxy::new(proxier, config.clone(), node))
        };
        let families = nodes.into_iter().enumerate().map(family).collect();
        Self { netns, name, families, health, unlisted: vec![Kind::Service, Kind::EndpointSlice] }
    }

    /// What the proxiers of its families know, the primary one first.
    pub fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        self.families.iter().map(FamilyProxier::proxy)
    }

    fn start(&self, cx: &mut Context<'_>) {
        let primary = self.families.first().map(|family| family.proxy().settings()).unwrap_or_default();
        let commands = self.families.iter().flat_map(|family| family.proxy().start());
        cx.exec(self.netns, primary.into_iter().chain(commands).collect(), START_COST, STARTED);
    }

    fn started(&mut self, cx: &mut Context<'_>, done: Result<(), CommandFailed>) {
        if done.is_err() {
            return cx.timer(cx.now() + RESTART, START_AGAIN);
        }
        let liberal = cx.world().sysctl_get(self.netns, "net.netfilter.nf_conntrack_tcp_be_liberal");
        let liberal = liberal.is_ok_and(|value| value != "0");
        self.families.iter_mut().for_each(|family| family.started(cx, liberal, &mut self.health));
        self.serve(cx);
        for kind in &self.unlisted {
            cx.watch(Interest::All(*kind));
        }
        cx.watch(Interest::One(ObjectRef::node(&self.name)));
    }

    /// Says on port 10256 how it is.
    fn serve(&mut self, cx: &mut Context<'_>) {
        if self.families.first_mut().is_some_and(|primary| !primary.serve_proxy(cx)) {
            cx.timer(cx.now() + SERVE_AGAIN_AFTER, SERVE_AGAIN);
        }
    }

    fn changed(&mut self, cx: &mut Context<'_>, change: &Change) {
        if let Object::Node(node) = &change.object {
            self.health.set_node_eligible(!change.is_deletion() && is_eligible(node));
        }
        for family in &mut self.families {
            if family.changed(change) && self.unlisted.is_empty() {
                family.request(cx, &mut self.health);
            }
        }
    }

    /// Everything of a kind is known. Once that is so of all, there is a sync at once.
    fn listed(&mut self, cx: &mut Context<'_>, kind: Kind) {
        let before = self.unlisted.len();
        self.unlisted.retain(|unlisted| *unlisted != kind);
        if before > 0 && self.unlisted.is_empty() {
            self.families.iter_mut().for_each(|family| family.listed(cx));
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
            Event::Start | Event::Timer(START_AGAIN) => self.start(cx),
            Event::Done(STARTED, done) => self.started(cx, done),
            Event::Changed(change) => self.changed(cx, &change),
            Event::Listed(Interest::All(kind)) => self.listed(cx, kind),
            Event::Timer(SERVE_AGAIN) => self.serve(cx),
            Event::Woken(_, socket @ Socket::Tcp(_)) => {
                let mut asked = self.families.iter_mut().filter(|family| family.has(socket));
                asked.by_ref().for_each(|family| family.woken(cx, socket, &self.health));
            }
            Event::Timer(token) => {
                let (index, token) = family::split(token);
                if let Some(family) = self.families.get_mut(index) {
                    family.rung(cx, token);
                }
            }
            Event::Done(token, done) => {
                let (index, token) = family::split(token);
                if let Some(family) = self.families.get_mut(index) {
                    family.done(cx, token, done.is_ok(), &mut self.health);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
