//! What went wrong, as the terminal shows it, and the exit code that says so to a script.

use std::fmt::Write;

use sim_scenarios::lab::spec::SpecError;

use crate::output::OutputError;
use crate::terminal::printable;

/// Everything as it should be.
pub(crate) const FINE: u8 = 0;
/// A check failed: results differ, calls were not answered, a disk was full.
pub(crate) const FAILED: u8 = 1;
/// Bad input or usage: nothing was run.
pub(crate) const BAD_INPUT: u8 = 2;
/// This machine has not what it takes: nothing was checked, and nothing is wrong.
pub(crate) const SKIPPED: u8 = 3;

/// Why a command ends early.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    /// The exit code.
    pub(crate) exit: u8,
    /// What is wrong, with file, line and column where there are any.
    pub(crate) message: String,
    /// The line of the file with a mark under the culprit.
    pub(crate) excerpt: Option<String>,
    /// What to do about it.
    pub(crate) help: Option<String>,
}

impl Problem {
    /// Something is wrong with what the user gave.
    pub(crate) fn bad_input(message: impl Into<String>) -> Self {
        Self { exit: BAD_INPUT, message: message.into(), excerpt: None, help: None }
    }

    /// Something went wrong on the way.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { exit: FAILED, ..Self::bad_input(message) }
    }

    /// The same problem with advice.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// A mistake in the spec of `file`, whose text is `text`.
    pub(crate) fn in_spec(file: &str, text: &str, error: &SpecError) -> Self {
        Self {
            exit: BAD_INPUT,
            message: format!("{file}:{error}"),
            excerpt: excerpt(text, error.place.line, error.place.column),
            help: error.help.clone(),
        }
    }

    /// The lines for stderr, ending with how to see it again.
    pub(crate) fn shown(&self, reproduce: &str) -> String {
        let mut out = format!("error: {}\n", self.message);
        for line in self.excerpt.iter().flat_map(|excerpt| excerpt.lines()) {
            let _ = writeln!(out, "  | {line}");
        }
        if let Some(help) = &self.help {
            let _ = writeln!(out, "  help: {help}");
        }
        let _ = writeln!(out, "  to see it again: {reproduce}");
        printable(&out)
    }
}

impl From<OutputError> for Problem {
    fn from(error: OutputError) -> Self {
        Self::failed(error.to_string())
    }
}

/// How much of a line is shown before and after the culprit, in characters.
const AROUND: usize = 50;

/// The line of `text` with a mark under `column` (counted in bytes from 1), both cut to what is near.
pub(crate) fn excerpt(text: &str, line: usize, column: usize) -> Option<String> {
    let line = text.lines().nth(line.checked_sub(1)?)?;
    let before = line.get(..column.saturating_sub(1).min(line.len()))?;
    let head: String = before.chars().rev().take(AROUND).collect::<Vec<_>>().into_iter().rev().collect();
    let tail: String = line[before.len()..].chars().take(AROUND).collect();
    Some(format!("{head}{tail}\n{}^", " ".repeat(head.chars().count())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_scenarios::lab::spec::Document;

    #[test]
    fn a_mistake_in_a_spec_is_shown_with_its_line_a_mark_and_the_way_back() {
        let text = "{\"topo\": {\"nodes\": 1},\n \"steps\": [{\"op\": \"sleep\", \"s\": 1, \"for\": 2}]}";
        let error = Document::read(text).unwrap_err();
        let shown = Problem::in_spec("x.json", text, &error).shown("everyhop parity x.json");
        assert_eq!(
            shown,
            "error: x.json:2:43: unknown key \"for\"\n\
             \x20 |  \"steps\": [{\"op\": \"sleep\", \"s\": 1, \"for\": 2}]}\n\
             \x20 |                                           ^\n\
             \x20 help: known here: op, arp, s, nd, hops, hops_in, times, pkttype, ct, timeouts, trace, quiet, timeout\n\
             \x20 to see it again: everyhop parity x.json\n"
        );
    }

    #[test]
    fn an_escape_sequence_in_a_name_does_not_reach_the_terminal() {
        let shown = Problem::bad_input("no such file: \u{1b}[31m\u{7}x").shown("everyhop");
        assert!(!shown.contains(['\u{1b}', '\u{7}']) && shown.contains(r"\u{1b}[31m"), "{shown}");
    }
}
