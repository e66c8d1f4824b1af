//! How far a run has come, on a terminal.

use std::io::{IsTerminal, stderr};

use sim_core::engine::time::{Duration, Instant};

use sim_scenarios::run::Run;

use crate::terminal::complain;

/// A line on stderr that is written over and over; nothing where stderr is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    until: Duration,
    shown: bool,
}

impl Progress {
    /// Of a run whose calls are begun within `until` of simulated time.
    pub(crate) fn new(what: &'static str, until: Duration) -> Self {
        Self { what, until, shown: stderr().is_terminal() }
    }

    /// The run has come so far.
    pub(crate) fn at(&self, run: &Run) {
        if !self.shown {
            return;
        }
        let now = run.world().now();
        let seconds =
            |since: Instant| format!("{}.{:03} s", now.since(since).as_secs(), now.since(since).as_millis() % 1000);
        complain(&match run.began() {
            None => format!("\r{}: the cluster comes up, {}\x1b[K", self.what, seconds(Instant::START)),
            Some(began) => format!("\r{}: {} of {}\x1b[K", self.what, seconds(began), self.until),
        });
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            complain("\r\x1b[K");
        }
    }
}
