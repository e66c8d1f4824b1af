//! Why a packet got no further: the stage, what decided there, since when that is so, and whose work it is.
//!
//! | room | what it is |
//! | --- | --- |
//! | `place` | what happened where the packet ended |
//! | `ends` | whose addresses it bore: Services, pods, nodes, nobody |
//! | `condition` | since when something is so, and by whom |
//!
//! All of it is read from the run as it stood when the packet ended; who did it is seen by playing the run again and
//! looking who acted when it became so.

mod condition;
mod ends;
mod place;

use std::fmt;

use serde::Serialize;
use sim_core::capture::Seen;
use sim_core::engine::time::Instant;

use super::film::{Film, NoFilm};
use crate::run::Run;
use condition::Condition;

pub use condition::Since;

/// Why a packet got no further.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Why {
    /// Where it ended, and how: `n1 at FORWARD: NETFILTER_REJECT`.
    pub what: String,
    /// What is behind it, the nearest first.
    pub because: Vec<Fact>,
    /// Who should have done otherwise, or should do something about it, if that can be said.
    pub whose: Option<String>,
}

/// One thing that is so.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Fact {
    /// What is so.
    pub says: String,
    /// Since when; absent where that is not known.
    pub since: Option<Since>,
    #[serde(skip)]
    condition: Option<Condition>,
}

impl Fact {
    fn new(says: impl Into<String>) -> Self {
        Self { says: says.into(), since: None, condition: None }
    }

    fn when(says: impl Into<String>, condition: Condition) -> Self {
        Self { condition: Some(condition), ..Self::new(says) }
    }
}

impl Why {
    /// Of the packet that `seen` ends with, in the run as it stood then.
    pub(super) fn of(seen: &[Seen], run: &Run) -> Option<Self> {
        place::why(seen, run)
    }

    /// Something that is not about one packet.
    pub(super) fn plain(what: String, because: Vec<String>, whose: Option<String>) -> Self {
        Self { what, because: because.into_iter().map(Fact::new).collect(), whose }
    }

    /// Finds out since when it is so.
    pub(super) fn date(&mut self, film: &Film<'_>, until: Instant) -> Result<(), NoFilm> {
        if self.because.iter().all(|fact| fact.condition.is_none()) {
            return Ok(());
        }
        condition::date(&mut self.because, film, until)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Why: {}", self.what)?;
        for fact in &self.because {
            writeln!(f, "  - {}", fact.says)?;
            if let Some(since) = &fact.since {
                writeln!(f, "      {since}")?;
            }
        }
        self.whose.iter().try_for_each(|whose| writeln!(f, "  → {whose}"))
    }
}

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(at) = self.at_ns else { return f.write_str("so from the beginning") };
        write!(f, "since {} s", Instant::from_nanos(at))?;
        self.by.iter().try_for_each(|by| write!(f, ", by {by}"))
    }
}
