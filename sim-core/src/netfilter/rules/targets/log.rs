//! `-j LOG` (net/netfilter/xt_LOG.c). The emulator has no kernel log: the rule counts and goes on.

use std::fmt;

use super::Kind;
use crate::netfilter::rules::evaluate::Verdict;
use crate::netfilter::rules::packet::RulePacket;
use crate::netfilter::text::{Given, Quoted, TextError, number};

/// Longest prefix (`struct xt_log_info`, 30 with the final zero).
const MAX_PREFIX: usize = 29;

/// The level if none is given: warning.
const DEFAULT_LEVEL: u8 = 4;

/// Names of the levels, by number (sys/syslog.h).
const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"];

/// What else is logged, in the order it is printed.
const FLAGS: [&str; 5] =
    ["--log-tcp-sequence", "--log-tcp-options", "--log-ip-options", "--log-uid", "--log-macdecode"];

/// Counts, where the kernel would log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    prefix: String,
    level: u8,
    /// One bit for each of [`FLAGS`].
    flags: u8,
}

impl Default for Log {
    fn default() -> Self {
        Self { prefix: String::new(), level: DEFAULT_LEVEL, flags: 0 }
    }
}

impl Kind for Log {
    const NAME: &'static str = "LOG";

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        match given.name() {
            "--log-prefix" => self.prefix = given.value(|text| prefix(text, MAX_PREFIX))?,
            "--log-level" => {
                self.level = given.value(|text| {
                    let short =
                        |t: &str| matches!((t, text), ("emerg", "panic") | ("error", "err") | ("warning", "warn"));
                    let named = LEVELS.iter().position(|l| *l == text || short(l)).map(|i| i as u64);
                    named
                        .or_else(|| number(text, 7))
                        .map(|level| level as u8)
                        .ok_or_else(|| format!("unknown log level {text:?}: 0 to 7, or {}", LEVELS.join(", ")))
                })?;
            }
            name => match FLAGS.iter().position(|f| *f == name) {
                Some(i) => self.flags |= 1 << i,
                None => return Ok(false),
            },
        }
        Ok(true)
    }

    fn act(&self, _: &mut RulePacket<'_>) -> Option<Verdict> {
        None
    }
}

/// A log prefix of at most `max` bytes.
pub(super) fn prefix(text: &str, max: usize) -> Result<String, String> {
    if text.len() > max || text.contains(['\n', '\0']) {
        return Err(format!("a log prefix is one line of at most {max} bytes"));
    }
    Ok(text.to_owned())
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.prefix.is_empty() {
            write!(f, " --log-prefix {}", Quoted(&self.prefix))?;
        }
        if self.level != DEFAULT_LEVEL {
            write!(f, " --log-level {}", self.level)?;
        }
        let set = FLAGS.iter().enumerate().filter(|(i, _)| self.flags & 1 << i != 0);
        set.into_iter().try_for_each(|(_, flag)| write!(f, " {flag}"))
    }
}
