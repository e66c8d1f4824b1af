//! One kube-proxy, without a clock, a kernel or a socket of its own: objects and times in, commands out.

use sim_core::wire::ip::Family;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use sim_core::engine::time::Instant;
use sim_core::netns::netlink::Flow;

use super::conntrack::stale_flows;
use super::health::ServiceHealth;
use super::service_port::ServiceMap;
use super::tracker::{Changes, Tracker};
use super::{Config, Node, Proxier, Scope, SyncState, Work};
use crate::api::{EndpointSlice, ObjectKey, Protocol, Service};
use crate::command::Command;

/// What one kube-proxy knows, and what it has done.
///
/// A sync is [`Self::begin`], the commands, [`Self::end`]; after a success the health checks are told
/// ([`Self::service_health`]), and then conntrack is cleaned up ([`Self::cleans_conntrack`], [`Self::stale_flows`]).
#[derive(Clone, Debug)]
pub struct Proxy {
    proxier: &'static dyn Proxier,
    config: Config,
    node: Node,
    tracker: Tracker,
    services: ServiceMap,
    state: SyncState,
    flushed: bool,
    /// The sync that is under way, or was the last.
    sync: Sync,
}

/// What a sync is about.
#[derive(Clone, Debug)]
struct Sync {
    scope: Scope,
    cleans_up: bool,
    changes: Changes,
}

impl Proxy {
    /// One that knows of no object yet.
    pub fn new(proxier: &'static dyn Proxier, config: Config, node: Node) -> Self {
        let tracker = Tracker::new(Family::of(node.ip));
        let sync = Sync { scope: Scope::Full, cleans_up: false, changes: Changes::default() };
        let (services, state) = (ServiceMap::new(), SyncState::default());
        Self { proxier, config, node, tracker, services, state, flushed: false, sync }
    }

    /// The settings of the node that a kube-proxy makes when it starts, whatever the family.
    pub fn settings(&self) -> Vec<Command> {
        self.config.conntrack_settings(&self.node)
    }

    /// What the proxier does once, after that.
    pub fn start(&self) -> Vec<Command> {
        let mut commands = self.proxier.start(&self.config, &self.node);
        commands.extend(self.proxier.canary(&self.node));
        commands
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The node it runs on.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The services as of the last sync.
    pub fn services(&self) -> &ServiceMap {
        &self.services
    }

    /// What there is to know of a Service, `None` if it is gone. Says whether a sync is due.
    pub fn service(&mut self, key: &ObjectKey, service: Option<Arc<Service>>) -> bool {
        self.tracker.service(key, service)
    }

    /// What there is to know of a slice, `None` if it is gone. Says whether a sync is due.
    pub fn slice(&mut self, key: &ObjectKey, slice: Option<Arc<EndpointSlice>>) -> bool {
        self.tracker.slice(key, slice)
    }

    /// The node's zone. Says whether a sync is due; it is a full one then (`OnTopologyChange`).
    pub fn zone(&mut self, zone: &str) -> bool {
        let changed = self.node.zone != zone;
        if changed {
            zone.clone_into(&mut self.node.zone);
            self.state.require_full();
        }
        changed
    }

    /// The node's addresses are these: they are looked at whenever rules are written.
    pub fn set_addresses(&mut self, addresses: Vec<IpAddr>) {
        self.node.addresses = addresses;
    }

    /// Whether the node's conntrack is liberal is looked at once, at the start.
    pub fn set_tcp_be_liberal(&mut self, liberal: bool) {
        self.config.tcp_be_liberal = liberal;
    }

    /// Someone has flushed the rules: the next sync writes all of them, and then the canary.
    pub fn flushed(&mut self) {
        self.state.require_full();
        self.flushed = true;
    }

    /// The commands of a sync that begins now. `nat_chains` lists the chains of the node's nat table; it is asked only
    /// if stale ones are looked for.
    pub fn begin(&mut self, now: Instant, nat_chains: impl FnOnce() -> BTreeSet<String>) -> Vec<Command> {
        let mut changes = self.tracker.apply(&mut self.services);
        let scope = self.state.scope(now, &self.config, std::mem::take(&mut changes.services));
        let Self { config, node, services, .. } = self;
        let mut work = Work { config, node, services, scope: &scope, existing_chains: None };
        let cleans_up = self.state.cleans_up(now, config, work.endpoints());
        let chains = cleans_up.then(nat_chains);
        work.existing_chains = chains.as_ref();
        let mut commands = self.proxier.sync(&work);
        if std::mem::take(&mut self.flushed) {
            commands.extend(self.proxier.canary(&self.node));
        }
        self.sync = Sync { scope, cleans_up, changes };
        commands
    }

    /// The sync that began last has ended.
    pub fn end(&mut self, now: Instant, success: bool) {
        self.state.finished(now, &self.sync.scope, self.sync.cleans_up, success);
    }

    /// What the health check node ports say after the last sync.
    pub fn service_health(&self) -> ServiceHealth {
        ServiceHealth::of(&self.services, &self.node.name)
    }

    /// Whether the last sync is followed by a look at conntrack: some UDP endpoint, or port, came or went.
    pub fn cleans_conntrack(&self) -> bool {
        let Changes { udp_endpoints, deleted, .. } = &self.sync.changes;
        let udp_deleted = deleted.keys().any(|name| name.protocol() == Protocol::Udp);
        *udp_endpoints || (self.config.clean_unserved && udp_deleted)
    }

    /// The commands that clean up `flows`, those of the node's conntrack.
    pub fn stale_flows(&self, flows: &[Flow]) -> Vec<Command> {
        stale_flows(&self.services, &self.sync.changes.deleted, self.config.clean_unserved, flows)
    }
}
