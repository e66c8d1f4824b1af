//! The files of the repository as the rules see them.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::Path;

use super::token::{self, Kind, Token};

/// Folders that hold no text of ours.
const PASSED_OVER: [&str; 3] = [".git", "target", "snapshots"];

/// One Rust file.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path from the root of the repository, with `/`.
    pub path: String,
    /// Its number of lines.
    pub lines: usize,
    /// Its comments.
    pub comments: Vec<Token>,
    /// Everything else.
    pub code: Vec<Token>,
    /// Whether all of it is compiled for tests only.
    pub is_test: bool,
    test_items: Vec<Range<usize>>,
}

impl Source {
    /// Reads `text` of the file at `path`.
    pub fn new(path: &str, text: &str) -> Self {
        let (comments, code): (Vec<_>, Vec<_>) =
            token::tokens(text).into_iter().partition(|token| token.kind == Kind::Comment);
        let test_items = test_items(&code);
        let is_test = path.starts_with("tests/") || path.ends_with("tests.rs");
        Self { path: path.to_owned(), lines: text.lines().count(), comments, code, is_test, test_items }
    }

    /// Whether the token at index `at` of the code is compiled for tests only.
    pub fn is_test_at(&self, at: usize) -> bool {
        self.is_test || self.test_items.iter().any(|range| range.contains(&at))
    }

    /// Indices of the code that are not compiled for tests only.
    pub fn product(&self) -> impl Iterator<Item = usize> {
        (0..self.code.len()).filter(|at| !self.is_test_at(*at))
    }

    /// The test items with a body in this file: first and last line of each.
    pub fn test_modules(&self) -> impl Iterator<Item = (usize, usize)> {
        let with_body = self.test_items.iter().filter(|range| self.code[range.end - 1].is("}"));
        with_body.map(|range| (self.code[range.start].line, self.code[range.end - 1].line))
    }

    /// The crate's folder, for example `sim-core`.
    pub fn package(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// The module's path inside its crate: `src/a/mod.rs` and `src/a.rs` are `[a]`, `src/lib.rs` is `[]`.
    pub fn module(&self) -> Vec<&str> {
        let inside = self.path.split_once("/src/").map_or("", |(_, inside)| inside);
        let inside = inside.trim_end_matches(".rs");
        let mut module: Vec<_> = inside.split('/').collect();
        if matches!(module.last(), Some(&("mod" | "lib" | "main"))) {
            module.pop();
        }
        module
    }

    /// The modules this file declares for tests only, as the beginnings of their paths.
    fn test_module_paths(&self) -> Vec<String> {
        let folder = match self.path.rsplit_once('/') {
            Some((folder, "mod.rs" | "lib.rs" | "main.rs")) => folder.to_owned(),
            _ => self.path.trim_end_matches(".rs").to_owned(),
        };
        let names = self.test_items.iter().filter_map(|range| {
            let item = &self.code[range.clone()];
            let at = item.iter().position(|token| token.is("mod"))?;
            item.last()?.is(";").then(|| &item[at + 1].text)
        });
        names.map(|name| format!("{folder}/{name}")).collect()
    }
}

/// Token ranges of the items behind `#[cfg(test)]`, that attribute included.
fn test_items(code: &[Token]) -> Vec<Range<usize>> {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let begins = |at: usize| attribute.iter().enumerate().all(|(i, text)| code.get(at + i).is_some_and(|t| t.is(text)));
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        if !begins(at) {
            at += 1;
            continue;
        }
        let end = item_end(code, at + attribute.len());
        found.push(at..end);
        at = end;
    }
    found
}

/// Index after the item (with its other attributes) that begins at `at`.
fn item_end(code: &[Token], mut at: usize) -> usize {
    while at < code.len() {
        let token = &code[at];
        if token.is(";") {
            return at + 1;
        }
        if token.is("(") || token.is("[") || token.is("{") {
            let close = token::closing(code, at);
            if token.is("{") {
                return close + 1;
            }
            at = close;
        }
        at += 1;
    }
    code.len()
}

