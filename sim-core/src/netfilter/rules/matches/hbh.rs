//! `-m hbh` (net/ipv6/netfilter/ip6t_hbh.c, `hbh_mt6`): the hop-by-hop options.

use std::fmt;

use super::opts::Opts;
use super::{Answer, Kind, Question};
use crate::netfilter::text::{Given, TextError};
use crate::wire::ext::HOP_BY_HOP;
use crate::wire::ip::Family;

const NAMES: [&str; 2] = ["--hbh-len", "--hbh-opts"];

/// What is asked of the hop-by-hop options.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hbh(pub Opts);

impl Kind for Hbh {
    const NAME: &'static str = "hbh";
    const FAMILY: Option<Family> = Some(Family::V6);

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        self.0.option(given, NAMES)
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        self.0.asks(question.packet.l3, HOP_BY_HOP)
    }
}

impl fmt::Display for Hbh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, NAMES)
    }
}
