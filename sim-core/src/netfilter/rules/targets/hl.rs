//! `-j HL` (net/netfilter/xt_HL.c, `hl_tg6`).

use std::fmt;

use super::Kind;
use super::ttl::Change;
use crate::netfilter::rules::evaluate::Verdict;
use crate::netfilter::rules::packet::RulePacket;
use crate::netfilter::rules::table::TableName;
use crate::netfilter::text::{Given, TextError};
use crate::wire::ip::Family;

const NAMES: [&str; 3] = ["--hl-set", "--hl-dec", "--hl-inc"];

/// Changes the hop limit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hl {
    /// The change; always there in a finished rule.
    pub change: Option<Change>,
}

impl Kind for Hl {
    const NAME: &'static str = "HL";
    const FAMILY: Option<Family> = Some(Family::V6);
    const TABLES: &'static [TableName] = &[TableName::Mangle];

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        Change::read(&mut self.change, given, NAMES)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.change.map(|_| ()).ok_or_else(|| "one of --hl-set, --hl-dec and --hl-inc is missing".into())
    }

    fn act(&self, packet: &mut RulePacket<'_>) -> Option<Verdict> {
        packet.ip.ttl = self.change.map_or(packet.ip.ttl, |change| change.of(packet.ip.ttl));
        None
    }
}

impl fmt::Display for Hl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.change.map_or(Ok(()), |change| change.write(f, NAMES))
    }
}