/// Everything the rules look at.
#[derive(Clone, Debug, Default)]
pub struct Repo {
    /// Rust files, by path.
    pub sources: Vec<Source>,
    /// Other text the rules read (`*.md`, `Cargo.toml`): path and text, by path.
    pub texts: Vec<(String, String)>,
    /// Paths of all files and folders.
    pub paths: BTreeSet<String>,
}

impl Repo {
    /// The repository at `root`.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut repo = Self::default();
        repo.read_folder(root, "")?;
        Ok(repo.with_test_files())
    }

    /// A repository of Rust files made up in a test: path and text of each.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let sources = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        Self { sources, ..Self::default() }.with_test_files()
    }

    /// The text of the file at `path`; empty if there is none.
    pub fn text(&self, path: &str) -> &str {
        self.texts.iter().find(|(name, _)| name == path).map_or("", |(_, text)| text)
    }

    fn read_folder(&mut self, root: &Path, folder: &str) -> io::Result<()> {
        let mut entries: Vec<_> = std::fs::read_dir(root.join(folder))?.collect::<Result<_, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            self.paths.insert(path.clone());
            if entry.file_type()?.is_dir() {
                if !PASSED_OVER.contains(&name.as_str()) {
                    self.read_folder(root, &path)?;
                }
            } else if name.ends_with(".rs") {
                let text = String::from_utf8_lossy(&std::fs::read(entry.path())?).into_owned();
                self.sources.push(Source::new(&path, &text));
            } else if name.ends_with(".md") || name == "Cargo.toml" {
                let text = String::from_utf8_lossy(&std::fs::read(entry.path())?).into_owned();
                self.texts.push((path, text));
            }
        }
        Ok(())
    }

    /// Marks the files of modules that are declared behind `#[cfg(test)]`, and those below them.
    fn with_test_files(mut self) -> Self {
        let declared: Vec<_> = self.sources.iter().flat_map(Source::test_module_paths).collect();
        for source in &mut self.sources {
            let below = |module: &String| {
                source.path.strip_prefix(module.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            };
            source.is_test |= declared.iter().any(below);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_behind_cfg_test_is_test_code_and_nothing_else() {
        let source = Source::new("a/src/b.rs", "fn x() {}\n#[cfg(test)]\nmod tests {\n fn y() {}\n}\nfn z() {}");
        let names: Vec<_> = source.product().map(|at| source.code[at].text.as_str()).collect();
        assert!(names.contains(&"x") && names.contains(&"z") && !names.contains(&"y"));
        assert_eq!(source.test_modules().collect::<Vec<_>>(), [(2, 5)]);
    }

    #[test]
    fn a_file_declared_for_tests_is_test_code_with_all_below_it() {
        let repo = Repo::of(&[
            ("a/src/m/mod.rs", "#[cfg(test)]\npub(crate) mod bench;\nmod benches;"),
            ("a/src/m/bench.rs", ""),
            ("a/src/m/bench/deep.rs", ""),
            ("a/src/m/benches.rs", ""),
            ("a/src/n.rs", "#[cfg(test)] mod stories;"),
            ("a/src/n/stories.rs", ""),
        ]);
        let tests: Vec<_> = repo.sources.iter().filter(|s| s.is_test).map(|s| s.path.as_str()).collect();
        assert_eq!(tests, ["a/src/m/bench.rs", "a/src/m/bench/deep.rs", "a/src/n/stories.rs"]);
    }

    #[test]
    fn a_module_is_named_by_its_file() {
        let module = |path| Source::new(path, "").module().join("::");
        assert_eq!(module("a/src/b/c.rs"), "b::c");
        assert_eq!(module("a/src/b/mod.rs"), "b");
        assert_eq!(module("a/src/lib.rs"), "");
    }
}
