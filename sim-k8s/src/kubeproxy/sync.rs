//! When a sync rewrites everything and when only what changed: common to all proxiers.
//!
//! Simulated time comes in as an argument; who calls, and how often (min-sync period, retry), is
//! the agent's business.

use std::collections::BTreeSet;

use sim_core::engine::time::Instant;

use super::config::Config;
use crate::api::ObjectKey;

/// Which per-service rules a sync writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Those of every service, and the jumps from the base chains.
    Full,
    /// Only those of services of which an object changed since the last sync.
    Partial(BTreeSet<ObjectKey>),
}

impl Scope {
    /// Whether the chains of `service` itself are written.
    pub fn includes(&self, service: &ObjectKey) -> bool {
        match self {
            Self::Full => true,
            Self::Partial(changed) => changed.contains(service),
        }
    }
}

/// What a kube-proxy remembers between its syncs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SyncState {
    /// End of the last full sync; `None`: there was none, or a new one is due.
    last_full: Option<Instant>,
    /// When stale chains were last looked for.
    last_cleanup: Option<Instant>,
}

impl SyncState {
    /// A full sync is due: the canary is gone, or a topology label of the node changed.
    pub fn require_full(&mut self) {
        self.last_full = None;
    }

    /// The scope of a sync at `now`, given the services that changed since the last one.
    pub fn scope(&self, now: Instant, config: &Config, changed: BTreeSet<ObjectKey>) -> Scope {
        match self.last_full {
            Some(last) if now.since(last) <= config.full_sync_period => Scope::Partial(changed),
            _ => Scope::Full,
        }
    }

    /// Whether a sync at `now` looks for stale chains: listing a table takes seconds where there are
    /// many rules, so in a large cluster this is done at most once a sync period.
    pub fn cleans_up(&self, now: Instant, config: &Config, endpoints: usize) -> bool {
        let recently = self.last_cleanup.is_some_and(|last| now.since(last) <= config.sync_period);
        endpoints <= config.large_cluster_endpoints || !recently
    }

    /// Notes how a sync ended at `now`. After a failure it is unknown what is in the kernel, so the next is full.
    pub fn finished(&mut self, now: Instant, scope: &Scope, cleaned_up: bool, success: bool) {
        if cleaned_up {
            self.last_cleanup = Some(now);
        }
        match (success, scope) {
            (false, _) => self.last_full = None,
            (true, Scope::Full) => self.last_full = Some(now),
            (true, Scope::Partial(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use sim_core::engine::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::START + Duration::from_secs(seconds)
    }

    fn scope_at(state: &SyncState, seconds: u64) -> Scope {
        state.scope(at(seconds), &Config::default(), BTreeSet::new())
    }

    #[test]
    fn the_first_sync_is_full_and_so_is_one_an_hour_later() {
        let mut state = SyncState::default();
        assert_eq!(scope_at(&state, 0), Scope::Full);
        state.finished(at(0), &Scope::Full, true, true);
        assert_eq!(scope_at(&state, 3600), Scope::Partial(BTreeSet::new()));
        assert_eq!(scope_at(&state, 3601), Scope::Full);
    }

    #[test]
    fn a_failed_sync_is_followed_by_a_full_one() {
        let mut state = SyncState::default();
        state.finished(at(0), &Scope::Full, true, true);
        state.finished(at(1), &Scope::Partial(BTreeSet::new()), true, false);
        assert_eq!(scope_at(&state, 2), Scope::Full);
    }

    #[test]
    fn a_lost_canary_forces_a_full_sync() {
        let mut state = SyncState::default();
        state.finished(at(0), &Scope::Full, true, true);
        state.require_full();
        assert_eq!(scope_at(&state, 1), Scope::Full);
    }

    #[test]
    fn a_thousand_endpoints_are_not_a_large_cluster_but_one_more_is() {
        let mut state = SyncState::default();
        let config = Config::default();
        assert!(state.cleans_up(at(0), &config, 1001));
        state.finished(at(0), &Scope::Full, true, true);
        assert!(state.cleans_up(at(1), &config, 1000));
        assert!(!state.cleans_up(at(30), &config, 1001));
        assert!(state.cleans_up(at(31), &config, 1001));
    }
}
