//! The watches of an agent are cut: it hears of no change, and acts on what it knew.

use std::fmt;

use super::{Fault, Kind};
use crate::run::Run;

pub(super) const KIND: Kind = Kind { usage: &["watches AGENT cut", "watches AGENT heal"], read };

#[derive(Clone, Debug)]
struct Watches {
    /// `kube-proxy n1`.
    agent: String,
    cut: bool,
}

fn read(words: &[&str]) -> Option<Box<dyn Fault>> {
    let ["watches", agent @ .., what @ ("cut" | "heal")] = words else { return None };
    (!agent.is_empty()).then(|| Box::new(Watches { agent: agent.join(" "), cut: *what == "cut" }) as Box<dyn Fault>)
}

impl fmt::Display for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "watches {} {}", self.agent, if self.cut { "cut" } else { "heal" })
    }
}

impl Fault for Watches {
    fn strike(&self, run: &mut Run) -> Result<String, String> {
        run.set_watches(&self.agent, self.cut)?;
        Ok(String::new())
    }
}
