//! CUBIC with HyStart as in net/ipv4/tcp_cubic.c: fixed-point integers, a clock of 4 ms (HZ 250).

use super::super::seq;
use super::Sample;
use crate::engine::time::{Duration, Instant};

/// Fixed point of the kernel's beta: 717/1024 = 0.7.
const BETA_SCALE: u32 = 1024;
const BETA: u32 = 717;
/// 0.4 segments per cubed second, times 1024.
const CUBE_RTT_SCALE: u64 = 410;
/// 2^40 / 410.
const CUBE_FACTOR: u64 = (1 << 40) / CUBE_RTT_SCALE;
/// 8 * (1024 + 717) / 3 / (1024 - 717): how CUBIC follows Reno.
const FRIENDLY_SCALE: u32 = 8 * (BETA_SCALE + BETA) / 3 / (BETA_SCALE - BETA);
/// Kernel ticks per second.
const HZ: u64 = 250;
/// HyStart acts from this window on, in segments.
const HYSTART_LOW_WINDOW: u32 = 16;
const HYSTART_MIN_SAMPLES: u32 = 8;

/// The state of one connection's CUBIC.
#[derive(Clone, Debug, Default)]
pub(super) struct Cubic {
    cnt: u32,
    last_max_cwnd: u32,
    last_cwnd: u32,
    last_time: u64,
    origin: u32,
    k: u64,
    delay_min_us: u64,
    epoch_start: Option<u64>,
    ack_cnt: u32,
    tcp_cwnd: u32,
    hystart: Hystart,
}

/// The search for the end of slow start.
#[derive(Clone, Debug, Default)]
struct Hystart {
    found: bool,
    started: bool,
    samples: u32,
    end_seq: u32,
    round_start: Instant,
    last_ack: Instant,
    least_rtt_us: u64,
}

fn ticks(at: Instant) -> u64 {
    at.as_nanos() / (1_000_000_000 / HZ)
}

impl Cubic {
    /// `cubictcp_recalc_ssthresh`.
    pub(super) fn reduced(&mut self, cwnd: u32) -> u32 {
        self.epoch_start = None;
        let fast_convergence = cwnd < self.last_max_cwnd;
        self.last_max_cwnd = if fast_convergence { cwnd * (BETA_SCALE + BETA) / (2 * BETA_SCALE) } else { cwnd };
        (cwnd * BETA / BETA_SCALE).max(2)
    }

    /// How many acknowledged segments open the window by one (`bictcp_update`).
    pub(super) fn acks_per_step(&mut self, now: Instant, cwnd: u32, acked: u32) -> u32 {
        let tick = ticks(now);
        self.ack_cnt += acked;
        if self.last_cwnd == cwnd && self.cnt != 0 && tick.saturating_sub(self.last_time) <= HZ / 32 {
            return self.cnt;
        }
        if self.epoch_start.is_none() || tick != self.last_time {
            self.last_cwnd = cwnd;
            self.last_time = tick;
            self.cnt = self.along_the_curve(tick, cwnd, acked);
        }
        self.cnt = self.at_least_reno(cwnd).max(2);
        self.cnt
    }

    fn along_the_curve(&mut self, tick: u64, cwnd: u32, acked: u32) -> u32 {
        let start = match self.epoch_start {
            Some(start) => start,
            None => {
                self.ack_cnt = acked;
                self.tcp_cwnd = cwnd;
                let below = self.last_max_cwnd.saturating_sub(cwnd);
                self.k = cubic_root(CUBE_FACTOR * u64::from(below));
                self.origin = self.last_max_cwnd.max(cwnd);
                *self.epoch_start.insert(tick)
            }
        };
        let delay = (self.delay_min_us * HZ).div_ceil(1_000_000);
        let t = ((tick - start + delay) << 10) / HZ;
        let offset = u128::from(t.abs_diff(self.k));
        let delta = ((u128::from(CUBE_RTT_SCALE) * offset * offset * offset) >> 40).min(u128::from(u32::MAX)) as u32;
        let target = if t < self.k { self.origin.saturating_sub(delta) } else { self.origin.saturating_add(delta) };
        let cnt = if target > cwnd { cwnd / (target - cwnd) } else { 100 * cwnd };
        if self.last_max_cwnd == 0 { cnt.min(20) } else { cnt }
    }

