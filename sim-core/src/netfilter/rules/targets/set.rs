//! `-j SET` (net/netfilter/xt_set.c, `set_target_v3`): the packet's address enters or leaves an ipset.

use std::fmt;
use std::sync::Arc;

use super::Kind;
use crate::netfilter::ipset::ask::Sides;
use crate::netfilter::rules::evaluate::Verdict;
use crate::netfilter::rules::matches::set::name_and_sides;
use crate::netfilter::rules::packet::RulePacket;
use crate::netfilter::text::{Given, TextError};

/// Longest timeout in seconds that an element is given.
const MAX_TIMEOUT: u64 = u32::MAX as u64;

/// A change of sets. One of both is always there in a finished rule.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Set {
    /// `--add-set`
    pub add: Option<(Arc<str>, Sides)>,
    /// `--del-set`
    pub del: Option<(Arc<str>, Sides)>,
    /// `--exist`: what is there already begins anew.
    pub exist: bool,
    /// `--timeout`, in seconds, if not the set's.
    pub timeout: Option<u32>,
}

impl Kind for Set {
    const NAME: &'static str = "SET";

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        let again = match given.name() {
            "--add-set" => self.add.replace(name_and_sides(given)?).is_some(),
            "--del-set" => self.del.replace(name_and_sides(given)?).is_some(),
            "--exist" => {
                self.exist = true;
                false
            }
            "--timeout" => {
                self.timeout = Some(given.number(MAX_TIMEOUT)? as u32);
                false
            }
            _ => return Ok(false),
        };
        if again { Err(given.fail(format!("{} can be specified only once", given.name()))) } else { Ok(true) }
    }

    fn finish(&mut self) -> Result<(), String> {
        if self.add.is_none() && self.del.is_none() {
            return Err("You must specify either `--add-set' or `--del-set'".into());
        }
        Ok(())
    }

    fn act(&self, packet: &mut RulePacket<'_>) -> Option<Verdict> {
        let (sets, subject) = packet.with_sets();
        if let Some((name, sides)) = &self.add {
            sets.enter(name, *sides, &subject, self.exist, self.timeout);
        }
        if let Some((name, sides)) = &self.del {
            sets.leave(name, *sides, &subject);
        }
        None
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, sides)) = &self.add {
            write!(f, " --add-set {name} {sides}")?;
            if self.exist {
                f.write_str(" --exist")?;
            }
            if let Some(timeout) = self.timeout {
                write!(f, " --timeout {timeout}")?;
            }
        }
        match &self.del {
            Some((name, sides)) => write!(f, " --del-set {name} {sides}"),
            None => Ok(()),
        }
    }
}
