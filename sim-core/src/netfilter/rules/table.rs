//! Tables and chains.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::rule::{Counters, Rule};
use crate::netfilter::hooks::Hook;

/// The five tables.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum TableName {
    /// Before conntrack.
    Raw,
    /// Marks and header fields.
    Mangle,
    /// Asked once per connection.
    Nat,
    /// Who may pass.
    Filter,
    /// After filter, for mandatory access control.
    Security,
}

impl TableName {
    /// All tables, in the order of their priority at a hook.
    pub const ALL: [Self; 5] = [Self::Raw, Self::Mangle, Self::Nat, Self::Filter, Self::Security];

    /// The order in which iptables-save writes them (iptables/nft.h, `enum nft_table_type`).
    pub const SAVED: [Self; 5] = [Self::Mangle, Self::Security, Self::Raw, Self::Filter, Self::Nat];

    /// The name in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Mangle => "mangle",
            Self::Nat => "nat",
            Self::Filter => "filter",
            Self::Security => "security",
        }
    }

    /// The table called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == name)
    }

    /// The hooks it has built-in chains for (net/ipv4/netfilter/iptable_*.c, `valid_hooks`).
    pub const fn hooks(self) -> &'static [Hook] {
        match self {
            Self::Raw => &[Hook::Prerouting, Hook::Output],
            Self::Mangle => &Hook::ALL,
            Self::Nat => &[Hook::Prerouting, Hook::Input, Hook::Output, Hook::Postrouting],
            Self::Filter | Self::Security => &[Hook::Input, Hook::Forward, Hook::Output],
        }
    }

    /// Index into an array with a place for each table.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One chain of a table; stays the same while other chains come and go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct ChainId(pub u32);

impl ChainId {
    /// The id as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a built-in chain does with packets that reach its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Policy {
    /// They go on.
    #[default]
    Accept,
    /// They end here.
    Drop,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "ACCEPT",
            Self::Drop => "DROP",
        })
    }
}

/// A rule at its place in a chain.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The rule, shared with whoever wrote it.
    pub rule: Arc<Rule>,
    /// Where its jump or goto leads.
    pub(crate) jump: Option<ChainId>,
    /// Which insertion put it here: what its counters belong to while rules before it come and go.
    pub(crate) serial: u64,
}

/// A chain.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Its name.
    pub name: Arc<str>,
    /// The hook it is called by and what happens at its end; `None` for a user's chain.
    pub base: Option<Base>,
    /// Its rules, in order.
    pub rules: Vec<Entry>,
    /// Which setting of the policy its counters belong to; of a user's chain, which making of it this is.
    pub(crate) serial: u64,
    /// What its rules use.
    pub(crate) uses: Uses,
}

/// What the rules of a chain use, gathered when it changes so that a table need not look at every rule.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uses {
    /// The chains they lead to.
    pub(crate) chains: BTreeSet<ChainId>,
    /// The recent lists they name, with the stamps each must keep of an address.
    pub(crate) recent: BTreeMap<Arc<str>, u32>,
    /// Whether one cannot be asked without connection tracking.
    pub(crate) conntrack: bool,
}

/// What makes a chain a built-in one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Base {
    /// Who calls it.
    pub hook: Hook,
    /// What happens at its end.
    pub policy: Policy,
    /// What the policy's counters start from.
    pub counters: Counters,
}

/// A table: its chains by id, and their names.
#[derive(Clone, Debug)]
pub struct Table {
    /// Which table.
    pub name: TableName,
    /// By [`ChainId`]; the built-in chains come first, a removed chain leaves a gap.
    pub(crate) chains: Vec<Option<Arc<Chain>>>,
    /// The gaps.
    pub(crate) free: Vec<ChainId>,
    /// By [`ChainId`]: the hooks whose packets may come there, one bit each.
    pub(crate) reach: Vec<u8>,
    /// Users' chains by name, in the order iptables-save writes them.
    pub(crate) users: BTreeMap<Arc<str>, ChainId>,
    /// The next [`Entry::serial`].
    pub(crate) next_serial: u64,
    /// The recent lists of all chains, as in [`Uses`].
    pub(crate) recent: BTreeMap<Arc<str>, u32>,
}

