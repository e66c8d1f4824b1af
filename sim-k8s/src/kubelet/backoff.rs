//! How long a container that ended waits before it is started again (client-go util/flowcontrol/backoff.go, as
//! `doBackOff` of pkg/kubelet/kuberuntime/kuberuntime_manager.go uses it).

use sim_core::engine::time::{Duration, Instant};

use crate::timings::KubeletTimings;

/// The crash backoff of one container.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Backoff {
    /// The delay, and when it was last made longer.
    entry: Option<(Duration, Instant)>,
}

impl Backoff {
    /// When a container that ended at `ended` may be started again.
    pub(super) fn starts_at(&self, ended: Instant, now: Instant, timings: &KubeletTimings) -> Instant {
        self.current(now, timings).map_or(now, |delay| now.max(ended + delay))
    }

    /// It is started again: the next time it waits longer.
    pub(super) fn restarted(&mut self, now: Instant, timings: &KubeletTimings) {
        let delay = self.current(now, timings).map_or(timings.crash_backoff, |delay| delay.saturating_mul(2));
        self.entry = Some((delay.min(timings.crash_backoff_max), now));
    }

    /// The delay; `None` if there is none yet, or it was not made longer for twice the longest one (`hasExpired`).
    fn current(&self, now: Instant, timings: &KubeletTimings) -> Option<Duration> {
        let forgotten = timings.crash_backoff_max.saturating_mul(2);
        self.entry.filter(|(_, updated)| now.since(*updated) <= forgotten).map(|(delay, _)| delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_crashes_at_once_waits_0_10_20_40_80_160_300_300() {
        let (timings, mut backoff) = (KubeletTimings::default(), Backoff::default());
        let mut now = Instant::START;
        let waits: Vec<u64> = (0..8)
            .map(|_| {
                let starts = backoff.starts_at(now, now, &timings);
                let waited = starts.since(now).as_secs();
                backoff.restarted(starts, &timings);
                now = starts;
                waited
            })
            .collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        now += Duration::from_secs(601);
        assert_eq!(backoff.starts_at(now, now, &timings), now, "ten good minutes, and all is forgotten");
    }
}
