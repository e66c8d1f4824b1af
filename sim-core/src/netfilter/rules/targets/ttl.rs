//! `-j TTL` (net/netfilter/xt_HL.c, `ttl_tg`), and what it has in common with `-j HL`.

use std::fmt;

use super::Kind;
use crate::netfilter::rules::evaluate::Verdict;
use crate::netfilter::rules::packet::RulePacket;
use crate::netfilter::rules::table::TableName;
use crate::netfilter::text::{Given, TextError};
use crate::wire::ip::Family;

/// How the TTL or hop limit changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It becomes this.
    Set(u8),
    /// It becomes so much less, at least 0: a packet may leave with a TTL of 0.
    Dec(u8),
    /// It becomes so much more, at most 255.
    Inc(u8),
}

impl Change {
    /// Takes an option of `names` (set, less, more) into `slot`; whether it is one of them.
    pub(super) fn read(
        slot: &mut Option<Self>,
        given: &mut Given<'_, '_>,
        names: [&str; 3],
    ) -> Result<bool, TextError> {
        let [set, dec, inc] = names;
        let make = match given.name() {
            name if name == set => Self::Set,
            name if name == dec => Self::Dec,
            name if name == inc => Self::Inc,
            _ => return Ok(false),
        };
        let change = make(given.number(255)? as u8);
        if matches!(change, Self::Dec(0) | Self::Inc(0)) {
            return Err(given.fail(format!("{} needs at least 1", given.name())));
        }
        match slot.replace(change) {
            Some(_) => Err(given.fail(format!("only one of {set}, {dec} and {inc} can be used"))),
            None => Ok(true),
        }
    }

    /// What it makes of a TTL.
    pub(super) fn of(self, ttl: u8) -> u8 {
        match self {
            Self::Set(to) => to,
            Self::Dec(by) => ttl.saturating_sub(by),
            Self::Inc(by) => ttl.saturating_add(by),
        }
    }

    /// Writes the option under these names.
    pub(super) fn write(self, f: &mut fmt::Formatter<'_>, [set, dec, inc]: [&str; 3]) -> fmt::Result {
        match self {
            Self::Set(to) => write!(f, " {set} {to}"),
            Self::Dec(by) => write!(f, " {dec} {by}"),
            Self::Inc(by) => write!(f, " {inc} {by}"),
        }
    }
}

const NAMES: [&str; 3] = ["--ttl-set", "--ttl-dec", "--ttl-inc"];

/// Changes the time to live.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ttl {
    /// The change; always there in a finished rule.
    pub change: Option<Change>,
}

impl Kind for Ttl {
    const NAME: &'static str = "TTL";
    const FAMILY: Option<Family> = Some(Family::V4);
    const TABLES: &'static [TableName] = &[TableName::Mangle];

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        Change::read(&mut self.change, given, NAMES)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.change.map(|_| ()).ok_or_else(|| "one of --ttl-set, --ttl-dec and --ttl-inc is missing".into())
    }

    fn act(&self, packet: &mut RulePacket<'_>) -> Option<Verdict> {
        packet.ip.ttl = self.change.map_or(packet.ip.ttl, |change| change.of(packet.ip.ttl));
        None
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.change.map_or(Ok(()), |change| change.write(f, NAMES))
    }
}
