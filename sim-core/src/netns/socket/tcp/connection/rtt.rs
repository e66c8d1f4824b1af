//! Round-trip time and the retransmission timeout (RFC 6298 as net/ipv4/tcp_input.c does it).
//!
//! The least deviation (`tcp_rto_min_us`, 200 ms) is *added* to the smoothed RTT (fact 78). The kernel rounds the RTO up to a tick of its
//! timers; ours is exact.

use super::super::seq;
use crate::engine::time::Duration;

/// `TCP_RTO_MIN`: what zero window probes and the end of an outage are reckoned with, whatever `tcp_rto_min_us` says.
pub(in super::super) const RTO_MIN: Duration = Duration::from_millis(200);
/// `TCP_RTO_MAX`.
pub(in super::super) const RTO_MAX: Duration = Duration::from_secs(120);
/// `TCP_TIMEOUT_INIT`: the RTO before the first sample (RFC 6298 2.1).
pub(in super::super) const RTO_INITIAL: Duration = Duration::from_secs(1);
/// `TCP_TIMEOUT_FALLBACK`: the RTO of data if the handshake gave no RTT (RFC 6298 5.7).
const RTO_FALLBACK: Duration = Duration::from_secs(3);
/// One tick of the kernel's timers at HZ 250.
pub(in super::super) const TICK: Duration = Duration::from_millis(4);
/// `TCP_TIMEOUT_MIN_US`: least time a probe or the reordering timer waits beyond the RTT.
pub(in super::super) const TIMEOUT_MIN: Duration = Duration::from_millis(2);

/// `wait` in whole ticks, as the kernel sets its shortest timers (`usecs_to_jiffies`).
pub(super) fn in_ticks(wait: Duration) -> Duration {
    TICK.saturating_mul(wait.as_nanos().div_ceil(TICK.as_nanos()))
}

/// What is known about a connection's round-trip time; microseconds.
#[derive(Clone, Debug)]
pub(in super::super) struct Rtt {
    /// Eight times the smoothed RTT; 0 before the first sample.
    pub(super) srtt8: u64,
    /// Least deviation in the RTO (`icsk_rto_min`).
    pub(super) rto_min: Duration,
    mdev: u64,
    mdev_max: u64,
    rttvar: u64,
    /// Until this is acknowledged `mdev_max` is not taken over.
    seq: u32,
    /// Least RTT seen.
    pub(super) min: u64,
    /// The retransmission timeout with its doublings.
    pub(super) rto: Duration,
    /// Doublings of the RTO or of the zero window probe.
    pub(super) backoff: u32,
}

impl Rtt {
    /// Nothing is known yet.
    pub(super) const fn new(rto_min: Duration) -> Self {
        let rto = RTO_INITIAL;
        Self { srtt8: 0, rto_min, mdev: 0, mdev_max: 0, rttvar: 0, seq: 0, min: u64::MAX, rto, backoff: 0 }
    }

    /// The handshake is over: where it gave no RTT, be patient (`tcp_init_metrics`).
    pub(super) fn start(&mut self) {
        if self.srtt8 == 0 {
            self.rttvar = RTO_FALLBACK.as_micros();
            (self.mdev, self.mdev_max, self.rto) = (self.rttvar, self.rttvar, RTO_FALLBACK);
        }
    }

    /// The smoothed RTT.
    pub(super) fn smoothed(&self) -> Duration {
        Duration::from_micros(self.srtt8 >> 3)
    }

    /// Takes one measurement and sets the RTO from it (`tcp_rtt_estimator`, `tcp_set_rto`).
    pub(super) fn sample(&mut self, us: u64, una: u32, nxt: u32) {
        if self.srtt8 == 0 {
            self.srtt8 = (us << 3).max(1);
            self.mdev = us << 1;
            self.rttvar = self.mdev.max(self.rto_min.as_micros());
            self.mdev_max = self.rttvar;
            self.seq = nxt;
        } else {
            self.smooth(us as i64, una, nxt);
        }
        self.rto = self.computed();
        self.backoff = 0;
    }

    fn smooth(&mut self, us: i64, una: u32, nxt: u32) {
        let mut m = us - (self.srtt8 >> 3) as i64;
        self.srtt8 = (self.srtt8 as i64 + m).max(1) as u64;
        if m < 0 {
            // A shorter RTT lowers the deviation more slowly: else it would sink while the RTT sinks.
            m = -m - (self.mdev >> 2) as i64;
            if m > 0 {
                m >>= 3;
            }
        } else {
            m -= (self.mdev >> 2) as i64;
        }
        self.mdev = (self.mdev as i64 + m).max(0) as u64;
        if self.mdev > self.mdev_max {
            self.mdev_max = self.mdev;
            self.rttvar = self.rttvar.max(self.mdev_max);
        }
        if seq::after(una, self.seq) {
            if self.mdev_max < self.rttvar {
                self.rttvar -= (self.rttvar - self.mdev_max) >> 2;
            }
            self.seq = nxt;
            self.mdev_max = self.rto_min.as_micros();
        }
    }

    /// The RTO without doublings (`__tcp_set_rto`).
    pub(super) fn computed(&self) -> Duration {
        Duration::from_micros((self.srtt8 >> 3) + self.rttvar).min(RTO_MAX)
    }

    /// The RTO that `backoff` doublings make of the present estimate.
    pub(super) fn backed_off(&self) -> Duration {
        let base = if self.srtt8 == 0 { RTO_INITIAL } else { self.computed() };
        base.saturating_mul(1 << self.backoff.min(20)).min(RTO_MAX)
    }

    /// Doubles the RTO.
    pub(super) fn back_off(&mut self) {
        self.backoff += 1;
        self.rto = self.rto.saturating_mul(2).min(RTO_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fact 78.
    #[test]
    fn the_least_deviation_is_added_to_the_smoothed_rtt() {
        let mut rtt = Rtt::new(RTO_MIN);
        rtt.sample(1_000, 1, 1);
        assert_eq!(rtt.rto, Duration::from_millis(201));
        let mut slow = Rtt::new(RTO_MIN);
        (0..10).for_each(|n| slow.sample(100_000, n, n));
        assert_eq!(slow.rto, Duration::from_millis(300));
    }

    #[test]
    fn a_sample_ends_the_doubling() {
        let mut rtt = Rtt::new(RTO_MIN);
        rtt.sample(1_000, 1, 1);
        rtt.back_off();
        assert_eq!(rtt.rto, Duration::from_millis(402));
        rtt.sample(1_000, 2, 3);
        assert_eq!((rtt.rto, rtt.backoff), (Duration::from_millis(201), 0));
    }
}
