//! iptables-save: a ruleset as text.

use std::fmt::Write as _;

use super::rule::print;
use crate::netfilter::rules::state::RuleState;
use crate::netfilter::rules::table::{Ruleset, Table, TableName};

/// The text of all tables, in the order and form of iptables-save 1.8.9, without its dated remarks. With `counters`
/// every rule shows its own, as `iptables-save -c` does; policies always do.
pub fn save(rules: &Ruleset, state: &RuleState, counters: bool) -> String {
    let mut text = String::new();
    for table in TableName::SAVED.into_iter().filter_map(|name| rules.table(name)) {
        save_table(&mut text, table, state, counters).expect("a string takes all text");
    }
    text
}

/// One table, from its `*` line to COMMIT.
fn save_table(text: &mut String, table: &Table, state: &RuleState, counters: bool) -> std::fmt::Result {
    writeln!(text, "*{}", table.name)?;
    for (id, chain) in table.iter() {
        match chain.base {
            Some(base) => writeln!(text, ":{} {} {}", chain.name, base.policy, state.policy_counters(table, id))?,
            None => writeln!(text, ":{} - [0:0]", chain.name)?,
        }
    }
    for (id, chain) in table.iter() {
        for (number, entry) in chain.rules.iter().enumerate() {
            if counters {
                write!(text, "{} ", state.counters(table, id, number))?;
            }
            writeln!(text, "{}", print(&chain.name, &entry.rule))?;
        }
    }
    text.write_str("COMMIT\n")
}
