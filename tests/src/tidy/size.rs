//! What fits in a head: lengths of files, functions and test modules.

use super::Violation;
use super::repo::{Repo, Source};
use super::token::{Kind, closing};

/// Lines of a file, tests included.
pub const FILE: usize = 500;
/// Lines of a function, from `fn` to its closing brace.
pub const FUNCTION: usize = 70;
/// Lines of a test module inside the file it tests.
pub const TEST_MODULE: usize = 100;

/// Everything too long in `repo`.
pub fn check(repo: &Repo) -> Vec<Violation> {
    repo.sources.iter().flat_map(|s| [file(s), functions(s), test_modules(s)].concat()).collect()
}

fn file(source: &Source) -> Vec<Violation> {
    let message = format!("{} lines; a file has at most {FILE}: split it by what it decides", source.lines);
    let violation = Violation::new(&source.path, source.lines, message);
    (source.lines > FILE).then_some(violation).into_iter().collect()
}

fn functions(source: &Source) -> Vec<Violation> {
    let code = &source.code;
    let mut found = Vec::new();
    for at in (0..code.len()).filter(|at| code[*at].is("fn")) {
        let Some(name) = code.get(at + 1).filter(|token| token.kind == Kind::Ident) else { continue };
        let Some(body) = body(source, at) else { continue };
        let lines = code[closing(code, body)].line - code[at].line + 1;
        if lines > FUNCTION {
            let message = format!("fn {} has {lines} lines; at most {FUNCTION}: name its steps", name.text);
            found.push(Violation::new(&source.path, code[at].line, message));
        }
    }
    found
}

/// Index of the brace that opens the body of the function whose `fn` is at `at`; `None` for a mere signature.
fn body(source: &Source, at: usize) -> Option<usize> {
    let mut at = at;
    loop {
        let token = source.code.get(at)?;
        match token.text.as_str() {
            "{" if token.kind == Kind::Punct => return Some(at),
            ";" if token.kind == Kind::Punct => return None,
            "(" | "[" if token.kind == Kind::Punct => at = closing(&source.code, at),
            _ => {}
        }
        at += 1;
    }
}

fn test_modules(source: &Source) -> Vec<Violation> {
    let long = source.test_modules().filter(|(first, last)| !source.is_test && last - first >= TEST_MODULE);
    let violation = |(first, last)| {
        let message = format!(
            "{} lines of tests; over {TEST_MODULE} they go to a sibling file, x/tests.rs or x_tests.rs",
            last - first + 1
        );
        Violation::new(&source.path, first, message)
    };
    long.map(violation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str) -> Vec<String> {
        check(&Repo::of(&[("sim-core/src/x.rs", text)])).iter().map(Violation::to_string).collect()
    }

    #[test]
    fn a_file_may_have_500_lines_and_no_more() {
        assert!(check_text(&"\n".repeat(FILE)).is_empty());
        assert!(check_text(&"\n".repeat(FILE + 1))[0].starts_with("sim-core/src/x.rs:501: 501 lines"));
    }

    #[test]
    fn a_function_is_measured_from_fn_to_its_brace() {
        let function = |lines: usize| format!("\nfn f(x: [u8; 2]) -> u8 {{{}}}", "\n".repeat(lines - 1));
        assert!(check_text(&function(FUNCTION)).is_empty());
        assert!(check_text(&function(FUNCTION + 1))[0].starts_with("sim-core/src/x.rs:2: fn f has 71 lines"));
        assert!(check_text(&format!("trait T {{ fn f(); }}{}", "\n".repeat(80))).is_empty(), "a signature has no body");
    }

    #[test]
    fn long_tests_go_to_a_file_of_their_own() {
        let module = |lines: usize| format!("#[cfg(test)]\nmod tests {{{}}}", "\n".repeat(lines - 2));
        assert!(check_text(&module(TEST_MODULE)).is_empty());
        assert!(check_text(&module(TEST_MODULE + 1))[0].contains("101 lines of tests"));
    }
}
