//! Where two results differ: the lab's own equality.

use std::fmt;

use serde_json::Value;

use super::canon::dumps;

/// The first difference between two results.
#[derive(Clone, PartialEq, Debug)]
pub struct Difference {
    /// The way to it: keys and positions.
    pub path: Vec<At>,
    /// What differs there.
    pub what: What,
}

/// One step of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum At {
    /// Into an object.
    Key(String),
    /// Into a list.
    Index(usize),
}

/// What differs.
#[derive(Clone, PartialEq, Debug)]
pub enum What {
    /// Two values.
    Values(Value, Value),
    /// A key that only the first or (if false) only the second has.
    OnlyInFirst(bool),
    /// Two lengths of lists that agree as far as the shorter goes.
    Lengths(usize, usize),
}

impl fmt::Display for Difference {
    /// As `first_diff` of the lab says it, values beyond ASCII excepted: `[0]/hops[3]/ip/ttl: 62 != 63`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", path_text(&self.path))?;
        match &self.what {
            What::Values(a, b) => write!(f, ": {} != {}", excerpt(a), excerpt(b)),
            What::OnlyInFirst(first) => write!(f, " only in {}", if *first { "first" } else { "second" }),
            What::Lengths(a, b) => write!(f, ": length {a} != {b}"),
        }
    }
}

/// A path as text: `[0]/hops[3]/ip/ttl`.
pub fn path_text(path: &[At]) -> String {
    path.iter()
        .map(|at| match at {
            At::Key(key) => format!("/{key}"),
            At::Index(i) => format!("[{i}]"),
        })
        .collect()
}

fn excerpt(value: &Value) -> String {
    dumps(value).chars().take(150).collect()
}

/// `result` without the keys in `ignore`, at any depth.
pub fn mask(result: &Value, ignore: &[String]) -> Value {
    match result {
        Value::Object(map) => {
            map.iter().filter(|(k, _)| !ignore.contains(k)).map(|(k, v)| (k.clone(), mask(v, ignore))).collect()
        }
        Value::Array(items) => items.iter().map(|item| mask(item, ignore)).collect(),
        scalar => scalar.clone(),
    }
}

/// The first place where `a` and `b` differ, in the order of `a`: every field, every position.
pub fn first_diff(a: &Value, b: &Value) -> Option<Difference> {
    let mut path = Vec::new();
    let what = diff(a, b, &mut path)?;
    Some(Difference { path, what })
}

fn diff(a: &Value, b: &Value, path: &mut Vec<At>) -> Option<What> {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            for key in x.keys().chain(y.keys().filter(|key| !x.contains_key(*key))) {
                path.push(At::Key(key.clone()));
                match (x.get(key), y.get(key)) {
                    (Some(a), Some(b)) => {
                        if let Some(what) = diff(a, b, path) {
                            return Some(what);
                        }
                    }
                    (first, _) => return Some(What::OnlyInFirst(first.is_some())),
                }
                path.pop();
            }
            None
        }
        (Value::Array(x), Value::Array(y)) => {
            for (i, (a, b)) in x.iter().zip(y).enumerate() {
                path.push(At::Index(i));
                if let Some(what) = diff(a, b, path) {
                    return Some(what);
                }
                path.pop();
            }
            (x.len() != y.len()).then_some(What::Lengths(x.len(), y.len()))
        }
        // As in Python, 1, 1.0 and true are three different things: serde_json keeps them apart too.
        _ => (a != b).then(|| What::Values(a.clone(), b.clone())),
    }
}
