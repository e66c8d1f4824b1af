//! What may not stand in the code: things left over, and what would break determinism or plain data.

use super::Violation;
use super::repo::{Repo, Source};
use super::token::{self, Kind};

/// Marks of unfinished work, in comments.
const MARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Macros that are left over wherever they stand.
const LEFT_OVER: [&str; 3] = ["dbg", "todo", "unimplemented"];

/// Paths that do not belong below tools, each with its replacement.
const PATHS: [(&str, &str); 18] = [
    ("rand", "draws are engine::rng::Stream"),
    ("std::cell", "state is plain data, changed by &mut"),
    ("std::collections::HashMap", "engine::arena::Map for lookups; BTreeMap or IndexMap where it is iterated"),
    ("std::collections::HashSet", "BTreeSet or IndexSet"),
    ("std::env", "the environment belongs to tools; pass the value in"),
    ("std::fs", "files belong to tools; pass the text in"),
    ("std::hash::RandomState", "engine::arena::Map has a fixed hasher"),
    ("std::io::stderr", "output belongs to tools; return the text"),
    ("std::io::stdout", "output belongs to tools; return the text"),
    ("std::net::TcpListener", "sockets are netns::socket"),
    ("std::net::TcpStream", "sockets are netns::socket"),
    ("std::net::UdpSocket", "sockets are netns::socket"),
    ("std::process", "processes belong to tools"),
    ("std::rc", "ids instead of pointers; Arc where much is shared and rarely changed"),
    ("std::sync::Mutex", "one world is one thread; state is changed by &mut"),
    ("std::sync::RwLock", "one world is one thread; state is changed by &mut"),
    ("std::thread", "one world is one thread; sweeps over seeds belong to tools"),
    ("std::time", "engine::time is simulated time"),
];

/// Files that need a banned path, and why.
const NEEDED: [(&str, &str, &str); 3] = [
    ("sim-core/src/capture/pcapng.rs", "std::time", "pcap-file's timestamps are std's durations"),
    ("sim-core/src/engine/arena.rs", "std::collections::HashMap", "the one place that fixes the hasher"),
    ("sim-k8s/src/manifest/typed.rs", "std::cell", "serde's visitors share a list for as long as one read takes"),
];

/// Every ban broken in `repo`.
pub fn check(repo: &Repo) -> Vec<Violation> {
    let rules = [marks, macros, attributes, paths, floats];
    repo.sources.iter().flat_map(|source| rules.iter().flat_map(|rule| rule(source))).collect()
}

fn marks(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for comment in &source.comments {
        for (offset, line) in comment.text.lines().enumerate() {
            let marked = line.split(|c: char| !c.is_alphanumeric()).find(|word| MARKS.contains(word));
            if let Some(mark) = marked {
                let message = format!("{mark}: do it, or write the gap into docs/differences.md");
                found.push(Violation::new(&source.path, comment.line + offset, message));
            }
        }
    }
    found
}

fn macros(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for at in 1..source.code.len() {
        let (name, bang) = (&source.code[at - 1], &source.code[at]);
        if !bang.is("!") || name.kind != Kind::Ident {
            continue;
        }
        let message = match name.text.as_str() {
            left if LEFT_OVER.contains(&left) => "left over: finish it, or return an error",
            "println" | "print" if source.package() != "tools" => "output belongs to tools; return the text",
            "eprintln" | "eprint" if source.package() != "tools" && !says_skipped(source, at) => {
                "only a test that cannot run here speaks on stderr: eprintln!(\"skipped: why\")"
            }
            _ => continue,
        };
        found.push(Violation::new(&source.path, name.line, format!("{}!: {message}", name.text)));
    }
    found
}

/// Whether the macro whose `!` is at `bang` is a test's word that it was skipped.
fn says_skipped(source: &Source, bang: usize) -> bool {
    source.is_test_at(bang) && source.code.get(bang + 2).is_some_and(|first| first.text.starts_with("\"skipped: "))
}

