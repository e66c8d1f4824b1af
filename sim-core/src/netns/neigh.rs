//! Neighbours: who has an address on a link, learned by ARP (IPv4) or ND (IPv6). The state machine is
//! net/core/neighbour.c; what goes on the wire is decided in `walk`.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use crate::engine::arena::DevId;
use crate::engine::time::{Duration, Instant};
use crate::wire::eth::MacAddr;
use crate::wire::ip::Family;
use crate::wire::packet::Packet;

/// State of an entry (include/uapi/linux/neighbour.h, `NUD_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Nud {
    /// Asked for, not answered yet.
    Incomplete,
    /// Confirmed lately.
    Reachable,
    /// Known, not confirmed lately.
    Stale,
    /// Used while stale; waits a little for a confirmation from above.
    Delay,
    /// Being asked again, by unicast.
    Probe,
    /// Did not answer.
    Failed,
    /// Set by hand, needs no resolution.
    Noarp,
    /// Set by hand, never changes.
    Permanent,
}

impl Nud {
    /// As `ip neigh` prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incomplete => "INCOMPLETE",
            Self::Reachable => "REACHABLE",
            Self::Stale => "STALE",
            Self::Delay => "DELAY",
            Self::Probe => "PROBE",
            Self::Failed => "FAILED",
            Self::Noarp => "NOARP",
            Self::Permanent => "PERMANENT",
        }
    }

    /// `NUD_CONNECTED`: used without any question.
    pub const fn is_connected(self) -> bool {
        matches!(self, Self::Permanent | Self::Noarp | Self::Reachable)
    }

    /// `NUD_VALID`: a hardware address is known.
    pub const fn is_valid(self) -> bool {
        !matches!(self, Self::Incomplete | Self::Failed)
    }

    const fn has_timer(self) -> bool {
        matches!(self, Self::Incomplete | Self::Reachable | Self::Delay | Self::Probe)
    }
}

/// The knobs of a device's neighbours (`net.ipv4.neigh.DEV.*`, `net.ipv6.neigh.DEV.*`; defaults of net/ipv4/arp.c,
/// `arp_tbl`, and net/ipv6/ndisc.c, `nd_tbl`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NeighConfig {
    /// `base_reachable_time`. Default 30 s.
    pub base_reachable_time: Duration,
    /// What randomises it, in thousandths: 500 to 1500 (`neigh_rand_reach_time`). Default 1000.
    pub reachable_factor: u32,
    /// `retrans_time_ms`: between two questions. Default 1 s.
    pub retrans_time: Duration,
    /// `delay_first_probe_time`: from first use while stale to the first unicast question. Default 5 s.
    pub delay_probe_time: Duration,
    /// `mcast_solicit`: broadcast questions. Default 3.
    pub mcast_solicit: u32,
    /// `ucast_solicit`: unicast questions. Default 3.
    pub ucast_solicit: u32,
    /// `gc_stale_time`: an entry unused for longer may be collected. Default 60 s.
    pub gc_stale_time: Duration,
    /// `locktime`: how long a fresh answer is protected from another. Default 1 s, of IPv6 0.
    pub locktime: Duration,
    /// Packets that wait for an answer. The kernel counts bytes (`unres_qlen_bytes`, 212992); 101 small packets fit.
    pub queue_len: usize,
}

impl NeighConfig {
    /// The defaults of a family.
    pub fn new(family: Family) -> Self {
        Self {
            base_reachable_time: Duration::from_secs(30),
            reachable_factor: 1000,
            retrans_time: Duration::from_secs(1),
            delay_probe_time: Duration::from_secs(5),
            mcast_solicit: 3,
            ucast_solicit: 3,
            gc_stale_time: Duration::from_secs(60),
            locktime: Duration::from_secs(u64::from(family == Family::V4)),
            queue_len: 101,
        }
    }

    /// How long an answer is believed.
    pub fn reachable_time(&self) -> Duration {
        let ns = self.base_reachable_time.as_nanos() / 1000;
        Duration::from_nanos(ns.saturating_mul(u64::from(self.reachable_factor)))
    }
}

