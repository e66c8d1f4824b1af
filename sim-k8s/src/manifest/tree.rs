//! A document as a tree of values that know where they stand, before any type is known.

use super::finding::Position;

/// One value of a document.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) value: Value,
}

/// What a [`Node`] holds.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Signed(i64),
    /// A whole number too large for `Signed`.
    Unsigned(u64),
    Fraction(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the document, duplicate keys included.
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Key {
    pub(super) at: Position,
    pub(super) text: String,
}

impl Node {
    /// The value under `key`, if this is a map that has it; the first of duplicates.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, node)| node)
    }

    fn entry(&self, key: &str) -> Option<&(Key, Node)> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k.text == key),
            _ => None,
        }
    }

    /// The text this is, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of a list; none of anything else.
    pub(super) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The value at `path` (`spec.ports[0].port`), null not counted.
    pub(super) fn at_path(&self, path: &str) -> Option<&Node> {
        let found = steps(path).try_fold(self, |node, step| node.step(step).map(|(_, node)| node))?;
        (found.value != Value::Null).then_some(found)
    }

    /// One step of a path: a key, or an index with its closing bracket.
    fn step(&self, step: &str) -> Option<(Position, &Node)> {
        match step.strip_suffix(']').and_then(|index| index.parse::<usize>().ok()) {
            Some(index) => self.items().get(index).map(|node| (node.at, node)),
            None => self.entry(step).map(|(key, node)| (if is_scalar(node) { node.at } else { key.at }, node)),
        }
    }

    /// Where `path` stands (`spec.ports[0].port`), or as much of it as there is: a field that is missing
    /// is reported at the map that lacks it, and a map at its key.
    pub(super) fn position_of(&self, path: &str) -> Position {
        let (mut node, mut at) = (self, self.at);
        for step in steps(path) {
            let Some(next) = node.step(step) else { break };
            (at, node) = next;
        }
        at
    }

    /// Makes the value at `at` null, unless it is already; tells whether there was one.
    pub(super) fn blank(&mut self, at: Position) -> bool {
        if self.at == at && self.value != Value::Null {
            self.value = Value::Null;
            return true;
        }
        match &mut self.value {
            Value::List(items) => items.iter_mut().any(|item| item.blank(at)),
            Value::Map(entries) => entries.iter_mut().any(|(_, node)| node.blank(at)),
            _ => false,
        }
    }
}

fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.split(['.', '[']).filter(|step| !step.is_empty())
}

fn is_scalar(node: &Node) -> bool {
    !matches!(node.value, Value::List(_) | Value::Map(_) | Value::Null)
}
