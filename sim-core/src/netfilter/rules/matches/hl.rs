//! `-m hl` (net/netfilter/xt_hl.c, `hl_mt6`).

use std::fmt;

use super::ttl::Ask;
use super::{Answer, Kind, Question};
use crate::netfilter::text::{Given, TextError};
use crate::wire::ip::Family;

const NAMES: [&str; 3] = ["--hl-eq", "--hl-lt", "--hl-gt"];

/// The hop limit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hl {
    /// `--hl-eq`, `--hl-lt` or `--hl-gt`; always there in a finished rule.
    pub ask: Option<Ask>,
}

impl Kind for Hl {
    const NAME: &'static str = "hl";
    const FAMILY: Option<Family> = Some(Family::V6);

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        let Some(ask) = Ask::read(given, NAMES)? else { return Ok(false) };
        ask.store(&mut self.ask, given, NAMES).map(|()| true)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.ask.map(|_| ()).ok_or_else(|| "one of --hl-eq, --hl-lt and --hl-gt is missing".into())
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        self.ask.is_none_or(|ask| ask.fits(question.packet.ip.ttl)).into()
    }
}

impl fmt::Display for Hl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ask.map_or(Ok(()), |ask| ask.write(f, NAMES))
    }
}
