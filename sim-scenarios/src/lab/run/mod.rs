//! Runs a spec on a bench: builds the cluster, does the steps, tells what was seen.
//!
//! Clients and servers behave as the lab's do: non-blocking sockets, looked at whenever the network has
//! nothing left to do at the present moment. Time is the bench's; nobody waits for real.

mod clients;
mod frames;
mod servers;
mod sets;
mod tcp;
mod tools;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use sim_core::capture::Hop;
use sim_core::engine::errno::Errno;
use sim_core::engine::time::Duration;
use sim_core::netns::socket::{ErrorOrigin, SocketError};
use sim_core::wire::ip::Family;

use self::tcp::Connection;
use super::bench::{Bench, Refused, Sock};
use super::conntrack::{self, Shown};
use super::decode::Decoder;
use super::spec::{Op, Place, Spec, Step, Wanted};
use super::topology::Setup;
use super::{hops, topology, trace};

/// Why a spec could not be run to its end.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RunError {
    /// The bench refused an operation of the building.
    #[error("building the cluster: {what}: {why}")]
    Build {
        /// The operation, in the words of its tool.
        what: String,
        /// What the bench said.
        why: Refused,
    },
    /// The bench refused a step.
    #[error("step {number} ({name}): {why}")]
    Step {
        /// Which step, counted from 1.
        number: usize,
        /// Its operation.
        name: String,
        /// Where it stands in the spec.
        place: Place,
        /// What the bench said.
        why: Refused,
    },
    /// What happened could not be watched to the end.
    #[error("what happened is not known: {0}")]
    Watch(String),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Builds the cluster of `spec` on `bench`, does its steps and returns what happened, one object a step.
///
/// `stop` is asked between events; once it says true, the run ends with [`RunError::Interrupted`].
///
/// # Errors
/// What the bench refused, and where.
pub fn run(spec: &Spec, bench: &mut dyn Bench, stop: &dyn Fn() -> bool) -> Result<Value, RunError> {
    let mut runner = Runner::new(spec, bench, stop);
    runner.build()?;
    let mut results = Vec::new();
    for (index, step) in spec.steps.iter().enumerate() {
        let result = runner.step(step).map_err(|why| RunError::Step {
            number: index + 1,
            name: step.name.clone(),
            place: step.place,
            why,
        })?;
        if stop() {
            return Err(RunError::Interrupted);
        }
        results.push(result);
    }
    Ok(Value::Array(results))
}

/// The longest that a cluster may take to become quiet.
const SETTLE_LIMIT: Duration = Duration::from_secs(1);
/// How long IPv6 has before its rules come: what a device says first, of its groups, is not theirs to count.
const FIRST_REPORTS: Duration = Duration::from_millis(20);
/// For how long nothing must be seen for a cluster to be quiet.
const QUIET: Duration = Duration::from_millis(40);
/// How long clients wait for an answer.
const TIMEOUT: Duration = Duration::from_millis(500);

/// More hops than this in one step are a storm; recorded steps have some hundreds.
const STORM: usize = 1_000_000;

/// What a flow's sender would send next: sequence number, acknowledgment number, window.
type Next = (u32, u32, u16);
/// A direction of a TCP connection: source and destination.
type Flow = ((IpAddr, u16), (IpAddr, u16));
/// A question asked after every event; an answer ends the waiting.
type Until<'c> = &'c mut dyn FnMut(&mut dyn Bench) -> Option<Value>;

/// A run under way.
struct Runner<'a> {
    spec: &'a Spec,
    bench: &'a mut dyn Bench,
    stop: &'a dyn Fn() -> bool,
    decoder: Decoder<'a>,
    servers: IndexMap<String, servers::Running>,
    connections: IndexMap<String, Connection>,
    next: BTreeMap<Flow, Next>,
    seen: Vec<Hop>,
}

impl<'a> Runner<'a> {
    fn new(spec: &'a Spec, bench: &'a mut dyn Bench, stop: &'a dyn Fn() -> bool) -> Self {
        Self {
            spec,
            bench,
            stop,
            decoder: Decoder::new(spec),
            servers: IndexMap::new(),
            connections: IndexMap::new(),
            next: BTreeMap::new(),
            seen: Vec::new(),
        }
    }

    /// Builds the cluster, starts traces and servers, and forgets what was seen of it.
    fn build(&mut self) -> Result<(), RunError> {
        let refused = |what: String| |why: Refused| RunError::Build { what, why };
        for ops in [topology::setup(self.spec), topology::no_late_probes(self.spec)] {
            for batch in ops.chunk_by(Setup::is_one_batch_with) {
                if matches!(batch[0], Setup::Rules(_, Family::V6, _)) {
                    self.leave_alone(FIRST_REPORTS);
                }
                topology::apply(self.bench, batch).map_err(refused(batch[0].to_string()))?;
            }
        }
        for netns in &self.spec.cluster.netns {
            self.bench.no_offloads(netns).map_err(refused(format!("no offloads in {netns}")))?;
        }
        for netns in &self.spec.trace {
            self.bench.start_trace(netns).map_err(refused(format!("tracing the rules of {netns}")))?;
        }
        for server in &self.spec.servers {
            self.start_server(server).map_err(refused(format!("starting the server {}", server.key())))?;
        }
        self.leave_alone(topology::settling(&self.spec.topo));
        self.drain();
        self.seen.clear();
        Ok(())
    }

