//! What the tests of the whole repository share. [`tidy`] is CONTRIBUTING.md's law as code, [`supply`] holds the
//! dependencies to `deny.toml`. The tests themselves are in `tests/tests/`.

pub mod supply;
pub mod tidy;

use std::path::Path;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