/// Most entries that were not set by hand (`gc_thresh3`).
pub const GC_THRESH3: usize = 1024;

/// Which entry.
pub type NeighKey = (DevId, IpAddr);

/// One entry.
#[derive(Clone, Debug)]
pub struct Neigh {
    /// Its state.
    pub state: Nud,
    /// The hardware address; meaningful while the state is valid.
    pub mac: MacAddr,
    /// Whether a packet has been sent by it, so that the bridge can write the header itself
    /// (`neigh->hh`, set by `neigh_resolve_output`).
    pub header_cached: bool,
    /// Whether it said that it forwards packets (`NTF_ROUTER`).
    pub router: bool,
    queue: VecDeque<Packet>,
    probes: u32,
    confirmed: Instant,
    used: Instant,
    updated: Instant,
    deadline: Instant,
    scheduled: Instant,
}

/// A question to send: to `to`, or to everyone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Solicit {
    /// The known hardware address, for a unicast question.
    pub to: Option<MacAddr>,
}

/// What to do with a packet for a neighbour.
#[derive(Debug)]
pub enum NeighOutput {
    /// Send it to this address.
    Send(MacAddr, Packet),
    /// It waits; send a question if there is one. `overflow` had to make room.
    Held {
        /// The question.
        solicit: Option<Solicit>,
        /// The oldest waiting packet, dropped.
        overflow: Option<Packet>,
    },
    /// The table is full.
    Refused(Packet),
}

/// What a timer did.
#[derive(Debug, Default)]
pub struct NeighTimer {
    /// A question to send.
    pub solicit: Option<Solicit>,
    /// The packets that waited in vain.
    pub failed: Vec<Packet>,
}

/// The neighbours of a netns.
#[derive(Clone, Debug, Default)]
pub struct Neighs {
    table: BTreeMap<NeighKey, Neigh>,
}

impl Neighs {
    /// The entry for a key.
    pub fn get(&self, key: NeighKey) -> Option<&Neigh> {
        self.table.get(&key)
    }

    /// All entries by device and address.
    pub fn iter(&self) -> impl Iterator<Item = (&NeighKey, &Neigh)> {
        self.table.iter()
    }

    /// When the entry's timer is due; [`Instant::NEVER`] if it has none.
    pub fn deadline(&self, key: NeighKey) -> Instant {
        self.get(key).map_or(Instant::NEVER, |n| n.deadline)
    }

    /// The entry's deadline, once after each change: whoever gets it schedules the timer.
    pub fn take_deadline(&mut self, key: NeighKey) -> Option<Instant> {
        let n = self.table.get_mut(&key)?;
        if n.deadline == n.scheduled || n.deadline == Instant::NEVER {
            return None;
        }
        n.scheduled = n.deadline;
        Some(n.deadline)
    }

    /// Sets an entry by hand (`ip neigh replace … nud permanent`).
    pub fn set(&mut self, key: NeighKey, mac: MacAddr, state: Nud, now: Instant) -> Vec<Packet> {
        let n = self.table.entry(key).or_insert_with(|| Neigh::new(now));
        (n.mac, n.state, n.updated, n.confirmed, n.deadline) = (mac, state, now, now, Instant::NEVER);
        n.queue.drain(..).collect()
    }

    /// The packet that came last of those that wait for an entry (`neigh_probe`).
    pub fn last_waiting(&self, key: NeighKey) -> Option<&Packet> {
        self.get(key)?.queue.back()
    }

    /// Removes an entry; the packets that waited are given back, to be dropped. `None` if there is no entry.
    pub fn remove(&mut self, key: NeighKey) -> Option<VecDeque<Packet>> {
        self.table.remove(&key).map(|n| n.queue)
    }

    /// Removes the entries of a device whose address `doomed` says; the packets that waited are given back, to be dropped.
    pub fn remove_dev(&mut self, dev: DevId, doomed: impl Fn(IpAddr) -> bool) -> Vec<Packet> {
        let keys: Vec<NeighKey> = self.table.keys().filter(|(d, ip)| *d == dev && doomed(*ip)).copied().collect();
        keys.into_iter().filter_map(|key| self.remove(key)).flatten().collect()
    }

