//! JSON objects whose members know where they stand in the text.
//!
//! serde_json names line and column of a syntax error, but not of a member that is well-formed and
//! still wrong. Here every member stays a slice of the text ([`RawValue`]) until it is asked for by
//! name; what nobody asked for is refused, and the names that were asked for are the help text.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A place in a text, both counted from 1; the column counts bytes, as serde_json does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// Why a spec was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}:{}: {message}", place.line, place.column)]
pub struct SpecError {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl SpecError {
    /// An error without advice.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), help: None }
    }

    /// The same error with advice.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// One JSON value, not yet looked into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    text: &'a str,
    raw: &'a RawValue,
}

impl<'a> Node<'a> {
    /// The one value of `text`.
    pub(super) fn root(text: &'a str) -> Result<Self, SpecError> {
        match serde_json::from_str(text) {
            Ok(raw) => Ok(Self { text, raw }),
            Err(e) => Err(json_error(&e, Place { line: 1, column: 1 })),
        }
    }

    /// Where the value begins.
    pub(super) fn place(&self) -> Place {
        let offset = self.raw.get().as_ptr() as usize - self.text.as_ptr() as usize;
        let before = &self.text.as_bytes()[..offset];
        let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        Place { line: before.iter().filter(|&&b| b == b'\n').count() + 1, column: offset - line_start + 1 }
    }

    /// The value as a `T`. An error points at the value, or at the culprit inside a list or object.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, SpecError> {
        serde_json::from_str(self.raw.get()).map_err(|e| {
            let inside = json_error(&e, self.place());
            let scalar = !self.raw.get().starts_with(['{', '[']);
            if scalar { SpecError { place: self.place(), ..inside } } else { inside }
        })
    }

    /// The value as an object.
    pub(super) fn object(self) -> Result<Object<'a>, SpecError> {
        let members: Members<'a> = serde_json::from_str(self.raw.get()).map_err(|e| json_error(&e, self.place()))?;
        let mut object = Object { node: self, members: Vec::new(), known: Vec::new() };
        let mut seen = BTreeSet::new();
        for (key, raw) in members.0 {
            let node = Node { text: self.text, raw };
            if !seen.insert(key.clone()) {
                return Err(SpecError::new(node.place(), format!("\"{key}\" is given twice")));
            }
            // The README: a key that begins with `_` is not part of a spec.
            if !key.starts_with('_') {
                object.members.push((key, node));
            }
        }
        Ok(object)
    }

    /// The value as a list.
    pub(super) fn list(self) -> Result<Vec<Node<'a>>, SpecError> {
        let items: Vec<&'a RawValue> =
            serde_json::from_str(self.raw.get()).map_err(|e| json_error(&e, self.place()))?;
        Ok(items.into_iter().map(|raw| Node { text: self.text, raw }).collect())
    }

    /// Whether the value is a string.
    pub(super) fn is_string(&self) -> bool {
        self.raw.get().starts_with('"')
    }

    /// Whether the value is an object.
    pub(super) fn is_object(&self) -> bool {
        self.raw.get().starts_with('{')
    }

    /// An error about this value.
    pub(super) fn error(&self, message: impl Into<String>) -> SpecError {
        SpecError::new(self.place(), message)
    }
}

/// A JSON object being read.
#[derive(Debug)]
pub(super) struct Object<'a> {
    node: Node<'a>,
    members: Vec<(String, Node<'a>)>,
    known: Vec<&'static str>,
}

impl<'a> Object<'a> {
    /// Whether there is a member `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.members.iter().any(|(k, _)| k == key)
    }

    /// Takes out the member `key`.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Node<'a>> {
        self.known.push(key);
        let at = self.members.iter().position(|(k, _)| k == key)?;
        Some(self.members.remove(at).1)
    }

    /// Takes out the member `key`, which must be there.
    pub(super) fn need(&mut self, key: &'static str) -> Result<Node<'a>, SpecError> {
        self.take(key).ok_or_else(|| self.error(format!("\"{key}\" is missing")))
    }

    /// The member `key` as a `T`; it must be there.
    pub(super) fn read<T: DeserializeOwned>(&mut self, key: &'static str) -> Result<T, SpecError> {
        self.need(key)?.read()
    }

    /// The member `key` as a `T`, if it is there.
    pub(super) fn optional<T: DeserializeOwned>(&mut self, key: &'static str) -> Result<Option<T>, SpecError> {
        self.take(key).map(|node| node.read()).transpose()
    }

    /// The member `key` as a `T`, or `default`.
    pub(super) fn or<T: DeserializeOwned>(&mut self, key: &'static str, default: T) -> Result<T, SpecError> {
        Ok(self.optional(key)?.unwrap_or(default))
    }

    /// All members that are left, for objects whose keys are names.
    pub(super) fn entries(self) -> Vec<(String, Node<'a>)> {
        self.members
    }

    /// Refuses the keys of `unsupported` that are present: the lab has them, the emulator does not yet.
    pub(super) fn refuse_unsupported(&self, unsupported: &[&str]) -> Result<(), SpecError> {
        match self.members.iter().find(|(k, _)| unsupported.contains(&k.as_str())) {
            Some((key, node)) => Err(node.error(format!("not supported yet: key {key}"))),
            None => Ok(()),
        }
    }

    /// Refuses members that nobody asked for.
    pub(super) fn end(self) -> Result<(), SpecError> {
        let Some((key, node)) = self.members.first() else { return Ok(()) };
        Err(node.error(format!("unknown key \"{key}\"")).help(format!("known here: {}", self.known.join(", "))))
    }

    /// An error about the whole object.
    pub(super) fn error(&self, message: impl Into<String>) -> SpecError {
        self.node.error(message)
    }

    /// Where the object begins.
    pub(super) fn place(&self) -> Place {
        self.node.place()
    }
}

/// The members of an object in their order, doubles kept.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Reader).map(Members)
    }
}

/// An error of serde_json about a slice that begins at `start`, told in places of the whole text.
fn json_error(e: &serde_json::Error, start: Place) -> SpecError {
    let place = match (e.line(), e.column()) {
        (0, _) => start,
        (1, column) => Place { line: start.line, column: start.column + column.saturating_sub(1) },
        (line, column) => Place { line: start.line + line - 1, column: column.max(1) },
    };
    let text = e.to_string();
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    SpecError::new(place, message)
}
