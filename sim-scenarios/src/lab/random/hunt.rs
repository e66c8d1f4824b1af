//! Case after case on two kernels, and what came of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Case;
use super::coverage::{Coverage, Covered, Thing};
use super::shrink::smallest;
use super::trial::{Differing, Trial, run};
use crate::lab::compare::Difference;
use crate::lab::kernel::Kernel;
use crate::lab::run::RunError;
use crate::lab::spec::Document;

/// How often a difference must show itself to be one: what a kernel does by its timing comes and goes.
const TIMES: usize = 3;

/// What came of the cases so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Cases that were run.
    pub cases: u64,
    /// Those that agree.
    pub agree: u64,
    /// Those that differ, by the kind of their first difference ([`Differing::kind`]).
    pub differ: BTreeMap<String, BTreeMap<u64, Found>>,
    /// Those that differed and then did not, with the difference: the kernel did not do the same twice.
    pub unsteady: BTreeMap<u64, String>,
    /// Those that neither side could run, or that could not be watched, and why.
    pub refused: BTreeMap<u64, String>,
    /// What was met.
    pub coverage: Coverage,
}

/// A spec that differs, and how.
#[derive(Clone, Debug)]
pub struct Found {
    /// The spec.
    pub spec: Value,
    /// What both sides did.
    pub differing: Differing,
}

/// Whether a spec that was run several times did the same each time.
#[derive(Clone, Debug)]
enum Steady {
    Yes(Trial),
    /// It differed so, and then not or otherwise.
    No(Difference),
}

/// What came of one case.
#[derive(Clone, Debug)]
pub struct Judged {
    number: u64,
    spec: Value,
    trial: Steady,
    met: BTreeSet<Thing>,
}

impl Tally {
    /// How many cases differ.
    pub fn differing(&self) -> usize {
        self.differ.values().map(BTreeMap::len).sum()
    }

    /// Counts a case.
    pub fn add(&mut self, judged: Judged) {
        let Judged { number, spec, trial, met } = judged;
        self.cases += 1;
        self.coverage.add(met);
        match trial {
            Steady::No(at) => drop(self.unsteady.insert(number, at.to_string())),
            Steady::Yes(Trial::Agree) => self.agree += 1,
            Steady::Yes(Trial::Refused(why)) => drop(self.refused.insert(number, why)),
            Steady::Yes(Trial::Differ(differing)) => {
                let found = Found { spec, differing: *differing };
                self.differ.entry(found.differing.kind()).or_default().insert(number, found);
            }
        }
    }
}

/// The kernel that is asked, the emulator, and who may end it all.
pub struct Hunt<'k> {
    /// The one that is right.
    pub kernel: &'k mut dyn Kernel,
    /// The one that is examined.
    pub everyhop: Covered,
    /// Asked again and again: whether to stop.
    pub stop: &'k dyn Fn() -> bool,
}

impl Hunt<'_> {
    /// Runs a case, several times if it differs.
    ///
    /// # Errors
    /// [`RunError::Interrupted`] if `stop` said true.
    pub fn judge(&mut self, case: Case) -> Result<Judged, RunError> {
        let spec = case.spec();
        let trial = self.again_and_again(&spec)?;
        Ok(Judged { number: case.number, spec, trial, met: std::mem::take(&mut self.everyhop.met) })
    }

    /// The smallest spec that differs in the same way, if it does so always; else the one that was found. At most
    /// `tries` are run.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub fn shrink(&mut self, found: Found, mut tries: u32) -> Result<Found, RunError> {
        let kind = found.differing.kind();
        let spec = smallest(found.spec.clone(), &mut |spec| {
            if tries == 0 || Document::read(&spec.to_string()).is_err() {
                return false;
            }
            tries -= 1;
            matches!(self.once(spec), Ok(Trial::Differ(smaller)) if smaller.kind() == kind)
        });
        Ok(match self.again_and_again(&spec)? {
            Steady::Yes(Trial::Differ(smaller)) if smaller.kind() == kind => Found { spec, differing: *smaller },
            _ => found,
        })
    }

    /// Runs a spec, several times if it differs.
    fn again_and_again(&mut self, spec: &Value) -> Result<Steady, RunError> {
        let mut last = self.once(spec)?;
        for _ in 1..TIMES {
            let Trial::Differ(found) = &mut last else { break };
            match self.once(spec)? {
                Trial::Differ(again) if again.kind() == found.kind() => *found = again,
                _ => return Ok(Steady::No(found.at.clone())),
            }
        }
        Ok(Steady::Yes(last))
    }

    fn once(&mut self, spec: &Value) -> Result<Trial, RunError> {
        match run(spec, self.kernel, &mut self.everyhop, self.stop) {
            Err(RunError::Watch(why)) => Ok(Trial::Refused(why)),
            trial => trial,
        }
    }
}
