//! A client's own limit of requests in a second (client-go `rest.Config`: QPS and Burst).

use sim_core::engine::time::{Duration, Instant};

/// A token bucket, kept as the time at which it would be full again (the generic cell rate algorithm).
#[derive(Clone, Debug)]
pub(super) struct Limiter {
    /// Time in which one request's worth flows back.
    each: Duration,
    burst: u64,
    full_at: Instant,
}

impl Limiter {
    /// `qps` requests a second, `burst` of them at once.
    pub(super) fn new(qps: u64, burst: u64) -> Self {
        Self { each: Duration::from_nanos(1_000_000_000 / qps.max(1)), burst: burst.max(1), full_at: Instant::START }
    }

    /// When a request that wants to go at `now` may go.
    pub(super) fn admit(&mut self, now: Instant) -> Instant {
        let full_at = self.full_at.max(now);
        let room = self.each.saturating_mul(self.burst - 1);
        let goes = if full_at.since(now) > room { now + (full_at.since(now) - room) } else { now };
        self.full_at = full_at + self.each;
        goes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_then_one_after_the_other() {
        let mut limiter = Limiter::new(10, 3);
        let start = Instant::START + Duration::from_secs(1);
        let went: Vec<u64> = (0..5).map(|_| limiter.admit(start).since(start).as_millis()).collect();
        assert_eq!(went, [0, 0, 0, 100, 200]);
        let later = start + Duration::from_secs(60);
        assert_eq!(limiter.admit(later), later);
    }
}
