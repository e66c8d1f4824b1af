//! One run: a cluster in its world, servers in its pods, and calls between them, from one seed.
//!
//! [`Run::new`] builds it, [`Run::advance`] lets it happen, [`Run::take_seen`] hands over what the taps saw, and
//! [`crate::report::Report`] says what came of it.

mod build;
mod edge;
mod losses;
mod names;
mod resolve;

use std::collections::BTreeMap;

use sim_core::capture::Seen;
use sim_core::engine::rng::Seed;
use sim_core::engine::time::{Duration, Instant};
use sim_core::world::{Happened, World};
use sim_k8s::api::Objects;
use sim_k8s::cluster::{Cluster, ClusterError};
use sim_k8s::workload::Plan;

pub use edge::{Edge, Origin, Tally};
pub use losses::Place;

use crate::workload::{Clients, Ended, PATIENCE, Reason, Request, Servers};
use losses::Losses;

/// How long the world goes on after the last call, so that connections close.
const LINGER: Duration = Duration::from_secs(1);

/// What a run is made with, besides objects and calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunConfig {
    /// Where all randomness comes from. Default 1.
    pub seed: Seed,
    /// How many nodes. Default 3.
    pub nodes: u32,
    /// Calls begin within this time; those on their way then end as they would. Default 30 s.
    pub duration: Duration,
    /// Whether taps copy what they see. Without it a failed call does not know where its packets were lost. Default on.
    pub capture: bool,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self { seed: Seed(1), nodes: 3, duration: Duration::from_secs(30), capture: true }
    }
}

/// A run. A clone of it is a fork.
#[derive(Clone, Debug)]
pub struct Run {
    config: RunConfig,
    world: World,
    cluster: Cluster,
    servers: Servers,
    clients: Clients,
    edges: Vec<Edge>,
    /// The edge of each call on its way.
    calls: BTreeMap<u64, usize>,
    last_call: u64,
    /// Nothing more happens after this, unless a call is on its way.
    over: Instant,
    losses: Losses,
    seen: Vec<Seen>,
    not_called: Vec<String>,
}

/// What an alarm of the world is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Alarm {
    /// The next call of this edge begins.
    Begin(usize),
    /// The patience of this call runs out.
    Patience(u64),
}

impl Alarm {
    const fn token(self) -> u64 {
        match self {
            Self::Begin(edge) => (edge as u64) << 1,
            Self::Patience(call) => call << 1 | 1,
        }
    }

    const fn of(token: u64) -> Self {
        if token & 1 == 0 { Self::Begin((token >> 1) as usize) } else { Self::Patience(token >> 1) }
    }
}

impl Run {
    /// A run of `objects` in which the calls of `plan` are made, before its first event.
    ///
    /// # Errors
    /// What the objects ask for and no cluster can give.
    pub fn new(objects: &Objects, plan: &Plan, config: RunConfig) -> Result<Self, ClusterError> {
        build::build(objects, plan, config)
    }

    /// Lets at most `events` events happen; whether there are more to come.
    pub fn advance(&mut self, events: u64) -> bool {
        (0..events).all(|_| {
            // A call on its way ends by itself, at the latest when its client's patience does.
            let until = if self.clients.is_idle() { self.over } else { Instant::NEVER };
            self.step(until)
        })
    }

    /// Lets the next event happen, if one is due at or before `until`; else time moves to `until`. Whether there was one.
    pub fn step(&mut self, until: Instant) -> bool {
        let Some(happened) = self.world.step(until) else { return false };
        match happened {
            Happened::Inside => {}
            Happened::Alarm(token) => self.alarm(Alarm::of(token)),
            Happened::Wake(netns, socket) => {
                self.servers.wake(&mut self.world, netns, socket);
                let ended = self.clients.wake(&mut self.world, netns, socket);
                self.finish(ended);
            }
        }
        true
    }

    fn alarm(&mut self, alarm: Alarm) {
        let ended = match alarm {
            Alarm::Begin(edge) => self.begin(edge),
            Alarm::Patience(call) => {
                let ended = self.clients.impatient(&mut self.world, call);
                self.watch(call);
                ended
            }
        };
        self.finish(ended);
    }

    /// Begins the next call of an edge and sees to the one after it.
    fn begin(&mut self, index: usize) -> Option<Ended> {
        let edge = &mut self.edges[index];
        let nth = edge.tally.sent;
        edge.tally.sent += 1;
        self.last_call += 1;
        let call = self.last_call;
        self.calls.insert(call, index);
        if let Some(at) = edge.begins_at(nth + 1) {
            self.world.alarm(at, Alarm::Begin(index).token());
        }
        let Some(&Origin { netns, from }) = edge.origins.get(nth as usize % edge.origins.len().max(1)) else {
            return Some(Ended::at_once(call, Reason::NoCaller));
        };
        let Some(to) = resolve::resolve(&self.cluster, edge) else {
            return Some(Ended::at_once(call, Reason::NoAddress));
        };
        let (transport, protocol) = (edge.call.protocol, edge.protocol);
        let host = format!("{}.{}.svc.cluster.local", edge.call.service.name, edge.call.service.namespace);
        let request = Request { netns, from, to, transport, protocol, host };
        let ended = self.clients.begin(&mut self.world, call, request);
        self.watch(call);
        ended
    }

    /// Asks to be told when the patience of a call runs out, if it is still on its way.
    fn watch(&mut self, call: u64) {
        if self.clients.is_waiting(call) {
            self.world.alarm(self.world.now() + PATIENCE, Alarm::Patience(call).token());
        }
    }

    /// Counts a call that has ended.
    fn finish(&mut self, ended: Option<Ended>) {
        let Some(Ended { call, outcome }) = ended else { return };
        let edge = self.calls.remove(&call).expect("every call has an edge");
        self.over = self.over.max(self.world.now() + LINGER);
        let tally = &mut self.edges[edge].tally;
        match outcome {
            Ok(answer) => tally.answered(answer),
            Err(failure) => {
                self.collect();
                let place = failure.attempt.and_then(|attempt| self.losses.place(attempt));
                self.edges[edge].tally.failed(failure.reason, place);
            }
        }
    }

    /// Collects what the taps saw since the last time.
    fn collect(&mut self) {
        let seen = self.world.drain_seen();
        self.losses.see(&seen);
        self.seen.extend(seen);
    }

    /// Takes what the taps saw since the last call. Without it they are kept: call it from time to time.
    pub fn take_seen(&mut self) -> Vec<Seen> {
        self.collect();
        std::mem::take(&mut self.seen)
    }

    /// What it was made with.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The network.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The network, to be watched more closely.
    pub fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    /// Who is where.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Who calls whom, and what came of it so far, in the order of the plan.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// What is not called or not served, in words.
    pub fn not_called(&self) -> &[String] {
        &self.not_called
    }
}

#[cfg(test)]
mod tests;
