//! A document of the lab, whichever kind of spec it holds: run here, and made ready to be compared.

use serde_json::Value;
use sim_core::engine::rng::Seed;

use super::compare::mask;
use super::run::RunError;
use super::script::forgive;
use super::spec::{Asked, Document};
use super::world::LabWorld;
use super::{run, script};

impl Document {
    /// Does what is asked for and returns what happened, one object a step. Everything random comes from `seed`; `stop` is
    /// asked between events.
    ///
    /// # Errors
    /// What was refused, and where; or that `stop` said true.
    pub fn run(&self, seed: Seed, stop: &dyn Fn() -> bool) -> Result<Value, RunError> {
        match &self.asked {
            Asked::Steps(spec) => run::run(spec, &mut LabWorld::new(seed), stop),
            Asked::Script(script) => script::run(script, seed, stop),
        }
    }

    /// The kernel's result and ours as they are to be compared: without what the spec ignores, and with the kernel's value
    /// where the bench allows a difference. `None` in a bare spec.
    pub fn compared(&self, everyhop: &Value) -> Option<(Value, Value)> {
        let kernel = self.result.as_ref()?;
        Some(match &self.asked {
            Asked::Steps(spec) => (mask(kernel, &spec.ignore), mask(everyhop, &spec.ignore)),
            Asked::Script(script) => {
                let kernel = mask(kernel, &script.ignore);
                let everyhop = forgive(&kernel, &mask(everyhop, &script.ignore));
                (kernel, everyhop)
            }
        })
    }
}
