//! Whether kube-proxy keeps up (upstream `proxy_health.go`): port 10256, `/healthz` and `/livez`.

use sim_core::wire::ip::Family;
use std::collections::BTreeMap;

use sim_core::engine::time::{Duration, Instant};

use crate::http::Response;

/// The health of one kube-proxy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyHealth {
    /// How long a change may wait for its sync: two sync periods.
    timeout: Duration,
    /// The oldest change that waits, of each family.
    queued: BTreeMap<Family, Instant>,
    /// When the last sync succeeded, or kube-proxy began to sync at all.
    updated: Option<Instant>,
    /// The Node is neither being deleted nor about to be, as far as is known.
    node_eligible: bool,
}

impl ProxyHealth {
    /// Of a kube-proxy that has just started: well, as long as nothing waits.
    pub fn new(sync_period: Duration) -> Self {
        Self { timeout: sync_period.saturating_mul(2), queued: BTreeMap::new(), updated: None, node_eligible: true }
    }

    /// There is something of a family to sync (`QueuedUpdate`).
    pub fn queued(&mut self, family: Family, now: Instant) {
        self.queued.entry(family).or_insert(now);
    }

    /// A sync of a family has succeeded, or syncing has begun (`Updated`).
    pub fn updated(&mut self, family: Family, now: Instant) {
        self.queued.remove(&family);
        self.updated = Some(now);
    }

    /// Whether load balancers may count on this node: not while it is being deleted.
    pub fn set_node_eligible(&mut self, eligible: bool) {
        self.node_eligible = eligible;
    }

    /// Nothing has waited for too long; the node does not matter.
    pub fn is_healthy(&self, now: Instant) -> bool {
        let late = self.queued.values().any(|queued| now.since(*queued) >= self.timeout);
        self.updated.is_none() || !late
    }

    /// The answer to a request: `/healthz` is for load balancers, `/livez` for who would restart kube-proxy.
    pub fn answer(&self, path: &str, now: Instant) -> Response {
        let (healthy, eligible) = match path {
            "/healthz" => {
                (self.is_healthy(now) && self.node_eligible, format!(", \"nodeEligible\": {}", self.node_eligible))
            }
            "/livez" => (self.is_healthy(now), String::new()),
            _ => return Response::not_found(),
        };
        // As upstream: who is well says "just now".
        let updated = if healthy { now } else { self.updated.unwrap_or(Instant::START) };
        Response::json(healthy, format!("{{\"lastUpdated\": \"{updated}\",\"currentTime\": \"{now}\"{eligible}}}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::START + Duration::from_secs(seconds)
    }

    fn status(health: &ProxyHealth, seconds: u64) -> (u16, u16) {
        (health.answer("/healthz", at(seconds)).status, health.answer("/livez", at(seconds)).status)
    }

    #[test]
    fn a_change_may_wait_for_two_sync_periods() {
        let mut health = ProxyHealth::new(Duration::from_secs(30));
        health.updated(Family::V4, at(0));
        health.queued(Family::V4, at(10));
        health.queued(Family::V4, at(60));
        assert_eq!((status(&health, 69), status(&health, 70)), ((200, 200), (503, 503)));
        health.updated(Family::V6, at(71));
        assert_eq!(status(&health, 71), (503, 503), "the other family keeps up");
        health.updated(Family::V4, at(72));
        assert_eq!(status(&health, 1000), (200, 200));
    }

    #[test]
    fn a_node_that_goes_away_is_alive_but_not_to_be_used() {
        let mut health = ProxyHealth::new(Duration::from_secs(30));
        health.set_node_eligible(false);
        assert_eq!(status(&health, 1), (503, 200));
        let body = health.answer("/healthz", at(1)).body;
        assert_eq!(
            body,
            "{\"lastUpdated\": \"0.000000000\",\"currentTime\": \"1.000000000\", \"nodeEligible\": false}"
        );
        assert_eq!(health.answer("/metrics", at(1)).status, 404);
    }
}