fn attributes(source: &Source) -> Vec<Violation> {
    let code = &source.code;
    let mut found = Vec::new();
    for at in (0..code.len()).filter(|at| code[*at].is("[")) {
        let is_attribute = at > 0 && (code[at - 1].is("#") || at > 1 && code[at - 1].is("!") && code[at - 2].is("#"));
        let Some(name) = code.get(at + 1).filter(|_| is_attribute) else { continue };
        let reasoned = || code[at..=token::closing(code, at)].iter().any(|token| token.is("reason"));
        let message = match name.text.as_str() {
            "ignore" => "#[ignore]: a test that cannot run here says so: eprintln!(\"skipped: why\")",
            "allow" | "expect" if !reasoned() => "a lint is silenced with a reason only: #[expect(…, reason = \"…\")]",
            _ => continue,
        };
        found.push(Violation::new(&source.path, name.line, message));
    }
    found
}

fn paths(source: &Source) -> Vec<Violation> {
    // sim-linux is all about the machine it runs on.
    if matches!(source.package(), "tools" | "tests" | "sim-linux") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for path in token::paths(&source.code) {
        let written = path.segments.join("::");
        let ban = PATHS.iter().find(|(banned, _)| {
            written.strip_prefix(banned).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        });
        let Some((banned, instead)) = ban.filter(|_| !source.is_test_at(path.at)) else { continue };
        if !NEEDED.iter().any(|(file, path, _)| source.path == *file && banned == path) {
            found.push(Violation::new(&source.path, source.code[path.at].line, format!("{banned}: {instead}")));
        }
    }
    found
}

fn floats(source: &Source) -> Vec<Violation> {
    if source.package() != "sim-core" {
        return Vec::new();
    }
    let is_float = |at: &usize| source.code[*at].is("f32") || source.code[*at].is("f64");
    let message = "floats differ between machines: integers, per mille or fixed point";
    source.product().filter(is_float).map(|at| Violation::new(&source.path, source.code[at].line, message)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(path: &str, text: &str) -> Vec<String> {
        check(&Repo::of(&[(path, text)])).iter().map(|v| format!("{}: {}", v.line, v.message)).collect()
    }

    const CORE: &str = "sim-core/src/x.rs";

    #[test]
    fn unfinished_work_is_found() {
        assert!(check_text(CORE, &format!("// a\n/* b\n {}: c */", MARKS[0]))[0].starts_with("3: "));
        assert!(check_text(CORE, "fn f() { todo!() }")[0].contains("todo!"));
        assert!(check_text(CORE, "// a mastodon").is_empty());
    }

    #[test]
    fn only_tools_print_and_only_a_skipped_test_complains() {
        assert_eq!(check_text(CORE, "fn f() { println!() }").len(), 1);
        assert_eq!(check_text(CORE, "fn f() { eprintln!(\"skipped: x\") }").len(), 1, "it is no test");
        assert_eq!(check_text(CORE, "#[cfg(test)] mod tests { fn f() { eprintln!(\"oh\") } }").len(), 1);
        assert!(check_text(CORE, "#[cfg(test)] mod tests { fn f() { eprintln!(\"skipped: x\") } }").is_empty());
        assert!(check_text("tools/src/main.rs", "fn f() { println!(); eprintln!() }").is_empty());
    }

    #[test]
    fn a_lint_is_silenced_with_a_reason() {
        assert_eq!(check_text(CORE, "#![allow(dead_code)] #[expect(x)] #[ignore] fn f() {}").len(), 3);
        assert!(check_text(CORE, "#[expect(dead_code, reason = \"because\")] fn f() { [allow(1)]; }").is_empty());
    }

    #[test]
    fn what_breaks_determinism_is_found_in_every_spelling() {
        assert_eq!(check_text(CORE, "use std::{fmt, fs::File, time::{Duration, Instant}};").len(), 3);
        assert_eq!(check_text(CORE, "fn f() { std::env::var(\"x\"); let y: f64; }").len(), 2);
        assert!(check_text(CORE, "use std::fmt; use super::time::Instant;").is_empty());
        assert!(check_text(CORE, "#[cfg(test)] mod tests { use std::fs; }").is_empty(), "tests may read ../shared");
        assert!(check_text("tools/src/main.rs", "use std::fs;").is_empty());
    }

    #[test]
    fn a_file_that_needs_a_ban_lifted_has_only_that_one_lifted() {
        for (file, path, _) in NEEDED {
            assert!(check_text(file, &format!("use {path};")).is_empty());
            assert_eq!(check_text(file, "use std::fs;").len(), 1);
        }
    }
}