    /// A packet is to go to the neighbour (`neigh_resolve_output`, `__neigh_event_send`).
    pub fn output(&mut self, key: NeighKey, packet: Packet, config: &NeighConfig, now: Instant) -> NeighOutput {
        if !self.table.contains_key(&key) && !self.make_room(config, now) {
            return NeighOutput::Refused(packet);
        }
        let n = self.table.entry(key).or_insert_with(|| Neigh::new(now));
        n.used = now;
        match n.state {
            Nud::Stale => n.enter(Nud::Delay, now, now + config.delay_probe_time),
            Nud::Failed => return n.start_asking(packet, config, now),
            Nud::Incomplete => return NeighOutput::Held { solicit: None, overflow: n.hold(packet, config) },
            _ => {}
        }
        n.header_cached = true;
        NeighOutput::Send(n.mac, packet)
    }

    /// Begins to ask for a neighbour that is not known and for whom no packet waits (`__neigh_event_send`).
    pub fn probe(&mut self, key: NeighKey, config: &NeighConfig, now: Instant) -> Option<Solicit> {
        if !self.table.contains_key(&key) && !self.make_room(config, now) {
            return None;
        }
        let n = self.table.entry(key).or_insert_with(|| Neigh::new(now));
        (n.state == Nud::Failed).then(|| n.begin_asking(config, now))
    }

    /// An answer or a question told us the hardware address (`neigh_update`). Returns the packets that
    /// waited for it. `create` makes an entry if there is none (the sender of a question to us).
    pub fn heard(
        &mut self,
        key: NeighKey,
        mac: MacAddr,
        heard: Heard,
        config: &NeighConfig,
        now: Instant,
    ) -> Vec<Packet> {
        if !(self.table.contains_key(&key) || heard.create && self.make_room(config, now)) {
            return Vec::new();
        }
        let n = self.table.entry(key).or_insert_with(|| Neigh::new(now));
        n.heard(mac, heard, config, now)
    }

    /// The entry's timer is due (`neigh_timer_handler`).
    pub fn timer(&mut self, key: NeighKey, config: &NeighConfig, now: Instant) -> NeighTimer {
        match self.table.get_mut(&key) {
            Some(n) if n.deadline <= now => n.timer(config, now),
            _ => NeighTimer::default(),
        }
    }

    /// An upper protocol knows the neighbour works (`dst_confirm`).
    pub fn confirm(&mut self, key: NeighKey, now: Instant) {
        if let Some(n) = self.table.get_mut(&key) {
            n.confirmed = now;
        }
    }

    fn make_room(&mut self, config: &NeighConfig, now: Instant) -> bool {
        if self.table.len() < GC_THRESH3 {
            return true;
        }
        self.table
            .retain(|_, n| !matches!(n.state, Nud::Failed | Nud::Stale) || now.since(n.used) < config.gc_stale_time);
        let learned = self.table.values().filter(|n| n.state != Nud::Permanent).count();
        learned < GC_THRESH3
    }
}

/// How an address was heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heard {
    /// It answered a question of ours: reachable, not only stale.
    pub confirms: bool,
    /// Whether it may replace another address.
    pub replaces: Replaces,
    /// It makes an entry if there is none.
    pub create: bool,
    /// Whether the neighbour is a router, if it said so or not.
    pub router: Option<bool>,
}

/// Whether a hardware address that was heard may replace the one that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replaces {
    /// Yes (`NEIGH_UPDATE_F_OVERRIDE`).
    Always,
    /// Once the locktime is over (net/ipv4/arp.c, `arp_process`).
    AfterLocktime,
    /// No; but a neighbour thought to work is stale then (`NEIGH_UPDATE_F_WEAK_OVERRIDE`).
    Never,
}

