//! Counters of the whole table.

use std::fmt;

/// What happened, as `conntrack -S` counts it (`struct ip_conntrack_stat`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Tuples wanted by NAT that were taken.
    pub found: u64,
    /// Packets that belong to no valid flow.
    pub invalid: u64,
    /// Entries added by an agent (not by packets).
    pub insert: u64,
    /// Entries that could not be confirmed.
    pub insert_failed: u64,
    /// Packets dropped because the table was full or a clash could not be resolved.
    pub drop: u64,
    /// Entries evicted from a full table.
    pub early_drop: u64,
    /// ICMP messages that were broken or about no known flow.
    pub error: u64,
    /// Lookups begun again because the table changed meanwhile; never here.
    pub search_restart: u64,
    /// Clashes resolved without a drop.
    pub clash_resolve: u64,
    /// Entries refused because a hash chain was too long; never here.
    pub chaintoolong: u64,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpu=0   \tfound={} invalid={} insert={} ", self.found, self.invalid, self.insert)?;
        write!(f, "insert_failed={} drop={} early_drop={} ", self.insert_failed, self.drop, self.early_drop)?;
        write!(f, "error={} search_restart={} ", self.error, self.search_restart)?;
        write!(f, "clash_resolve={} chaintoolong={}", self.clash_resolve, self.chaintoolong)
    }
}
