//! Two results of one spec, made ready to be compared.

use serde_json::Value;
use sim_core::engine::time::Duration;

use super::compare::mask;
use super::script::{forgive, forgive_repeated};
use super::spec::Asked;

impl Asked {
    /// The same, with the steps of a script as long as they were on another kernel ([`Kernel::pace`]).
    ///
    /// [`Kernel::pace`]: super::kernel::Kernel::pace
    pub fn at_pace(mut self, pace: &[Duration]) -> Self {
        if let Self::Script(script) = &mut self {
            for (step, lasted) in script.steps.iter_mut().zip(pace) {
                (step.wait, step.until) = (*lasted, None);
            }
        }
        self
    }

    /// The kernel's result and ours as they are to be compared: without what the spec ignores, and with the kernel's value
    /// where the bench allows a difference.
    pub fn compared(&self, kernel: &Value, everyhop: &Value) -> (Value, Value) {
        match self {
            Self::Steps(spec) => (mask(kernel, &spec.ignore), mask(everyhop, &spec.ignore)),
            Self::Script(script) => {
                let kernel = mask(kernel, &script.ignore);
                let everyhop = forgive(&kernel, &mask(everyhop, &script.ignore));
                (kernel, everyhop)
            }
        }
    }

    /// Two results as they are to be compared where one is a run of now: as [`Self::compared`], but either may be the later
    /// one, since on a real machine steps begin late as well as timers.
    pub fn repeated(&self, one: &Value, other: &Value) -> (Value, Value) {
        match self {
            Self::Steps(spec) => (mask(one, &spec.ignore), mask(other, &spec.ignore)),
            Self::Script(script) => {
                let one = mask(one, &script.ignore);
                let other = forgive_repeated(&one, &mask(other, &script.ignore));
                (one, other)
            }
        }
    }
}
