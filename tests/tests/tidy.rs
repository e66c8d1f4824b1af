//! The repository keeps its own law (CONTRIBUTING.md).

use everyhop_tests::tidy::{self, repo::Repo};

#[test]
fn the_repository_keeps_its_law() {
    let repo = Repo::read(everyhop_tests::root()).expect("the repository can be read");
    assert!(repo.sources.len() > 50, "looked in the wrong place: {} Rust files", repo.sources.len());
    let violations = tidy::check(&repo);
    let listed: Vec<_> = violations.iter().map(|violation| format!("  {violation}")).collect();
    assert!(violations.is_empty(), "CONTRIBUTING.md is broken in {} places:\n{}", violations.len(), listed.join("\n"));
}
