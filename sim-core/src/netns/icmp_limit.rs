//! How often ICMP errors and redirects go to one host. The kernel keeps what it needs with the host (`struct inet_peer`).

use std::net::IpAddr;

use crate::engine::arena::Map;
use crate::engine::time::{Duration, Instant};

/// Tokens that can be saved up: a burst of six errors.
const BURST: u64 = 6;
/// Most hosts remembered; beyond it all are forgotten.
const MAX_PEERS: usize = 4096;
/// What an error of routing costs, and how much can be saved up for it (`error_cost`, `error_burst`).
const ROUTE_ERROR: Duration = Duration::from_secs(1);
const ROUTE_ERRORS: Duration = Duration::from_secs(5);
/// The least time between two redirects; it doubles with each (`redirect_load`).
const REDIRECT_LOAD: Duration = Duration::from_millis(20);
/// Who has not followed so many redirects gets no more (`redirect_number`) …
const REDIRECTS: u32 = 9;
/// … until it has sent nothing to redirect for so long (`redirect_silence`).
const REDIRECT_SILENCE: Duration = Duration::from_millis(20_480);

/// What a host has saved up when it is first heard of (`inet_getpeer`): more than any burst.
const FIRST: Duration = Duration::from_secs(60);

/// What a host has had. All limits draw on the same saved time, each with a bound of its own.
#[derive(Clone, Copy, Debug)]
struct Peer {
    /// Saved time in nanoseconds (`rate_tokens`).
    tokens: u64,
    /// When it was last looked at (`rate_last`).
    last: Instant,
    redirects: u32,
}

impl Peer {
    /// Saves up the time since the last look, `full` at most.
    fn save(&mut self, full: u64, now: Instant) {
        self.tokens = full.min(self.tokens.saturating_add(now.since(self.last).as_nanos()));
        self.last = now;
    }

    fn take(&mut self, cost: u64) -> bool {
        let rest = self.tokens.checked_sub(cost);
        self.tokens = rest.unwrap_or(self.tokens);
        rest.is_some()
    }
}

/// What each host has had.
#[derive(Clone, Debug, Default)]
pub struct IcmpLimits(Map<IpAddr, Peer>);

impl IcmpLimits {
    /// Whether an error may go to `to` now, `ms` milliseconds apart after a burst of six (net/ipv4/inetpeer.c,
    /// `inet_peer_xrlim_allow`). With 0 each one may, and what was saved up is lost.
    pub fn allow(&mut self, to: IpAddr, ms: u64, now: Instant) -> bool {
        let interval = Duration::from_millis(ms).as_nanos();
        let peer = self.peer(to, now);
        if now > peer.last || peer.tokens == FIRST.as_nanos() {
            peer.save(interval * BURST, now);
        }
        peer.take(interval)
    }

    /// Whether an error about a missing or forbidding route may go to `to` now (net/ipv4/route.c, `ip_error`).
    pub fn allow_route_error(&mut self, to: IpAddr, now: Instant) -> bool {
        let peer = self.peer(to, now);
        peer.save(ROUTE_ERRORS.as_nanos(), now);
        peer.take(ROUTE_ERROR.as_nanos())
    }

    /// Whether a redirect may go to `to` now (net/ipv4/route.c, `ip_rt_send_redirect`). The first one takes all that was
    /// saved up.
    pub fn allow_redirect(&mut self, to: IpAddr, now: Instant) -> bool {
        let peer = self.peer(to, now);
        let since = now.since(peer.last);
        if since > REDIRECT_SILENCE || peer.tokens == FIRST.as_nanos() {
            (peer.tokens, peer.redirects) = (0, 0);
        }
        let due = peer.redirects == 0 || since.as_nanos() > REDIRECT_LOAD.as_nanos() << peer.redirects;
        let allowed = peer.redirects < REDIRECTS && due;
        if allowed || peer.redirects >= REDIRECTS {
            peer.last = now;
        }
        peer.redirects += u32::from(allowed);
        allowed
    }

    fn peer(&mut self, of: IpAddr, now: Instant) -> &mut Peer {
        if self.0.len() >= MAX_PEERS && !self.0.contains_key(&of) {
            self.0.clear();
        }
        self.0.entry(of).or_insert(Peer { tokens: FIRST.as_nanos(), last: now, redirects: 0 })
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

    #[test]
    fn five_errors_of_routing_in_a_burst_and_none_after_a_redirect() {
        let mut limits = IcmpLimits::default();
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap());
        assert_eq!((0..9).filter(|_| limits.allow_route_error(one, Instant::START)).count(), 5);
        assert!(limits.allow_redirect(other, Instant::START) && !limits.allow_route_error(other, Instant::START));
        assert!(limits.allow_route_error(other, Instant::START + Duration::from_secs(1)));
        let third = "10.0.0.3".parse().unwrap();
        assert!(limits.allow(third, 0, Instant::START) && !limits.allow_route_error(third, Instant::START));
    }

    #[test]
    fn redirects_become_rarer_and_stop_until_there_was_silence() {
        let mut limits = IcmpLimits::default();
        let to = "10.0.0.1".parse().unwrap();
        let mut at = |ms| limits.allow_redirect(to, Instant::START + Duration::from_millis(ms));
        assert_eq!([0, 40, 41, 121, 122].map(&mut at), [true, false, true, false, true]);
        assert_eq!((1..2000).filter(|step| at(200 * step)).count(), 6, "nine in all");
        assert!(at(400_000 + 20_481));
    }
}
