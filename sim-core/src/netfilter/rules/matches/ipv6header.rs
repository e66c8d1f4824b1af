//! `-m ipv6header` (net/ipv6/netfilter/ip6t_ipv6header.c, `ipv6header_mt6`): which headers a packet has.

use std::fmt;

use super::{Answer, Kind, Question};
use crate::netfilter::rules::rule::Cond;
use crate::netfilter::text::{Given, TextError, number};
use crate::wire::ext::{self, AUTH, DESTINATION, FRAGMENT, HOP_BY_HOP, IPV6_LEN, NO_NEXT, ROUTING};
use crate::wire::ip::Family;

/// Encapsulated security payload (RFC 4303): what follows cannot be read.
const ESP: u8 = 50;
/// Stands for whatever is no extension header (`IPPROTO_RAW`).
const PROTOCOL: u8 = 255;

/// The headers in the order in which they are printed: number, name, short name.
const HEADERS: [(u8, &str, &str); 8] = [
    (HOP_BY_HOP, "hop-by-hop", "hop"),
    (DESTINATION, "ipv6-opts", "dst"),
    (ROUTING, "ipv6-route", "route"),
    (FRAGMENT, "ipv6-frag", "frag"),
    (AUTH, "ah", "auth"),
    (ESP, "esp", "esp"),
    (NO_NEXT, "ipv6-nonxt", "none"),
    (PROTOCOL, "protocol", "prot"),
];

/// A set of headers, one bit for each of [`HEADERS`].
type Mask = u8;

/// The headers of a packet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ipv6Header {
    /// `--header`; always there in a finished rule.
    pub headers: Option<Cond<Mask>>,
    /// `--soft`: others may be there, too.
    pub soft: bool,
}

fn bit(header: u8) -> Option<Mask> {
    HEADERS.iter().position(|(number, ..)| *number == header).map(|at| 1 << at)
}

/// Reads names or numbers, parted by commas.
fn mask(text: &str) -> Result<Mask, String> {
    text.split(',').try_fold(0, |mask, word| {
        let named = HEADERS.iter().find(|(_, name, short)| word == *name || word == *short).map(|(number, ..)| *number);
        let header = named.or_else(|| number(word, 255).map(|number| number as u8)).and_then(bit);
        header.map(|header| mask | header).ok_or_else(|| format!("unknown header {word:?}"))
    })
}

/// The headers of a packet; `None` if one is cut. Of a later fragment its first bytes are taken for a header, too.
fn headers_of(packet: &[u8]) -> Option<Mask> {
    let (mut next, mut at, mut found) = (*packet.get(6)?, IPV6_LEN, 0);
    while let Some(header) = bit(next).filter(|_| next != PROTOCOL) {
        if next == NO_NEXT {
            return Some(found | header);
        }
        let head = packet.get(at..at + 2)?;
        found |= header;
        if next == ESP {
            return Some(found);
        }
        at += ext::length(next, head[1]);
        next = head[0];
        if at > packet.len() {
            break;
        }
    }
    let last = if next == NO_NEXT || next == ESP { 0 } else { bit(PROTOCOL)? };
    Some(found | last)
}

impl Kind for Ipv6Header {
    const NAME: &'static str = "ipv6header";
    const FAMILY: Option<Family> = Some(Family::V6);

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        match given.name() {
            "--header" => self.headers = Some(given.cond(mask)?),
            "--soft" => self.soft = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.headers.map(|_| ()).ok_or_else(|| "--header is missing".into())
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let Some(Cond { value: wanted, invert }) = self.headers else { return Answer::No };
        match headers_of(question.packet.l3) {
            Some(found) if self.soft => (found & wanted == if invert { 0 } else { wanted }).into(),
            Some(found) => ((found == wanted) != invert).into(),
            None => Answer::No,
        }
    }
}

impl fmt::Display for Ipv6Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(headers) = self.headers else { return Ok(()) };
        let set = HEADERS.iter().enumerate().filter(|(at, _)| headers.value & (1 << at) != 0);
        let names: Vec<&str> = set.map(|(_, (_, name, _))| *name).collect();
        write!(f, " {}--header {}", headers.bang(), names.join(","))?;
        if self.soft { f.write_str(" --soft") } else { Ok(()) }
    }
}
