//! `-m mh` (net/ipv6/netfilter/ip6t_mh.c, `mh_mt6`): the type of a message of mobile IPv6 (RFC 6275).

use std::fmt;

use super::{Answer, Kind, Question, needs_proto};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::rule::{Cond, Selector, all_say};
use crate::netfilter::text::{Given, TextError, number};
use crate::wire::ext::NO_NEXT;
use crate::wire::ip::{Family, MOBILITY};

/// Bytes every message has (`struct ip6_mh`).
const HEADER: usize = 6;
/// Where the type stands.
const TYPE_AT: usize = 2;
const ALL: (u8, u8) = (0, u8::MAX);

/// The types by name, in the order in which they are tried.
const TYPES: [(&str, u8); 16] = [
    ("binding-refresh-request", 0),
    ("brr", 0),
    ("home-test-init", 1),
    ("hoti", 1),
    ("careof-test-init", 2),
    ("coti", 2),
    ("home-test", 3),
    ("hot", 3),
    ("careof-test", 4),
    ("cot", 4),
    ("binding-update", 5),
    ("bu", 5),
    ("binding-acknowledgement", 6),
    ("ba", 6),
    ("binding-error", 7),
    ("be", 7),
];

/// What is asked of a mobility header.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mh {
    /// `--mh-type`: smallest and largest type.
    pub types: Option<Cond<(u8, u8)>>,
}

/// A name, its beginning, or a number.
fn type_of(text: &str) -> Result<u8, String> {
    let begins = |name: &str| name.get(..text.len()).is_some_and(|head| head.eq_ignore_ascii_case(text));
    let exact = TYPES.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(text));
    let named = exact.or_else(|| TYPES.iter().find(|(name, _)| begins(name))).map(|(_, kind)| *kind);
    let kind = named.or_else(|| number(text, u64::from(u8::MAX)).map(|n| n as u8));
    kind.ok_or_else(|| format!("Invalid MH type {text:?}"))
}

/// Reads `5`, `bu:cot`, `5:` or `:10`.
fn range(text: &str) -> Result<(u8, u8), String> {
    let one = |text: &str, open: u8| if text.is_empty() { Ok(open) } else { type_of(text) };
    let (min, max) = match text.split_once(':') {
        Some((min, max)) => (one(min, ALL.0)?, one(max, ALL.1)?),
        None => type_of(text).map(|kind| (kind, kind))?,
    };
    if min > max { Err("Invalid MH type range (min > max)".into()) } else { Ok((min, max)) }
}

impl Kind for Mh {
    const NAME: &'static str = "mh";
    const FAMILY: Option<Family> = Some(Family::V6);

    fn check(&self, selector: &Selector, _: &[Hook]) -> Result<(), String> {
        needs_proto(selector, &[MOBILITY], "-p mobility-header")
    }

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        if given.name() != "--mh-type" {
            return Ok(false);
        }
        self.types = Some(given.cond(range)?);
        Ok(true)
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        if question.packet.ip.frag_offset != 0 {
            return Answer::No;
        }
        match question.upper(HEADER) {
            Err(answer) => answer,
            Ok(message) if message[0] != NO_NEXT => Answer::Hotdrop,
            Ok(message) => all_say(&self.types, |(min, max)| (*min..=*max).contains(&message[TYPE_AT])).into(),
        }
    }
}

impl fmt::Display for Mh {
    /// All types are not printed, be they inverted, as the real tool does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.types {
            Some(types) if types.value == ALL => Ok(()),
            Some(types) if types.value.0 == types.value.1 => write!(f, " {}--mh-type {}", types.bang(), types.value.0),
            Some(types) => write!(f, " {}--mh-type {}:{}", types.bang(), types.value.0, types.value.1),
            None => Ok(()),
        }
    }
}
