//! `-m ttl` (net/netfilter/xt_hl.c, `ttl_mt`).

use std::fmt;

use super::{Answer, Kind, Question};
use crate::netfilter::rules::rule::Cond;
use crate::netfilter::text::{Given, TextError};

/// What is asked about the TTL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// Whether it is this one; may be inverted.
    Eq(Cond<u8>),
    /// Whether it is less.
    Lt(u8),
    /// Whether it is greater.
    Gt(u8),
}

/// The time to live.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ttl {
    /// `--ttl-eq`, `--ttl-lt` or `--ttl-gt`; always there in a finished rule.
    pub ask: Option<Ask>,
}

impl Kind for Ttl {
    const NAME: &'static str = "ttl";

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        let ask = match given.name() {
            "--ttl-eq" | "--ttl" => {
                let invert = given.bang();
                Ask::Eq(Cond { value: given.number(255)? as u8, invert })
            }
            "--ttl-lt" => Ask::Lt(given.number(255)? as u8),
            "--ttl-gt" => Ask::Gt(given.number(255)? as u8),
            _ => return Ok(false),
        };
        match self.ask.replace(ask) {
            Some(_) => Err(given.fail("only one of --ttl-eq, --ttl-lt and --ttl-gt can be used")),
            None => Ok(true),
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        self.ask.map(|_| ()).ok_or_else(|| "one of --ttl-eq, --ttl-lt and --ttl-gt is missing".into())
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let ttl = question.packet.ip.ttl;
        let fits = match self.ask {
            None => true,
            Some(Ask::Eq(cond)) => cond.says(ttl == cond.value),
            Some(Ask::Lt(limit)) => ttl < limit,
            Some(Ask::Gt(limit)) => ttl > limit,
        };
        fits.into()
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ask {
            None => Ok(()),
            Some(Ask::Eq(cond)) => write!(f, " {}--ttl-eq {}", cond.bang(), cond.value),
            Some(Ask::Lt(limit)) => write!(f, " --ttl-lt {limit}"),
            Some(Ask::Gt(limit)) => write!(f, " --ttl-gt {limit}"),
        }
    }
}
