//! Style as a test: CONTRIBUTING.md's law, each rule with what to do instead.
//!
//! | room | what it holds the code to |
//! | --- | --- |
//! | [`repo`] | nothing: the files of the repository, what of them is test code |
//! | [`token`] | nothing: Rust text as tokens, and the paths in it |
//! | [`size`] | lengths of files, functions, test modules |
//! | [`bans`] | what is left over, what breaks determinism or plain data |
//! | [`words`] | one word, one thing; one path for both address families |
//! | [`layers`] | who may know whom: crates by their manifests, rooms by the paths in their code |
//! | [`docs`] | every module has a head; README, links and changelog are true |

pub mod bans;
pub mod docs;
pub mod layers;
pub mod repo;
pub mod size;
pub mod token;
pub mod words;

use std::fmt;

use repo::Repo;

/// A place that breaks the law.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Violation {
    /// Path from the root of the repository.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong there, and what to do instead.
    pub message: String,
}

impl Violation {
    /// `message` at `line` of `file`.
    pub fn new(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// All violations in `repo`, by file and line.
pub fn check(repo: &Repo) -> Vec<Violation> {
    let rules = [size::check, bans::check, words::check, layers::check, docs::check];
    let mut found: Vec<_> = rules.iter().flat_map(|rule| rule(repo)).collect();
    found.sort();
    found
}
