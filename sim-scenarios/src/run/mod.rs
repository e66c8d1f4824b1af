//! One run: a cluster in its world, servers in its pods, and calls between them, from one seed.
//!
//! [`Run::new`] builds it, [`Run::advance`] lets it happen, [`Run::take_seen`] hands over what the taps saw, and
//! [`crate::report::Report`] says what came of it. First the cluster comes up, as fast as its agents are; when it has
//! settled the calls begin.
//!
//! | room | what it is |
//! | --- | --- |
//! | `recipe` | all that a run is made from, to be replayed |
//! | `build` | puts a run together |
//! | `applications` | plays the applications in pods: started, stopped, killed |
//! | `calls` | begins calls and counts what became of them |
//! | `edge` | who calls whom, and when |
//! | `faults` | does to it what was planned |
//! | `resolve` | names become addresses |
//! | `losses` | where the packets of a call went missing |
//! | `ways` | by which node calls from outside came in |
//! | `names` | what addresses are called in a capture |

mod applications;
mod build;
mod calls;
mod edge;
mod faults;
mod losses;
mod names;
mod recipe;
mod resolve;
mod ways;

use std::collections::BTreeMap;

use sim_core::capture::Seen;
use sim_core::engine::rng::Stream;
use sim_core::engine::time::{Duration, Instant};
use sim_core::world::{Happened, World};
use sim_k8s::agent::Entry;
use sim_k8s::api::{Objects, Service};
use sim_k8s::apiserver::{Refused, Request};
use sim_k8s::cluster::{Cluster, ClusterConfig, ClusterError};
use sim_k8s::workload::Plan;

pub use edge::{CallEnd, Edge, Tally};
pub use losses::Place;
pub(crate) use recipe::chosen;
pub use recipe::{Balancer, Choice, ClusterOptions, IpFamily, KERNELS, Network, Recipe, Scenario, VERSION};
pub use ways::Way;

use crate::fault::Planned;
use crate::workload::{Applications, Clients, Servers};
use losses::Losses;
use ways::Ways;

/// How long the world goes on after the last call, so that connections close.
const LINGER: Duration = Duration::from_secs(1);
/// How often it is looked whether the cluster has settled.
const LOOK: Duration = Duration::from_millis(500);

/// What a run is made with, besides objects and calls.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// The cluster, and the seed all randomness comes from.
    pub cluster: ClusterConfig,
    /// Calls begin within this time after the cluster has settled; those on their way then end as they would. Default
    /// 30 s.
    pub duration: Duration,
    /// Calls begin after this time at the latest, settled or not. Default 10 min.
    pub patience: Duration,
    /// Whether taps copy what they see. Without it a failed call does not know where its packets were lost, nor
    /// one from outside which node it entered at. Default on.
    pub capture: bool,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            cluster: ClusterConfig::default(),
            duration: Duration::from_secs(30),
            patience: Duration::from_secs(600),
            capture: true,
        }
    }
}

/// A run. A clone of it is a fork.
#[derive(Clone, Debug)]
pub struct Run {
    config: RunConfig,
    world: World,
    cluster: Cluster,
    /// The Services as the manifests have them: they say what pods listen on.
    services: Vec<Service>,
    /// The calls to make, until they have become edges.
    plan: Plan,
    applications: Applications,
    /// Those that answer outside the cluster.
    outside: Servers,
    clients: Clients,
    edges: Vec<Edge>,
    /// The edge of each call on its way.
    calls: BTreeMap<u64, usize>,
    last_call: u64,
    /// When calls began to be made; not before the cluster has settled.
    began: Option<Instant>,
    /// Nothing more happens after this, unless a call is on its way.
    over: Instant,
    losses: Losses,
    ways: Ways,
    seen: Vec<Seen>,
    not_called: Vec<String>,
    /// What is done to it, and the draws of those faults that leave something open.
    faults: Vec<Planned>,
    fault_draws: Stream,
    /// What was done when, in words.
    struck: Vec<(Instant, String)>,
}

/// What an alarm of the world is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Alarm {
    /// Time to look whether the cluster has settled.
    Look,
    /// The next call of this edge begins.
    Begin(usize),
    /// The patience of this call runs out.
    Patience(u64),
    /// This fault is done.
    Strike(usize),
}

