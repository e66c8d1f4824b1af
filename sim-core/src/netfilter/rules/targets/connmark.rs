//! `-j CONNMARK` (net/netfilter/xt_connmark.c, `connmark_tg`).

use std::fmt;

use super::Kind;
use super::mark::Xmark;
use crate::netfilter::rules::evaluate::Verdict;
use crate::netfilter::rules::matches::mark::word;
use crate::netfilter::rules::packet::RulePacket;
use crate::netfilter::text::{Given, TextError};

/// What happens to the marks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// The connection's is changed.
    Set(Xmark),
    /// The packet's goes to the connection.
    Save(Masks),
    /// The connection's goes to the packet.
    Restore(Masks),
}

/// Which bits of the two marks take part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Masks {
    /// Of the packet.
    pub packet: u32,
    /// Of the connection.
    pub connection: u32,
}

/// Changes the connection's mark, or copies it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Connmark {
    /// What happens; always there in a finished rule.
    pub change: Option<Change>,
}

impl Connmark {
    fn masks(&mut self, given: &Given<'_, '_>) -> Result<&mut Masks, TextError> {
        match &mut self.change {
            Some(Change::Save(masks) | Change::Restore(masks)) => Ok(masks),
            _ => Err(given.fail(format!("{} belongs after --save-mark or --restore-mark", given.name()))),
        }
    }
}

impl Kind for Connmark {
    const NAME: &'static str = "CONNMARK";

    fn needs_conntrack(&self) -> bool {
        true
    }

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        let all = Masks { packet: u32::MAX, connection: u32::MAX };
        let change = match given.name() {
            "--save-mark" => Change::Save(all),
            "--restore-mark" => Change::Restore(all),
            "--mask" => {
                let mask = given.value(word)?;
                *self.masks(given)? = Masks { packet: mask, connection: mask };
                return Ok(true);
            }
            "--nfmask" => {
                self.masks(given)?.packet = given.value(word)?;
                return Ok(true);
            }
            "--ctmask" => {
                self.masks(given)?.connection = given.value(word)?;
                return Ok(true);
            }
            // --set-mark clears only what its mask says (extensions/libxt_CONNMARK.c), unlike MARK's.
            "--set-mark" => given
                .value(crate::netfilter::rules::matches::mark::Masked::read)
                .map(|m| Change::Set(Xmark { value: m.value, mask: m.mask }))?,
            _ => match Xmark::option(given)? {
                Some(change) => Change::Set(change),
                None => return Ok(false),
            },
        };
        if self.change.replace(change).is_some() {
            return Err(given.fail("CONNMARK: only one change can be asked for"));
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.change.map(|_| ()).ok_or_else(|| "one of --set-xmark, --save-mark and --restore-mark is missing".into())
    }

    fn act(&self, packet: &mut RulePacket<'_>) -> Option<Verdict> {
        packet.ct.flow?;
        match self.change? {
            Change::Set(change) => packet.ct.mark = change.apply(packet.ct.mark),
            Change::Save(m) => packet.ct.mark = (packet.ct.mark & !m.connection) ^ (packet.mark & m.packet),
            Change::Restore(m) => packet.mark = (packet.mark & !m.packet) ^ (packet.ct.mark & m.connection),
        }
        None
    }
}

impl fmt::Display for Connmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (option, masks) = match self.change {
            None => return Ok(()),
            Some(Change::Set(change)) => return write!(f, " {change}"),
            Some(Change::Save(masks)) => ("--save-mark", masks),
            Some(Change::Restore(masks)) => ("--restore-mark", masks),
        };
        write!(f, " {option} --nfmask {:#x} --ctmask {:#x}", masks.packet, masks.connection)
    }
}
