//! A difference as a reader wants it: the two runs side by side around the first place where they part.

use serde_json::Value;

use super::canon::dumps;
use super::compare::{At, Difference, What, first_diff, path_text};

/// Characters of one column; the whole is two of them, what is between and what is before: 120.
const COLUMN: usize = 55;
/// Items shown before and after the one that differs.
const CONTEXT: usize = 3;
/// Lines that one item may take.
const ITEM_LINES: usize = 4;

/// The first difference between `kernel` and `everyhop` (results, masked) of the spec `source`, in lines of
/// at most 120 characters; colour is ANSI.
pub fn side_by_side(source: &Value, kernel: &Value, everyhop: &Value, at: &Difference, colour: bool) -> String {
    let mut page = Page { out: String::new(), colour };
    if let Some(At::Index(step)) = at.path.first() {
        let steps = source.get("script").unwrap_or(&source["steps"]);
        page.line(&format!("step {} of {}: {}", step + 1, steps.as_array().map_or(0, Vec::len), dumps(&steps[*step])));
    }
    page.line(&format!("first difference: {at}"));
    page.difference(kernel, everyhop, at);
    if let Some(hops) = parting(kernel, everyhop, at) {
        page.line(&format!("where the hops part: {hops}"));
        page.difference(kernel, everyhop, &hops);
    }
    page.out
}

/// Where the hops of the step part, if the first difference is in something else.
fn parting(kernel: &Value, everyhop: &Value, at: &Difference) -> Option<Difference> {
    let Some(&At::Index(step)) = at.path.first() else { return None };
    let hops = At::Key("hops".into());
    if at.path.get(1) == Some(&hops) {
        return None;
    }
    let mut parting = first_diff(kernel.get(step)?.get("hops")?, everyhop.get(step)?.get("hops")?)?;
    parting.path.splice(0..0, [At::Index(step), hops]);
    Some(parting)
}

/// The list of a step around the difference and the place in it; else the member of the step.
fn surroundings(at: &Difference) -> (&[At], Option<usize>) {
    if let What::Lengths(a, b) = at.what {
        return (&at.path, Some(a.min(b)));
    }
    // The list of steps is too wide to be context, and a list inside a hop (`eth`) is part of its line.
    let list = at.path.iter().enumerate().skip(1).find_map(|(i, at)| match at {
        At::Index(index) => Some((i, *index)),
        At::Key(_) => None,
    });
    match list {
        Some((i, index)) => (&at.path[..i], Some(index)),
        None => (&at.path[..at.path.len().min(2)], None),
    }
}

fn get<'v>(value: &'v Value, path: &[At]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, at| match at {
        At::Key(key) => value.get(key),
        At::Index(i) => value.get(i),
    })
}

struct Page {
    out: String,
    colour: bool,
}

impl Page {
    /// What is around one difference, side by side.
    fn difference(&mut self, kernel: &Value, everyhop: &Value, at: &Difference) {
        let (list, index) = surroundings(at);
        self.out.push('\n');
        self.row("", &format!("kernel: {}", path_text(list)), "everyhop", false);
        match (get(kernel, list), get(everyhop, list), index) {
            (Some(Value::Array(a)), Some(Value::Array(b)), Some(index)) => {
                self.items(a, b, index, at.path.get(list.len() + 1..).unwrap_or_default(), at);
            }
            (a, b, _) => self.row("", &text_of(a), &text_of(b), true),
        }
    }

    /// The items around `index`, the one at `index` marked and its differing field told apart.
    fn items(&mut self, a: &[Value], b: &[Value], index: usize, field: &[At], at: &Difference) {
        let last = (index + CONTEXT + 1).min(a.len().max(b.len()));
        for i in index.saturating_sub(CONTEXT)..last {
            let differs = i == index;
            self.row(&i.to_string(), &text_of(a.get(i)), &text_of(b.get(i)), differs);
            if differs && !field.is_empty() {
                let value = |side: Option<&Value>| format!("{} {}", path_text(field), text_of(side));
                let (a, b) = match &at.what {
                    What::Values(a, b) => (Some(a), Some(b)),
                    _ => (a.get(i).and_then(|v| get(v, field)), b.get(i).and_then(|v| get(v, field))),
                };
                self.row("", &value(a), &value(b), true);
            }
        }
    }

