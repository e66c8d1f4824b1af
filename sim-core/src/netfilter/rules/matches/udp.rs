//! `-m udp` (net/netfilter/xt_tcpudp.c, `udp_mt`).

use std::fmt;

use super::ports::PortPair;
use super::{Answer, Kind, Question};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::rule::Selector;
use crate::netfilter::text::{Given, TextError};
use crate::wire::ip::UDP;

/// UDP ports.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Udp {
    /// `--sport`, `--dport`.
    pub ports: PortPair,
}

impl Kind for Udp {
    const NAME: &'static str = "udp";

    fn check(&self, selector: &Selector, _: &[Hook]) -> Result<(), String> {
        super::needs_proto(selector, &[UDP], "-p udp")
    }

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        self.ports.option(given)
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        self.ports.fit_loaded(question).into()
    }
}

impl fmt::Display for Udp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ports.fmt(f)
    }
}
