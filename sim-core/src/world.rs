//! The whole network: netns, wires, and the queue of events. [`World::step`] is one event.
//!
//! An agent changes a netns by the one door ([`World::ip`], [`World::bridge`], [`World::iptables_restore`],
//! [`World::sysctl`] …), an application speaks through its sockets ([`World::udp_send`] …). Both see only
//! names, ids and errnos. A world is plain data: a clone is a fork of the run. In a netns that was removed whatever
//! is asked is refused with `ENOENT`, or nothing happens.

mod cpus;
mod door;
mod names;
mod packets;
mod removal;
mod sockets;
mod texts;

pub use door::{RestoreError, RulesOf};

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::capture::{Hop, Seen};
use crate::engine::arena::{CpuId, DevId, Map, NetnsId};
use crate::engine::errno::Errno;
use crate::engine::fingerprint::Fingerprint;
#[cfg(feature = "mutants")]
use crate::engine::mutant::Mutant;
use crate::engine::mutant::Planted;
use crate::engine::queue::Queue;
use crate::engine::rng::Seed;
use crate::engine::time::{Duration, Instant};
use crate::engine::trail::{DropCounters, DropReason};
use crate::link::Link;
use crate::netns::Netns;
use crate::netns::socket::Socket;
use crate::walk::{self, Ctx, Outbox, Stage, Timer, TraceGroup};
use crate::wire::packet::Packet;

/// How long after something happened to a socket its application runs (a scheduler's wake-up latency).
pub const WAKE_LATENCY: Duration = Duration::from_micros(20);

/// Something that will happen.
#[derive(Clone, Debug)]
enum Event {
    /// A device receives a frame; of a frame that did not leave its machine, on the CPU where it was sent.
    Receive(NetnsId, DevId, Packet, Option<CpuId>),
    /// A CPU goes on with what waits for it.
    Resume(CpuId),
    /// A timer of a netns is due.
    Timer(NetnsId, Timer),
    /// An application whose socket something happened to runs.
    Wake(NetnsId, Socket),
    /// A time an application asked for has come.
    Alarm(u64),
}

/// What an event was, for whoever drives the world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Happened {
    /// A frame was received or a timer ran: nothing for an application.
    Inside,
    /// Something happened to this socket: data, room, a connection, an error.
    Wake(NetnsId, Socket),
    /// The time asked for with [`World::alarm`] has come.
    Alarm(u64),
}

/// A whole network.
#[derive(Clone, Debug)]
pub struct World {
    seed: Seed,
    planted: Planted,
    /// The rest of a system call that waits for softirqs.
    waiting: Option<(NetnsId, Vec<Stage>)>,
    queue: Queue<Event>,
    /// By id; `None`: removed.
    netns: Vec<Option<Arc<Netns>>>,
    gone: removal::Names,
    by_name: BTreeMap<String, NetnsId>,
    machines: cpus::Machines,
    links: Vec<Link>,
    out: Outbox,
    fingerprint: Fingerprint,
    /// Sockets with a wake-up on its way.
    waking: Map<(NetnsId, Socket), ()>,
    watched: Option<(u64, Option<String>)>,
    texts: texts::Texts,
}

impl World {
    /// An empty world. Everything random in it comes from `seed`.
    pub fn new(seed: Seed) -> Self {
        Self {
            seed,
            planted: Planted::default(),
            waiting: None,
            queue: Queue::default(),
            netns: Vec::new(),
            gone: removal::Names::default(),
            by_name: BTreeMap::new(),
            machines: cpus::Machines::default(),
            links: Vec::new(),
            out: Outbox::default(),
            fingerprint: Fingerprint::default(),
            waking: Map::default(),
            watched: None,
            texts: texts::Texts::default(),
        }
    }

    /// The seed it was made with.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// Plants a mistake in every netns that is added from now on.
    #[cfg(feature = "mutants")]
    pub const fn plant(&mut self, mutant: Mutant) {
        self.planted = Planted::new(mutant);
    }

    /// Simulated time.
    pub fn now(&self) -> Instant {
        self.queue.now()
    }

    /// When the next event is due.
    pub fn next_at(&self) -> Option<Instant> {
        self.queue.next_at()
    }

    /// Adds a netns with nothing but `lo`.
    ///
    /// # Errors
    /// `EEXIST` if the name is taken.
    pub fn add_netns(&mut self, name: &str) -> Result<NetnsId, Errno> {
        if self.by_name.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let id = NetnsId(self.netns.len() as u32);
        let mut netns = Netns { planted: self.planted, ..Netns::new(id, name, self.seed) };
        netns.tcp.plant(self.planted);
        self.netns.push(Some(Arc::new(netns)));
        self.by_name.insert(name.to_owned(), id);
        self.record(1, &[u64::from(id.0)], name.as_bytes());
        Ok(id)
    }

