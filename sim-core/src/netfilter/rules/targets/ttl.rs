//! `-j TTL` (net/netfilter/xt_HL.c, `ttl_tg`).

use std::fmt;

use super::Kind;
use crate::netfilter::rules::evaluate::Verdict;
use crate::netfilter::rules::packet::RulePacket;
use crate::netfilter::rules::table::TableName;
use crate::netfilter::text::{Given, TextError};

/// How the TTL changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It becomes this.
    Set(u8),
    /// It becomes so much less, at least 0: a packet may leave with a TTL of 0.
    Dec(u8),
    /// It becomes so much more, at most 255.
    Inc(u8),
}

/// Changes the time to live.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ttl {
    /// The change; always there in a finished rule.
    pub change: Option<Change>,
}

impl Kind for Ttl {
    const NAME: &'static str = "TTL";
    const TABLES: &'static [TableName] = &[TableName::Mangle];

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        let make = match given.name() {
            "--ttl-set" => Change::Set,
            "--ttl-dec" => Change::Dec,
            "--ttl-inc" => Change::Inc,
            _ => return Ok(false),
        };
        let change = make(given.number(255)? as u8);
        if matches!(change, Change::Dec(0) | Change::Inc(0)) {
            return Err(given.fail(format!("{} needs at least 1", given.name())));
        }
        match self.change.replace(change) {
            Some(_) => Err(given.fail("TTL: only one of --ttl-set, --ttl-dec and --ttl-inc can be used")),
            None => Ok(true),
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        self.change.map(|_| ()).ok_or_else(|| "one of --ttl-set, --ttl-dec and --ttl-inc is missing".into())
    }

    fn act(&self, packet: &mut RulePacket<'_>) -> Option<Verdict> {
        let ttl = packet.ip.ttl;
        packet.ip.ttl = match self.change {
            None => ttl,
            Some(Change::Set(to)) => to,
            Some(Change::Dec(by)) => ttl.saturating_sub(by),
            Some(Change::Inc(by)) => ttl.saturating_add(by),
        };
        None
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.change {
            None => Ok(()),
            Some(Change::Set(to)) => write!(f, " --ttl-set {to}"),
            Some(Change::Dec(by)) => write!(f, " --ttl-dec {by}"),
            Some(Change::Inc(by)) => write!(f, " --ttl-inc {by}"),
        }
    }
}
