//! The TCP bench: a pod's TCP against a peer that sends what a script says, and nothing else.
//!
//! Two netns joined by a veth pair. The pod has a stack, an address and a default route; the peer is a packet socket. Each
//! step is one call of an application in the pod, or segments of the peer, and what the pod then sends.
//!
//! [`run`] does a script's steps; [`forgive`] gives the freedom in times, windows and PSH that the lab's README names.

mod calls;
mod events;
mod segments;
mod tolerance;

#[cfg(test)]
mod facts;

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::{Map, Value};
use sim_core::engine::arena::{DevId, NetnsId, SocketId};
use sim_core::engine::rng::Seed;
use sim_core::engine::time::{Duration, Instant};
use sim_core::world::World;

use self::events::Flow;
use super::bench::Refused;
use super::run::RunError;
use super::spec::{Call, Script, ScriptStep};

pub use self::tolerance::forgive;

/// Hardware addresses of the pod and of its router, who speaks for the peer.
const MACS: [&str; 2] = ["0a:58:0a:f4:01:02", "0a:58:0a:f4:01:01"];
/// MTU of the peer's end in bytes.
const PEER_MTU: u32 = 9000;
/// What the lab sets before a script's own sysctls; the rest is the kernel's default.
const SYSCTLS: [(&str, &str); 3] = [
    ("net.ipv4.tcp_rmem", "4096 131072 6291456"),
    ("net.ipv4.tcp_wmem", "4096 16384 4194304"),
    ("net.ipv4.tcp_timestamps", "0"),
];
/// How long the netns are left alone before the first step.
const SETTLE: Duration = Duration::from_secs(1);
/// How long a step lasts at least after the pod has sent what it was waited for.
const LINGER: Duration = Duration::from_micros(500);
/// More segments than this in one step are a storm; recorded ones have some dozens.
const STORM: usize = 100_000;

/// Does the steps of `script` and returns what happened, one object a step. Everything random comes from `seed`.
///
/// `stop` is asked between events; once it says true, the run ends with [`RunError::Interrupted`].
///
/// # Errors
/// What was refused, and where.
pub fn run(script: &Script, seed: Seed, stop: &dyn Fn() -> bool) -> Result<Value, RunError> {
    let mut runner = Runner::build(script, seed, stop)?;
    let mut results = Vec::new();
    for (index, step) in script.steps.iter().enumerate() {
        let refused = |why| RunError::Step { number: index + 1, name: step.name.clone(), place: step.place, why };
        results.push(runner.step(step).map_err(refused)?);
        if stop() {
            return Err(RunError::Interrupted);
        }
    }
    Ok(Value::Array(results))
}

/// A script under way.
struct Runner<'a> {
    stop: &'a dyn Fn() -> bool,
    world: World,
    pod: NetnsId,
    peer: (NetnsId, DevId),
    sockets: BTreeMap<String, SocketId>,
    flows: IndexMap<String, Flow>,
    start: Instant,
    step_start: Instant,
    events: Vec<Value>,
    /// Segments the pod has sent in this step.
    sent: usize,
}

impl<'a> Runner<'a> {
    fn build(script: &Script, seed: Seed, stop: &'a dyn Fn() -> bool) -> Result<Self, RunError> {
        let refused = |what: &str, why: String| RunError::Build { what: what.to_owned(), why: Refused::Failed(why) };
        let mut world = World::new(seed);
        let [pod, peer] = ["p", "x"].map(|name| world.add_netns(name));
        let (pod, peer) = pod.and_then(|pod| Ok((pod, peer?))).map_err(|e| refused("two netns", e.to_string()))?;
        let sysctls = SYSCTLS.map(|(key, value)| (key.to_owned(), value.to_owned()));
        for (key, value) in sysctls.into_iter().chain(script.sysctl.clone()) {
            world.sysctl(pod, &key, &value).map_err(|e| refused(&format!("sysctl {key}={value}"), e.to_string()))?;
        }
        let [pod_mac, peer_mac] = MACS;
        let mtu = script.mtu;
        let mut lines = vec![
            "link set lo up".to_owned(),
            format!(
                "link add eth0 address {pod_mac} mtu {mtu} type veth peer name eth0 address {peer_mac} mtu {PEER_MTU} netns x"
            ),
            "link set eth0 up".to_owned(),
            "addr add 10.244.1.2/24 brd + dev eth0".to_owned(),
            format!("neigh replace 10.244.1.1 lladdr {peer_mac} dev eth0 nud permanent"),
            "route add default via 10.244.1.1 dev eth0".to_owned(),
        ];
        lines.extend(script.ip.iter().cloned());
        for line in lines {
            world.ip(pod, &line).map_err(|e| refused(&line, e.to_string()))?;
        }
        world.ip(peer, "link set eth0 up").map_err(|e| refused("link set eth0 up", e.to_string()))?;
        if let Some(rules) = &script.rules {
            world.iptables_restore(pod, rules, false).map_err(|e| refused("iptables-restore", e.to_string()))?;
        }
        let dev = world.dev_id(peer, "eth0").ok_or_else(|| refused("eth0", "not there".into()))?;
        while world.step(world.now() + SETTLE).is_some() {}
        world.capture(true);
        let flows = script.flows.iter().map(|(name, ends)| (name.clone(), Flow::new(*ends))).collect();
        let (start, peer) = (world.now(), (peer, dev));
        let (sockets, events) = (BTreeMap::new(), Vec::new());
        Ok(Self { stop, world, pod, peer, sockets, flows, start, step_start: start, events, sent: 0 })
    }

    /// One step and the time after it.
    fn step(&mut self, step: &ScriptStep) -> Result<Value, Refused> {
        self.step_start = self.world.now();
        let mut out = Map::new();
        if let Some(saw) = self.call(&step.call)? {
            out.insert("saw".into(), saw);
        }
        self.pass(step);
        if self.events.len() > STORM {
            return Err(Refused::Failed("the pod does not stop sending".into()));
        }
        if let Some(after) = &step.after {
            let saw = self.call(after)?;
            out.insert("after".into(), saw.unwrap_or_default());
        }
        self.collect();
        self.sent = 0;
        let events = std::mem::take(&mut self.events);
        if step.events && !events.is_empty() {
            out.insert("ev".into(), events.into());
        }
        Ok(out.into())
    }

    /// Lets the step's time pass, less of it if the pod has sent enough.
    fn pass(&mut self, step: &ScriptStep) {
        let mut end = self.world.now() + step.wait;
        let mut enough = false;
        while !(self.stop)() && self.events.len() <= STORM {
            self.collect();
            if !enough && step.until.is_some_and(|n| self.sent >= n) {
                enough = true;
                end = self.world.now() + LINGER;
            }
            match self.world.next_at().filter(|at| *at <= end) {
                Some(at) => while self.world.step(at).is_some() {},
                None => {
                    self.world.step(end);
                    return;
                }
            }
        }
    }
}

impl Call {
    /// The socket a call is made on, where it must be there already.
    fn socket(&self) -> Option<&str> {
        match self {
            Self::Accept { listener, .. } => Some(listener),
            Self::Send { socket, .. } | Self::Recv { socket, .. } | Self::Info { socket, .. } => Some(socket),
            Self::Shutdown { socket, .. } => Some(socket),
            Self::Close(socket) | Self::Abort(socket) | Self::SetOption(socket, _) => Some(socket),
            Self::Poll(socket) | Self::TakeError(socket) => Some(socket),
            _ => None,
        }
    }
}
