//! Whoever does what a spec asks for: the emulator, or a Linux kernel (the crate `sim-linux`).
//!
//! Both are given the same types and answer in the same canonical form, so whatever compares them needs to know neither.

use serde_json::Value;
use sim_core::engine::rng::Seed;
use sim_core::engine::time::Duration;

use super::run::RunError;
use super::spec::Asked;
use super::world::LabWorld;
use super::{run, script};

/// A kernel that a spec can be run on.
pub trait Kernel {
    /// Builds what is asked for anew, does it and returns what happened, one object a step. `stop` is asked again and
    /// again; once it says true the run ends with [`RunError::Interrupted`].
    ///
    /// # Errors
    /// What was refused, and where; or that `stop` said true.
    fn run(&mut self, asked: &Asked, stop: &dyn Fn() -> bool) -> Result<Value, RunError>;

    /// How long each step of the last script lasted, if that is not as long as it should: whoever is compared must keep
    /// this pace ([`Asked::at_pace`]), or a timer falls into another step.
    fn pace(&self) -> &[Duration] {
        &[]
    }
}

/// The emulator. Everything random comes from the seed, and every run of one spec is the same.
#[derive(Clone, Copy, Debug)]
pub struct Emulator(pub Seed);

impl Kernel for Emulator {
    fn run(&mut self, asked: &Asked, stop: &dyn Fn() -> bool) -> Result<Value, RunError> {
        match asked {
            Asked::Steps(spec) => run::run(spec, &mut LabWorld::new(self.0), stop),
            Asked::Script(script) => script::run(script, &mut LabWorld::new(self.0), stop).map(|done| done.result),
        }
    }
}
