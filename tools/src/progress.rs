//! How far a run has come, on a terminal.

use std::io::{IsTerminal, stderr};

use sim_core::engine::time::{Duration, Instant};

use sim_scenarios::run::Run;

use crate::terminal::complain;

/// A line on stderr that is written over and over; nothing where stderr is no terminal. Gone when dropped.
#[derive(Debug)]
pub(crate) struct Line {
    shown: bool,
}

impl Line {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { shown: stderr().is_terminal() }
    }

    /// Shows `text` in place of what was there.
    pub(crate) fn show(&self, text: &str) {
        if self.shown {
            complain(&format!("\r{text}\x1b[K"));
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.show("");
    }
}

/// How far a run has come.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    until: Duration,
    line: Line,
}

impl Progress {
    /// Of a run whose calls are begun within `until` of simulated time.
    pub(crate) fn new(what: &'static str, until: Duration) -> Self {
        Self { what, until, line: Line::new() }
    }

    /// The run has come so far.
    pub(crate) fn at(&self, run: &Run) {
        if !self.line.shown {
            return;
        }
        let now = run.world().now();
        let seconds =
            |since: Instant| format!("{}.{:03} s", now.since(since).as_secs(), now.since(since).as_millis() % 1000);
        self.line.show(&match run.began() {
            None => format!("{}: the cluster comes up, {}", self.what, seconds(Instant::START)),
            Some(began) => format!("{}: {} of {}", self.what, seconds(began), self.until),
        });
    }
}
