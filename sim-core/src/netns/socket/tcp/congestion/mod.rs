//! Congestion control: the congestion window and the algorithm that moves it.
//!
//! What is common to all algorithms is here (net/ipv4/tcp_cong.c); [`cubic`] and [`reno`] say how
//! the window grows and how far it falls.

mod cubic;
mod reno;

use crate::engine::time::{Duration, Instant};

use cubic::Cubic;

/// Which congestion control a socket uses (TCP_CONGESTION).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Algorithm {
    /// CUBIC (RFC 9438), Linux's default.
    #[default]
    Cubic,
    /// NewReno (RFC 5681).
    Reno,
}

impl std::str::FromStr for Algorithm {
    type Err = ();
    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "cubic" => Ok(Self::Cubic),
            "reno" => Ok(Self::Reno),
            _ => Err(()),
        }
    }
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cubic => "cubic",
            Self::Reno => "reno",
        })
    }
}

/// Segments that may be in flight at the start (RFC 6928; `TCP_INIT_CWND`).
pub(super) const INITIAL_WINDOW: u32 = 10;
/// A slow start threshold that was never set (`TCP_INFINITE_SSTHRESH`).
pub(super) const INFINITE: u32 = 0x7fff_ffff;

/// What an algorithm wants to know about an ACK.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// When it came.
    pub(super) now: Instant,
    /// Its round-trip time in microseconds.
    pub(super) rtt_us: u64,
    /// The first sequence number not acknowledged.
    pub(super) una: u32,
    /// The next sequence number to be sent.
    pub(super) nxt: u32,
    /// Bytes per second of the pacing rate.
    pub(super) pacing_rate: u64,
}

#[derive(Clone, Debug)]
enum Control {
    Cubic(Cubic),
    Reno,
}

/// The congestion window of a connection, in segments.
#[derive(Clone, Debug)]
pub(super) struct Congestion {
    /// The congestion window.
    pub(super) cwnd: u32,
    /// Acknowledged segments that have not yet moved the window.
    pub(super) cwnd_cnt: u32,
    /// The slow start threshold.
    pub(super) ssthresh: u32,
    /// When the window was last found full or was changed.
    pub(super) stamp: Instant,
    /// Most segments in flight since then.
    pub(super) used: u32,
    /// Whether the window held sending back in the current round.
    pub(super) is_limited: bool,
    /// Most segments outstanding in the current round.
    pub(super) max_packets_out: u32,
    /// The end of the current round.
    pub(super) usage_seq: u32,
    control: Control,
}

impl Congestion {
    pub(super) fn new(algorithm: Algorithm, now: Instant) -> Self {
        let control = match algorithm {
            Algorithm::Cubic => Control::Cubic(Cubic::default()),
            Algorithm::Reno => Control::Reno,
        };
        Self {
            cwnd: INITIAL_WINDOW,
            cwnd_cnt: 0,
            ssthresh: INFINITE,
            stamp: now,
            used: 0,
            is_limited: false,
            max_packets_out: 0,
            usage_seq: 0,
            control,
        }
    }

    pub(super) fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// The threshold after a loss (`icsk_ca_ops->ssthresh`).
    pub(super) fn reduced(&mut self) -> u32 {
        match &mut self.control {
            Control::Cubic(c) => c.reduced(self.cwnd),
            Control::Reno => reno::reduced(self.cwnd),
        }
    }

    /// The threshold an application-limited pause leaves: three quarters of the window
    /// (include/net/tcp.h, `tcp_current_ssthresh`).
    pub(super) fn current_ssthresh(&self, in_reduction: bool) -> u32 {
        if in_reduction { self.ssthresh } else { self.ssthresh.max((self.cwnd >> 1) + (self.cwnd >> 2)) }
    }

    /// An ACK delivered `acked` segments and the window may grow.
    pub(super) fn avoid(&mut self, now: Instant, mut acked: u32) {
        if !self.used_fully() {
            return;
        }
        if self.in_slow_start() {
            acked = self.slow_start(acked);
            if acked == 0 {
                return;
            }
        }
        let segments = match &mut self.control {
            Control::Cubic(c) => c.acks_per_step(now, self.cwnd, acked),
            Control::Reno => self.cwnd,
        };
        self.additive_increase(segments, acked);
    }

    /// `tcp_is_cwnd_limited`: in slow start the window may reach twice what was in flight.
    fn used_fully(&self) -> bool {
        self.is_limited || (self.in_slow_start() && self.cwnd < 2 * self.max_packets_out)
    }

    /// Returns the acknowledged segments left over at the threshold (`tcp_slow_start`).
    fn slow_start(&mut self, acked: u32) -> u32 {
        let cwnd = (self.cwnd + acked).min(self.ssthresh);
        let left = acked - (cwnd - self.cwnd);
        self.cwnd = cwnd;
        left
    }

    /// One segment more per `per_step` acknowledged ones (`tcp_cong_avoid_ai`).
    fn additive_increase(&mut self, per_step: u32, acked: u32) {
        if self.cwnd_cnt >= per_step {
            self.cwnd_cnt = 0;
            self.cwnd += 1;
        }
        self.cwnd_cnt += acked;
        if self.cwnd_cnt >= per_step {
            let steps = self.cwnd_cnt / per_step;
            self.cwnd_cnt -= steps * per_step;
            self.cwnd += steps;
        }
    }

    /// A round-trip time was measured (`pkts_acked`).
    pub(super) fn acked(&mut self, sample: &Sample) {
        let slow_start = self.in_slow_start();
        if let Control::Cubic(c) = &mut self.control
            && c.acked(sample, self.cwnd, slow_start)
        {
            self.ssthresh = self.cwnd;
        }
    }

    /// Sending begins again after a pause that lasted since `last_sent` (`CA_EVENT_TX_START`).
    pub(super) fn transmission_starts(&mut self, now: Instant, last_sent: Instant) {
        if let Control::Cubic(c) = &mut self.control {
            c.transmission_starts(now, last_sent);
        }
    }

    /// A retransmission timeout begins (`TCP_CA_Loss`).
    pub(super) fn timed_out(&mut self, sample: &Sample) {
        if let Control::Cubic(c) = &mut self.control {
            c.reset(sample);
        }
    }

    /// The window after an idle time longer than the RTO (RFC 2861; `tcp_cwnd_restart`).
    pub(super) fn restart(&mut self, now: Instant, idle: Duration, rto: Duration) {
        self.ssthresh = self.current_ssthresh(false);
        let restart = INITIAL_WINDOW.min(self.cwnd);
        let mut left = idle - rto;
        while left > Duration::ZERO && self.cwnd > restart {
            self.cwnd >>= 1;
            left = left - rto;
        }
        self.cwnd = self.cwnd.max(restart);
        self.stamp = now;
        self.used = 0;
    }

    /// The application did not fill the window for an RTO (`tcp_cwnd_application_limited`).
    pub(super) fn application_limited(&mut self, now: Instant) {
        let used = self.used.max(INITIAL_WINDOW);
        if used < self.cwnd {
            self.ssthresh = self.current_ssthresh(false);
            self.cwnd = (self.cwnd + used) >> 1;
        }
        self.used = 0;
        self.stamp = now;
    }
}
