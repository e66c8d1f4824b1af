//! Rust text as tokens, with just as much of the grammar as the rules need: comments, literals and code are told
//! apart, braces are matched, paths are put together from `use` trees.

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An identifier or keyword.
    Ident,
    /// One character of punctuation.
    Punct,
    /// A string, character or number.
    Literal,
    /// A comment, its marks included.
    Comment,
}

/// One token of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its text.
    pub text: String,
    /// The line it begins on, from 1.
    pub line: usize,
}

impl Token {
    /// Whether it is this identifier or punctuation.
    pub fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Ident | Kind::Punct) && self.text == text
    }
}

/// A path as it is written in code, `use` trees taken apart: `use a::{b, c::d}` is `a::b` and `a::c::d`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Path {
    /// Its segments.
    pub segments: Vec<String>,
    /// Index of the token of its last segment.
    pub at: usize,
}

/// The tokens of `text`. Text that is no Rust gives some tokens, too.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (kind, len) = match first {
            c if c.is_whitespace() => (None, c.len_utf8()),
            '/' if rest.starts_with("//") => (Some(Kind::Comment), rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => (Some(Kind::Comment), block_comment(rest)),
            '"' => (Some(Kind::Literal), quoted(rest, 1)),
            '\'' => quote_or_lifetime(rest),
            c if c.is_ascii_digit() => (Some(Kind::Literal), number(rest)),
            c if c == '_' || c.is_alphabetic() => prefixed_or_ident(rest),
            c => (Some(Kind::Punct), c.len_utf8()),
        };
        let (text, after) = rest.split_at(len);
        if let Some(kind) = kind {
            found.push(Token { kind, text: text.to_owned(), line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    found
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Length of a literal that ends at its first quote mark, `from` bytes on, that is not escaped.
fn quoted(text: &str, from: usize) -> usize {
    let bytes = text.as_bytes();
    let quote = bytes[from - 1];
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

fn quote_or_lifetime(text: &str) -> (Option<Kind>, usize) {
    let mut chars = text[1..].chars();
    let (first, second) = (chars.next(), chars.next());
    if first == Some('\\') || second == Some('\'') {
        return (Some(Kind::Literal), quoted(text, 1));
    }
    (Some(Kind::Literal), 1 + ident(&text[1..]))
}

fn ident(text: &str) -> usize {
    text.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(text.len())
}

/// Digits, type and fraction; `1..2` and `1.max(2)` end before the dot.
fn number(text: &str) -> usize {
    let whole = ident(text);
    let rest = &text[whole..];
    match rest.strip_prefix('.') {
        Some(fraction) if fraction.starts_with(|c: char| c.is_ascii_digit()) => whole + 1 + ident(fraction),
        _ => whole,
    }
}

/// An identifier, or a literal with a prefix (`b"…"`, `r#"…"#`, `b'…'`).
fn prefixed_or_ident(text: &str) -> (Option<Kind>, usize) {
    let len = ident(text);
    let rest = &text[len..];
    match &text[..len] {
        "b" | "c" if rest.starts_with('"') => (Some(Kind::Literal), len + quoted(rest, 1)),
        "b" if rest.starts_with('\'') => (Some(Kind::Literal), len + quoted(rest, 1)),
        "r" | "br" | "cr" => {
            let hashes = rest.len() - rest.trim_start_matches('#').len();
            if !rest[hashes..].starts_with('"') {
                return (Some(Kind::Ident), len);
            }
            let body = len + hashes + 1;
            let end = format!("\"{}", "#".repeat(hashes));
            let end = text[body..].find(&end).map_or(text.len(), |at| body + at + end.len());
            (Some(Kind::Literal), end)
        }
        _ => (Some(Kind::Ident), len),
    }
}

/// Index of the token that closes the bracket at `open`; the last token if none does.
pub fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" if token.kind == Kind::Punct => depth += 1,
            ")" | "]" | "}" if token.kind == Kind::Punct => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    tokens.len() - 1
}

/// All paths of more than one segment. Comments must have been taken out of `tokens`.
pub fn paths(tokens: &[Token]) -> Vec<Path> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = match tokens[at].kind {
            Kind::Ident => path(tokens, at, &[], &mut found),
            _ => at + 1,
        };
    }
    found.retain(|path| path.segments.len() > 1);
    found
}

/// Reads the path that begins at `at`, after `prefix`; the index after it.
fn path(tokens: &[Token], mut at: usize, prefix: &[String], found: &mut Vec<Path>) -> usize {
    let mut segments = prefix.to_vec();
    while let Some(token) = tokens.get(at) {
        if token.is("{") && segments.len() == prefix.len() {
            break;
        }
        segments.push(token.text.clone());
        let colons = tokens.get(at + 1).is_some_and(|t| t.is(":")) && tokens.get(at + 2).is_some_and(|t| t.is(":"));
        if !colons {
            found.push(Path { segments, at });
            return at + 1;
        }
        if tokens.get(at + 3).is_some_and(|t| t.is("{")) {
            return group(tokens, at + 3, &segments, found);
        }
        if !tokens.get(at + 3).is_some_and(|t| t.kind == Kind::Ident || t.is("*")) {
            found.push(Path { segments, at });
            return at + 3;
        }
        at += 3;
    }
    at + 1
}

/// Reads the branches of a `use` tree, whose brace is at `open`; the index after it.
fn group(tokens: &[Token], open: usize, prefix: &[String], found: &mut Vec<Path>) -> usize {
    let close = closing(tokens, open);
    let mut at = open + 1;
    while at < close {
        at = match tokens[at].kind {
            Kind::Ident if tokens[at].is("as") => at + 2,
            Kind::Ident => path(tokens, at, prefix, found),
            _ => at + 1,
        };
    }
    close + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str, kind: Kind) -> Vec<String> {
        tokens(text).into_iter().filter(|t| t.kind == kind).map(|t| t.text).collect()
    }

    fn written(text: &str) -> Vec<String> {
        paths(&tokens(text)).into_iter().map(|p| p.segments.join("::")).collect()
    }

    #[test]
    fn comments_and_strings_are_no_code() {
        let text = "a // b\n/* c /* d */ e */ f \"g \\\" h\" r#\"i\"j\"# b'k' 'l' '\\'' m";
        assert_eq!(texts(text, Kind::Ident), ["a", "f", "m"]);
        assert_eq!(texts(text, Kind::Comment), ["// b", "/* c /* d */ e */"]);
    }

    #[test]
    fn lifetimes_and_ranges_do_not_swallow_what_follows() {
        assert_eq!(
            texts("fn f<'a>(x: &'a u8) { 1..n; 2.max(k) }", Kind::Ident),
            ["fn", "f", "x", "u8", "n", "max", "k"]
        );
    }

    #[test]
    fn tokens_know_their_line() {
        let lines: Vec<_> = tokens("a\n\"x\ny\" b\n\nc").into_iter().map(|t| t.line).collect();
        assert_eq!(lines, [1, 2, 3, 5]);
    }

    #[test]
    fn use_trees_are_taken_apart() {
        assert_eq!(
            written("use a::{self, b::C, d::{E, f as g}}; use h::*;"),
            ["a::self", "a::b::C", "a::d::E", "a::d::f", "h::*"]
        );
        assert_eq!(written("let x: a::B = c::<d::E>(); Self::f(g);"), ["a::B", "d::E", "Self::f"]);
    }

    #[test]
    fn text_that_is_no_rust_does_no_harm() {
        for text in ["\"", "'", "r#\"", "/*", "b'", "a::", "{", "use a::{", "}", "'\\", "é'"] {
            paths(&tokens(text));
        }
    }
}
