//! The canary: an empty chain in three tables. When it is gone, someone has flushed iptables, and kube-proxy writes all
//! its rules again (upstream `pkg/util/iptables/iptables.go`, `Monitor`).

use sim_core::engine::time::{Duration, Instant};

/// The tables with a canary, the first being the one that is looked at.
pub const TABLES: [&str; 3] = ["mangle", "nat", "filter"];

/// While a flush goes on, the other tables are looked at this often (`iptablesFlushPollTime`) …
const FLUSH_POLL: Duration = Duration::from_millis(100);
/// … and for this long at most (`iptablesFlushTimeout`).
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// When the canary is looked for.
#[derive(Clone, Debug)]
pub struct Monitor {
    interval: Duration,
    /// The next look.
    due: Instant,
    /// The first table has lost its canary; the others are given until then to lose theirs.
    flushing: Option<Instant>,
}

/// What a look at the canary leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// Nothing.
    Calm,
    /// All rules are to be written, then the canary.
    Flushed,
}

impl Monitor {
    /// The canary has just been set up; it is looked for every `interval`.
    pub fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, due: now + interval, flushing: None }
    }

    /// When to look next.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// A look: `alive` says which of [`TABLES`] have the canary.
    pub fn look(&mut self, now: Instant, alive: [bool; 3]) -> Seen {
        let [first, others @ ..] = alive;
        if self.flushing.is_none() && !first {
            self.flushing = Some(now + FLUSH_TIMEOUT);
        }
        match self.flushing {
            Some(until) if now < until && others.contains(&true) => {
                self.due = now + FLUSH_POLL;
                Seen::Calm
            }
            Some(_) => {
                (self.flushing, self.due) = (None, now + self.interval);
                Seen::Flushed
            }
            None => {
                self.due = now + self.interval;
                Seen::Calm
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::START + Duration::from_millis(millis)
    }

    #[test]
    fn a_flush_is_waited_for_to_end_before_rules_are_written_again() {
        let mut monitor = Monitor::new(Duration::from_secs(30), at(0));
        assert_eq!(monitor.due(), at(30_000));
        assert_eq!(monitor.look(at(30_000), [true; 3]), Seen::Calm);
        assert_eq!(monitor.look(at(60_000), [false, true, true]), Seen::Calm);
        assert_eq!(monitor.due(), at(60_100));
        assert_eq!(monitor.look(at(60_100), [false, false, false]), Seen::Flushed);
        assert_eq!(monitor.due(), at(90_100));
    }

    #[test]
    fn one_table_alone_is_waited_for_five_seconds() {
        let mut monitor = Monitor::new(Duration::from_secs(30), at(0));
        let looks = (0..).map(|_| {
            let due = monitor.due();
            (due, monitor.look(due, [false, true, false]))
        });
        let flushed = looks.into_iter().find(|(_, seen)| *seen == Seen::Flushed);
        assert_eq!(flushed.map(|(when, _)| when), Some(at(35_000)));
    }

    #[test]
    fn a_canary_lost_in_other_tables_alone_is_not_noticed() {
        let mut monitor = Monitor::new(Duration::from_secs(30), at(0));
        assert_eq!(monitor.look(at(30_000), [true, false, false]), Seen::Calm);
    }
}
