//! How far a run has come, on a terminal.

use std::io::{IsTerminal, stderr};

use sim_core::engine::time::{Duration, Instant};

use crate::terminal::complain;

/// A line on stderr that is written over and over; nothing where stderr is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    until: Duration,
    shown: bool,
}

impl Progress {
    /// Of something that takes until `until` in simulated time.
    pub(crate) fn new(what: &'static str, until: Duration) -> Self {
        Self { what, until, shown: stderr().is_terminal() }
    }

    /// It has come so far.
    pub(crate) fn at(&self, now: Instant) {
        if self.shown {
            let now = now.since(Instant::START).as_millis();
            let (seconds, millis) = (now / 1000, now % 1000);
            complain(&format!("\r{}: {seconds}.{millis:03} s of {}\x1b[K", self.what, self.until));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            complain("\r\x1b[K");
        }
    }
}