    /// Lets the cluster do by itself what it has to for so long.
    fn leave_alone(&mut self, time: Duration) {
        let end = self.bench.now() + time;
        while self.bench.advance(end).is_some() {}
    }

    /// Serves until the network says something to `until`, or for `timeout`.
    fn pump(&mut self, timeout: Duration, until: Until<'_>) -> Option<Value> {
        let end = self.bench.now() + timeout;
        let mut woken = true;
        while !self.over() {
            if woken {
                self.serve();
                let answer = until(self.bench);
                if answer.is_some() {
                    return answer;
                }
            }
            self.drain();
            woken = self.bench.advance(end)?;
        }
        None
    }

    /// Serves for `time`, whatever happens.
    fn wait(&mut self, time: Duration) {
        self.pump(time, &mut |_| None);
    }

    /// Serves until nothing was seen for `quiet`, at most [`SETTLE_LIMIT`].
    fn settle(&mut self, quiet: Duration) {
        let end = self.bench.now() + SETTLE_LIMIT;
        let mut last = self.bench.now();
        let mut woken = true;
        while !self.over() {
            if woken {
                self.serve();
            }
            if self.drain() {
                last = self.bench.now();
            }
            match self.bench.advance((last + quiet).min(end)) {
                Some(touched) => woken = touched,
                None => return,
            }
        }
    }

    /// Whether it is no use to go on.
    fn over(&self) -> bool {
        self.seen.len() > STORM || (self.stop)()
    }

    fn drain(&mut self) -> bool {
        let before = self.seen.len();
        self.seen.extend(self.bench.drain_hops().into_iter().filter(|hop| !hops::is_listeners_talk(hop)));
        self.seen.len() > before
    }

    fn step(&mut self, step: &Step) -> Result<Value, Refused> {
        self.decoder.new_step();
        self.servers.values_mut().for_each(|server| server.seen.clear());
        let saw = self.operate(step)?;
        let op = step.name.as_str();
        if !matches!(op, "fdb" | "neigh" | "rules" | "rules6" | "server" | "stop" | "iplink") {
            self.settle(step.common.quiet);
        }
        self.drain();
        if self.seen.len() > STORM {
            return Err(Refused::Failed("the network does not come to rest: does a frame go in circles?".into()));
        }
        let mut out = Map::new();
        out.insert("saw".into(), saw);
        let hops = self.take_hops(step);
        let traffic = matches!(op, "udp" | "tcp" | "ping" | "frame" | "tcp_open" | "tcp_io" | "tcp_forge");
        if step.common.hops && (traffic || !hops.is_empty()) {
            out.insert("hops".into(), hops.into());
        }
        let seen: Map<_, _> = self.servers.iter().filter_map(servers::seen).collect();
        if !seen.is_empty() {
            out.insert("server_saw".into(), seen.into());
        }
        let traffic = traffic || op == "tcp_close";
        if traffic || op == "conntrack" {
            out.extend(self.conntrack(step)?.map(|ct| ("ct".into(), ct.into())));
        }
        let trace = self.take_trace();
        if traffic && step.common.trace && !trace.is_empty() {
            out.insert("trace".into(), trace.into());
        }
        Ok(out.into())
    }

    fn take_hops(&mut self, step: &Step) -> Vec<Value> {
        let seen = hops::in_order(std::mem::take(&mut self.seen));
        let forging = matches!(step.op, Op::Frame { .. } | Op::TcpForge(_));
        if !forging {
            seen.iter().for_each(|hop| frames::note_next(&mut self.next, &hop.frame));
        }
        self.decoder.forging = forging && !self.connections.is_empty();
        let show_arp = step.common.show_arp.unwrap_or(self.spec.show_arp);
        let show_nd = step.common.show_nd.unwrap_or(false) || self.spec.show_nd;
        let bench = &*self.bench;
        let names = |hop: &Hop| (bench.netns_name(hop.netns), bench.dev_name(hop.netns, hop.dev));
        hops::canonical(&seen, &names, &step.common, (show_arp, show_nd), &mut self.decoder)
    }

