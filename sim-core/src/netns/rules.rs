//! The iptables and ip6tables rules of a netns and what follows from their presence.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::{ApplyError, RuleState, Ruleset, TableName, TableOps};
use crate::wire::ip::Family;

/// The rules of both families, which know nothing of each other.
#[derive(Clone, Debug, Default)]
pub struct AllRules([Rules; 2]);

impl Index<Family> for AllRules {
    type Output = Rules;
    fn index(&self, family: Family) -> &Rules {
        &self.0[family as usize]
    }
}

impl IndexMut<Family> for AllRules {
    fn index_mut(&mut self, family: Family) -> &mut Rules {
        &mut self.0[family as usize]
    }
}

/// Rules and their memory.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The rules, shared with other netns that have the same.
    pub set: Arc<Ruleset>,
    /// Counters and what matches remember.
    pub state: RuleState,
    conntrack: bool,
    nat: bool,
    any: bool,
}

impl Rules {
    /// Applies the operations of one table at once, or none of them.
    ///
    /// # Errors
    /// What iptables refuses.
    pub fn apply(&mut self, ops: &TableOps, noflush: bool) -> Result<(), ApplyError> {
        self.adopt(Arc::new(self.set.apply(ops, noflush)?));
        Ok(())
    }

    /// Takes the rules that `apply` made of the same rules in another netns.
    pub fn adopt(&mut self, next: Arc<Ruleset>) {
        self.state.follow(&self.set, &next);
        self.conntrack = next.needs_conntrack();
        self.nat = TableName::ALL.iter().any(|t| *t == TableName::Nat && next.table(*t).is_some());
        self.any = true;
        self.set = next;
    }

    /// Whether nothing has ever been loaded: packets then pass no hook at all.
    pub fn is_untouched(&self) -> bool {
        !self.any
    }

    /// Whether some rule makes the kernel register conntrack's hooks, which go with the last one that needs them
    /// (net/netfilter/nf_conntrack_proto.c, `nf_ct_netns_put`). Entries stay.
    pub fn tracks(&self) -> bool {
        self.conntrack
    }

    /// Whether the nat table exists, so that its hooks run.
    pub fn has_nat(&self) -> bool {
        self.nat
    }

    /// Whether `table` is asked at `hook`.
    pub fn asks(&self, table: TableName, hook: Hook) -> bool {
        self.set.has_hook(table, hook)
    }
}
