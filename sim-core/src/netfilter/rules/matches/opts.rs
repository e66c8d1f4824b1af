//! What `-m hbh` and `-m dst` have in common (net/ipv6/netfilter/ip6t_hbh.c, `hbh_mt6`): the length of a header of options and
//! its first options, in their order.

use std::fmt;

use super::Answer;
use crate::netfilter::rules::rule::{Cond, all_say};
use crate::netfilter::text::{Given, TextError, number};
use crate::wire::ext;

/// Most options one rule names (`IP6T_OPTS_OPTSNR`).
const MOST: usize = 16;
/// The option that is one byte of padding and has no length.
const PAD1: u8 = 0;
/// The length that stands for any.
const ANY: u8 = 0xff;

/// An option: its type and its length, if that is asked.
pub type HeaderOption = (u8, Option<u8>);

/// What is asked of a header of options.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Opts {
    /// The length of the whole header in bytes.
    pub len: Option<Cond<u32>>,
    /// Its first options.
    pub options: Vec<HeaderOption>,
}

/// A number of which the tool keeps the last byte.
fn byte(text: &str, what: &str) -> Result<u8, String> {
    number(text, u64::MAX).map(|n| n as u8).ok_or_else(|| format!("{text:?} is no {what} of an option"))
}

fn option(text: &str) -> Result<HeaderOption, String> {
    let Some((kind, len)) = text.split_once(':') else { return Ok((byte(text, "type")?, None)) };
    Ok((byte(kind, "type")?, Some(byte(len, "length")?).filter(|len| *len != ANY)))
}

impl Opts {
    /// Takes the option if it is one of the two: for the length, for the options.
    pub(super) fn option(&mut self, given: &mut Given<'_, '_>, names: [&str; 2]) -> Result<bool, TextError> {
        if given.name() == names[0] {
            let bad = |text: &str| format!("{text:?} is not a number from 0 to {}", u32::MAX);
            let read = |text: &str| number(text, u64::from(u32::MAX)).map(|n| n as u32).ok_or_else(|| bad(text));
            self.len = Some(given.cond(read)?);
        } else if given.name() == names[1] {
            let options: Vec<_> = given.value(|text| text.split(',').map(option).collect::<Result<_, _>>())?;
            if options.len() > MOST {
                return Err(given.fail(format!("at most {MOST} options can be asked for")));
            }
            self.options = options;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Asks the first header of this number.
    pub(super) fn asks(&self, packet: &[u8], header: u8) -> Answer {
        let at = match ext::find(packet, header) {
            Some(Some(at)) => at,
            Some(None) => return Answer::No,
            None => return Answer::Hotdrop,
        };
        let Some(head) = packet.get(at..at + 2) else { return Answer::Hotdrop };
        let len = ext::length(header, head[1]);
        let Some(header) = packet.get(at..at + len) else { return Answer::Hotdrop };
        (all_say(&self.len, |wanted| *wanted as usize == len) && self.begins(&header[2..])).into()
    }

    /// Whether the options are the first of these. The last may reach beyond the header.
    fn begins(&self, mut bytes: &[u8]) -> bool {
        self.options.iter().all(|(kind, wanted)| {
            let Some((first, rest)) = bytes.split_first().filter(|(first, _)| *first == kind) else { return false };
            if *first == PAD1 {
                bytes = rest;
                return true;
            }
            let Some(len) = rest.first() else { return false };
            bytes = rest.get(1 + usize::from(*len)..).unwrap_or(&[]);
            wanted.is_none_or(|wanted| wanted == *len)
        })
    }

    /// Prints both under their names.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, [len_name, options_name]: [&str; 2]) -> fmt::Result {
        if let Some(len) = self.len {
            write!(f, " {}{len_name} {}", len.bang(), len.value)?;
        }
        if self.options.is_empty() {
            return Ok(());
        }
        let text = |(kind, len): &HeaderOption| len.map_or_else(|| kind.to_string(), |len| format!("{kind}:{len}"));
        write!(f, " {options_name} {}", self.options.iter().map(text).collect::<Vec<_>>().join(","))
    }
}
