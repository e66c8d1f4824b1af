//! One spec on two kernels, and what kind of difference there is between them.

use serde_json::{Value, json};

use super::late;
use crate::lab::compare::{At, Difference, What, first_diff};
use crate::lab::kernel::Kernel;
use crate::lab::run::RunError;
use crate::lab::spec::Document;

/// What two kernels did with one spec.
#[derive(Clone, Debug)]
pub enum Trial {
    /// The same.
    Agree,
    /// Not the same.
    Differ(Box<Differing>),
    /// Neither could run it, or what happened could not be watched.
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
/// [`RunError::Interrupted`] if `stop` said true, [`RunError::Watch`] if a side could not see all that happened.
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
    let theirs = told(kernel.run(&document.asked, stop))?;
    let mut pace = kernel.pace().to_vec();
    let mut differs = None;
    for _ in 0..=late::CHANGES {
        let ours = told(everyhop.run(&document.asked.clone().at_pace(&pace), stop))?;
        if let (Err(ours), Err(_)) = (&ours, &theirs) {
            return Ok(Trial::Refused(ours.clone()));
        }
        let result = |told: &Result<Value, String>| told.clone().unwrap_or_else(|why| json!({ "refused": why }));
        let (kernel, everyhop) = document.asked.compared(&result(&theirs), &result(&ours));
        let Some(at) = first_diff(&kernel, &everyhop) else { return Ok(Trial::Agree) };
        let again = late::follow(&mut pace, &at, &kernel, &everyhop);
        differs = Some(Differing { kernel, everyhop, at });
        if !again {
            break;
        }
    }
    Ok(differs.map_or(Trial::Agree, |differs| Trial::Differ(Box::new(differs))))
}

fn told(result: Result<Value, RunError>) -> Result<Result<Value, String>, RunError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error @ (RunError::Interrupted | RunError::Watch(_))) => Err(error),
        Err(refused) => Ok(Err(refused.to_string())),
    }
}
