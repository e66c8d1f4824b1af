//! Text from a file, made safe to print.

use std::fmt;

/// How many characters of a text are shown.
const SHOWN_CHARACTERS: usize = 80;

/// `text` as it may be printed to a terminal: control, bidirectional and other invisible characters are
/// written as escapes (`\u{1b}`), and what is longer than 80 characters is cut, saying how long it was.
pub fn shown(text: &str) -> impl fmt::Display + '_ {
    Shown { text, characters: SHOWN_CHARACTERS }
}

/// The name of a file, made safe like any text; cut only where no file system would hold it (PATH_MAX).
pub(super) fn shown_path(text: &str) -> impl fmt::Display + '_ {
    Shown { text, characters: 4096 }
}

struct Shown<'a> {
    text: &'a str,
    characters: usize,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.text.chars();
        for c in characters.by_ref().take(self.characters) {
            if is_invisible(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                fmt::Write::write_char(f, c)?;
            }
        }
        match characters.as_str() {
            "" => Ok(()),
            _ => write!(f, "… ({} bytes)", self.text.len()),
        }
    }
}

/// Characters that move the cursor, change the direction of writing or show nothing: the control
/// characters (C0, C1), and of Unicode's format characters (category Cf) those in common fonts and
/// the ones behind "Trojan Source" (CVE-2021-42574).
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_terminal_escape_is_shown_not_obeyed() {
        assert_eq!(shown("a\u{1b}[31mred\u{7}\n").to_string(), r"a\u{1b}[31mred\u{7}\n");
        assert_eq!(shown("\u{9b}2J").to_string(), r"\u{9b}2J");
    }

    #[test]
    fn writing_direction_cannot_be_turned_around() {
        assert_eq!(shown("web\u{202e}gpj").to_string(), r"web\u{202e}gpj");
        assert_eq!(shown("grüße 你好").to_string(), "grüße 你好");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let long = "ü".repeat(10_000_000);
        let text = shown(&long).to_string();
        assert_eq!(text, format!("{}… (20000000 bytes)", "ü".repeat(80)));
        assert_eq!(shown(&"x".repeat(80)).to_string(), "x".repeat(80));
    }
}
