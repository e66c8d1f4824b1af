//! `-j TRACE` (net/netfilter/xt_TRACE.c): every rule that fits the packet from here on is shown.

use std::fmt;

use super::Kind;
use crate::netfilter::rules::evaluate::Verdict;
use crate::netfilter::rules::packet::RulePacket;
use crate::netfilter::text::{Given, TextError};

/// Traces the packet from here on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trace;

impl Kind for Trace {
    const NAME: &'static str = "TRACE";

    fn option(&mut self, _: &mut Given<'_, '_>) -> Result<bool, TextError> {
        Ok(false)
    }

    fn act(&self, packet: &mut RulePacket<'_>) -> Option<Verdict> {
        packet.traced = true;
        None
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
