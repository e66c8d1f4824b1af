//! The TCP bench: a pod's TCP against a peer that sends what a script says, and nothing else.
//!
//! Two netns joined by a veth pair. The pod has a stack, an address and a default route; the peer is a packet socket. Each
//! step is one call of an application in the pod, or segments of the peer, and what the pod then sends.
//!
//! [`run`] does a script's steps; [`forgive`] gives the freedom in times and PSH that the lab's README names; windows are exact here.

mod calls;
mod emulated;
mod events;
mod pod;
mod segments;
mod tolerance;

#[cfg(test)]
mod facts;

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::{Map, Value};
use sim_core::engine::time::{Duration, Instant};
use sim_core::wire::ip::Family;

use self::events::Flow;
use super::bench::{Refused, Sock};
use super::run::RunError;
use super::spec::{Script, ScriptStep};
use super::topology::EVERYWHERE;

pub use self::pod::Pod;
pub use self::tolerance::{forgive, forgive_repeated};

/// The netns of the pod and of its peer.
const NETNS: [&str; 2] = ["p", "x"];
/// The device of each.
const DEV: &str = "eth0";

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
const SETTLE: Duration = Duration::from_millis(100);
/// How long a step lasts at least after the pod has sent what it was waited for.
const LINGER: Duration = Duration::from_micros(500);
/// More segments than this in one step are a storm; recorded ones have some dozens.
const STORM: usize = 100_000;

/// What came of a script.
#[derive(Clone, Debug)]
pub struct Done {
    /// What happened, one object a step.
    pub result: Value,
    /// How long each step lasted: on a real machine longer than it should, and never the same twice.
    pub pace: Vec<Duration>,
}

/// Does the steps of `script` on `bench`.
///
/// `stop` is asked between events; once it says true, the run ends with [`RunError::Interrupted`].
///
/// # Errors
/// What was refused, and where.
pub fn run(script: &Script, bench: &mut dyn Pod, stop: &dyn Fn() -> bool) -> Result<Done, RunError> {
    let mut runner = Runner::build(script, bench, stop)?;
    let (mut results, mut pace) = (Vec::new(), Vec::new());
    for (index, step) in script.steps.iter().enumerate() {
        let refused = |why| RunError::Step { number: index + 1, name: step.name.clone(), place: step.place, why };
        let began = runner.bench.now();
        results.push(runner.step(step).map_err(refused)?);
        pace.push(runner.bench.now().since(began));
        if stop() {
            return Err(RunError::Interrupted);
        }
    }
    Ok(Done { result: Value::Array(results), pace })
}

/// A script under way.
struct Runner<'a> {
    stop: &'a dyn Fn() -> bool,
    bench: &'a mut dyn Pod,
    sockets: BTreeMap<String, Sock>,
    flows: IndexMap<String, Flow>,
    start: Instant,
    step_start: Instant,
    events: Vec<Value>,
    /// Segments the pod has sent in this step.
    sent: usize,
}

impl<'a> Runner<'a> {
    fn build(script: &Script, bench: &'a mut dyn Pod, stop: &'a dyn Fn() -> bool) -> Result<Self, RunError> {
        let refused = |what: &str| {
            let what = what.to_owned();
            |why: Refused| RunError::Build { what, why }
        };
        let [pod, peer] = NETNS;
        for netns in NETNS {
            bench.add_netns(netns).map_err(refused("two netns"))?;
            for (key, value) in EVERYWHERE {
                match bench.set_sysctl(netns, key, value) {
                    Ok(()) | Err(Refused::NotYet(_)) => {}
                    Err(why) => return Err(refused(key)(why)),
                }
            }
        }
        let sysctls = SYSCTLS.map(|(key, value)| (key.to_owned(), value.to_owned()));
        for (key, value) in sysctls.into_iter().chain(script.sysctl.clone()) {
            bench.set_sysctl(pod, &key, &value).map_err(refused(&format!("sysctl {key}={value}")))?;
        }
        let [pod_mac, peer_mac] = MACS;
        let mtu = script.mtu;
        let link = format!(
            "link add {DEV} address {pod_mac} mtu {mtu} type veth peer name {DEV} address {peer_mac} mtu {PEER_MTU} netns {peer}"
        );
        let neigh = format!("neigh replace 10.244.1.1 lladdr {peer_mac} dev {DEV} nud permanent");
        let mut lines = vec![
            "link set lo up",
            &link,
            "link set eth0 up",
            "addr add 10.244.1.2/24 brd + dev eth0",
            &neigh,
            "route add default via 10.244.1.1 dev eth0",
        ];
        lines.extend(script.ip.iter().map(String::as_str));
        bench.ip(pod, &lines).map_err(refused("the pod"))?;
        bench.ip(peer, &["link set eth0 up"]).map_err(refused("the peer"))?;
        for netns in NETNS {
            bench.no_offloads(netns).map_err(refused("no offloads"))?;
        }
        if let Some(rules) = &script.rules {
            bench.iptables_restore(pod, Family::V4, rules).map_err(refused("iptables-restore"))?;
        }
        let settled = bench.now() + SETTLE;
        while bench.advance(settled).is_some() {}
        bench.drain_hops();
        let flows = script.flows.iter().map(|(name, ends)| (name.clone(), Flow::new(*ends))).collect();
        let start = bench.now();
        let (sockets, events) = (BTreeMap::new(), Vec::new());
        Ok(Self { stop, bench, sockets, flows, start, step_start: start, events, sent: 0 })
    }

    /// One step and the time after it.
    fn step(&mut self, step: &ScriptStep) -> Result<Value, Refused> {
        self.step_start = self.bench.now();
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
        let mut end = self.bench.now() + step.wait;
        let mut enough = false;
        while !(self.stop)() && self.events.len() <= STORM {
            self.collect();
            if !enough && step.until.is_some_and(|n| self.sent >= n) {
                enough = true;
                end = self.bench.now() + LINGER;
            }
            if self.bench.advance(end).is_none() {
                return;
            }
        }
    }
}