    fn at_least_reno(&mut self, cwnd: u32) -> u32 {
        let delta = ((cwnd * FRIENDLY_SCALE) >> 3).max(1);
        self.tcp_cwnd += self.ack_cnt.saturating_sub(1) / delta;
        self.ack_cnt -= self.ack_cnt.saturating_sub(1) / delta * delta;
        if self.tcp_cwnd > cwnd { self.cnt.min(cwnd / (self.tcp_cwnd - cwnd)) } else { self.cnt }
    }

    /// Takes an RTT; whether slow start should end here (`cubictcp_acked`).
    pub(super) fn acked(&mut self, sample: &Sample, cwnd: u32, slow_start: bool) -> bool {
        // Samples right after fast recovery are discarded.
        if self.epoch_start.is_some_and(|start| ticks(sample.now) - start < HZ) {
            return false;
        }
        let delay = sample.rtt_us.max(1);
        if self.delay_min_us == 0 || self.delay_min_us > delay {
            self.delay_min_us = delay;
        }
        if self.hystart.found || !slow_start {
            return false;
        }
        let delay_min = self.delay_min_us;
        self.hystart.found = self.hystart.ends(sample, delay, delay_min, cwnd);
        self.hystart.found
    }

    pub(super) fn transmission_starts(&mut self, now: Instant, last_sent: Instant) {
        let idle = ticks(now) - ticks(last_sent).min(ticks(now));
        if let Some(start) = &mut self.epoch_start {
            *start = (*start + idle).min(ticks(now));
        }
    }

    pub(super) fn reset(&mut self, sample: &Sample) {
        *self = Self { hystart: Hystart::round(sample), ..Self::default() };
    }
}

impl Hystart {
    fn round(sample: &Sample) -> Self {
        Self {
            found: false,
            started: true,
            samples: 0,
            end_seq: sample.nxt,
            round_start: sample.now,
            last_ack: sample.now,
            least_rtt_us: u64::MAX,
        }
    }

    /// Whether the ACK train or the delay says that the path is full (`hystart_update`).
    fn ends(&mut self, sample: &Sample, delay: u64, delay_min: u64, cwnd: u32) -> bool {
        if !self.started || seq::after(sample.una, self.end_seq) {
            *self = Self::round(sample);
        }
        if cwnd < HYSTART_LOW_WINDOW {
            return false;
        }
        let mut found = false;
        if sample.now.since(self.last_ack) <= Duration::from_micros(2000) {
            self.last_ack = sample.now;
            let burst = (65_536u64 * 4 * 1_000_000).checked_div(sample.pacing_rate).unwrap_or(0).min(1000);
            found |= sample.now.since(self.round_start).as_micros() > (delay_min + burst) >> 1;
        }
        self.least_rtt_us = self.least_rtt_us.min(delay);
        if self.samples < HYSTART_MIN_SAMPLES {
            self.samples += 1;
        } else {
            found |= self.least_rtt_us > delay_min + (delay_min >> 3).clamp(4000, 16_000);
        }
        found
    }
}

/// The integer cube root.
fn cubic_root(n: u64) -> u64 {
    let mut root = 0u64;
    for bit in (0..22).rev() {
        let next = root | 1 << bit;
        if next * next * next <= n {
            root = next;
        }
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_leaves_seven_tenths() {
        assert_eq!(Cubic::default().reduced(10), 7);
        assert_eq!(Cubic::default().reduced(2), 2);
    }

    #[test]
    fn the_cube_root_is_exact() {
        for n in [0u64, 1, 7, 8, 26, 27, CUBE_FACTOR * 3000] {
            let r = cubic_root(n);
            assert!(r.pow(3) <= n && (r + 1).pow(3) > n, "{n}");
        }
    }

    #[test]
    fn the_window_returns_to_its_old_size_in_k_seconds() {
        let mut c = Cubic::default();
        let mut cwnd = c.reduced(100);
        let (mut now, mut acked) = (Instant::START, 0);
        // One window of ACKs per 100 ms.
        while cwnd < 100 {
            let window = cwnd;
            for _ in 0..window {
                acked += 1;
                if acked >= c.acks_per_step(now, cwnd, 1) {
                    acked = 0;
                    cwnd += 1;
                }
            }
            now += Duration::from_millis(100);
        }
        // K = cbrt(30 / 0.4) = 4.2 s (RFC 9438 4.2).
        let seconds = now.as_nanos() / 1_000_000_000;
        assert!((3..=5).contains(&seconds), "{now}");
    }
}
