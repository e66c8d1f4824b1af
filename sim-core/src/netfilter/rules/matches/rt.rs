//! `-m rt` (net/ipv6/netfilter/ip6t_rt.c, `rt_mt6`): the routing header.

use std::fmt;
use std::net::Ipv6Addr;

use super::{Answer, Kind, Question};
use crate::netfilter::rules::rule::{Cond, all_say};
use crate::netfilter::text::{Given, TextError, number};
use crate::wire::ext::{self, ROUTING};
use crate::wire::ip::Family;

/// Most addresses one rule names (`IP6T_RT_HOPS`).
const MOST: usize = 16;
/// Bytes before the addresses of type 0.
const HEAD: usize = 8;
const ADDRESS: usize = 16;
/// Where the type and the number of segments left stand.
const TYPE_AT: usize = 2;
const LEFT_AT: usize = 3;
const ALL: (u32, u32) = (0, u32::MAX);

/// What is asked of a routing header.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rt {
    /// `--rt-type`.
    pub kind: Option<Cond<u32>>,
    /// `--rt-segsleft`: smallest and largest number of segments left.
    pub left: Option<Cond<(u32, u32)>>,
    /// `--rt-len`: bytes of the whole header.
    pub len: Option<Cond<u32>>,
    /// `--rt-0-res`: the reserved bytes are zero.
    pub reserved: bool,
    /// `--rt-0-addrs`: its addresses.
    pub addrs: Vec<Ipv6Addr>,
    /// `--rt-0-not-strict`: others may stand among them.
    pub among_others: bool,
}

fn number32(text: &str) -> Result<u32, String> {
    let bad = || format!("{text:?} is not a number from 0 to {}", u32::MAX);
    number(text, u64::from(u32::MAX)).map(|n| n as u32).ok_or_else(bad)
}

/// Reads `5`, `5:10`, `5:` or `:10`. A range whose ends are exchanged is taken, and holds nothing.
fn range(text: &str) -> Result<(u32, u32), String> {
    let one = |text: &str, open: u32| if text.is_empty() { Ok(open) } else { number32(text) };
    match text.split_once(':') {
        Some((min, max)) => Ok((one(min, ALL.0)?, one(max, ALL.1)?)),
        None => number32(text).map(|left| (left, left)),
    }
}

fn addresses(text: &str) -> Result<Vec<Ipv6Addr>, String> {
    let addrs: Vec<Ipv6Addr> = text
        .split(',')
        .map(|word| word.parse().map_err(|_| format!("bad address: {word}")))
        .collect::<Result<_, _>>()?;
    if addrs.len() > MOST { Err("too many addresses specified".into()) } else { Ok(addrs) }
}

impl Rt {
    /// What only type 0 has stands behind `--rt-type 0` (libip6t_rt.c, `rt_parse`).
    fn needs_type_0(&self, given: &Given<'_, '_>) -> Result<(), TextError> {
        if self.kind == Some(Cond::plain(0)) {
            return Ok(());
        }
        Err(given.fail(format!("`--rt-type 0' required before `{}'", given.name())))
    }

    /// Whether the addresses stand in the header: no others, or others in between.
    fn holds(&self, header: &[u8]) -> bool {
        let (there, _) = header[HEAD..].as_chunks::<ADDRESS>();
        let mut wanted = self.addrs.iter().map(Ipv6Addr::octets);
        if !self.among_others {
            return there.len() == self.addrs.len() && wanted.zip(there).all(|(wanted, addr)| wanted == *addr);
        }
        let mut there = there.iter();
        wanted.all(|wanted| there.any(|addr| *addr == wanted))
    }
}

impl Kind for Rt {
    const NAME: &'static str = "rt";
    const FAMILY: Option<Family> = Some(Family::V6);

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        match given.name() {
            "--rt-type" => self.kind = Some(given.cond(number32)?),
            "--rt-segsleft" => self.left = Some(given.cond(range)?),
            "--rt-len" => self.len = Some(given.cond(number32)?),
            "--rt-0-res" => {
                self.needs_type_0(given)?;
                self.reserved = true;
            }
            "--rt-0-addrs" => {
                self.needs_type_0(given)?;
                self.addrs = given.value(addresses)?;
            }
            "--rt-0-not-strict" => {
                if self.addrs.is_empty() {
                    return Err(given.fail("`--rt-0-addr ...' required before `--rt-0-not-strict'"));
                }
                self.among_others = true;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let packet = question.packet.l3;
        let at = match ext::find(packet, ROUTING) {
            Some(Some(at)) => at,
            Some(None) => return Answer::No,
            None => return Answer::Hotdrop,
        };
        let Some(head) = packet.get(at..at + 4) else { return Answer::Hotdrop };
        let len = ext::length(ROUTING, head[1]);
        let Some(header) = packet.get(at..at + len) else { return Answer::Hotdrop };
        let fits = all_say(&self.left, |(min, max)| (*min..=*max).contains(&u32::from(head[LEFT_AT])))
            && all_say(&self.len, |wanted| *wanted as usize == len)
            && all_say(&self.kind, |kind| *kind == u32::from(head[TYPE_AT]))
            && !(self.reserved && header[4..HEAD] != [0; 4])
            && (self.addrs.is_empty() || self.holds(header));
        fits.into()
    }
}

impl fmt::Display for Rt {
    /// All numbers of segments are not printed, be they inverted, as the real tool does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(kind) = self.kind {
            write!(f, " {}--rt-type {}", kind.bang(), kind.value)?;
        }
        match self.left {
            Some(left) if left.value == ALL => {}
            Some(left) if left.value.0 == left.value.1 => write!(f, " {}--rt-segsleft {}", left.bang(), left.value.0)?,
            Some(left) => write!(f, " {}--rt-segsleft {}:{}", left.bang(), left.value.0, left.value.1)?,
            None => {}
        }
        if let Some(len) = self.len {
            write!(f, " {}--rt-len {}", len.bang(), len.value)?;
        }
        if self.reserved {
            f.write_str(" --rt-0-res")?;
        }
        if !self.addrs.is_empty() {
            let addrs: Vec<String> = self.addrs.iter().map(Ipv6Addr::to_string).collect();
            write!(f, " --rt-0-addrs {}", addrs.join(","))?;
        }
        if self.among_others { f.write_str(" --rt-0-not-strict") } else { Ok(()) }
    }
}
