//! Sets come and go, and rules name only those that are there (net/netfilter/xt_set.c, `set_match_v4_checkentry`).

use crate::engine::time::Instant;
use crate::netfilter::ipset::header::Family as SetFamily;
use crate::netfilter::ipset::words::Command;
use crate::netfilter::ipset::{SetError, Told};
use crate::netfilter::rules::{ApplyError, Op, TableOps};
use crate::netns::Netns;
use crate::wire::ip::Family;

impl Netns {
    /// Carries out a command of `ipset`.
    ///
    /// # Errors
    /// In `ipset`'s words.
    pub(crate) fn ipset(&mut self, command: &Command, now: Instant) -> Result<Told, SetError> {
        let rules = &self.rules;
        self.sets.apply(command, now, &|name| Family::ALL.iter().any(|family| rules[*family].set.names_set(name)))
    }

    /// Whether rules that are to be loaded name sets of their family only.
    ///
    /// # Errors
    /// In the words of extensions/libxt_set.h.
    pub(crate) fn check_sets(&self, family: Family, table: &TableOps) -> Result<(), ApplyError> {
        for (line, op) in &table.ops {
            let (Op::Append(_, rule) | Op::Insert(_, _, rule) | Op::Replace(_, _, rule) | Op::Delete(_, rule)) = op
            else {
                continue;
            };
            for name in rule.sets() {
                let refused = |message| Err(ApplyError { line: *line, message });
                let foreign = match (self.sets.get(name).map(|set| set.header.family), family) {
                    (None, _) => return refused(format!("Set {name} doesn't exist.")),
                    (Some(Some(SetFamily::Inet6)), Family::V4) => "IPv6",
                    (Some(Some(SetFamily::Inet)), Family::V6) => "IPv4",
                    (Some(_), _) => continue,
                };
                return refused(format!("The protocol family of set {name} is {foreign}, which is not applicable."));
            }
        }
        Ok(())
    }
}
