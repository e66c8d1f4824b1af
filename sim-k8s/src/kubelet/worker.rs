//! When a probe is tried, and what its results come to: one worker for each probe of each container
//! (pkg/kubelet/prober/worker.go).

use sim_core::engine::time::{Duration, Instant};

use crate::api::Probe;

/// What a probe is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Purpose {
    Startup,
    Liveness,
    Readiness,
}

/// How a try ended, or what several came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Success,
    Failure,
}

/// What a worker can see of its container: what the kubelet's status says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    /// Which start of the container it is, counted from 1; 0 before the first.
    pub(super) run: u32,
    /// It runs since; `None`: it does not run.
    pub(super) running_since: Option<Instant>,
    /// Its startup probe has succeeded, or it has none.
    pub(super) started: bool,
    /// Its pod is being stopped.
    pub(super) terminating: bool,
}

/// One probe of one container.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub(super) purpose: Purpose,
    /// The first tick; the others follow, one a period.
    first_tick: Instant,
    period: Duration,
    initial_delay: u64,
    thresholds: [u32; 2],
    /// The run of the container that it knows.
    run: u32,
    /// What the tries came to so far; `None`: nothing yet.
    value: Option<Outcome>,
    last: Outcome,
    in_a_row: u32,
    /// Until there is a new run.
    on_hold: bool,
    /// A try is under way.
    pub(super) trying: bool,
    /// Another is to follow at once: a tick, or someone who asked for one, came meanwhile.
    pub(super) again: bool,
    /// When the tick is due for which a timer is set; [`Instant::NEVER`]: none.
    pub(super) timer: Instant,
}

impl Worker {
    /// A worker that begins at `begins`: when its pod is first synced, before any container runs. Only if the kubelet is
    /// younger than a period does it wait for a random part of one first, which `draw` gives.
    pub(super) fn new(
        purpose: Purpose,
        probe: &Probe,
        begins: Instant,
        age: Duration,
        draw: impl FnOnce() -> Duration,
    ) -> Self {
        let wait = if probe.period > age { draw() } else { Duration::ZERO };
        Self {
            purpose,
            first_tick: begins + wait,
            period: probe.period,
            initial_delay: probe.initial_delay,
            thresholds: [probe.success_threshold, probe.failure_threshold],
            run: 0,
            value: None,
            last: Outcome::Success,
            in_a_row: 0,
            on_hold: false,
            trying: false,
            again: false,
            timer: Instant::NEVER,
        }
    }

    /// The first tick after `now`.
    pub(super) fn next_tick(&self, now: Instant) -> Instant {
        if now < self.first_tick {
            return self.first_tick;
        }
        let periods = now.since(self.first_tick).as_nanos() / self.period.as_nanos().max(1);
        self.first_tick + self.period.saturating_mul(periods + 1)
    }

    /// Whether ticks can come to anything, so that a timer is worth its while. (Upstream ticks anyway.)
    pub(super) fn ticks(&self, seen: Seen) -> bool {
        seen.running_since.is_some() && self.may_try(seen) && !(self.on_hold && self.run == seen.run)
    }

    /// A tick, or someone asked: whether the probe is to be tried now (`doProbe`).
    pub(super) fn is_due(&mut self, seen: Seen, now: Instant) -> bool {
        if seen.run != self.run {
            (self.run, self.value, self.on_hold) = (seen.run, None, false);
        }
        let Some(since) = seen.running_since else {
            self.value = Some(Outcome::Failure);
            return false;
        };
        // Whole seconds are compared.
        !self.on_hold && self.may_try(seen) && now.since(since).as_secs() >= self.initial_delay
    }

    fn may_try(&self, seen: Seen) -> bool {
        match self.purpose {
            Purpose::Startup => !seen.started && !seen.terminating,
            Purpose::Liveness => seen.started && !seen.terminating,
            Purpose::Readiness => seen.started,
        }
    }

