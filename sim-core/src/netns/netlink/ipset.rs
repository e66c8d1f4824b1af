//! Sets come and go, and rules name only those that are there (net/netfilter/xt_set.c, `set_match_v4_checkentry`).

use crate::engine::time::Instant;
use crate::netfilter::ipset::header::Family;
use crate::netfilter::ipset::words::Command;
use crate::netfilter::ipset::{SetError, Told};
use crate::netfilter::rules::{ApplyError, Op, TableOps};
use crate::netns::Netns;

impl Netns {
    /// Carries out a command of `ipset`.
    ///
    /// # Errors
    /// In `ipset`'s words.
    pub(crate) fn ipset(&mut self, command: &Command, now: Instant) -> Result<Told, SetError> {
        let rules = &self.rules.set;
        self.sets.apply(command, now, &|name| rules.names_set(name))
    }

    /// Whether rules that are to be loaded name sets of their family only.
    ///
    /// # Errors
    /// In the words of extensions/libxt_set.h.
    pub(crate) fn check_sets(&self, table: &TableOps) -> Result<(), ApplyError> {
        for (line, op) in &table.ops {
            let (Op::Append(_, rule) | Op::Insert(_, _, rule) | Op::Replace(_, _, rule) | Op::Delete(_, rule)) = op
            else {
                continue;
            };
            for name in rule.sets() {
                let refused = |message| Err(ApplyError { line: *line, message });
                match self.sets.get(name).map(|set| set.header.family) {
                    None => return refused(format!("Set {name} doesn't exist.")),
                    Some(Some(Family::Inet6)) => {
                        let family = "The protocol family of set";
                        return refused(format!("{family} {name} is IPv6, which is not applicable."));
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }
}
