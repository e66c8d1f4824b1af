//! `-m mark` (net/netfilter/xt_mark.c, `mark_mt`).

use std::fmt;

use super::{Answer, Kind, Question};
use crate::engine::mutant::Mutant;
use crate::netfilter::rules::rule::Cond;
use crate::netfilter::text::{Given, TextError};

/// A mark under a mask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Masked {
    /// What the masked bits must be, or become.
    pub value: u32,
    /// The bits looked at.
    pub mask: u32,
}

impl Masked {
    /// Reads `0x4000` (every bit) or `0x4000/0xffff`.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let (value, mask) = text.split_once('/').map_or((text, None), |(v, m)| (v, Some(m)));
        Ok(Self { value: word(value)?, mask: mask.map_or(Ok(u32::MAX), word)? })
    }

    /// Whether `mark` has this value under the mask.
    pub const fn is(&self, mark: u32) -> bool {
        mark & self.mask == self.value
    }
}

/// A mark or a mask: 32 bits.
pub(crate) fn word(text: &str) -> Result<u32, String> {
    crate::netfilter::text::number(text, u64::from(u32::MAX))
        .map(|n| n as u32)
        .ok_or_else(|| format!("invalid mark {text:?}: a number from 0 to 0xffffffff is expected"))
}

impl fmt::Display for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.value)?;
        if self.mask != u32::MAX {
            write!(f, "/{:#x}", self.mask)?;
        }
        Ok(())
    }
}

/// The packet's mark.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mark {
    /// `--mark VALUE/MASK`; always there in a finished rule.
    pub mark: Option<Cond<Masked>>,
}

impl Kind for Mark {
    const NAME: &'static str = "mark";

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        if given.name() != "--mark" {
            return Ok(false);
        }
        self.mark = Some(given.cond(Masked::read)?);
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.mark.map(|_| ()).ok_or_else(|| "--mark is missing".into())
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let (planted, mark) = (question.packet.planted, question.packet.mark);
        self.mark
            .is_none_or(|m| {
                let mask = if planted.is(Mutant::MarkMaskIgnored) { u32::MAX } else { m.value.mask };
                let fits = mark & mask == m.value.value;
                if planted.is(Mutant::BangIgnored) { fits } else { m.says(fits) }
            })
            .into()
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mark.map_or(Ok(()), |m| write!(f, " {}--mark {}", m.bang(), m.value))
    }
}
