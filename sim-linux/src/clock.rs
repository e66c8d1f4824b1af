//! The machine's clock, in the lab's words. Packets bear stamps of the real-time clock, waits are measured by the one
//! that nobody sets.

use nix::time::{ClockId, clock_gettime};
use sim_core::engine::time::Instant;

/// Now, by the clock that nobody sets (`CLOCK_MONOTONIC`).
pub(crate) fn now() -> Instant {
    Instant::from_nanos(nanos(ClockId::CLOCK_MONOTONIC))
}

/// Turns stamps of the real-time clock into moments of [`now`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamps {
    /// What the real-time clock is ahead, in nanoseconds.
    ahead: u64,
}

impl Stamps {
    /// Takes the difference of the two clocks once, so that packets keep their order.
    pub(crate) fn new() -> Self {
        Self { ahead: nanos(ClockId::CLOCK_REALTIME).saturating_sub(nanos(ClockId::CLOCK_MONOTONIC)) }
    }

    /// The moment of a stamp.
    pub(crate) fn moment(self, seconds: u32, nanos: u32) -> Instant {
        let real = u64::from(seconds) * 1_000_000_000 + u64::from(nanos);
        Instant::from_nanos(real.saturating_sub(self.ahead))
    }
}

fn nanos(clock: ClockId) -> u64 {
    // Linux has both clocks, always.
    clock_gettime(clock).map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}
