//! `-m connlimit` (net/netfilter/xt_connlimit.c, nf_conncount.c): how many connections a host or network has.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Answer, Kind, Question};
use crate::engine::time::{Duration, Instant};
use crate::netfilter::conntrack::{Conntrack, Tuple, Zone};
use crate::netfilter::rules::state::MatchMemory;
use crate::netfilter::text::{Given, TextError};
use crate::wire::ip::Family;

/// At this many hosts and each power of two above, those without connections are forgotten.
const SWEEP_FROM: usize = 64;

/// One tick of the kernel's clock at HZ 250.
const TICK: Duration = Duration::from_millis(4);

/// How many connections there are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connlimit {
    /// The most that are not too many; always there in a finished rule.
    pub limit: Option<u32>,
    /// `--connlimit-upto`: fits as long as there are not too many; else (`--connlimit-above`) once there are.
    pub upto: bool,
    /// `--connlimit-mask`: how many bits of an address count.
    pub mask: u8,
    /// `--connlimit-daddr`: the destination address counts, not the source.
    pub dest: bool,
}

impl Default for Connlimit {
    fn default() -> Self {
        Self::of(Family::V4)
    }
}

/// How many bits an address has.
const fn all_bits(family: Family) -> u8 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

/// Connections by the host or network whose they are, as one rule has seen them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Connections(BTreeMap<(IpAddr, u16), Seen>);

/// Those of one host or network (`struct nf_conncount_list`).
#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
    list: Vec<(Tuple, Zone)>,
    /// The tick in which they were last looked through.
    last_look: u64,
}

/// The packet at hand.
struct AtHand {
    /// Its connection.
    one: (Tuple, Zone),
    /// Whether that is in conntrack's table.
    confirmed: bool,
}

impl Connections {
    /// Counts those of `key`, the one at hand included (`count_tree`, `__nf_conncount_add`): what conntrack has forgotten, or
    /// knows to be closed, counts no more. That is looked up once a tick at most, else a packet is counted unseen; but always
    /// for a connection that is in the table, of which more packets may have come just before.
    fn count(&mut self, key: (IpAddr, u16), at_hand: &AtHand, conntrack: &Conntrack, now: Instant) -> u32 {
        let closed =
            |(tuple, zone): &(Tuple, Zone)| conntrack.find_either(now, *zone, tuple).map(|entry| entry.is_closed());
        let lives = |one: &(Tuple, Zone)| closed(one) == Some(false);
        if !self.0.contains_key(&key) && self.0.len() >= SWEEP_FROM && self.0.len().is_power_of_two() {
            self.0.retain(|_, seen| seen.list.iter().any(lives));
        }
        let tick = now.as_nanos() / TICK.as_nanos();
        let seen = self.0.entry(key).or_insert_with(|| Seen { list: Vec::new(), last_look: tick });
        let look = tick != seen.last_look;
        if !(look || at_hand.confirmed) || !seen.find(&at_hand.one, closed) {
            seen.list.push(at_hand.one);
            seen.last_look = tick;
        }
        seen.list.len() as u32
    }
}

impl Seen {
    /// Whether `one` is among them. Forgets what is gone; those behind it are not looked at.
    fn find(&mut self, one: &(Tuple, Zone), closed: impl Fn(&(Tuple, Zone)) -> Option<bool>) -> bool {
        let mut found = false;
        self.list.retain(|other| {
            let keep = found || closed(other).is_some_and(|closed| !closed || other == one);
            found |= keep && other == one;
            keep
        });
        found
    }
}

impl Kind for Connlimit {
    const NAME: &'static str = "connlimit";
    const NEEDS_CONNTRACK: bool = true;

    fn of(family: Family) -> Self {
        Self { limit: None, upto: false, mask: all_bits(family), dest: false }
    }

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        match given.name() {
            "--connlimit-above" | "--connlimit-upto" if self.limit.is_some() => {
                return Err(given.fail("only one of --connlimit-above and --connlimit-upto can be used"));
            }
            "--connlimit-above" => {
                self.upto = given.bang();
                self.limit = Some(given.number(u64::from(u32::MAX))? as u32);
            }
            "--connlimit-upto" => {
                self.upto = !given.bang();
                self.limit = Some(given.number(u64::from(u32::MAX))? as u32);
            }
            "--connlimit-mask" => self.mask = given.number(u64::from(all_bits(given.family())))? as u8,
            "--connlimit-saddr" => self.dest = false,
            "--connlimit-daddr" => self.dest = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.limit.map(|_| ()).ok_or_else(|| "--connlimit-above or --connlimit-upto is missing".into())
    }

    fn memory(&self) -> MatchMemory {
        MatchMemory::Connections(Connections::default())
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let packet = &question.packet;
        let addr = if self.dest { packet.ip.dst } else { packet.ip.src };
        let net = IpNet::new(addr, self.mask).map_or(addr, |net| net.network());
        let tracked =
            packet.ct.flow.map(|(entry, _)| AtHand { one: (entry.orig, entry.zone), confirmed: entry.is_confirmed() });
        let read = || Some((Tuple::of_parts(&packet.ip, packet.l4?)?, Zone::default()));
        let untracked = || read().map(|one| AtHand { one, confirmed: false });
        let (MatchMemory::Connections(seen), Some(at_hand)) = (&mut *question.memory, tracked.or_else(untracked))
        else {
            // What names no connection cannot be counted.
            return Answer::Hotdrop;
        };
        let count = seen.count((net, at_hand.one.1.id), &at_hand, packet.conntrack, packet.now);
        let above = count > self.limit.unwrap_or(u32::MAX);
        (above != self.upto).into()
    }
}

impl fmt::Display for Connlimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = if self.upto { "--connlimit-upto" } else { "--connlimit-above" };
        let side = if self.dest { "--connlimit-daddr" } else { "--connlimit-saddr" };
        write!(f, " {which} {} --connlimit-mask {} {side}", self.limit.unwrap_or_default(), self.mask)
    }
}
