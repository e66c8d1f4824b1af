//! One spec on two kernels, and what kind of difference there is between them.

use serde_json::Value;

use crate::lab::compare::{At, Difference, What, first_diff, mask};
use crate::lab::kernel::Kernel;
use crate::lab::run::RunError;
use crate::lab::spec::{Asked, Document};

/// What two kernels did with one spec.
#[derive(Clone, Debug)]
pub enum Trial {
    /// The same.
    Agree,
    /// Not the same.
    Differ(Box<Differing>),
    /// Neither could run it.
    Refused(String),
}

/// Two results that are not the same.
#[derive(Clone, Debug)]
pub struct Differing {
    /// The kernel's result, masked.
    pub kernel: Value,
    /// Ours, masked.
    pub everyhop: Value,
    /// Where they part.
    pub at: Difference,
}

impl Differing {
    /// What differs, whatever the numbers are: the way to it without positions, and how.
    pub fn kind(&self) -> String {
        let keys = self.at.path.iter().filter_map(|at| match at {
            At::Key(key) => Some(format!("/{key}")),
            At::Index(_) => None,
        });
        let what = match &self.at.what {
            What::Values(..) => " differs",
            What::OnlyInFirst(true) => " is missing here",
            What::OnlyInFirst(false) => " is here only",
            What::Lengths(kernel, everyhop) if kernel > everyhop => " is shorter here",
            What::Lengths(..) => " is longer here",
        };
        keys.chain([what.to_owned()]).collect()
    }
}

/// Runs `spec` on both. A refusal counts as a result: if only one side refuses, that is the difference.
///
/// # Errors
/// [`RunError::Interrupted`] if `stop` said true.
pub fn run(
    spec: &Value,
    kernel: &mut dyn Kernel,
    everyhop: &mut dyn Kernel,
    stop: &dyn Fn() -> bool,
) -> Result<Trial, RunError> {
    let document = match Document::read(&spec.to_string()) {
        Ok(document) => document,
        Err(error) => return Ok(Trial::Refused(error.to_string())),
    };
    let ours = told(everyhop.run(&document.asked, stop))?;
    let theirs = told(kernel.run(&document.asked, stop))?;
    if let (Err(ours), Err(_)) = (&ours, &theirs) {
        return Ok(Trial::Refused(ours.clone()));
    }
    let [kernel, everyhop] = [theirs, ours].map(|told| masked(&document.asked, told));
    Ok(match first_diff(&kernel, &everyhop) {
        None => Trial::Agree,
        Some(at) => Trial::Differ(Box::new(Differing { kernel, everyhop, at })),
    })
}

/// Whether both sides repeat what they did: what a kernel does by its timing, and what we draw, says nothing.
///
/// # Errors
/// [`RunError::Interrupted`] if `stop` said true.
pub fn is_steady(
    spec: &Value,
    found: &Differing,
    kernel: &mut dyn Kernel,
    everyhop: &mut dyn Kernel,
    stop: &dyn Fn() -> bool,
) -> Result<bool, RunError> {
    Ok(match run(spec, kernel, everyhop, stop)? {
        Trial::Differ(again) => again.kernel == found.kernel && again.everyhop == found.everyhop,
        Trial::Agree | Trial::Refused(_) => false,
    })
}

fn told(result: Result<Value, RunError>) -> Result<Result<Value, String>, RunError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(RunError::Interrupted) => Err(RunError::Interrupted),
        Err(refused) => Ok(Err(refused.to_string())),
    }
}

fn masked(asked: &Asked, told: Result<Value, String>) -> Value {
    match (told, asked) {
        (Ok(result), Asked::Steps(spec)) => mask(&result, &spec.ignore),
        (Ok(result), Asked::Script(_)) => result,
        (Err(why), _) => serde_json::json!({ "refused": why }),
    }
}
