//! `-m limit`: a token bucket.
//!
//! iptables 1.8.9 hands it to nft's own limit, which counts nanoseconds (net/netfilter/nft_limit.c,
//! `nft_limit_eval`); the rate keeps the resolution of `struct xt_rateinfo`.

use std::fmt;

use super::{Answer, Kind, Question};
use crate::engine::time::{Duration, Instant};
use crate::netfilter::rules::state::MatchMemory;
use crate::netfilter::text::{Given, TextError, number};

/// Parts of a second in which an interval is kept (include/uapi/linux/netfilter/xt_limit.h, `XT_LIMIT_SCALE`).
const SCALE: u32 = 10_000;

/// Units of time with their length in parts of a second, longest first.
const UNITS: [(&str, u32); 4] =
    [("day", SCALE * 24 * 60 * 60), ("hour", SCALE * 60 * 60), ("min", SCALE * 60), ("sec", SCALE)];

/// So many per time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limit {
    /// Time per packet, in 1/10,000 s; at least 1.
    interval: u32,
    /// `--limit-burst`: how many may come at once; at least 1.
    burst: u32,
}

impl Default for Limit {
    /// 3 per hour, 5 at once (extensions/libxt_limit.c).
    fn default() -> Self {
        Self { interval: UNITS[1].1 / 3, burst: 5 }
    }
}

impl Limit {
    fn cost(&self) -> Duration {
        Duration::from_micros(u64::from(self.interval) * u64::from(1_000_000 / SCALE))
    }

    fn most(&self) -> Duration {
        self.cost().saturating_mul(u64::from(self.burst))
    }
}

/// Reads `5/sec`, `3/hour`, `7`: the interval between two packets.
fn interval(text: &str) -> Result<u32, String> {
    let (rate, unit) = text.split_once('/').unwrap_or((text, "second"));
    let names = [("second", SCALE), ("minute", UNITS[2].1), ("hour", UNITS[1].1), ("day", UNITS[0].1)];
    let known = |(name, _): &&(&str, u32)| !unit.is_empty() && name.starts_with(&unit.to_ascii_lowercase());
    let (Some(rate @ 1..), Some((_, length))) = (number(rate, u64::from(u32::MAX)), names.iter().find(known)) else {
        return Err(format!("invalid rate {text:?}: NUMBER/second, /minute, /hour or /day is expected"));
    };
    match u64::from(*length) / rate {
        0 => Err(format!("rate too fast {text:?}: at most {SCALE} per second")),
        interval => Ok(interval as u32),
    }
}

impl Kind for Limit {
    const NAME: &'static str = "limit";

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        match given.name() {
            "--limit" => self.interval = given.value(interval)?,
            "--limit-burst" => {
                self.burst = given.number(10_000)? as u32;
                if self.burst == 0 {
                    return Err(given.fail("--limit-burst needs at least 1"));
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn memory(&self) -> MatchMemory {
        MatchMemory::Bucket { tokens: self.most(), last: Instant::START }
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let MatchMemory::Bucket { tokens, last } = &mut question.memory else {
            unreachable!("limit without its bucket");
        };
        let now = question.packet.now;
        let filled = (*tokens + now.since(*last)).min(self.most());
        *last = now;
        let passes = filled >= self.cost();
        *tokens = if passes { filled - self.cost() } else { filled };
        passes.into()
    }
}

impl fmt::Display for Limit {
    /// The longest unit in which the rate is a number without much rest (extensions/libxt_limit.c, `print_rate`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bad = |length: u32| self.interval > length || length / self.interval < length % self.interval;
        let fitting = UNITS[1..].iter().take_while(|(_, length)| !bad(*length)).count();
        let (name, length) = UNITS[fitting];
        write!(f, " --limit {}/{name}", length / self.interval)?;
        if self.burst != 5 {
            write!(f, " --limit-burst {}", self.burst)?;
        }
        Ok(())
    }
}
