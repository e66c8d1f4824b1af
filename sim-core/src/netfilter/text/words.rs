//! A line as words with their columns, and one option with its values.

use super::TextError;
use crate::netfilter::rules::rule::Cond;
use crate::wire::ip::Family;

/// Longest line (iptables/iptables-restore.c, `buffer[10240]`).
pub(crate) const MAX_LINE: usize = 10_240;

/// Most words of a line (iptables/xshared.h, `MAX_ARGC`).
const MAX_WORDS: usize = 255;

/// A word.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    /// Without quotes and escapes.
    pub(crate) text: String,
    /// Where it begins, in characters from 1.
    pub(crate) column: u32,
    /// Whether it stood in quotes: then it is never an option or `!`.
    pub(crate) quoted: bool,
}

/// The words of a line and how far they were read.
#[derive(Debug)]
pub(crate) struct Words {
    family: Family,
    line: u32,
    words: Vec<Word>,
    next: usize,
    end_column: u32,
}

impl Words {
    /// Splits a line (iptables/xshared.c, `add_param_to_argv`): blanks part words; a quote opens anywhere, `\`
    /// escapes only inside quotes, and the closing quote ends the word.
    pub(crate) fn split(family: Family, line: u32, text: &str) -> Result<Self, TextError> {
        if text.len() > MAX_LINE {
            return Err(TextError::new(line, 1, format!("line longer than {MAX_LINE} bytes")));
        }
        let mut words = Vec::new();
        let mut word = Word { text: String::new(), column: 0, quoted: false };
        let (mut open, mut escaped, mut column) = (None, false, 0);
        for c in text.chars() {
            column += 1;
            let mut done = false;
            match c {
                _ if escaped => {
                    word.text.push(c);
                    escaped = false;
                }
                '\\' if open.is_some() => escaped = true,
                '"' if open.is_some() => (open, done) = (None, true),
                _ if open.is_some() => word.text.push(c),
                '"' => {
                    open = Some(column);
                    word.quoted = true;
                    word.column = if word.text.is_empty() { column } else { word.column };
                }
                ' ' | '\t' | '\r' => done = !word.text.is_empty(),
                _ => {
                    word.column = if word.text.is_empty() { column } else { word.column };
                    word.text.push(c);
                }
            }
            if done {
                words.push(std::mem::replace(&mut word, Word { text: String::new(), column: 0, quoted: false }));
            }
        }
        if let Some(column) = open {
            return Err(TextError::new(line, column, "this quote is never closed"));
        }
        if !word.text.is_empty() {
            words.push(word);
        }
        if let Some(word) = words.get(MAX_WORDS) {
            return Err(TextError::new(line, word.column, format!("more than {MAX_WORDS} words in one line")));
        }
        Ok(Self { family, line, words, next: 0, end_column: column + 1 })
    }

    /// The words of a command line, as a shell would hand them over; columns count as if blanks parted them.
    pub(crate) fn of(family: Family, args: &[&str]) -> Self {
        let mut column = 1;
        let mut words = Vec::with_capacity(args.len());
        for arg in args {
            words.push(Word { text: (*arg).to_owned(), column, quoted: false });
            column += arg.chars().count() as u32 + 1;
        }
        Self { family, line: 1, words, next: 0, end_column: column }
    }

    /// Whose rules these are.
    pub(crate) const fn family(&self) -> Family {
        self.family
    }

    /// Takes out an option and its value, wherever they stand.
    pub(crate) fn take(&mut self, names: &[&str]) -> Option<Word> {
        let at = self.words.iter().position(|w| names.contains(&&*w.text))?;
        let value = (at + 1 < self.words.len()).then(|| self.words.remove(at + 1))?;
        self.words.remove(at);
        Some(value)
    }

    /// The next word, which is then read.
    pub(crate) fn next(&mut self) -> Option<&Word> {
        let word = self.words.get(self.next)?;
        self.next += 1;
        Some(word)
    }

    /// The next word as a value that `wanted` names and `read` understands.
    pub(crate) fn value<T>(
        &mut self,
        wanted: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, TextError> {
        let (line, end) = (self.line, self.end_column);
        let Some(word) = self.next() else {
            return Err(TextError::new(line, end, format!("{wanted} needs a value")));
        };
        let column = word.column;
        read(&word.text).map_err(|message| TextError::new(line, column, message))
    }

    /// An error at `column` of this line.
    pub(crate) fn fail(&self, column: u32, message: impl Into<String>) -> TextError {
        TextError::new(self.line, column, message)
    }

    /// Whether all words are read.
    pub(crate) fn is_read(&self) -> bool {
        self.next == self.words.len()
    }

    /// Whether there is a next word and `test` says yes to it.
    pub(crate) fn next_is(&self, test: impl FnOnce(&str) -> bool) -> bool {
        self.words.get(self.next).is_some_and(|word| test(&word.text))
    }

    /// Puts a word before the next one: the value of `--option=value`.
    pub(crate) fn push_back(&mut self, text: &str, column: u32) {
        self.words.insert(self.next, Word { text: text.to_owned(), column, quoted: true });
    }
}

/// An option that was read, and access to its values.
pub(crate) struct Given<'w, 'n> {
    name: &'n str,
    column: u32,
    words: &'w mut Words,
    bang: bool,
    bang_taken: bool,
}

impl<'w, 'n> Given<'w, 'n> {
    /// The option `name` at `column`, with `!` before it or not.
    pub(crate) fn new(words: &'w mut Words, name: &'n str, column: u32, bang: bool) -> Self {
        Self { name, column, words, bang, bang_taken: false }
    }

    /// The option as written, for example `--dport`.
    pub(crate) fn name(&self) -> &'n str {
        self.name
    }

    /// Whose rule it is.
    pub(crate) fn family(&self) -> Family {
        self.words.family()
    }

    /// Whether `!` stood before it. An option that does not ask refuses it.
    pub(crate) fn bang(&mut self) -> bool {
        self.bang_taken = true;
        self.bang
    }

    /// The next word, as `read` understands it; `read`'s message is about the word alone.
    pub(crate) fn value<T>(&mut self, read: impl FnOnce(&str) -> Result<T, String>) -> Result<T, TextError> {
        self.words.value(self.name, read)
    }

    /// A condition: `!` or not, and one value.
    pub(crate) fn cond<T>(&mut self, read: impl FnOnce(&str) -> Result<T, String>) -> Result<Cond<T>, TextError> {
        let invert = self.bang();
        Ok(Cond { value: self.value(read)?, invert })
    }

    /// A number up to `max`.
    pub(crate) fn number(&mut self, max: u64) -> Result<u64, TextError> {
        self.value(|text| super::number(text, max).ok_or_else(|| format!("{text:?} is not a number from 0 to {max}")))
    }

    /// Where the option stands.
    pub(crate) fn column(&self) -> u32 {
        self.column
    }

    /// An error at the option.
    pub(crate) fn fail(&self, message: impl Into<String>) -> TextError {
        self.words.fail(self.column, message)
    }

    /// After the option was taken: refuses a `!` that nobody asked for.
    pub(crate) fn done(self) -> Result<(), TextError> {
        if self.bang && !self.bang_taken {
            return Err(self.fail(format!("{} cannot be inverted with !", self.name)));
        }
        Ok(())
    }
}