impl Table {
    /// The table as it is first made: built-in chains, policy ACCEPT, no rules; serials from `serial` on.
    pub(crate) fn new(name: TableName, serial: u64) -> Self {
        let base = |hook: &Hook| {
            let base = Base { hook: *hook, policy: Policy::Accept, counters: Counters::default() };
            Some(Arc::new(Chain {
                name: hook.chain().into(),
                base: Some(base),
                rules: Vec::new(),
                serial: 0,
                uses: Uses::default(),
            }))
        };
        Self {
            name,
            chains: name.hooks().iter().map(base).collect(),
            free: Vec::new(),
            reach: Vec::new(),
            users: BTreeMap::new(),
            next_serial: serial + 1,
            recent: BTreeMap::new(),
        }
    }

    /// The chain with this id.
    pub fn chain(&self, id: ChainId) -> Option<&Chain> {
        self.chains.get(id.index())?.as_deref()
    }

    /// The chain with this name.
    pub fn find(&self, name: &str) -> Option<ChainId> {
        let built_in = self.name.hooks().iter().position(|h| h.chain() == name);
        built_in.map(|i| ChainId(i as u32)).or_else(|| self.users.get(name).copied())
    }

    /// Whether a chain holds a rule that says the same (`iptables -C`).
    pub fn has_rule(&self, chain: &str, rule: &Rule) -> bool {
        let chain = self.find(chain).and_then(|id| self.chain(id));
        chain.is_some_and(|c| c.rules.iter().any(|e| e.rule.same(rule)))
    }

    /// The built-in chain of `hook`, if this table is asked there.
    pub fn base_chain(&self, hook: Hook) -> Option<ChainId> {
        self.name.hooks().iter().position(|&h| h == hook).map(|i| ChainId(i as u32))
    }

    /// All chains in the order iptables-save writes them: built-in ones by hook, then users' by name.
    pub fn iter(&self) -> impl Iterator<Item = (ChainId, &Chain)> {
        let built_in = (0..self.name.hooks().len()).map(|i| ChainId(i as u32));
        built_in.chain(self.users.values().copied()).filter_map(|id| Some((id, self.chain(id)?)))
    }
}

/// All tables of a netns. Immutable; [`Ruleset::apply`] makes the next one.
#[derive(Clone, Debug, Default)]
pub struct Ruleset {
    pub(crate) tables: [Option<Arc<Table>>; 5],
}

impl Ruleset {
    /// The table called `name`, if it exists: a table is made by the first COMMIT that names it.
    pub fn table(&self, name: TableName) -> Option<&Table> {
        self.tables[name.index()].as_deref()
    }

    /// Whether both are the same tables, not only alike: what [`Self::apply`] makes of one serves the other.
    pub fn is(&self, other: &Self) -> bool {
        self.tables.iter().zip(&other.tables).all(|pair| match pair {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (None, None) => true,
            _ => false,
        })
    }

    /// Whether `table` is asked at `hook`.
    pub fn has_hook(&self, table: TableName, hook: Hook) -> bool {
        self.table(table).is_some_and(|t| t.base_chain(hook).is_some())
    }

    /// Whether some rule names the ipset.
    pub fn names_set(&self, name: &str) -> bool {
        let chains = self.tables.iter().flatten().flat_map(|table| table.chains.iter().flatten());
        chains.flat_map(|chain| &chain.rules).any(|entry| entry.rule.sets().any(|set| &**set == name))
    }

    /// Whether some rule cannot be asked without connection tracking (`nf_ct_netns_get`), which is
    /// what switches tracking on in a netns.
    pub fn needs_conntrack(&self) -> bool {
        self.tables.iter().flatten().any(|t| t.chains.iter().flatten().any(|c| c.uses.conntrack))
    }
}
