//! `-j MARK` (net/netfilter/xt_mark.c, `mark_tg`).

use std::fmt;

use super::Kind;
use crate::netfilter::rules::evaluate::Verdict;
use crate::netfilter::rules::matches::mark::{Masked, word};
use crate::netfilter::rules::packet::RulePacket;
use crate::netfilter::text::{Given, TextError};

/// A change of a mark: the masked bits are cleared, then `value` is flipped in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Xmark {
    /// The bits flipped.
    pub value: u32,
    /// The bits cleared before.
    pub mask: u32,
}

impl Xmark {
    /// The mark after the change.
    pub const fn apply(self, mark: u32) -> u32 {
        (mark & !self.mask) ^ self.value
    }

    /// Sets `value` under `mask` (`--set-mark`): all bits of both are cleared before.
    pub const fn set(value: u32, mask: u32) -> Self {
        Self { value, mask: value | mask }
    }

    /// Sets bits (`--or-mark`).
    pub const fn or(bits: u32) -> Self {
        Self { value: bits, mask: bits }
    }

    /// Keeps bits (`--and-mark`).
    pub const fn and(bits: u32) -> Self {
        Self { value: 0, mask: !bits }
    }

    /// Flips bits (`--xor-mark`).
    pub const fn xor(bits: u32) -> Self {
        Self { value: bits, mask: 0 }
    }

    /// Takes one of the options that change a mark.
    pub(super) fn option(given: &mut Given<'_, '_>) -> Result<Option<Self>, TextError> {
        Ok(Some(match given.name() {
            "--set-xmark" => given.value(Masked::read).map(|m| Self { value: m.value, mask: m.mask })?,
            "--set-mark" => given.value(Masked::read).map(|m| Self::set(m.value, m.mask))?,
            "--or-mark" => Self::or(given.value(word)?),
            "--and-mark" => Self::and(given.value(word)?),
            "--xor-mark" => Self::xor(given.value(word)?),
            _ => return Ok(None),
        }))
    }
}

impl fmt::Display for Xmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--set-xmark {:#x}/{:#x}", self.value, self.mask)
    }
}

/// Changes the packet's mark.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mark {
    /// The change; always there in a finished rule.
    pub change: Option<Xmark>,
}

impl Kind for Mark {
    const NAME: &'static str = "MARK";

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        let Some(change) = Xmark::option(given)? else { return Ok(false) };
        if self.change.replace(change).is_some() {
            return Err(given.fail("MARK: only one change can be asked for"));
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.change
            .map(|_| ())
            .ok_or_else(|| "one of --set-xmark, --set-mark, --or-mark, --and-mark and --xor-mark is missing".into())
    }

    fn act(&self, packet: &mut RulePacket<'_>) -> Option<Verdict> {
        packet.mark = self.change.map_or(packet.mark, |c| c.apply(packet.mark));
        None
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.change.map_or(Ok(()), |c| write!(f, " {c}"))
    }
}
