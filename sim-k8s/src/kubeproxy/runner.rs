//! When a sync runs (upstream `pkg/proxy/runner/bounded_frequency_runner.go`; with bursts the runner before it,
//! `pkg/util/async/bounded_frequency_runner.go`).
//!
//! It holds no clock and no function: it is asked when the next run is due, and told when one begins and ends.

use sim_core::engine::time::{Duration, Instant};

/// How often a [`Runner`] runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// Rest after a run, in which requests gather.
    pub min: Duration,
    /// A run that failed is tried again after this.
    pub retry: Duration,
    /// There is a run at least this often.
    pub max: Duration,
    /// Runs that may follow each other without rest: each `min` that passes earns one, up to this many. `None`: no run
    /// may.
    pub burst: Option<u32>,
}

/// Decides when to run.
#[derive(Clone, Debug)]
pub struct Runner {
    pace: Pace,
    /// Someone asked for a run that has not begun.
    requested: bool,
    /// When the next run is due if nobody asks.
    next: Instant,
    /// End of the last run.
    ended: Option<Instant>,
    running: bool,
    /// Time earned for bursts, at `counted`; a run costs one `min`.
    earned: Duration,
    counted: Instant,
}

impl Runner {
    /// One that has not run yet.
    pub fn new(pace: Pace, now: Instant) -> Self {
        let earned = pace.min.saturating_mul(u64::from(pace.burst.unwrap_or(0)));
        let next = now + pace.max;
        Self { pace, requested: false, next, ended: None, running: false, earned, counted: now }
    }

    /// Asks for a run as soon as may be. Asking twice before it begins is asking once.
    pub fn request(&mut self, now: Instant) {
        self.requested = true;
        if !self.running {
            self.consider(now);
        }
    }

    /// When the next run begins, if nothing happens before; `None` while one is under way.
    pub fn due(&self) -> Option<Instant> {
        (!self.running).then_some(self.next)
    }

    /// A run begins.
    pub fn begin(&mut self, now: Instant) {
        self.earn(now);
        self.earned = self.earned - self.pace.min;
        (self.running, self.requested) = (true, false);
    }

    /// It has ended.
    pub fn end(&mut self, now: Instant, success: bool) {
        (self.running, self.ended) = (false, Some(now));
        let wait = if success { self.pace.max } else { self.pace.retry.min(self.pace.max) };
        self.next = now + if self.pace.burst.is_none() { wait.max(self.pace.min) } else { wait };
        if self.requested {
            self.consider(now);
        }
    }

    /// Brings the next run forward as far as the pace allows.
    fn consider(&mut self, now: Instant) {
        self.earn(now);
        let rested = self.ended.map_or(now, |ended| now.max(ended + self.pace.min));
        let burst = self.pace.burst.is_some() && self.earned >= self.pace.min;
        self.next = self.next.min(if burst { now } else { rested });
    }

    fn earn(&mut self, now: Instant) {
        let most = self.pace.min.saturating_mul(u64::from(self.pace.burst.unwrap_or(0)));
        self.earned = (self.earned + now.since(self.counted)).min(most);
        self.counted = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::START + Duration::from_millis(millis)
    }

    fn runner(burst: Option<u32>) -> Runner {
        let [min, retry, max] = [1, 30, 3600].map(Duration::from_secs);
        Runner::new(Pace { min, retry, max, burst }, at(0))
    }

    /// Runs from `from` to `to`, in milliseconds.
    fn run(runner: &mut Runner, from: u64, to: u64, success: bool) {
        assert_eq!(runner.due(), Some(at(from)));
        runner.begin(at(from));
        assert_eq!(runner.due(), None);
        runner.end(at(to), success);
    }

    #[test]
    fn one_who_has_rested_runs_at_once_and_then_rests_from_the_end() {
        let mut runner = runner(None);
        runner.request(at(5000));
        run(&mut runner, 5000, 7800, true);
        runner.request(at(7900));
        runner.request(at(8000));
        run(&mut runner, 8800, 8900, true);
        assert_eq!(runner.due(), Some(at(8900 + 3_600_000)), "both requests were one");
    }

    #[test]
    fn a_request_during_a_run_is_for_the_next_one() {
        let mut runner = runner(None);
        runner.request(at(0));
        runner.begin(at(0));
        runner.request(at(50));
        runner.end(at(100), true);
        assert_eq!(runner.due(), Some(at(1100)));
    }

    #[test]
    fn a_failed_run_is_tried_again_unless_a_request_comes_first() {
        let mut runner = runner(None);
        runner.request(at(0));
        run(&mut runner, 0, 100, false);
        assert_eq!(runner.due(), Some(at(30_100)));
        runner.request(at(5000));
        assert_eq!(runner.due(), Some(at(5000)));
    }

    /// Kubernetes issue 138073: with a run of 2.8 s the old runner rests for the first second of it.
    #[test]
    fn with_bursts_two_runs_may_follow_each_other() {
        let mut runner = runner(Some(2));
        runner.request(at(5000));
        run(&mut runner, 5000, 5100, true);
        runner.request(at(5200));
        run(&mut runner, 5200, 5300, true);
        runner.request(at(5400));
        assert_eq!(runner.due(), Some(at(6300)), "both are spent: a second after the end");
        runner.request(at(6200));
        assert_eq!(runner.due(), Some(at(6200)), "one is earned again, which a new request finds out");
    }

    #[test]
    fn a_long_run_earns_the_next_one_while_it_lasts() {
        let mut runner = runner(Some(2));
        for start in [0, 2800, 5600] {
            runner.request(at(start));
            assert_eq!(runner.due(), Some(at(start)));
            runner.begin(at(start));
            runner.request(at(start + 1));
            runner.end(at(start + 2800), true);
        }
        assert_eq!(runner.due(), Some(at(8400)));
    }
}
