//! `-m sctp` (net/netfilter/xt_sctp.c).

use std::fmt;

use super::ports::PortPair;
use super::{Answer, Kind, Question};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::rule::Selector;
use crate::netfilter::text::{Given, TextError};
use crate::wire::ip::SCTP;

/// SCTP ports.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sctp {
    /// `--sport`, `--dport`.
    pub ports: PortPair,
}

impl Kind for Sctp {
    const NAME: &'static str = "sctp";

    fn check(&self, selector: &Selector, _: &[Hook]) -> Result<(), String> {
        super::needs_proto(selector, &[SCTP], "-p sctp")
    }

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        self.ports.option(given)
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        question.ports(12).map_or_else(|answer| answer, |(sport, dport)| self.ports.fit(sport, dport).into())
    }
}

impl fmt::Display for Sctp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ports.fmt(f)
    }
}
