//! Text becomes documents.
//!
//! JSON is read by the same parser: YAML 1.2 contains it. The tree is built on a stack of its own, not by
//! recursion, and what one file may cost is bounded here.

use std::collections::{BTreeMap, BTreeSet};

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, Tag};

use super::finding::{Finding, Findings, Position};
use super::scalar;
use super::shown::shown;
use super::tree::{Key, Node, Value};

/// Bytes a file may have. The largest manifests in the wild (bundles of CRDs) have about 4 MB.
const MAX_FILE_BYTES: usize = 64 << 20;
/// Values a file may hold.
const MAX_NODES: usize = 2_000_000;
/// Memory that anchors and aliases may add to a file, in bytes, as [`Cost`] counts it.
const MAX_COPIED_BYTES: usize = 32 << 20;
/// How deep values may nest, aliases included. CRD schemas reach about 40.
const MAX_DEPTH: usize = 100;

/// Unreadable documents of a file after which the rest is not looked at.
const MAX_UNREADABLE: usize = 20;

/// The documents of a file that can be read; empty ones are left out. A document that cannot be read is an error and the
/// next one is tried.
pub(super) fn parse(name: &str, text: &str, findings: &mut Findings) -> Vec<Node> {
    let finding = |at, message, advice: &str| Finding { file: name.into(), at, message, advice: advice.into() };
    if text.len() > MAX_FILE_BYTES {
        let message = format!("the file has {} bytes; at most {MAX_FILE_BYTES} are read", text.len());
        findings.error(finding(Position::START, message, "split it into smaller files"));
        return Vec::new();
    }
    let options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        emit_comments: false,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder::default();
    let mut unreadable_documents = 0;
    while let Some(event) = parser.next() {
        let step = match &event {
            Ok((event, span)) => builder.take(event, position(span.start)),
            Err(error) => Err(unreadable(error)),
        };
        if let Err(Refused { at, message, advice, fatal }) = step {
            let at = at.or_else(|| event.as_ref().ok().map(|(_, span)| position(span.start)));
            let at = at.unwrap_or(Position::START);
            let is_template = line(text, at).contains("{{");
            findings.error(finding(at, message, if is_template { RENDER } else { advice }));
            builder.abandon();
            unreadable_documents += 1;
            if fatal || unreadable_documents == MAX_UNREADABLE || !parser.proceed_next_document().unwrap_or(false) {
                break;
            }
        }
    }
    builder.documents
}

fn position(marker: Marker) -> Position {
    let bounded = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: bounded(marker.line()), column: bounded(marker.col().saturating_add(1)) }
}

/// Why a document is not read.
struct Refused {
    /// Where; at the current event if absent.
    at: Option<Position>,
    message: String,
    advice: &'static str,
    /// The rest of the file is not looked at.
    fatal: bool,
}

/// The line of `text` that `at` stands in.
fn line(text: &str, at: Position) -> &str {
    text.lines().nth(at.line.saturating_sub(1) as usize).unwrap_or_default()
}

const RENDER: &str = "this is a template: render it first (helm template), and give what comes out";
const SMALLER: &str = "no manifest needs this much: make it smaller, less nested, or use fewer aliases";

impl Refused {
    fn here(message: impl Into<String>, advice: &'static str) -> Self {
        Self { at: None, message: message.into(), advice, fatal: false }
    }

    fn too_much(message: String) -> Self {
        Self { fatal: true, ..Self::here(message, SMALLER) }
    }
}

fn unreadable(error: &granit_parser::ScanError) -> Refused {
    let (message, advice) = match error.kind() {
        ErrorKind::RecursionLimitExceeded => (too_deep(), SMALLER),
        ErrorKind::UnknownAnchor => {
            ("an alias (*name) has no anchor before it".into(), "define &name earlier in this document, or quote the *")
        }
        kind => (
            format!("not readable as YAML or JSON: {}", shown(&kind.to_string())),
            "check indentation (spaces, no tabs), quotes and brackets here and on the lines before",
        ),
    };
    Refused { at: Some(position(*error.marker())), ..Refused::here(message, advice) }
}

fn too_deep() -> String {
    format!("values nest deeper than {MAX_DEPTH} levels")
}

/// What a value takes: bytes of memory, about, and levels of nesting.
#[derive(Clone, Copy, Default)]
struct Cost {
    bytes: usize,
    depth: usize,
}

/// A list or map that is still open.
struct Open {
    at: Position,
    anchor: usize,
    cost: Cost,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<(Key, Node)>,
    /// What is to be merged in.
    merges: Vec<Node>,
    /// The key that waits for its value.
    key: Option<PendingKey>,
}

enum PendingKey {
    Plain(Key),
    /// `<<`.
    Merge,
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, (Node, Cost)>,
    nodes: usize,
    copied_bytes: usize,
}

impl Builder {
    /// Forgets the document that is under way.
    fn abandon(&mut self) {
        self.open.clear();
        self.anchors.clear();
    }