    /// The netns called `name`.
    pub fn netns_id(&self, name: &str) -> Option<NetnsId> {
        self.by_name.get(name).copied()
    }

    /// A netns, to look at.
    ///
    /// # Panics
    /// If it was removed: see [`Self::find_netns`].
    pub fn netns(&self, id: NetnsId) -> &Netns {
        self.find_netns(id).unwrap_or_else(|| panic!("{id:?} ({}) was removed", self.netns_name(id)))
    }

    /// A netns, to look at; `None` once it was removed.
    pub fn find_netns(&self, id: NetnsId) -> Option<&Netns> {
        self.netns.get(id.index())?.as_deref()
    }

    /// A netns, to be changed.
    fn netns_mut(&mut self, id: NetnsId) -> Result<&mut Netns, Errno> {
        let netns = self.netns.get_mut(id.index()).and_then(Option::as_mut);
        netns.map(Arc::make_mut).ok_or(Errno::ENOENT)
    }

    /// All netns that are there, by id.
    pub fn all_netns(&self) -> impl Iterator<Item = &Netns> {
        self.netns.iter().flatten().map(Arc::as_ref)
    }

    /// An address of a netns with the length of its prefix.
    pub fn address_of(&self, netns: NetnsId, ip: IpAddr) -> Option<IpNet> {
        self.netns(netns).addrs.iter().map(|addr| addr.net).find(|net| net.addr() == ip)
    }

    /// Lets the next event happen, if one is due at or before `until`; else time moves to `until`.
    pub fn step(&mut self, until: Instant) -> Option<Happened> {
        let event = self.queue.pop(until)?;
        self.out.in_syscall = false;
        let happened = self.happen(event);
        if self.queue.is_settled() {
            let out = &mut self.out;
            out.traces.append(&mut out.late_traces);
            if let Some((netns, stages)) = self.waiting.take() {
                self.out.in_syscall = true;
                self.go_on(None, netns, stages);
            }
            self.end_send();
        }
        Some(happened)
    }

    /// All that the segments of a `send()` set off on its machine has happened: it returns (`release_sock`).
    fn end_send(&mut self) {
        self.out.sending = None;
        for (netns, message) in std::mem::take(&mut self.out.told_late) {
            let _ = self.walk(netns, |ns, ctx| walk::tcp_error(ns, ctx, message));
        }
    }

    fn happen(&mut self, event: Event) -> Happened {
        match event {
            Event::Receive(netns, dev, packet, sent_on) => {
                let words = [u64::from(netns.0), u64::from(dev.0), packet.id.0];
                self.record(2, &words, packet.data());
                match self.cpu_of_frame(netns, sent_on, &packet) {
                    Some(cpu) => self.receive_on(cpu, netns, dev, packet),
                    None => self.receive(netns, dev, packet, None),
                }
                Happened::Inside
            }
            Event::Resume(cpu) => {
                self.record(9, &[u64::from(cpu.0)], &[]);
                self.resume(cpu);
                Happened::Inside
            }
            Event::Timer(netns, timer) => {
                self.record(3, &[u64::from(netns.0)], format!("{timer:?}").as_bytes());
                // The timers of a netns that was removed are gone with it.
                let _ = self.walk(netns, |ns, ctx| walk::timer(ns, ctx, timer));
                Happened::Inside
            }
            Event::Wake(netns, socket) => {
                self.waking.remove(&(netns, socket));
                self.record(4, &[u64::from(netns.0)], format!("{socket:?}").as_bytes());
                if self.find_netns(netns).is_none() {
                    return Happened::Inside;
                }
                Happened::Wake(netns, socket)
            }
            Event::Alarm(token) => {
                self.record(5, &[token], &[]);
                Happened::Alarm(token)
            }
        }
    }

    /// Asks for [`Happened::Alarm`] with `token` at `at`.
    pub fn alarm(&mut self, at: Instant, token: u64) {
        self.queue.schedule(at, Event::Alarm(token));
    }

    /// The hash of everything that has happened.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Packets dropped so far, by place and reason.
    pub fn drops(&self) -> &DropCounters {
        &self.out.drops
    }

    /// Frames that passed a device so far, captured or not.
    pub fn hop_count(&self) -> u64 {
        self.out.hop_count
    }

    /// Switches the taps of all devices on or off. Default off.
    pub fn capture(&mut self, on: bool) {
        self.out.taps.on = on;
    }

