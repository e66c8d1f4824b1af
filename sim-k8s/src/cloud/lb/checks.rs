//! The health checks of all nodes: which there are, whose turn it is, what has come of them.
//!
//! A check belongs to a node and a port: balancers that ask the same question share its answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sim_core::engine::arena::{NetnsId, SocketId};
use sim_core::netns::socket::Socket;
use sim_core::wire::ip::Family;

use super::config::HealthCheck;
use super::health::Health;
use super::probe::{CheckTarget, Probe};
use crate::agent::Context;
use crate::cloud::Plan;

/// A node by its address, and what it is asked there.
pub(super) type CheckId = (IpAddr, CheckTarget);

/// All checks, made from the netns of the load balancers.
#[derive(Clone, Debug)]
pub(super) struct Checks {
    netns: NetnsId,
    checks: BTreeMap<CheckId, Check>,
    by_socket: BTreeMap<SocketId, CheckId>,
    /// Checks made so far.
    made: u64,
}

#[derive(Clone, Debug)]
struct Check {
    /// Tells it from an earlier one of the same node and port.
    serial: u64,
    pace: HealthCheck,
    health: Health,
    probe: Option<Probe>,
}

impl Checks {
    pub(super) fn new(netns: NetnsId) -> Self {
        Self { netns, checks: BTreeMap::new(), by_socket: BTreeMap::new(), made: 0 }
    }

    /// Keeps the checks in `wanted` and makes the missing ones; those are given back, each with its serial number.
    pub(super) fn keep(
        &mut self,
        cx: &mut Context<'_>,
        wanted: &BTreeMap<CheckId, HealthCheck>,
    ) -> Vec<(CheckId, u64)> {
        let stays = |id: &CheckId, check: &Check| wanted.get(id) == Some(&check.pace);
        let gone = self.checks.iter().filter(|(id, check)| !stays(id, check)).map(|(id, _)| *id);
        for id in gone.collect::<Vec<_>>() {
            self.end_probe(cx, &id);
            self.checks.remove(&id);
        }
        let mut new = Vec::new();
        for (id, pace) in wanted {
            if !self.checks.contains_key(id) {
                self.made += 1;
                new.push((*id, self.made));
                let check = Check { serial: self.made, pace: *pace, health: Health::default(), probe: None };
                self.checks.insert(*id, check);
            }
        }
        new
    }

    /// The pace of a check; `None` if it is no more.
    pub(super) fn pace(&self, id: &CheckId, serial: u64) -> Option<HealthCheck> {
        self.checks.get(id).filter(|check| check.serial == serial).map(|check| check.pace)
    }

    /// The nodes that are healthy by the answer to this question.
    pub(super) fn healthy(&self, target: CheckTarget) -> BTreeSet<IpAddr> {
        let asked = self.checks.iter().filter(|((_, asked), check)| *asked == target && check.health.is_healthy);
        asked.map(|((node, _), _)| *node).collect()
    }

    /// Begins a probe, from the balancer's own address; one that cannot even begin has failed. The check, if its node is
    /// believed to be different now.
    pub(super) fn begin(&mut self, cx: &mut Context<'_>, id: &CheckId) -> Option<CheckId> {
        self.end_probe(cx, id);
        let check = self.checks.get_mut(id)?;
        let (node, asked) = *id;
        let from = Plan::of(Family::of(node)).balancer;
        match Probe::begin(cx.world(), (self.netns, from), node, asked) {
            Ok(probe) => {
                cx.own(self.netns, Socket::Tcp(probe.socket));
                self.by_socket.insert(probe.socket, *id);
                check.probe = Some(probe);
                None
            }
            Err(_) => self.ended(cx, id, false),
        }
    }

    /// Something happened to a socket; the check, if its node is believed to be different now.
    pub(super) fn woken(&mut self, cx: &mut Context<'_>, socket: SocketId) -> Option<CheckId> {
        let id = *self.by_socket.get(&socket)?;
        let passed = self.checks.get_mut(&id)?.probe.as_mut()?.go_on(cx.world())?;
        self.ended(cx, &id, passed)
    }

    /// Time is up for the probe of a check, if it still runs.
    pub(super) fn timed_out(&mut self, cx: &mut Context<'_>, id: &CheckId, serial: u64) -> Option<CheckId> {
        self.checks.get(id).filter(|check| check.serial == serial)?.probe.as_ref()?;
        self.ended(cx, id, false)
    }

    fn ended(&mut self, cx: &mut Context<'_>, id: &CheckId, passed: bool) -> Option<CheckId> {
        self.end_probe(cx, id);
        let check = self.checks.get_mut(id)?;
        check.health.observe(passed, &check.pace).then_some(*id)
    }

    fn end_probe(&mut self, cx: &mut Context<'_>, id: &CheckId) {
        if let Some(probe) = self.checks.get_mut(id).and_then(|check| check.probe.take()) {
            self.by_socket.remove(&probe.socket);
            cx.disown(self.netns, Socket::Tcp(probe.socket));
            probe.end(cx.world());
        }
    }
}