    fn line(&mut self, text: &str) {
        let text: String = visible(text).chars().take(2 * COLUMN + 9).collect();
        self.out.push_str(&text);
        self.out.push('\n');
    }

    /// A row of two columns; each wraps within itself.
    fn row(&mut self, number: &str, left: &str, right: &str, marked: bool) {
        let (left, right) = (wrap(left), wrap(right));
        for i in 0..left.len().max(right.len()) {
            let cell = |lines: &[String]| lines.get(i).cloned().unwrap_or_default();
            let mark = if marked && i == 0 { '>' } else { ' ' };
            let number = if i == 0 { number } else { "" };
            let row = format!("{mark}{number:>4} {:<COLUMN$} | {}", cell(&left), cell(&right));
            let row = row.trim_end();
            match (self.colour, marked) {
                (true, true) => self.out.push_str(&format!("\x1b[31m{row}\x1b[0m")),
                _ => self.out.push_str(row),
            }
            self.out.push('\n');
        }
    }
}

/// One item of a list on one line: a hop as a reader of captures knows it, else its text.
fn text_of(value: Option<&Value>) -> String {
    match value {
        None => "(nothing)".into(),
        Some(Value::String(text)) => text.clone(),
        Some(hop) if hop.get("if").is_some() && hop.get("n").is_some() => hop_line(hop),
        Some(value) => dumps(value),
    }
}

fn hop_line(hop: &Value) -> String {
    let mut words = vec![format!("{}/{} {}", plain(&hop["n"]), plain(&hop["if"]), plain(&hop["d"]))];
    words.extend(["t", "pkt"].iter().filter_map(|key| hop.get(*key)).map(plain));
    words.push(frame_line(hop));
    words.join("  ")
}

fn frame_line(frame: &Value) -> String {
    let mut words = vec![format!("{}>{}", plain(&frame["eth"][0]), plain(&frame["eth"][1]))];
    if let Some(ip) = frame.get("ip") {
        words.push(format!(
            "{}>{} ttl {} id {}",
            plain(&ip["s"]),
            plain(&ip["d"]),
            plain(&ip["ttl"]),
            plain(&ip["id"])
        ));
    }
    for l4 in ["udp", "tcp"] {
        let Some(header) = frame.get(l4) else { continue };
        words.push(format!("{l4} {}>{}", plain(&header["s"]), plain(&header["d"])));
        words.extend(["fl", "seq", "ack", "data"].iter().filter_map(|key| header.get(*key)).map(plain));
    }
    for other in ["icmp", "arp", "type"] {
        words.extend(frame.get(other).map(|message| format!("{other} {}", dumps(message))));
    }
    words.extend(frame.get("inner").map(|inner| format!("vxlan [{}]", frame_line(inner))));
    words.join(" ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

/// `text` in lines of at most [`COLUMN`] characters, at most [`ITEM_LINES`] of them.
fn wrap(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut length = 0;
    for word in visible(text).split(' ') {
        let mut rest: Vec<char> = word.chars().collect();
        if length > 0 && length + 1 + rest.len() > COLUMN {
            lines.push("  ".into());
            length = 2;
        } else if length > 0 {
            push(&mut lines, " ");
            length += 1;
        }
        while length + rest.len() > COLUMN {
            let tail = rest.split_off(COLUMN - length);
            push(&mut lines, &rest.iter().collect::<String>());
            lines.push("  ".into());
            (rest, length) = (tail, 2);
        }
        length += rest.len();
        push(&mut lines, &rest.iter().collect::<String>());
    }
    if lines.len() > ITEM_LINES {
        lines.truncate(ITEM_LINES);
        let shortened: String = lines[ITEM_LINES - 1].chars().take(COLUMN - 1).collect();
        lines[ITEM_LINES - 1] = shortened + "…";
    }
    lines
}

fn push(lines: &mut [String], text: &str) {
    if let Some(line) = lines.last_mut() {
        line.push_str(text);
    }
}

/// `text` without what would move a terminal's cursor.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests;
