//! `-m frag` (net/ipv6/netfilter/ip6t_frag.c, `frag_mt6`): the fragment header. Behind conntrack, which puts packets
//! together, there is none.

use std::fmt;

use super::{Answer, Kind, Question};
use crate::netfilter::rules::rule::{Cond, all_say};
use crate::netfilter::text::{Given, TextError, number};
use crate::wire::ext;
use crate::wire::ip::Family;

/// What a fragment header says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frag {
    /// `--fragid`: smallest and largest identification.
    pub id: Option<Cond<(u32, u32)>>,
    /// `--fraglen`: kept, but Linux does not look at it.
    pub len: Option<Cond<u32>>,
    /// `--fragres`: the reserved bits are zero.
    pub reserved: bool,
    /// `--fragfirst`: it is the first.
    pub first: bool,
    /// `--fragmore` or `--fraglast`: whether more follow.
    pub more: Option<bool>,
}

/// Reads `5`, `5:10`, `5:` or `:10`. A range whose ends are exchanged is taken, and holds nothing.
fn range(text: &str) -> Result<(u32, u32), String> {
    let one = |text: &str, open: u32| match text {
        "" => Ok(open),
        _ => number(text, u64::from(u32::MAX)).map(|n| n as u32).ok_or_else(|| format!("invalid id {text:?}")),
    };
    match text.split_once(':') {
        Some((min, max)) => Ok((one(min, 0)?, one(max, u32::MAX)?)),
        None if text.is_empty() => Err("an id is missing".into()),
        None => one(text, 0).map(|id| (id, id)),
    }
}

impl Kind for Frag {
    const NAME: &'static str = "frag";
    const FAMILY: Option<Family> = Some(Family::V6);

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        match given.name() {
            "--fragid" => {
                let id = given.cond(range)?;
                self.id = Some(id).filter(|id| id.invert || id.value != (0, u32::MAX));
            }
            "--fraglen" => {
                let bad = |text: &str| format!("{text:?} is not a number from 0 to {}", u32::MAX);
                let read = |text: &str| number(text, u64::from(u32::MAX)).map(|n| n as u32).ok_or_else(|| bad(text));
                self.len = Some(given.cond(read)?);
            }
            "--fragres" => self.reserved = true,
            "--fragfirst" => self.first = true,
            name @ ("--fragmore" | "--fraglast") => {
                let more = name == "--fragmore";
                if self.more.is_some_and(|known| known != more) {
                    return Err(given.fail("frag: only one of --fragmore and --fraglast can be used"));
                }
                self.more = Some(more);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let packet = question.packet.l3;
        let at = match ext::find(packet, ext::FRAGMENT) {
            Some(Some(at)) => at,
            Some(None) => return Answer::No,
            None => return Answer::Hotdrop,
        };
        let Some(header) = ext::fragment_at(packet, at) else { return Answer::Hotdrop };
        let reserved_set = packet[at + 1] != 0 || packet[at + 3] & 6 != 0;
        let fits = all_say(&self.id, |(min, max)| (*min..=*max).contains(&header.id))
            && !(self.reserved && reserved_set)
            && !(self.first && header.offset != 0)
            && self.more.is_none_or(|more| more == header.more);
        fits.into()
    }
}

impl fmt::Display for Frag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) if id.value.0 == id.value.1 => write!(f, " {}--fragid {}", id.bang(), id.value.0)?,
            Some(id) => write!(f, " {}--fragid {}:{}", id.bang(), id.value.0, id.value.1)?,
            None => {}
        }
        if let Some(len) = self.len {
            write!(f, " {}--fraglen {}", len.bang(), len.value)?;
        }
        let flags = [
            (self.reserved, "--fragres"),
            (self.first, "--fragfirst"),
            (self.more == Some(true), "--fragmore"),
            (self.more == Some(false), "--fraglast"),
        ];
        flags.iter().filter(|(set, _)| *set).try_for_each(|(_, name)| write!(f, " {name}"))
    }
}