    fn take(&mut self, event: &Event<'_>, at: Position) -> Result<(), Refused> {
        match event {
            Event::DocumentEnd => self.anchors.clear(),
            Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<" && self.begin_merge() => {}
            Event::Scalar(text, style, anchor, tag) => {
                let value = match self.awaits_key() {
                    true => Value::Text(text.to_string()),
                    false => scalar_value(text, *style, tag.as_deref()),
                };
                let cost = Cost { bytes: size_of::<Node>() + text.len(), depth: 1 };
                self.place(Node { at, value }, cost, *anchor)?;
            }
            Event::Alias(anchor) => self.alias(*anchor, at)?,
            Event::SequenceStart(_, anchor, _) => self.begin(at, *anchor, Content::List(Vec::new()))?,
            Event::MappingStart(_, anchor, _) => {
                self.begin(at, *anchor, Content::Map(OpenMap::default()))?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, at: Position, anchor: usize, content: Content) -> Result<(), Refused> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Refused::here(too_deep(), SMALLER));
        }
        self.open.push(Open { at, anchor, cost: Cost { bytes: size_of::<Node>(), depth: 1 }, content });
        Ok(())
    }

    /// Whether the next value is the key of a map.
    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { content: Content::Map(OpenMap { key: None, .. }), .. }))
    }

    /// Takes `<<` for a merge key, if a key may stand here.
    fn begin_merge(&mut self) -> bool {
        match self.open.last_mut() {
            Some(Open { content: Content::Map(map @ OpenMap { key: None, .. }), .. }) => {
                map.key = Some(PendingKey::Merge);
                true
            }
            _ => false,
        }
    }

    fn end(&mut self) -> Result<(), Refused> {
        let Open { at, anchor, cost, content } = self.open.pop().expect("the parser balances starts and ends");
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map(map) => Value::Map(merged(map)?),
        };
        self.place(Node { at, value }, cost, anchor)
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<(), Refused> {
        let Some((node, cost)) = self.anchors.get(&anchor) else {
            return Err(Refused::here("an alias (*name) stands inside its own anchor (&name)", "write the value out"));
        };
        let (node, cost) = (Node { at, ..node.clone() }, *cost);
        self.copied(cost)?;
        self.place(node, cost, 0)
    }

    /// Counts a copy of a value.
    fn copied(&mut self, cost: Cost) -> Result<(), Refused> {
        self.copied_bytes += cost.bytes;
        if self.copied_bytes > MAX_COPIED_BYTES {
            return Err(Refused::too_much(format!("anchors and aliases add more than {MAX_COPIED_BYTES} bytes")));
        }
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, node: Node, cost: Cost, anchor: usize) -> Result<(), Refused> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Refused::too_much(format!("the file holds more than {MAX_NODES} values")));
        }
        if self.open.len() + cost.depth > MAX_DEPTH + 1 {
            return Err(Refused::here(too_deep(), SMALLER));
        }
        if anchor != 0 {
            self.copied(cost)?;
            self.anchors.insert(anchor, (node.clone(), cost));
        }
        let Some(parent) = self.open.last_mut() else {
            if node.value != Value::Null {
                self.documents.push(node);
            }
            return Ok(());
        };
        parent.cost.bytes += cost.bytes;
        parent.cost.depth = parent.cost.depth.max(cost.depth + 1);
        match &mut parent.content {
            Content::List(items) => items.push(node),
            Content::Map(map) => match map.key.take() {
                Some(PendingKey::Plain(key)) => map.entries.push((key, node)),
                Some(PendingKey::Merge) => map.merges.push(node),
                None => map.key = Some(PendingKey::Plain(as_key(node)?)),
            },
        }
        Ok(())
    }
}

/// The value of a scalar: quotes and tags decide, else [`scalar::resolve`].
fn scalar_value(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    match (tag, tag.and_then(Tag::core_suffix)) {
        (Some(_), Some("null" | "bool" | "int" | "float")) => scalar::resolve(text),
        (None, _) if style == ScalarStyle::Plain => scalar::resolve(text),
        _ => Value::Text(text.to_owned()),
    }
}

/// A value as the key of a map: its text as written, so that `yes`, `80` and `0x50` stay what they look like.
fn as_key(node: Node) -> Result<Key, Refused> {
    match node.value {
        Value::Text(text) => Ok(Key { at: node.at, text }),
        _ => {
            let advice = "write a plain name before the colon";
            Err(Refused {
                at: Some(node.at),
                ..Refused::here("something that is no name stands where a key must be", advice)
            })
        }
    }
}

/// The entries of a map, with what its merge keys name. A key of the map itself wins, then the first map merged in
/// (<https://yaml.org/type/merge.html>).
fn merged(map: OpenMap) -> Result<Vec<(Key, Node)>, Refused> {
    let OpenMap { mut entries, merges, .. } = map;
    if merges.is_empty() {
        return Ok(entries);
    }
    let mut present: BTreeSet<String> = entries.iter().map(|(key, _)| key.text.clone()).collect();
    let sources = merges.into_iter().flat_map(|node| match node.value {
        Value::List(items) => items,
        _ => vec![node],
    });
    for source in sources {
        let Value::Map(more) = source.value else {
            let problem = Refused::here("<< merges something that is no map", "let it name a map (<<: *name)");
            return Err(Refused { at: Some(source.at), ..problem });
        };
        entries.extend(more.into_iter().filter(|(key, _)| present.insert(key.text.clone())));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests;