impl Alarm {
    const fn token(self) -> u64 {
        match self {
            Self::Look => 0,
            Self::Begin(edge) => (edge as u64) << 2 | 1,
            Self::Patience(call) => call << 2 | 2,
            Self::Strike(fault) => (fault as u64) << 2 | 3,
        }
    }

    const fn of(token: u64) -> Self {
        match token & 3 {
            0 => Self::Look,
            1 => Self::Begin((token >> 2) as usize),
            2 => Self::Patience(token >> 2),
            _ => Self::Strike((token >> 2) as usize),
        }
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

    /// Lets the cluster come up, until calls are about to begin or `stop` says so.
    pub fn settle(&mut self, mut stop: impl FnMut(&Self) -> bool) {
        while self.began.is_none() && !stop(self) {
            self.step(Instant::NEVER);
        }
    }

    /// Lets the next event happen, if one is due at or before `until`; else time moves to `until`. Whether there was one.
    pub fn step(&mut self, until: Instant) -> bool {
        let Some(happened) = self.world.step(until) else { return false };
        if self.cluster.handle(&mut self.world, happened) {
            self.play_applications();
            return true;
        }
        match happened {
            Happened::Inside => {}
            Happened::Alarm(token) if self.applications.alarm(&mut self.world, token) => self.play_applications(),
            Happened::Alarm(token) => self.alarm(Alarm::of(token)),
            Happened::Wake(netns, socket) => {
                self.applications.wake(&mut self.world, netns, socket);
                self.outside.wake(&mut self.world, netns, socket);
                self.play_applications();
                let ended = self.clients.wake(&mut self.world, netns, socket);
                self.set_alarms();
                self.finish(ended);
            }
        }
        true
    }

    fn alarm(&mut self, alarm: Alarm) {
        let ended = match alarm {
            Alarm::Look => {
                self.look();
                None
            }
            Alarm::Strike(fault) => {
                self.strike(fault);
                None
            }
            Alarm::Begin(edge) => self.begin(edge),
            Alarm::Patience(call) => self.clients.ring(&mut self.world, call),
        };
        self.set_alarms();
        self.finish(ended);
    }

    /// Begins the calls if the cluster has settled.
    fn look(&mut self) {
        let now = self.world.now();
        if self.cluster.is_settled(now) || now >= Instant::START + self.config.patience {
            let late = self.cluster.unready().map(|what| format!("{what} did not become ready"));
            self.not_called.extend(late);
            self.began = Some(now);
            self.begin_calls(now);
            self.begin_faults(now);
        } else {
            self.world.alarm(now + LOOK, Alarm::Look.token());
        }
    }

    /// Collects what the taps saw since the last time.
    fn collect(&mut self) {
        let seen = self.world.drain_seen();
        self.losses.see(&seen);
        let nodes = &self.cluster.nodes;
        self.ways.see(&seen, self.cluster.world_netns, |netns| nodes.iter().position(|node| node.netns == netns));
        self.seen.extend(seen);
    }

    /// Takes what the taps saw since the last call. Without it they are kept: call it from time to time.
    pub fn take_seen(&mut self) -> Vec<Seen> {
        self.collect();
        std::mem::take(&mut self.seen)
    }

    /// Has what the taps see name each rule that was looked at, from now on.
    pub fn capture_rules(&mut self) {
        self.world.capture_rules(true);
    }

    /// Keeps a journal of what the control plane does from now on.
    pub fn keep_journal(&mut self) {
        self.cluster.control_plane().keep_journal();
    }

    /// Takes what the journal holds, in order. Without it the journal grows: call it from time to time.
    pub fn take_journal(&mut self) -> Vec<Entry> {
        self.cluster.control_plane().take_journal()
    }

    /// What it was made with.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// When calls began to be made: the cluster had settled, or patience was over.
    pub fn began(&self) -> Option<Instant> {
        self.began
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

    /// Asks the apiserver, as `kubectl` does: it acts at once, and the agents hear of it in time.
    ///
    /// # Errors
    /// Why it did nothing.
    pub fn kubectl(&mut self, request: Request) -> Result<(), Refused> {
        self.cluster.kubectl(&mut self.world, request)
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
