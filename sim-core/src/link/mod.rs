//! Underlay wires: the only place where a frame takes time, waits, or is lost by chance.

use crate::engine::arena::{DevId, LinkId, NetnsId};
use crate::engine::rng::{Seed, Stream};
use crate::engine::time::{Duration, Instant};
use crate::engine::trail::DropReason;

/// How a wire behaves, the same in both directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkConfig {
    /// Time from one end to the other. Default 50 us: two hops of a data-centre network.
    pub delay: Duration,
    /// Largest random addition to the delay, each equally likely; frames may overtake each other. Default none.
    pub jitter: Duration,
    /// Bits per second; `None` for no limit. Default none.
    pub rate: Option<u64>,
    /// Frames that wait for a limited rate. Default 1000 (`txqueuelen`).
    pub queue: u32,
    /// Frames lost, in millionths. Default none.
    pub loss: u32,
    /// Frames sent twice, in millionths. Default none.
    pub duplicate: u32,
    /// Frames with one bit turned, in millionths. Default none.
    pub corrupt: u32,
    /// Nothing passes.
    pub down: bool,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            delay: Duration::from_micros(50),
            jitter: Duration::ZERO,
            rate: None,
            queue: 1000,
            loss: 0,
            duplicate: 0,
            corrupt: 0,
            down: false,
        }
    }
}

/// One wire with its two ends.
#[derive(Clone, Debug)]
pub struct Link {
    /// How it behaves.
    pub config: LinkConfig,
    ends: [(NetnsId, DevId); 2],
    busy_until: [Instant; 2],
    rng: Stream,
}

/// What a wire did with a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passage {
    /// It arrives at the other end then; and a second time, if it was duplicated.
    Arrives {
        /// When.
        at: Instant,
        /// When its duplicate arrives.
        again: Option<Instant>,
        /// Which bit of it is turned, modulo its length.
        flip: Option<u32>,
    },
    /// It does not arrive.
    Lost(DropReason),
}

impl Link {
    /// A wire between two devices.
    pub fn new(id: LinkId, config: LinkConfig, ends: [(NetnsId, DevId); 2], seed: Seed) -> Self {
        Self { config, ends, busy_until: [Instant::START; 2], rng: seed.stream("link", u64::from(id.0)) }
    }

    /// The device at the other end.
    pub fn far_end(&self, end: u8) -> (NetnsId, DevId) {
        self.ends[usize::from(end ^ 1) & 1]
    }

    /// Sends a frame of `len` bytes into `end`.
    pub fn send(&mut self, end: u8, len: usize, now: Instant) -> Passage {
        if self.config.down {
            return Passage::Lost(DropReason::LinkDown);
        }
        let Some(sent) = self.serialize(usize::from(end) & 1, len, now) else {
            return Passage::Lost(DropReason::LinkQueueFull);
        };
        if self.chance(self.config.loss) {
            return Passage::Lost(DropReason::LinkLoss);
        }
        let at = self.arrival(sent);
        let again = self.chance(self.config.duplicate).then(|| self.arrival(sent));
        let flip = self.chance(self.config.corrupt).then(|| self.rng.next_u32());
        Passage::Arrives { at, again, flip }
    }

    /// When the last bit is on the wire; `None` if the queue is full.
    fn serialize(&mut self, end: usize, len: usize, now: Instant) -> Option<Instant> {
        let Some(rate) = self.config.rate.filter(|r| *r > 0) else { return Some(now) };
        let bits = (len as u64).saturating_mul(8).saturating_mul(1_000_000_000);
        let takes = Duration::from_nanos(bits / rate);
        let waiting = self.busy_until[end].since(now);
        if waiting > takes.saturating_mul(u64::from(self.config.queue)) {
            return None;
        }
        self.busy_until[end] = self.busy_until[end].max(now) + takes;
        Some(self.busy_until[end])
    }

    fn arrival(&mut self, sent: Instant) -> Instant {
        let jitter = u32::try_from(self.config.jitter.as_nanos()).unwrap_or(u32::MAX);
        let extra = if jitter == 0 { 0 } else { self.rng.below(jitter) };
        sent + self.config.delay + Duration::from_nanos(u64::from(extra))
    }

    /// One chance in a million, `ppm` times; draws nothing if it cannot happen.
    fn chance(&mut self, ppm: u32) -> bool {
        ppm != 0 && self.rng.below(1_000_000) < ppm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(config: LinkConfig) -> Link {
        let ends = [(NetnsId(0), DevId(2)), (NetnsId(1), DevId(2))];
        Link::new(LinkId(0), config, ends, Seed(1))
    }

    #[test]
    fn a_frame_arrives_after_the_delay_at_the_other_end() {
        let mut l = link(LinkConfig::default());
        let Passage::Arrives { at, again: None, flip: None } = l.send(0, 100, Instant::START) else { panic!() };
        assert_eq!(at, Instant::START + Duration::from_micros(50));
        assert_eq!(l.far_end(0).0, NetnsId(1));
        assert_eq!(l.far_end(1).0, NetnsId(0));
    }

    #[test]
    fn a_limited_rate_makes_frames_wait_and_then_drops_them() {
        let config = LinkConfig { rate: Some(8_000), queue: 2, delay: Duration::ZERO, ..LinkConfig::default() };
        let mut l = link(config);
        let times: Vec<_> = (0..5).map(|_| l.send(0, 1, Instant::START)).collect();
        let at = |ms| Passage::Arrives { at: Instant::START + Duration::from_millis(ms), again: None, flip: None };
        assert_eq!(times[..3], [at(1), at(2), at(3)]);
        assert_eq!(times[3], Passage::Lost(DropReason::LinkQueueFull));
        assert_eq!(l.send(1, 1, Instant::START), at(1), "the other direction is free");
    }

    #[test]
    fn loss_happens_as_often_as_it_should() {
        let mut l = link(LinkConfig { loss: 250_000, ..LinkConfig::default() });
        let lost = (0..4000).filter(|_| matches!(l.send(0, 1, Instant::START), Passage::Lost(_))).count();
        assert!((900..1100).contains(&lost), "{lost}");
    }
}