    /// A try of the container's run number `run` has ended: the new value, if it is another than before.
    pub(super) fn tried(&mut self, run: u32, outcome: Outcome) -> Option<Outcome> {
        if run != self.run {
            return None;
        }
        self.in_a_row = if self.last == outcome { self.in_a_row.saturating_add(1) } else { 1 };
        self.last = outcome;
        if self.in_a_row < self.thresholds[usize::from(outcome == Outcome::Failure)] {
            return None;
        }
        if self.purpose != Purpose::Readiness && outcome == Outcome::Failure {
            // The container will be stopped; it is left alone until there is another.
            (self.on_hold, self.in_a_row) = (true, 0);
        }
        let before = self.value.replace(outcome);
        (before != Some(outcome)).then_some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Handler;

    const T0: Instant = Instant::START;

    fn at(ms: u64) -> Instant {
        T0 + Duration::from_millis(ms)
    }

    fn probe(period: u64) -> Probe {
        Probe {
            handler: Handler::Exec(Duration::ZERO),
            initial_delay: 0,
            timeout: Duration::from_secs(1),
            period: Duration::from_secs(period),
            success_threshold: 1,
            failure_threshold: 3,
            grace: None,
        }
    }

    fn old_kubelets(purpose: Purpose, probe: &Probe) -> Worker {
        Worker::new(purpose, probe, T0, Duration::from_secs(3600), || panic!("an old kubelet draws nothing"))
    }

    fn running(run: u32, since: Instant) -> Seen {
        Seen { run, running_since: Some(since), started: true, terminating: false }
    }

    #[test]
    fn ticks_begin_when_the_pod_is_first_synced_and_only_a_young_kubelet_waits() {
        let worker = old_kubelets(Purpose::Readiness, &probe(10));
        assert_eq!(worker.next_tick(at(3_700)), at(10_000));
        assert_eq!(worker.next_tick(at(10_000)), at(20_000));
        let young = Worker::new(Purpose::Readiness, &probe(10), T0, Duration::from_secs(9), || Duration::from_secs(4));
        assert_eq!((young.next_tick(T0), young.next_tick(at(5_000))), (at(4_000), at(14_000)));
        let older = Worker::new(Purpose::Readiness, &probe(10), T0, Duration::from_secs(10), || Duration::from_secs(4));
        assert_eq!(older.next_tick(T0), at(10_000));
    }

    #[test]
    fn the_initial_delay_compares_whole_seconds() {
        let mut worker = old_kubelets(Purpose::Readiness, &Probe { initial_delay: 5, ..probe(1) });
        let seen = running(1, at(500));
        assert!(!worker.is_due(seen, at(5_499)), "4.999 s are four");
        assert!(worker.is_due(seen, at(5_500)));
    }

    #[test]
    fn failures_count_from_the_threshold_on_and_one_success_undoes_them() {
        let mut worker = old_kubelets(Purpose::Readiness, &probe(1));
        assert!(worker.is_due(running(1, T0), T0));
        assert_eq!(worker.tried(1, Outcome::Success), Some(Outcome::Success));
        assert_eq!([1, 2, 3, 4].map(|_| worker.tried(1, Outcome::Failure)), [None, None, Some(Outcome::Failure), None]);
        assert_eq!(worker.tried(1, Outcome::Success), Some(Outcome::Success));
        worker.tried(1, Outcome::Failure);
        worker.tried(1, Outcome::Success);
        worker.tried(1, Outcome::Failure);
        assert_eq!(worker.value, Some(Outcome::Success), "no three in a row");
    }

    #[test]
    fn the_startup_probe_keeps_the_others_back_and_then_rests() {
        let (mut startup, mut liveness) =
            (old_kubelets(Purpose::Startup, &probe(1)), old_kubelets(Purpose::Liveness, &probe(1)));
        let starting = Seen { started: false, ..running(1, T0) };
        assert!(startup.is_due(starting, at(1)) && !liveness.is_due(starting, at(1)));
        assert!(!liveness.ticks(starting));
        let started = running(1, T0);
        assert!(!startup.is_due(started, at(2)) && liveness.is_due(started, at(2)));
    }

    #[test]
    fn a_failed_liveness_probe_rests_until_the_container_was_started_again() {
        let mut worker = old_kubelets(Purpose::Liveness, &probe(1));
        let seen = running(1, T0);
        worker.is_due(seen, T0);
        assert_eq!([0; 3].map(|_| worker.tried(1, Outcome::Failure)).last(), Some(&Some(Outcome::Failure)));
        assert!(!worker.is_due(seen, at(9_000)) && !worker.ticks(seen));
        let again = running(2, at(9_500));
        assert!(worker.ticks(again) && worker.is_due(again, at(10_000)));
        assert_eq!(worker.value, None);
        assert_eq!(worker.tried(1, Outcome::Failure), None, "a late answer of the container before");
    }

    #[test]
    fn readiness_alone_goes_on_while_the_pod_is_stopped() {
        let stopping = Seen { terminating: true, ..running(1, T0) };
        let due = |purpose| old_kubelets(purpose, &probe(1)).is_due(stopping, at(1));
        assert_eq!([Purpose::Startup, Purpose::Liveness, Purpose::Readiness].map(due), [false, false, true]);
    }
}
