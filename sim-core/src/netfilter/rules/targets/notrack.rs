//! `-j NOTRACK` (net/netfilter/xt_CT.c, `notrack_tg`): the older spelling of `CT --notrack`.

use std::fmt;

use super::Kind;
use super::ct::CtTemplate;
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::evaluate::Verdict;
use crate::netfilter::rules::packet::RulePacket;
use crate::netfilter::rules::table::TableName;
use crate::netfilter::text::{Given, TextError};

/// The older spelling of `CT --notrack`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Notrack;

impl Kind for Notrack {
    const NAME: &'static str = "NOTRACK";
    const TABLES: &'static [TableName] = &[TableName::Raw];
    const HOOKS: &'static [Hook] = &[Hook::Prerouting, Hook::Output];

    fn option(&mut self, _: &mut Given<'_, '_>) -> Result<bool, TextError> {
        Ok(false)
    }

    fn act(&self, packet: &mut RulePacket<'_>) -> Option<Verdict> {
        packet.template = packet.template.or(Some(CtTemplate::Notrack));
        None
    }
}

impl fmt::Display for Notrack {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
