//! What the documents say is there: heads of modules, README's commands, links, the changelog's version.

use super::Violation;
use super::repo::Repo;

/// Every document that says something untrue, every module without a head.
pub fn check(repo: &Repo) -> Vec<Violation> {
    [heads(repo), links(repo), commands(repo), changelog(repo)].concat()
}

fn heads(repo: &Repo) -> Vec<Violation> {
    // x/tests.rs is part of x, whose head speaks for it.
    let rooms = repo.sources.iter().filter(|source| !source.path.ends_with("/tests.rs"));
    let headless = rooms.filter(|source| {
        let first_code = source.code.first().map_or(usize::MAX, |token| token.line);
        !source.comments.iter().any(|comment| comment.text.starts_with("//!") && comment.line <= first_code)
    });
    headless.map(|source| Violation::new(&source.path, 1, "begins without //!: say what this room is")).collect()
}

/// Relative links of Markdown files lead to something.
fn links(repo: &Repo) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in repo.texts.iter().filter(|(path, _)| path.ends_with(".md")) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (at, line) in text.lines().enumerate() {
            for link in line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
                let outside = link.is_empty() || link.contains("://");
                if !outside && !repo.paths.contains(&resolve(folder, link)) {
                    found.push(Violation::new(path, at + 1, format!("{link} is not there")));
                }
            }
        }
    }
    found
}

/// `link` seen from `folder`, as a path from the root.
fn resolve(folder: &str, link: &str) -> String {
    let mut parts: Vec<_> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Commands in README's `sh` blocks exist: a subcommand of everyhop has its file, a path of ours is there.
fn commands(repo: &Repo) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut in_block = false;
    for (at, line) in repo.text("README.md").lines().enumerate() {
        if line.starts_with("```") {
            in_block = line == "```sh";
            continue;
        }
        let command = line.split('#').next().unwrap_or_default();
        if let Some(message) = Some(command).filter(|_| in_block).and_then(|command| wrong(repo, command)) {
            found.push(Violation::new("README.md", at + 1, message));
        }
    }
    found
}

fn wrong(repo: &Repo, command: &str) -> Option<String> {
    let words: Vec<_> = command.split_whitespace().collect();
    let subcommand = match words.iter().position(|word| *word == "--") {
        Some(dashes) if words.starts_with(&["cargo", "run"]) => words.get(dashes + 1),
        _ => None,
    };
    if let Some(subcommand) = subcommand {
        let file = format!("tools/src/{subcommand}");
        if !repo.paths.contains(&file) && !repo.paths.contains(&format!("{file}.rs")) {
            return Some(format!("everyhop has no command {subcommand}: there is no {file}.rs"));
        }
    }
    let is_ours = |word: &str| word.contains('/') && !word.starts_with(['/', '-']) && !word.starts_with("target/");
    let missing = words.into_iter().find(|word| is_ours(word) && !repo.paths.contains(&resolve("", word)))?;
    Some(format!("{missing} is not there"))
}

/// The changelog has a heading for the version of the workspace.
fn changelog(repo: &Repo) -> Vec<Violation> {
    let version = repo.text("Cargo.toml").lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    let Some(version) = version else { return Vec::new() };
    let heading = format!("## {version}");
    let is_there = repo.text("CHANGELOG.md").lines().any(|line| line.starts_with(&heading));
    let violation = Violation::new("CHANGELOG.md", 1, format!("has no entry for {version}, the version in Cargo.toml"));
    (!is_there).then_some(violation).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo(texts: &[(&str, &str)], paths: &[&str]) -> Repo {
        let texts = texts.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Repo { texts, paths: paths.iter().map(|path| (*path).to_owned()).collect(), ..Repo::default() }
    }

    #[test]
    fn a_module_begins_with_what_it_is() {
        let text = "// licence\n//! Room.\nfn f() {}";
        assert!(heads(&Repo::of(&[("sim-core/src/x.rs", text)])).is_empty());
        assert_eq!(heads(&Repo::of(&[("sim-core/src/x.rs", "fn f() {}\n//! late")])).len(), 1);
        assert!(heads(&Repo::of(&[("sim-core/src/x/tests.rs", "fn f() {}")])).is_empty());
    }

    #[test]
    fn links_lead_to_something() {
        let text = "[a](b.md) [c](../x/y#z)\n[d](https://e.f) [g](h.md)";
        let found = links(&repo(&[("docs/a.md", text)], &["docs/b.md", "x/y"]));
        assert_eq!(found.iter().map(Violation::to_string).collect::<Vec<_>>(), ["docs/a.md:2: h.md is not there"]);
    }

    #[test]
    fn readme_names_no_command_that_is_not_there() {
        let text = "```sh\ncargo run --release -- run examples/a # yes\ncargo run -- walk x\n.ci/run\ncargo test\n```\nno/code";
        let found = commands(&repo(&[("README.md", text)], &["tools/src/run.rs", ".ci/run"]));
        let found: Vec<_> = found.iter().map(Violation::to_string).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], "README.md:2: examples/a is not there");
        assert!(found[1].starts_with("README.md:3: everyhop has no command walk"));
    }

    #[test]
    fn a_version_has_an_entry_in_the_changelog() {
        let cargo = ("Cargo.toml", "[workspace.package]\nversion = \"1.2.0\"");
        assert!(changelog(&repo(&[cargo, ("CHANGELOG.md", "## 1.2.0 (then)")], &[])).is_empty());
        assert_eq!(changelog(&repo(&[cargo, ("CHANGELOG.md", "## 1.1.0")], &[])).len(), 1);
    }
}
