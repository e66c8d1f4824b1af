//! `-m length` (net/netfilter/xt_length.c, `length_mt`).

use std::fmt;

use super::{Answer, Kind, Question};
use crate::netfilter::rules::rule::Cond;
use crate::netfilter::text::{Given, TextError, number};

/// The length of the packet, IP header included.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Length {
    /// `--length`: smallest and largest length in bytes; always there in a finished rule.
    pub length: Option<Cond<(u16, u16)>>,
}

/// Reads `45`, `45:60`, `45:` or `:60`. A range whose ends are exchanged is taken, and holds nothing.
fn range(text: &str) -> Result<(u16, u16), String> {
    let one = |text: &str| {
        number(text, u64::from(u16::MAX))
            .map(|n| n as u16)
            .ok_or_else(|| format!("invalid length {text:?}: a number from 0 to 65535 is expected"))
    };
    let or = |text: &str, open: u16| if text.is_empty() { Ok(open) } else { one(text) };
    match text.split_once(':') {
        Some((min, max)) => Ok((or(min, 0)?, or(max, u16::MAX)?)),
        None => one(text).map(|length| (length, length)),
    }
}

impl Kind for Length {
    const NAME: &'static str = "length";

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        if given.name() != "--length" {
            return Ok(false);
        }
        self.length = Some(given.cond(range)?);
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.length.map(|_| ()).ok_or_else(|| "--length is missing".into())
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let length = question.packet.ip.total_len.min(u32::from(u16::MAX)) as u16;
        self.length.is_none_or(|c| c.says((c.value.0..=c.value.1).contains(&length))).into()
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Cond { value: (min, max), .. }) = self.length else { return Ok(()) };
        write!(f, " {}--length {min}", self.length.map_or("", |c| c.bang()))?;
        if min == max { Ok(()) } else { write!(f, ":{max}") }
    }
}
