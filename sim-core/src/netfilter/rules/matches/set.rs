//! `-m set` (net/netfilter/xt_set.c, `set_match_v4`): whether the packet is in an ipset.

use std::fmt;
use std::sync::Arc;

use super::{Answer, Kind, Question};
use crate::netfilter::ipset::MAX_NAME;
use crate::netfilter::ipset::ask::{Asking, Count, Sides};
use crate::netfilter::text::{Given, TextError};

/// Whether it is in a set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Set {
    /// `--match-set`: the set, the sides it is asked with, and whether the packet must not be in it; always there in a
    /// finished rule.
    pub wanted: Option<(Arc<str>, Sides, bool)>,
    /// How it is asked.
    pub asking: Asking,
}

/// The name of a set and the sides of the packet, as `-m set` and `-j SET` take them.
pub(crate) fn name_and_sides(given: &mut Given<'_, '_>) -> Result<(Arc<str>, Sides), TextError> {
    let name = given.value(|name| match name.len() {
        1..=MAX_NAME => Ok(name.into()),
        _ => Err(format!("setname `{name}` too long, max {MAX_NAME} characters.")),
    })?;
    Ok((name, given.value(Sides::read)?))
}

/// Takes a condition on a counter called `what`.
fn count(given: &mut Given<'_, '_>, what: &str) -> Result<Option<Count>, TextError> {
    let Some(("", how)) = given.name().split_once(what) else { return Ok(None) };
    Ok(Some(match how {
        "-eq" => {
            let not = given.bang();
            Count::Eq(given.number(u64::MAX)?, not)
        }
        "-lt" => Count::Lt(given.number(u64::MAX)?),
        "-gt" => Count::Gt(given.number(u64::MAX)?),
        _ => return Ok(None),
    }))
}

impl Kind for Set {
    const NAME: &'static str = "set";

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        match given.name() {
            "--match-set" | "--set" => {
                let not = given.bang();
                let (name, sides) = name_and_sides(given)?;
                if self.wanted.replace((name, sides, not)).is_some() {
                    return Err(given.fail("--match-set can be specified only once"));
                }
            }
            "--return-nomatch" => self.asking.nomatch = true,
            "--update-counters" => self.asking.count = !given.bang(),
            "--update-subcounters" => self.asking.count_members = !given.bang(),
            _ => {
                if let Some(packets) = count(given, "--packets")? {
                    self.asking.packets = Some(packets);
                } else if let Some(bytes) = count(given, "--bytes")? {
                    self.asking.bytes = Some(bytes);
                } else {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        match self.wanted {
            Some(_) => Ok(()),
            None => Err("You must specify `--match-set' with proper arguments".into()),
        }
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let Some((name, sides, not)) = &self.wanted else { return Answer::No };
        let (sets, subject) = question.packet.with_sets();
        (sets.test(name, *sides, &subject, self.asking) != *not).into()
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, sides, not)) = &self.wanted {
            write!(f, " {}--match-set {name} {sides}", if *not { "! " } else { "" })?;
        }
        let asking = &self.asking;
        for (shown, option) in [
            (asking.nomatch, "--return-nomatch"),
            (!asking.count, "! --update-counters"),
            (!asking.count_members, "! --update-subcounters"),
        ] {
            if shown {
                write!(f, " {option}")?;
            }
        }
        for (condition, what) in [(asking.packets, "packets"), (asking.bytes, "bytes")] {
            match condition {
                None => {}
                Some(Count::Eq(n, not)) => write!(f, " {}--{what}-eq {n}", if not { "! " } else { "" })?,
                Some(Count::Lt(n)) => write!(f, " --{what}-lt {n}")?,
                Some(Count::Gt(n)) => write!(f, " --{what}-gt {n}")?,
            }
        }
        Ok(())
    }
}
