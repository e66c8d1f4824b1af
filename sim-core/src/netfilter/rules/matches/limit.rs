//! `-m limit`: a token bucket.
//!
//! iptables 1.8.9 hands it to nft's own limit, which counts nanoseconds (net/netfilter/nft_limit.c,
//! `nft_limit_eval`); the rate keeps the resolution of `struct xt_rateinfo`.

use std::fmt;

use super::{Answer, Kind, Question, rate};
use crate::engine::mutant::Mutant;
use crate::engine::time::{Duration, Instant};
use crate::netfilter::rules::state::MatchMemory;
use crate::netfilter::text::{Given, TextError};

/// Parts of a second in which an interval is kept (include/uapi/linux/netfilter/xt_limit.h, `XT_LIMIT_SCALE`).
const SCALE: u32 = 10_000;

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
        Self { interval: SCALE * 60 * 60 / 3, burst: 5 }
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

impl Kind for Limit {
    const NAME: &'static str = "limit";

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        match given.name() {
            "--limit" => self.interval = given.value(|text| rate::read(text, u64::from(SCALE)))?.0 as u32,
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
        let more = question.packet.planted.is(Mutant::LimitOneMore) && *last == Instant::START;
        let filled = (*tokens + now.since(*last)).min(self.most()) + self.cost().saturating_mul(more.into());
        *last = now;
        let passes = filled >= self.cost();
        *tokens = if passes { filled - self.cost() } else { filled };
        passes.into()
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " --limit {}", rate::shown(u64::from(self.interval), u64::from(SCALE)).0)?;
        if self.burst != 5 {
            write!(f, " --limit-burst {}", self.burst)?;
        }
        Ok(())
    }
}
