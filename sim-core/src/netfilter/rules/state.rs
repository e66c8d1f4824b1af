//! What packets change: counters, and what some matches remember.
//!
//! A [`RuleState`] belongs to one netns, its [`Ruleset`] may belong to many. The state of a chain is made
//! when the first packet enters the chain, so the state of a node that is idle costs next to nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::matches::connlimit::Connections;
use super::matches::hashlimit::HashTables;
use super::rule::Counters;
use super::table::{Chain, ChainId, Ruleset, Table, TableName};
use crate::engine::time::{Duration, Instant};

/// What one match of one rule remembers between packets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum MatchMemory {
    /// Nothing.
    None,
    /// `statistic --mode nth`: its counter.
    Nth(u32),
    /// `limit`: its bucket.
    Bucket {
        /// Time saved up.
        tokens: Duration,
        /// When it was last asked.
        last: Instant,
    },
    /// `connlimit`: the connections it has seen.
    Connections(Connections),
}

/// The state of one rule.
#[derive(Clone, Debug)]
pub(crate) struct RuleCell {
    pub(crate) counters: Counters,
    /// One for each match of the rule; empty if none of them remembers anything.
    pub(crate) memory: Vec<MatchMemory>,
}

/// The state of one chain; empty until a packet enters it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChainState {
    pub(crate) policy: Counters,
    pub(crate) rules: Vec<RuleCell>,
    entered: bool,
}

impl ChainState {
    /// Makes the state of `chain` if this is the first packet there.
    pub(crate) fn enter(&mut self, chain: &Chain) {
        if self.entered {
            return;
        }
        *self = Self::fresh(chain);
    }

    fn fresh(chain: &Chain) -> Self {
        let cell = |entry: &super::table::Entry| {
            let memory = entry.rule.matches.iter().map(|m| m.memory());
            let needed = memory.clone().any(|m| m != MatchMemory::None);
            RuleCell { counters: entry.rule.counters, memory: if needed { memory.collect() } else { Vec::new() } }
        };
        Self {
            policy: chain.base.map_or_else(Counters::default, |b| b.counters),
            rules: chain.rules.iter().map(cell).collect(),
            entered: true,
        }
    }

    /// The state after `old` became `new`: what stayed keeps its state, what came begins anew.
    fn follow(self, old: &Chain, new: &Chain) -> Self {
        if !self.entered {
            return self;
        }
        let mut kept: BTreeMap<u64, RuleCell> = old.rules.iter().map(|e| e.serial).zip(self.rules).collect();
        let mut state = Self::fresh(new);
        for (entry, cell) in new.rules.iter().zip(&mut state.rules) {
            if let Some(old) = kept.remove(&entry.serial) {
                *cell = old;
            }
        }
        if old.serial == new.serial {
            state.policy = self.policy;
        }
        state
    }
}

/// The state of all rules of one netns.
#[derive(Clone, Debug, Default)]
pub struct RuleState {
    pub(crate) tables: [Vec<ChainState>; 5],
    pub(crate) recent: RecentLists,
    pub(crate) hashlimits: HashTables,
}

impl RuleState {
    /// Follows the ruleset of its netns from `old` to `new`, which [`Ruleset::apply`] made of it: rules that
    /// stayed keep their counters and memories, recent lists and hashlimit tables stay while a rule names them.
    pub fn follow(&mut self, old: &Ruleset, new: &Ruleset) {
        for name in TableName::ALL {
            match (&old.tables[name.index()], &new.tables[name.index()]) {
                (Some(old), Some(new)) if Arc::ptr_eq(old, new) => {}
                (Some(old), Some(new)) => self.follow_table(old, new),
                _ => self.tables[name.index()].clear(),
            }
        }
        self.recent.follow(new);
        self.hashlimits.follow(new);
    }

    fn follow_table(&mut self, old: &Table, new: &Table) {
        let states = std::mem::take(&mut self.tables[new.name.index()]);
        let pairs = old.chains.iter().zip(states).enumerate();
        let followed = pairs.map(|(i, (old, state))| match (old, new.chains.get(i).and_then(Option::as_ref)) {
            (Some(old), Some(new)) if Arc::ptr_eq(old, new) => state,
            // The place of a removed chain may have been taken by another, and a user's chain may have a new name.
            (Some(old), Some(new)) if old.base.is_some() || old.serial == new.serial => state.follow(old, new),
            _ => ChainState::default(),
        });
        self.tables[new.name.index()] = followed.collect();
    }

