//! Round-trip times and the retransmission timeout (RFC 9260 6.3.1; net/sctp/transport.c, `sctp_transport_update_rto`).

use crate::engine::time::Duration;
use crate::netns::socket::sctp::config::{RTO_INITIAL, RTO_MAX, RTO_MIN};

/// What is known of the path's round trip.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rto {
    /// Smoothed round-trip time and its deviation in nanoseconds, once one was measured.
    measured: Option<(u64, u64)>,
    /// The retransmission timeout.
    pub(super) timeout: Duration,
}

impl Rto {
    pub(super) const fn new() -> Self {
        Self { measured: None, timeout: RTO_INITIAL }
    }

    /// A round trip was measured.
    pub(super) fn measure(&mut self, rtt: Duration) {
        let rtt = rtt.as_nanos();
        let (srtt, deviation) = self.measured.map_or((rtt, rtt / 2), |(srtt, deviation)| {
            (srtt - srtt / 8 + rtt / 8, deviation - deviation / 4 + srtt.abs_diff(rtt) / 4)
        });
        self.measured = Some((srtt, deviation));
        self.timeout = Duration::from_nanos(srtt + 4 * deviation).clamp(RTO_MIN, RTO_MAX);
    }

    /// A timeout was in vain: the next one is twice as long (`sctp_do_8_2_transport_strike`).
    pub(super) fn back_off(&mut self) {
        self.timeout = self.timeout.saturating_mul(2).min(RTO_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9260 6.3.1 C2, C3, C6.
    #[test]
    fn the_timeout_follows_what_is_measured_within_its_bounds() {
        let ms = Duration::from_millis;
        let mut rto = Rto::new();
        rto.measure(ms(800));
        assert_eq!(rto.timeout, ms(800 + 4 * 400));
        rto.measure(ms(800));
        assert_eq!(rto.timeout, ms(800 + 4 * 300));
        rto.back_off();
        assert_eq!(rto.timeout, ms(4000));
        (0..9).for_each(|_| rto.back_off());
        assert_eq!(rto.timeout, RTO_MAX);
        (0..99).for_each(|_| rto.measure(ms(1)));
        assert_eq!(rto.timeout, RTO_MIN);
    }
}
