//! `-m ttl` (net/netfilter/xt_hl.c, `ttl_mt`), and what it has in common with `-m hl`.

use std::fmt;

use super::{Answer, Kind, Question};
use crate::netfilter::rules::rule::Cond;
use crate::netfilter::text::{Given, TextError};
use crate::wire::ip::Family;

/// What is asked about the TTL or hop limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// Whether it is this one; may be inverted.
    Eq(Cond<u8>),
    /// Whether it is less.
    Lt(u8),
    /// Whether it is greater.
    Gt(u8),
}

impl Ask {
    /// Reads an option of `names`: equal, less, greater. `None` if it is none of them.
    pub(super) fn read(given: &mut Given<'_, '_>, [eq, lt, gt]: [&str; 3]) -> Result<Option<Self>, TextError> {
        Ok(Some(match given.name() {
            name if name == eq || Some(name) == eq.strip_suffix("-eq") => {
                let invert = given.bang();
                Self::Eq(Cond { value: given.number(255)? as u8, invert })
            }
            name if name == lt => Self::Lt(given.number(255)? as u8),
            name if name == gt => Self::Gt(given.number(255)? as u8),
            _ => return Ok(None),
        }))
    }

    /// Stores what was read; one question is enough.
    pub(super) fn store(
        self,
        slot: &mut Option<Self>,
        given: &Given<'_, '_>,
        names: [&str; 3],
    ) -> Result<(), TextError> {
        let [eq, lt, gt] = names;
        match slot.replace(self) {
            Some(_) => Err(given.fail(format!("only one of {eq}, {lt} and {gt} can be used"))),
            None => Ok(()),
        }
    }

    /// Whether `ttl` fits.
    pub(super) fn fits(self, ttl: u8) -> bool {
        match self {
            Self::Eq(cond) => cond.says(ttl == cond.value),
            Self::Lt(limit) => ttl < limit,
            Self::Gt(limit) => ttl > limit,
        }
    }

    /// Writes the option under these names.
    pub(super) fn write(self, f: &mut fmt::Formatter<'_>, [eq, lt, gt]: [&str; 3]) -> fmt::Result {
        match self {
            Self::Eq(cond) => write!(f, " {}{eq} {}", cond.bang(), cond.value),
            Self::Lt(limit) => write!(f, " {lt} {limit}"),
            Self::Gt(limit) => write!(f, " {gt} {limit}"),
        }
    }
}

const NAMES: [&str; 3] = ["--ttl-eq", "--ttl-lt", "--ttl-gt"];

/// The time to live.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ttl {
    /// `--ttl-eq`, `--ttl-lt` or `--ttl-gt`; always there in a finished rule.
    pub ask: Option<Ask>,
}

impl Kind for Ttl {
    const NAME: &'static str = "ttl";
    const FAMILY: Option<Family> = Some(Family::V4);

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        let Some(ask) = Ask::read(given, NAMES)? else { return Ok(false) };
        ask.store(&mut self.ask, given, NAMES).map(|()| true)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.ask.map(|_| ()).ok_or_else(|| "one of --ttl-eq, --ttl-lt and --ttl-gt is missing".into())
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        self.ask.is_none_or(|ask| ask.fits(question.packet.ip.ttl)).into()
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ask.map_or(Ok(()), |ask| ask.write(f, NAMES))
    }
}
