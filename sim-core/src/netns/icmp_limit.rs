//! How often ICMP errors go to one destination (net/ipv4/inetpeer.c, `inet_peer_xrlim_allow`).

use std::net::IpAddr;

use crate::engine::arena::Map;
use crate::engine::time::{Duration, Instant};

/// Tokens that can be saved up: a burst of six errors.
const BURST: u64 = 6;
/// The same for errors that there is no route (`ip_rt_error_burst`).
const NO_ROUTE_BURST: u64 = 5;
/// What a destination has saved up when it is first heard of (`inet_getpeer`).
const FIRST: Duration = Duration::from_secs(60);
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
    /// Whether an error may go to `to` now, `ms` milliseconds apart after a burst of six. With 0 every one may, and what
    /// was saved up is lost.
    pub fn allow(&mut self, to: IpAddr, ms: u64, now: Instant) -> bool {
        let interval = Duration::from_millis(ms).as_nanos();
        self.take(to, now, interval, interval * BURST)
    }

    /// Whether the error that there is no route may go to `to`: one a second after a burst of five, out of the same
    /// tokens (net/ipv4/route.c, `ip_error`).
    pub fn allow_no_route(&mut self, to: IpAddr, now: Instant) -> bool {
        let second = Duration::from_secs(1).as_nanos();
        self.take(to, now, second, second * NO_ROUTE_BURST)
    }

    fn take(&mut self, to: IpAddr, now: Instant, cost: u64, full: u64) -> bool {
        let fresh = !self.0.contains_key(&to);
        if fresh && self.0.len() >= MAX_PEERS {
            self.0.clear();
        }
        let peer = self.0.entry(to).or_insert(Peer { tokens: FIRST.as_nanos(), last: now });
        // The limit is looked at only when time has passed.
        if fresh || now > peer.last {
            peer.tokens = full.min(peer.tokens + now.since(peer.last).as_nanos());
            peer.last = now;
        }
        if peer.tokens < cost {
            return false;
        }
        peer.tokens -= cost;
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
