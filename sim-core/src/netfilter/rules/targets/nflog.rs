//! `-j NFLOG` (net/netfilter/xt_NFLOG.c). Nobody listens in the emulator: the rule counts and goes on.

use std::fmt;

use super::Kind;
use crate::netfilter::rules::evaluate::Verdict;
use crate::netfilter::rules::packet::RulePacket;
use crate::netfilter::text::{Given, Quoted, TextError};

/// Longest prefix (`struct xt_nflog_info`, 64 with the final zero).
const MAX_PREFIX: usize = 63;

/// Counts, where the kernel would log to a socket.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Nflog {
    prefix: String,
    group: u16,
    /// `--nflog-size`, or with `false` the older `--nflog-range`.
    size: Option<(bool, u32)>,
    threshold: Option<u16>,
}

impl Kind for Nflog {
    const NAME: &'static str = "NFLOG";

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        match given.name() {
            "--nflog-prefix" => self.prefix = given.value(|text| super::log::prefix(text, MAX_PREFIX))?,
            "--nflog-group" => self.group = given.number(u64::from(u16::MAX))? as u16,
            "--nflog-size" => self.size = Some((true, given.number(u64::from(u32::MAX))? as u32)),
            "--nflog-range" => self.size = Some((false, given.number(u64::from(u32::MAX))? as u32)),
            "--nflog-threshold" => self.threshold = Some(given.number(u64::from(u16::MAX))? as u16),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn act(&self, _: &mut RulePacket<'_>) -> Option<Verdict> {
        None
    }
}

impl fmt::Display for Nflog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.prefix.is_empty() {
            write!(f, " --nflog-prefix {}", Quoted(&self.prefix))?;
        }
        if self.group != 0 {
            write!(f, " --nflog-group {}", self.group)?;
        }
        match self.size {
            Some((true, size)) => write!(f, " --nflog-size {size}")?,
            Some((false, range)) => write!(f, " --nflog-range {range}")?,
            None => {}
        }
        self.threshold.map_or(Ok(()), |t| write!(f, " --nflog-threshold {t}"))
    }
}
