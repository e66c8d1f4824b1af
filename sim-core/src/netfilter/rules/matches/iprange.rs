//! `-m iprange` (net/netfilter/xt_iprange.c, `iprange_mt4`).

use std::fmt;
use std::net::IpAddr;

use super::{Answer, Kind, Question};
use crate::netfilter::rules::rule::{Cond, all_say};
use crate::netfilter::text::{Given, TextError};
use crate::wire::ip::Family;

/// First and last address. If they are exchanged the range holds nothing.
type Range = (IpAddr, IpAddr);

/// Ranges of addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Iprange {
    /// `--src-range`; one of the two is always there in a finished rule.
    pub src: Option<Cond<Range>>,
    /// `--dst-range`.
    pub dst: Option<Cond<Range>>,
}

/// Reads `10.0.0.1-10.0.0.9`, or one address.
fn range(family: Family, text: &str) -> Result<Range, String> {
    let addr = |text: &str| match text.parse::<IpAddr>() {
        Ok(addr) if Family::of(addr) == family => Ok(addr),
        _ => Err(format!("bad IP address {text:?}")),
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Ok((addr(first)?, addr(last)?))
}

impl Kind for Iprange {
    const NAME: &'static str = "iprange";

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        let slot = match given.name() {
            "--src-range" => &mut self.src,
            "--dst-range" => &mut self.dst,
            _ => return Ok(false),
        };
        let family = given.family();
        *slot = Some(given.cond(|text| range(family, text))?);
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        match (&self.src, &self.dst) {
            (None, None) => Err("one of --src-range and --dst-range is missing".into()),
            _ => Ok(()),
        }
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let ip = &question.packet.ip;
        let holds = |addr: IpAddr| move |&(first, last): &Range| first <= addr && addr <= last;
        (all_say(&self.src, holds(ip.src)) && all_say(&self.dst, holds(ip.dst))).into()
    }
}

impl fmt::Display for Iprange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (range, option) in [(&self.src, "--src-range"), (&self.dst, "--dst-range")] {
            if let Some(Cond { value: (first, last), .. }) = range {
                write!(f, " {}{option} {first}-{last}", range.map_or("", |c| c.bang()))?;
            }
        }
        Ok(())
    }
}