impl Neigh {
    fn new(now: Instant) -> Self {
        Self {
            state: Nud::Failed,
            mac: MacAddr::ZERO,
            header_cached: false,
            router: false,
            queue: VecDeque::new(),
            probes: 0,
            confirmed: Instant::START,
            used: now,
            updated: Instant::START,
            deadline: Instant::NEVER,
            scheduled: Instant::NEVER,
        }
    }

    fn enter(&mut self, state: Nud, now: Instant, deadline: Instant) {
        self.state = state;
        self.updated = now;
        self.deadline = if state.has_timer() { deadline } else { Instant::NEVER };
    }

    fn start_asking(&mut self, packet: Packet, config: &NeighConfig, now: Instant) -> NeighOutput {
        let solicit = Some(self.begin_asking(config, now));
        NeighOutput::Held { solicit, overflow: self.hold(packet, config) }
    }

    fn begin_asking(&mut self, config: &NeighConfig, now: Instant) -> Solicit {
        self.enter(Nud::Incomplete, now, now + config.retrans_time);
        self.probes = 1;
        Solicit { to: None }
    }

    fn hold(&mut self, packet: Packet, config: &NeighConfig) -> Option<Packet> {
        self.queue.push_back(packet);
        if self.queue.len() > config.queue_len { self.queue.pop_front() } else { None }
    }

    fn heard(&mut self, mac: MacAddr, heard: Heard, config: &NeighConfig, now: Instant) -> Vec<Packet> {
        if matches!(self.state, Nud::Permanent | Nud::Noarp) {
            return Vec::new();
        }
        let was_valid = self.state.is_valid();
        if was_valid && mac != self.mac {
            let fresh = self.updated != Instant::START && now < self.updated + config.locktime;
            match heard.replaces {
                Replaces::AfterLocktime if fresh => return Vec::new(),
                Replaces::Never => {
                    if self.state == Nud::Reachable {
                        self.enter(Nud::Stale, now, Instant::NEVER);
                    }
                    return Vec::new();
                }
                Replaces::Always | Replaces::AfterLocktime => {}
            }
        }
        self.router = heard.router.unwrap_or(self.router);
        if heard.confirms {
            self.confirmed = now;
            self.mac = mac;
            self.enter(Nud::Reachable, now, now + config.reachable_time());
        } else if !was_valid || mac != self.mac {
            self.mac = mac;
            self.enter(Nud::Stale, now, Instant::NEVER);
        }
        self.probes = 0;
        if was_valid { Vec::new() } else { self.queue.drain(..).collect() }
    }

    fn timer(&mut self, config: &NeighConfig, now: Instant) -> NeighTimer {
        match self.state {
            Nud::Reachable if now < self.confirmed + config.reachable_time() => {
                self.deadline = self.confirmed + config.reachable_time();
            }
            Nud::Reachable if now <= self.used + config.delay_probe_time => {
                self.enter(Nud::Delay, now, now + config.delay_probe_time);
            }
            Nud::Reachable => self.enter(Nud::Stale, now, Instant::NEVER),
            Nud::Delay if now <= self.confirmed + config.delay_probe_time => {
                self.enter(Nud::Reachable, now, self.confirmed + config.reachable_time());
            }
            Nud::Delay => {
                self.probes = 0;
                self.enter(Nud::Probe, now, now + config.retrans_time);
                return self.ask(config, now);
            }
            Nud::Probe | Nud::Incomplete => return self.ask(config, now),
            _ => self.deadline = Instant::NEVER,
        }
        NeighTimer::default()
    }

    /// Asks once more, or gives up.
    fn ask(&mut self, config: &NeighConfig, now: Instant) -> NeighTimer {
        let unicast = self.state == Nud::Probe;
        let limit = if unicast { config.ucast_solicit } else { config.mcast_solicit };
        if self.probes >= limit {
            self.enter(Nud::Failed, now, Instant::NEVER);
            return NeighTimer { solicit: None, failed: self.queue.drain(..).collect() };
        }
        self.probes += 1;
        self.deadline = now + config.retrans_time;
        NeighTimer { solicit: Some(Solicit { to: unicast.then_some(self.mac) }), failed: Vec::new() }
    }
}

#[cfg(test)]
mod tests;
