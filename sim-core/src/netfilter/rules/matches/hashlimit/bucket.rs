//! What a table knows about packets of one kind.

use super::Limits;
use crate::engine::time::{Duration, Instant};

/// What has come of one kind.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// When it was last asked.
    pub(super) last: Instant,
    meter: Meter,
}

#[derive(Clone, Debug)]
enum Meter {
    /// Credits that time brings and packets cost.
    Credits {
        /// What is saved up, in the unit of the rate.
        credits: u64,
        /// Of bytes: how often it may still be filled when it does not suffice (`credit_cap`).
        refills: u64,
    },
    /// `--hashlimit-rate-match`: what came since a moment, and whether it was too much in the window before.
    Window { begun: Instant, came: u64, before: bool },
}

impl Bucket {
    /// As it is when the first packet comes (`rateinfo_init`).
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        let meter = match limits.window {
            Some(_) => Meter::Window { begun: now, came: 0, before: false },
            None => {
                Meter::Credits { credits: limits.rate.most(limits.burst), refills: limits.rate.refills(limits.burst) }
            }
        };
        Self { last: now, meter }
    }

    /// Whether a packet of `len` bytes is within the limits (`rateinfo_recalc`, `hashlimit_mt_common`).
    pub(super) fn take(&mut self, limits: &Limits, len: u64, now: Instant) -> bool {
        let passed = now.since(std::mem::replace(&mut self.last, now));
        let rate = limits.rate;
        match &mut self.meter {
            Meter::Credits { credits, refills } => {
                let (most, cost) = (rate.most(limits.burst), rate.cost(len));
                *credits = credits.saturating_add(rate.brought(passed.as_nanos())).min(most);
                if *credits < cost && *refills > 0 {
                    *refills -= 1;
                    *credits = most;
                }
                let enough = *credits >= cost;
                *credits -= if enough { cost } else { 0 };
                enough
            }
            Meter::Window { begun, came, before } => {
                let window = Duration::from_secs(u64::from(limits.window.unwrap_or(1)));
                let passed = now.since(*begun);
                if passed >= window {
                    let share = |n: u64, time: Duration| u128::from(n) * u128::from(time.as_nanos());
                    *before = share(*came, window) > share(rate.per_window(), passed);
                    (*begun, *came) = (now, 0);
                }
                *came += rate.counted(len);
                !*before && *came <= rate.window_burst(limits.burst)
            }
        }
    }
}
