//! What is wrong with a manifest, where, and what to do about it.

use std::fmt;

use super::shown::shown_path;

/// A place in a file. Lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

impl Position {
    /// The beginning of a file.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// One error or warning. Its text is safe to print: what comes from a file has gone through [`shown`](super::shown()).
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// Name of the file, as the caller gave it.
    pub file: String,
    /// Where in the file.
    pub at: Position,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub advice: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, at, message, advice } = self;
        write!(f, "{}:{}:{}: {message}\n  {advice}", shown_path(file), at.line, at.column)
    }
}

impl std::error::Error for Finding {}

/// The findings of one loading, kept within bounds.
#[derive(Default, Debug)]
pub(super) struct Findings {
    pub(super) errors: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
}

/// How many findings of each sort are kept: enough for any honest folder of files, and a bound on a hostile one.
const KEPT: usize = 500;

impl Findings {
    pub(super) fn error(&mut self, finding: Finding) {
        keep(&mut self.errors, finding);
    }

    pub(super) fn warn(&mut self, finding: Finding) {
        keep(&mut self.warnings, finding);
    }
}

/// Adds `finding` to `list`; the last one kept says that there are more.
fn keep(list: &mut Vec<Finding>, finding: Finding) {
    if list.len() + 1 < KEPT {
        list.push(finding);
    } else if list.len() < KEPT {
        let advice = "repair the ones above and try again";
        list.push(Finding {
            message: format!("more than {KEPT} findings; the rest is left out"),
            advice: advice.into(),
            ..finding
        });
    }
}