    /// Has the taps told of each rule that was looked at, as [`Decision::Asked`](crate::capture::Decision::Asked). Default off.
    pub fn capture_rules(&mut self, on: bool) {
        self.out.taps.rules = on;
    }

    /// Takes what the taps saw since the last call.
    pub fn drain_seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.out.taps.seen)
    }

    /// As [`Self::drain_seen`], of that only the frames that passed a device.
    pub fn drain_hops(&mut self) -> Vec<Hop> {
        let hop = |seen| if let Seen::Hop(hop) = seen { Some(hop) } else { None };
        self.drain_seen().into_iter().filter_map(hop).collect()
    }

    /// Takes the rule traces since the last call.
    pub fn drain_traces(&mut self) -> Vec<TraceGroup> {
        std::mem::take(&mut self.out.traces)
    }

    /// Keeps a description of event number `n` (counted from 0) when it happens.
    pub fn watch_event(&mut self, n: u64) {
        self.watched = Some((n, None));
    }

    /// The description of the watched event, once it has happened.
    pub fn watched_event(&self) -> Option<&str> {
        self.watched.as_ref()?.1.as_deref()
    }

    /// Mixes one event into the fingerprint.
    fn record(&mut self, kind: u8, words: &[u64], bytes: &[u8]) {
        let now = self.now();
        if let Some((n, text)) = &mut self.watched
            && *n == self.fingerprint.events()
        {
            let kinds = [
                "",
                "netns added",
                "frame received",
                "timer",
                "wake-up",
                "alarm",
                "door",
                "socket call",
                "netns removed",
                "CPU goes on",
            ];
            let kind = kinds.get(usize::from(kind)).unwrap_or(&"");
            let shown = bytes.iter().take(64).fold(String::new(), |s, b| s + &format!("{b:02x}"));
            *text = Some(format!("at {now}: {kind} {words:?} {shown}"));
        }
        self.out.taps.event = self.fingerprint.events();
        self.fingerprint.event(now.as_nanos(), kind, words, bytes);
    }

    /// A frame is received; in a netns that was removed it is lost.
    fn receive(&mut self, netns: NetnsId, dev: DevId, packet: Packet, cpu: Option<CpuId>) {
        if self.find_netns(netns).is_none() {
            return self.lose_in_backlog((netns, dev, &packet), DropReason::DevDown);
        }
        let walked = self.walk_on(cpu, netns, |ns, ctx| walk::run(ns, ctx, Stage::Receive(dev, packet)));
        walked.expect("the netns is there");
    }

    /// Runs `f` on a netns, for an application, an agent or a timer, and lets what it left behind happen. `ENOENT` if the
    /// netns was removed.
    fn walk<T>(&mut self, netns: NetnsId, f: impl FnOnce(&mut Netns, &mut Ctx<'_>) -> T) -> Result<T, Errno> {
        let cpu = self.cpu_of_call(netns);
        self.walk_on(cpu, netns, f)
    }

    /// Runs `f` on a netns and lets what it left behind happen: frames to other netns, timers, wake-ups. On `cpu`,
    /// if there is a choice, it may be suspended. `ENOENT` if the netns was removed.
    fn walk_on<T>(
        &mut self,
        cpu: Option<CpuId>,
        netns: NetnsId,
        f: impl FnOnce(&mut Netns, &mut Ctx<'_>) -> T,
    ) -> Result<T, Errno> {
        let now = self.now();
        let ns = self.netns.get_mut(netns.index()).and_then(Option::as_mut).ok_or(Errno::ENOENT)?;
        let ns = Arc::make_mut(ns);
        ns.exceptions.advance(now);
        let preempt = cpu.map(|cpu| self.machines.preemption(cpu));
        let mut ctx = Ctx { now, out: &mut self.out, preempt };
        let done = f(ns, &mut ctx);
        walk::begin_dad(ns, &mut ctx);
        walk::begin_reports(ns, &mut ctx);
        walk::flush_tcp(ns, &mut ctx);
        walk::flush_sctp(ns, &mut ctx);
        walk::count_purged(ns, &mut ctx);
        let woken = walk::take_woken(ns);
        for socket in woken {
            if self.waking.insert((netns, socket), ()).is_none() {
                self.queue.schedule(now + WAKE_LATENCY, Event::Wake(netns, socket));
            }
        }
        self.schedule_left_behind(netns, now, cpu);
        match cpu {
            Some(cpu) => self.suspend(cpu, netns),
            None => self.waiting = self.out.take_waiting().map(|stages| (netns, stages)).or(self.waiting.take()),
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests;