    fn conntrack(&mut self, step: &Step) -> Result<Option<Map<String, Value>>, Refused> {
        let whose = match step.common.ct.as_ref().unwrap_or(&self.spec.ct) {
            Wanted::Nowhere => return Ok(None),
            Wanted::Nodes => self.spec.cluster.nodes.iter().map(|node| node.name.clone()).collect(),
            Wanted::These(netns) if netns.is_empty() => return Ok(None),
            Wanted::These(netns) => netns.clone(),
        };
        let shown = Shown {
            timeouts: step.common.timeouts.unwrap_or(self.spec.timeouts),
            known_ports: self.spec.known_ports.as_deref(),
            known_echoes: self.spec.known_echoes.as_deref(),
        };
        let tables = whose.into_iter().map(|netns| {
            let lines = self.bench.exec(&netns, &["conntrack", "-L", "-o", "extended"])?.stdout;
            Ok((netns, conntrack::canonical(&lines, shown)))
        });
        let tables: Vec<(String, Value)> = tables.collect::<Result<_, Refused>>()?;
        Ok(Some(tables.into_iter().filter(|(_, table)| *table != json!([])).collect()))
    }

    fn take_trace(&mut self) -> Map<String, Value> {
        let mut out = Map::new();
        for netns in &self.spec.trace {
            let lines: Vec<Value> = self.bench.drain_trace(netns).iter().map(|l| trace::line(l).into()).collect();
            if !lines.is_empty() {
                out.insert(netns.clone(), lines.into());
            }
        }
        out
    }

    fn operate(&mut self, step: &Step) -> Result<Value, Refused> {
        let timeout = step.common.timeout;
        let patience = timeout.unwrap_or(TIMEOUT);
        match &step.op {
            Op::Udp { client, payload, keep } => self.udp(client, payload, *keep, patience),
            Op::ManyUdp(many) => self.many_udp(many),
            Op::Burst { client, n, payload } => self.burst(client, *n, payload),
            Op::Sets(sets) => self.sets(sets),
            Op::Ping(ping) => self.ping(ping, patience, step.common.times),
            Op::Tcp { client, payload } => Ok(self.tcp(client, payload, patience)),
            Op::TcpOpen { name, client } => Ok(self.tcp_open(name, client, patience)),
            Op::TcpIo { name, payload } => Ok(self.tcp_io(name, payload, patience)),
            Op::TcpClose { name } => Ok(self.tcp_close(name, patience)),
            Op::TcpAbort { name } => self.tcp_abort(name),
            Op::TcpForge(forge) => self.tcp_forge(forge),
            Op::Frame { netns, dev, frame } => self.frame(netns, dev, frame, timeout),
            Op::Rules { netns, family, text } => {
                self.bench.iptables_restore(netns, *family, text).map(|()| outcome("loaded"))
            }
            Op::Sysctl { netns, set, get } => self.sysctl(netns, set, get.as_deref()),
            Op::IpLink { netns, lines } => {
                let lines: Vec<_> = lines.iter().map(String::as_str).collect();
                self.bench.ip(netns, &lines).map(|()| outcome("done"))
            }
            Op::Exec { netns, words, show } => self.exec(netns, words, *show),
            Op::Ipset { netns, words, show } => self.ipset(netns, words, *show),
            Op::CtFill { netns, n, assured } => self.fill_conntrack(netns, *n, *assured),
            Op::CtStat { netns } => self.conntrack_stat(netns),
            Op::Server(server) => self.start_server(server).map(|()| outcome("started")),
            Op::Stop(key) => self.stop_server(key),
            Op::Conntrack => Ok(outcome("conntrack")),
            Op::Fdb { netns, bridge, permanent } => self.fdb(netns, bridge.as_deref(), *permanent),
            Op::Neigh { netns, family } => self.neigh(netns, *family),
            Op::CtFlush => self.flush_conntrack(),
            Op::CtDelete { netns, options } => self.delete_conntrack(netns, options),
            Op::VxPorts { at_least } => Ok(self.vxports(*at_least)),
            Op::Sleep(time) => {
                self.wait(*time);
                Ok(outcome("slept"))
            }
        }
    }
}

fn outcome(what: &str) -> Value {
    json!({ "outcome": what })
}

fn failed(errno: Errno) -> Value {
    json!({ "outcome": "error", "errno": errno.name() })
}

fn local_error(errno: Errno) -> Value {
    json!({ "outcome": "error", "errno": errno.name(), "origin": "local" })
}

/// An error as the error queue tells it.
fn told(error: SocketError) -> Value {
    let errno = error.errno.map_or_else(|| 0.into(), |errno| Value::from(errno.name()));
    let mut out = json!({ "outcome": "error", "errno": errno });
    match error.origin {
        ErrorOrigin::Local => out["origin"] = "local".into(),
        ErrorOrigin::Icmp { kind, code, from } => {
            let origin = if from.is_ipv4() { "icmp" } else { "icmp6" };
            out["origin"] = origin.into();
            out[origin] = json!([kind, code]);
            out["from"] = from.to_string().into();
        }
    }
    if error.mtu != 0 {
        out["mtu"] = error.mtu.into();
    }
    out
}

/// The oldest entry of a socket's error queue, or `otherwise`.
fn queued(bench: &mut dyn Bench, sock: &Sock, otherwise: Value) -> Value {
    bench.queued_error(sock).map_or(otherwise, told)
}

/// A socket call that the lab takes to succeed.
fn must(what: &str, errno: Errno) -> Refused {
    Refused::Failed(format!("{what}: {errno}"))
}