    /// What a rule has counted; its starting value if no packet has entered its chain.
    pub fn counters(&self, table: &Table, chain: ChainId, rule: usize) -> Counters {
        let live = self.chain(table, chain).and_then(|c| c.rules.get(rule)).map(|cell| cell.counters);
        let entry = || table.chain(chain).and_then(|c| c.rules.get(rule));
        live.or_else(|| entry().map(|e| e.rule.counters)).unwrap_or_default()
    }

    /// What the policy of a built-in chain has counted; zero for a user's chain.
    pub fn policy_counters(&self, table: &Table, chain: ChainId) -> Counters {
        let base = || table.chain(chain).and_then(|c| c.base).map(|b| b.counters);
        self.chain(table, chain).map(|c| c.policy).or_else(base).unwrap_or_default()
    }

    fn chain(&self, table: &Table, chain: ChainId) -> Option<&ChainState> {
        self.tables[table.name.index()].get(chain.index()).filter(|c| c.entered)
    }
}

/// One address of a recent list.
#[derive(Clone, Debug)]
struct Seen {
    addr: IpAddr,
    ttl: u8,
    /// A ring of the latest moments it was entered.
    stamps: Vec<Instant>,
    /// Where the next stamp goes.
    next: usize,
}

/// One recent list, the address stamped longest ago first.
#[derive(Clone, Debug)]
pub(crate) struct RecentList {
    seen: Vec<Seen>,
    /// Stamps kept of an address.
    stamps: u32,
}

/// Most addresses of a list (module parameter `ip_list_tot`).
const MAX_SEEN: usize = 100;

impl RecentList {
    /// The place of `addr`; a `ttl` of 0 asks for any (`recent_entry_lookup`).
    pub(crate) fn find(&self, addr: IpAddr, ttl: u8) -> Option<usize> {
        self.seen.iter().position(|s| s.addr == addr && (ttl == 0 || s.ttl == 0 || s.ttl == ttl))
    }

    /// Enters a new address (`recent_entry_init`).
    pub(crate) fn enter(&mut self, addr: IpAddr, ttl: u8, now: Instant) {
        if self.seen.len() >= MAX_SEEN {
            self.seen.remove(0);
        }
        self.seen.push(Seen { addr, ttl, stamps: vec![now], next: 1 });
    }

    /// A new stamp (`recent_entry_update`).
    pub(crate) fn stamp(&mut self, at: usize, ttl: u8, now: Instant) {
        let mut seen = self.seen.remove(at);
        seen.next %= self.stamps as usize;
        match seen.stamps.get_mut(seen.next) {
            Some(stamp) => *stamp = now,
            None => seen.stamps.push(now),
        }
        seen.next += 1;
        seen.ttl = ttl;
        self.seen.push(seen);
    }

    /// How many stamps are no older than `within`; all of them if that is zero.
    pub(crate) fn hits(&self, at: usize, now: Instant, within: Duration) -> u32 {
        let counts = |stamp: &&Instant| within == Duration::ZERO || now.since(**stamp) <= within;
        self.seen[at].stamps.iter().filter(counts).count() as u32
    }

    /// Removes an address.
    pub(crate) fn remove(&mut self, at: usize) {
        self.seen.remove(at);
    }

    /// Removes the oldest address if its latest stamp is older than `within`, unless it is the one at `at` and
    /// about to be refreshed (`recent_entry_reap`). Whether it did.
    pub(crate) fn reap(&mut self, now: Instant, within: Duration, at: usize, refresh: bool) -> bool {
        let oldest = &self.seen[0];
        if (at == 0 && refresh) || now.since(oldest.stamps[oldest.next - 1]) <= within {
            return false;
        }
        self.remove(0);
        true
    }
}

/// The recent lists of a netns, which its tables share.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecentLists(BTreeMap<Arc<str>, RecentList>);

impl RecentLists {
    /// The list `name`, made if it is not there, keeping `stamps` of an address.
    pub(crate) fn list(&mut self, name: &Arc<str>, stamps: u32) -> &mut RecentList {
        // No lookup of an existing list may clone the name.
        if !self.0.contains_key(name) {
            self.0.insert(name.clone(), RecentList { seen: Vec::new(), stamps });
        }
        self.0.get_mut(name).expect("just made")
    }

    /// Keeps the lists that rules name; a list that must now keep more stamps begins anew (`recent_mt_check`).
    fn follow(&mut self, rules: &Ruleset) {
        if self.0.is_empty() {
            return;
        }
        self.0.retain(|name, list| {
            let wanted = rules.tables.iter().flatten().filter_map(|t| t.recent.get(name)).max();
            if wanted.is_some_and(|&stamps| stamps > list.stamps) {
                *list = RecentList { seen: Vec::new(), stamps: wanted.copied().unwrap_or_default() };
            }
            wanted.is_some()
        });
    }
}
