//! `-m dst` (net/ipv6/netfilter/ip6t_hbh.c, `hbh_mt6`): the destination options.

use std::fmt;

use super::opts::Opts;
use super::{Answer, Kind, Question};
use crate::netfilter::text::{Given, TextError};
use crate::wire::ext::DESTINATION;
use crate::wire::ip::Family;

const NAMES: [&str; 2] = ["--dst-len", "--dst-opts"];

/// What is asked of the destination options.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Dst(pub Opts);

impl Kind for Dst {
    const NAME: &'static str = "dst";
    const FAMILY: Option<Family> = Some(Family::V6);

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        self.0.option(given, NAMES)
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        self.0.asks(question.packet.l3, DESTINATION)
    }
}

impl fmt::Display for Dst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, NAMES)
    }
}
