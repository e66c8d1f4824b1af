//! A typed line as commands of words.

use super::NotUnderstood;

/// Longest line read, in bytes.
const MAX_LINE: usize = 64 << 10;

/// One command of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Command {
    /// Where it is to be carried out, if the line says so.
    pub(super) place: Option<String>,
    /// Its words, not empty.
    pub(super) words: Vec<String>,
}

/// Splits `[PLACE:] WORDS; WORDS…`. Quotes and backslashes hold words together as in a shell, `#` begins a remark. A place
/// holds for the rest of the line.
pub(super) fn commands(line: &str) -> Result<Vec<Command>, NotUnderstood> {
    if line.len() > MAX_LINE {
        return Err(NotUnderstood {
            what: format!("a line of {} bytes", line.len()),
            understood: format!("lines of at most {MAX_LINE} bytes"),
        });
    }
    let mut place = None;
    let mut commands = Vec::new();
    for mut words in split(line)? {
        let named = words.first().and_then(|word| word.strip_suffix(':')).filter(|name| !name.is_empty());
        if let Some(name) = named {
            place = Some(name.to_owned());
            words.remove(0);
        }
        if !words.is_empty() {
            commands.push(Command { place: place.clone(), words });
        }
    }
    Ok(commands)
}

/// The words of each part between semicolons.
fn split(line: &str) -> Result<Vec<Vec<String>>, NotUnderstood> {
    let mut parts = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"') | None, '\\') => word.get_or_insert_default().extend(chars.next()),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, c) if c == ';' || c.is_whitespace() => {
                let last = parts.len() - 1;
                parts[last].extend(word.take());
                if c == ';' {
                    parts.push(Vec::new());
                }
            }
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(open) = quote {
        let what = format!("the quote {open} is not closed");
        return Err(NotUnderstood { what, understood: format!("another {open} before the end of the line") });
    }
    let last = parts.len() - 1;
    parts[last].extend(word);
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &str) -> Vec<(String, String)> {
        let commands = commands(line).expect("understood");
        commands.into_iter().map(|c| (c.place.unwrap_or_default(), c.words.join("|"))).collect()
    }

    #[test]
    fn a_place_holds_for_the_rest_of_the_line() {
        let wanted = [("", "ls"), ("n1", "ip|route"), ("n1", "ss"), ("default/web-0", "ip|addr")];
        let wanted = wanted.map(|(place, words)| (place.to_owned(), words.to_owned()));
        assert_eq!(words("ls; n1: ip route; ss;; default/web-0: ip addr # what it has"), wanted);
    }

    #[test]
    fn quotes_hold_words_together() {
        let line = r#"iptables -A INPUT -m comment --comment "it's; \"mine\"" '' a\ b"#;
        assert_eq!(words(line)[0].1, r#"iptables|-A|INPUT|-m|comment|--comment|it's; "mine"||a b"#);
        assert!(commands("echo 'open").is_err());
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange(line in ".{0,200}") {
            let _ = commands(&line);
        }
    }
}
