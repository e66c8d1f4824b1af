//! What the project depends on is what `deny.toml` allows.

use std::process::Command;

use everyhop_tests::supply::{self, Law};

#[test]
fn dependencies_are_those_deny_toml_allows() {
    let run = |command: &mut Command| {
        let output =
            command.current_dir(everyhop_tests::root()).output().expect("cargo runs this test, rustc built it");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    // Packages of other platforms need not have been downloaded.
    let host = run(Command::new("rustc").args(["--print", "host-tuple"]));
    let metadata = ["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform", host.trim()];
    let packages = supply::packages(&run(Command::new(env!("CARGO")).args(metadata))).expect("cargo's documented form");
    assert!(packages.len() > 20, "only {} packages", packages.len());

    let law = std::fs::read(everyhop_tests::root().join("deny.toml")).expect("deny.toml");
    let law = Law::read(std::str::from_utf8(&law).expect("UTF-8"));
    assert!(!law.licenses.is_empty() && !law.banned.is_empty(), "deny.toml was not understood: {law:?}");
    let broken = law.check(&packages);
    assert!(broken.is_empty(), "deny.toml is broken:\n{}", broken.join("\n"));
}
