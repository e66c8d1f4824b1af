//! The text of iptables-save and iptables-restore: one parser and one printer.
//!
//! [`Restore::parse`] turns text into the operations of each table ([`super::rules::TableOps`]); [`save()`]
//! prints a ruleset as iptables-save 1.8.9 does. What an option of a match or target means stands in its own
//! file under [`super::rules`]; here is what they share: words (`words`), rules ([`rule`]), tables
//! ([`restore`]).

use std::fmt;

pub mod list;
pub mod restore;
pub mod rule;
pub mod save;
#[cfg(test)]
mod tests;
pub(crate) mod words;

pub use restore::Restore;
pub use rule::parse_rule;
pub use save::save;
pub(crate) use words::Given;

/// Why a text is refused, and where. Nothing of a refused text is applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TextError {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What would be right, if that can be said.
    pub help: Option<String>,
}

impl TextError {
    /// An error at a place, without help.
    pub(crate) fn new(line: u32, column: u32, message: impl Into<String>) -> Self {
        Self { line, column, message: message.into(), help: None }
    }

    /// The same with help.
    pub(crate) fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}

impl std::error::Error for TextError {}

/// A number up to `max`, decimal or hexadecimal (`0x…`) or octal (`0…`), as `xtables_strtoui` reads it.
pub(crate) fn number(text: &str, max: u64) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    let plain = digits.bytes().all(|b| b.is_ascii_alphanumeric());
    u64::from_str_radix(digits, radix).ok().filter(|&n| plain && n <= max)
}

/// A string as `xtables_save_string` writes it: bare if harmless, else in quotes with `\` before `"`, `\` and `'`.
pub(crate) struct Quoted<'t>(pub(crate) &'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let harmless = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if !self.0.is_empty() && self.0.bytes().all(harmless) {
            return f.write_str(self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            if matches!(c, '"' | '\\' | '\'') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}
