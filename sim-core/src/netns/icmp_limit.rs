//! How often ICMP errors go to one destination (net/ipv4/inetpeer.c, `inet_peer_xrlim_allow`).

use std::net::IpAddr;

use crate::engine::arena::Map;
use crate::engine::time::{Duration, Instant};

/// Tokens that can be saved up: a burst of six errors.
const BURST: u64 = 6;
/// Most destinations remembered; beyond it all are forgotten.
const MAX_PEERS: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Peer {
    /// Saved time in nanoseconds.
    tokens: u64,
    last: Instant,
}

/// Token buckets by destination.
#[derive(Clone, Debug, Default)]
pub struct IcmpLimits(Map<IpAddr, Peer>);

impl IcmpLimits {
    /// Whether an error may go to `to` now, `ms` milliseconds apart after a burst of six.
    pub fn allow(&mut self, to: IpAddr, ms: u64, now: Instant) -> bool {
        if self.0.len() >= MAX_PEERS && !self.0.contains_key(&to) {
            self.0.clear();
        }
        let interval = Duration::from_millis(ms).as_nanos();
        let full = interval * BURST;
        let peer = self.0.entry(to).or_insert(Peer { tokens: full, last: now });
        peer.tokens = full.min(peer.tokens + now.since(peer.last).as_nanos());
        peer.last = now;
        if peer.tokens < interval {
            return false;
        }
        peer.tokens -= interval;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_in_a_burst_and_then_one_a_second() {
        let mut limits = IcmpLimits::default();
        let to = "10.0.0.1".parse().unwrap();
        let burst = (0..20).filter(|_| limits.allow(to, 1000, Instant::START)).count();
        assert_eq!(burst, 6);
        let later = Instant::START + Duration::from_secs(2);
        assert_eq!((0..20).filter(|_| limits.allow(to, 1000, later)).count(), 2);
        assert!(limits.allow("10.0.0.2".parse().unwrap(), 1000, later), "each destination has its own");
    }
}
