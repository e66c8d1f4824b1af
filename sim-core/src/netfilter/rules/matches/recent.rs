//! `-m recent` (net/netfilter/xt_recent.c, `recent_mt`): who was here lately.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::{Answer, Kind, Question};
use crate::engine::time::Duration;
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::rule::Selector;
use crate::netfilter::text::{Given, TextError};
use crate::wire::ip::Family;

/// Longest name of a list (`XT_RECENT_NAME_LEN` 200, with the final zero).
const MAX_NAME: usize = 199;

/// Most stamps a list keeps of an address (`XT_RECENT_MAX_NSTAMPS` since Linux 6.11).
const MAX_STAMPS: u32 = 65_536;

/// What is done with the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Enter the address, or a new stamp of it; fits.
    Set,
    /// Fits if the address is there.
    Rcheck,
    /// As [`Self::Rcheck`], and a new stamp if it fits.
    Update,
    /// Fits if the address is there, and removes it.
    Remove,
}

/// Who was here lately.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recent {
    /// The list, one for all tables of the netns.
    pub name: Arc<str>,
    /// `--set`, `--rcheck`, `--update` or `--remove`; always there in a finished rule.
    pub verb: Option<Verb>,
    /// `!` before the verb.
    pub invert: bool,
    /// `--seconds`: older stamps do not count; 0 is no limit.
    pub seconds: u32,
    /// `--hitcount`: so many stamps are needed; 0 asks for one.
    pub hitcount: u32,
    /// `--reap`: the oldest address is removed if it is older than `seconds`.
    pub reap: bool,
    /// `--rttl`: the TTL must be the one remembered.
    pub rttl: bool,
    /// `--rdest`: the destination address counts, not the source.
    pub dest: bool,
    /// `--mask`: how much of an address counts.
    pub mask: IpAddr,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            name: "DEFAULT".into(),
            verb: None,
            invert: false,
            seconds: 0,
            hitcount: 0,
            reap: false,
            rttl: false,
            dest: false,
            mask: whole(Family::V4),
        }
    }
}

impl Recent {
    /// How many stamps of an address its list must keep (`recent_mt_check`).
    pub(crate) fn stamps(&self) -> u32 {
        if self.hitcount == 0 { 32 } else { self.hitcount.next_power_of_two() }
    }

    fn verb(&mut self, verb: Verb, given: &mut Given<'_, '_>) -> Result<(), TextError> {
        if self.verb.is_some() {
            return Err(given.fail("only one of --set, --rcheck, --update and --remove can be used"));
        }
        self.verb = Some(verb);
        self.invert = given.bang();
        Ok(())
    }
}

impl Kind for Recent {
    const NAME: &'static str = "recent";

    fn of(family: Family) -> Self {
        Self { mask: whole(family), ..Self::default() }
    }

    fn check(&self, _: &Selector, _: &[Hook]) -> Result<(), String> {
        if self.hitcount >= MAX_STAMPS {
            return Err(format!("hitcount ({}) is larger than allowed maximum ({})", self.hitcount, MAX_STAMPS - 1));
        }
        Ok(())
    }

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        match given.name() {
            "--set" => self.verb(Verb::Set, given)?,
            "--rcheck" => self.verb(Verb::Rcheck, given)?,
            "--update" => self.verb(Verb::Update, given)?,
            "--remove" => self.verb(Verb::Remove, given)?,
            "--seconds" => {
                self.seconds = given.number(u64::from(u32::MAX))? as u32;
                if self.seconds == 0 {
                    return Err(given.fail("--seconds needs at least 1"));
                }
            }
            "--hitcount" => self.hitcount = given.number(u64::from(u32::MAX))? as u32,
            "--reap" => self.reap = true,
            "--rttl" => self.rttl = true,
            "--rsource" => self.dest = false,
            "--rdest" => self.dest = true,
            "--name" => {
                self.name = given.value(|text| match text.len() {
                    1..=MAX_NAME if text.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b'"') => {
                        Ok(text.into())
                    }
                    _ => Err(format!("a list has a name of 1 to {MAX_NAME} visible characters without / and quotes")),
                })?;
            }
            "--mask" => {
                self.mask = given.value(|text| text.parse().map_err(|_| format!("invalid mask {text:?}")))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        match self.verb {
            None => Err("one of --set, --rcheck, --update and --remove is missing".into()),
            Some(Verb::Set | Verb::Remove) if self.seconds > 0 || self.hitcount > 0 || self.reap || self.rttl => {
                Err("--set and --remove take no --seconds, --hitcount, --reap or --rttl".into())
            }
            _ if self.reap && self.seconds == 0 => Err("--reap also requires --seconds".into()),
            _ => Ok(()),
        }
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let packet = &question.packet;
        let addr = masked(if self.dest { packet.ip.dst } else { packet.ip.src }, self.mask);
        // The TTL as seen before forwarding, which has already taken one off.
        let forwarded = !packet.in_dev.is_empty() && !packet.out_dev.is_empty();
        let ttl = packet.ip.ttl.wrapping_add(u8::from(forwarded));
        let now = packet.now;
        let list = question.recent.list(&self.name, self.stamps());
        let wanted_ttl = if self.rttl { ttl } else { 0 };
        let Some(at) = list.find(addr, wanted_ttl) else {
            if self.verb == Some(Verb::Set) {
                list.enter(addr, ttl, now);
                return (!self.invert).into();
            }
            return self.invert.into();
        };
        let hit = match self.verb {
            Some(Verb::Set | Verb::Remove) => true,
            _ => list.hits(at, now, Duration::from_secs(u64::from(self.seconds))) >= self.hitcount.max(1),
        };
        let fits = hit != self.invert;
        let refresh = self.verb == Some(Verb::Set) || (self.verb == Some(Verb::Update) && fits);
        if self.verb == Some(Verb::Remove) {
            list.remove(at);
        } else {
            let reaped = self.reap && list.reap(now, Duration::from_secs(u64::from(self.seconds)), at, refresh);
            if refresh {
                list.stamp(at - usize::from(reaped), ttl, now);
            }
        }
        fits.into()
    }
}

/// What of an address counts.
fn masked(addr: IpAddr, mask: IpAddr) -> IpAddr {
    match (addr, mask) {
        (IpAddr::V4(addr), IpAddr::V4(mask)) => IpAddr::V4(addr & mask),
        (IpAddr::V6(addr), IpAddr::V6(mask)) => IpAddr::V6(addr & mask),
        _ => addr,
    }
}

/// The mask of which every bit counts.
const fn whole(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::BROADCAST),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)),
    }
}

impl fmt::Display for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(verb) = self.verb {
            let name = match verb {
                Verb::Set => "--set",
                Verb::Rcheck => "--rcheck",
                Verb::Update => "--update",
                Verb::Remove => "--remove",
            };
            write!(f, " {}{name}", if self.invert { "! " } else { "" })?;
        }
        if self.seconds > 0 {
            write!(f, " --seconds {}", self.seconds)?;
        }
        if self.reap {
            f.write_str(" --reap")?;
        }
        if self.hitcount > 0 {
            write!(f, " --hitcount {}", self.hitcount)?;
        }
        if self.rttl {
            f.write_str(" --rttl")?;
        }
        let side = if self.dest { "--rdest" } else { "--rsource" };
        write!(f, " --name {} --mask {} {side}", self.name, self.mask)
    }
}
