//! From the tree to Kubernetes' types, with Go's rules for JSON where they differ from serde's: `null` is the
//! zero value of any type (encoding/json, and so the apiserver).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
    value::StrDeserializer,
};
use serde::forward_to_deserialize_any;

use super::finding::Position;
use super::shown::shown;
use super::tree::{Key, Node, Value};

/// `document` as a `T`, and the paths of the fields `T` does not know (`spec.ports[].prot`); else every value that
/// does not fit.
pub(super) fn read_all<T: for<'de> Deserialize<'de>>(document: &Node) -> Result<(T, BTreeSet<String>), Vec<TypeError>> {
    let first = match read(document) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let mut errors = vec![first];
    let mut rest = document.clone();
    // serde stops at the first error: blank it and look again.
    while errors.len() < MAX_ERRORS
        && errors.last().and_then(|e| e.place.as_ref()).is_some_and(|(at, _)| rest.blank(*at))
    {
        match read::<T>(&rest) {
            Ok(_) => break,
            Err(error) => errors.push(error),
        }
    }
    Err(errors)
}

/// How many wrong values of one document are told.
const MAX_ERRORS: usize = 20;

fn read<T: for<'de> Deserialize<'de>>(node: &Node) -> Result<(T, BTreeSet<String>), TypeError> {
    let unknown = RefCell::default();
    let reader = Reader { node, path: &Path::Root, unknown: &unknown };
    let value = T::deserialize(reader).map_err(|e| e.located(node.at, &Path::Root))?;
    Ok((value, unknown.into_inner()))
}

/// A value that does not fit its type.
#[derive(Debug)]
pub(super) struct TypeError {
    /// Where and under which path; filled in on the way up, by the innermost value.
    place: Option<(Position, String)>,
    message: String,
    advice: &'static str,
}

impl TypeError {
    /// Position, path, what is wrong, what to do.
    pub(super) fn into_parts(self) -> (Position, String, String, &'static str) {
        let (at, path) = self.place.unwrap_or((Position::START, String::new()));
        (at, path, self.message, self.advice)
    }

    fn located(mut self, at: Position, path: &Path<'_>) -> Self {
        self.place.get_or_insert_with(|| (at, path.to_string()));
        self
    }
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TypeError {}

impl serde::de::Error for TypeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = shown(&message.to_string()).to_string();
        Self { place: None, message, advice: "see the field's description in the Kubernetes API reference" }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let wanted = in_words(&expected.to_string());
        let advice = match (found, wanted.as_str()) {
            (Unexpected::Str(_), "a whole number") => "write the number without quotes",
            (Unexpected::Bool(_) | Unexpected::Signed(_) | Unexpected::Unsigned(_) | Unexpected::Float(_), "text") => {
                "put it in quotes"
            }
            (_, "a list") => "begin each element with \"- \"",
            (_, wanted) if wanted.starts_with("a map") => "write its fields below, each as name: value",
            _ => "see the field's description in the Kubernetes API reference",
        };
        Self { place: None, message: format!("expected {wanted}, found {}", in_sight(found)), advice }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let message = format!("{} is out of range for {}", in_sight(found), in_words(&expected.to_string()));
        Self { place: None, message, advice: "write a number that fits 32 bits" }
    }
}

/// What a type expects, in the words of someone who writes manifests.
fn in_words(expected: &str) -> String {
    match expected {
        "i32" | "i64" | "u32" | "a 32-bit integer" => "a whole number".into(),
        "f64" => "a number".into(),
        "bool" | "a boolean" => "true or false".into(),
        "a string" | "a borrowed string" => "text".into(),
        "a sequence" => "a list".into(),
        "a map" => "a map of text".into(),
        "IntOrString" => "a whole number (32 bits) or text".into(),
        // The types of Kubernetes give their own names.
        name => format!("a map ({})", name.trim_start_matches("struct ")),
    }
}

fn in_sight(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Str(text) => format!("the text \"{}\"", shown(text)),
        Unexpected::Signed(n) => n.to_string(),
        Unexpected::Unsigned(n) => n.to_string(),
        Unexpected::Float(n) => n.to_string(),
        Unexpected::Bool(b) => b.to_string(),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "a map".into(),
        other => other.to_string(),
    }
}

/// The way from the root to a value; list indices are left out of [`Path::general`].
enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// The path without list indices and the keys' contents bounded: what is the same for every element.
    fn general(&self) -> String {
        match self {
            Path::Root => String::new(),
            Path::Field(Path::Root, name) => shown(name).to_string(),
            Path::Field(parent, name) => format!("{}.{}", parent.general(), shown(name)),
            Path::Item(parent, _) => format!("{}[]", parent.general()),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Field(Path::Root, name) => shown(name).fmt(f),
            Path::Field(parent, name) => write!(f, "{parent}.{}", shown(name)),
            Path::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

#[derive(Clone, Copy)]
struct Reader<'de, 'p> {
    node: &'de Node,
    path: &'p Path<'p>,
    unknown: &'p RefCell<BTreeSet<String>>,
}

impl<'de, 'p> Reader<'de, 'p> {
    fn child<'c>(self, node: &'de Node, path: &'c Path<'c>) -> Reader<'de, 'c>
    where
        'p: 'c,
    {
        Reader { node, path, unknown: self.unknown }
    }

    fn is_null(self) -> bool {
        self.node.value == Value::Null
    }
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = TypeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(v) => visitor.visit_bool(*v),
            Value::Signed(v) => visitor.visit_i64(*v),
            Value::Unsigned(v) => visitor.visit_u64(*v),
            Value::Fraction(v) => visitor.visit_f64(*v),
            Value::Text(v) => visitor.visit_borrowed_str(v),
            Value::List(items) => visitor.visit_seq(Items { list: self, rest: items.iter().enumerate() }),
            Value::Map(entries) => visitor.visit_map(Entries { map: self, rest: entries.iter(), value: None }),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        if self.is_null() { visitor.visit_bool(false) } else { self.deserialize_any(visitor) }
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        if self.is_null() { visitor.visit_i64(0) } else { self.deserialize_any(visitor) }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        if self.is_null() { visitor.visit_borrowed_str("") } else { self.deserialize_any(visitor) }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        // A quantity may also be written as a number (`Quantity.UnmarshalJSON`, apimachinery pkg/api/resource).
        let number = match &self.node.value {
            Value::Signed(number) => number.to_string(),
            Value::Unsigned(number) => number.to_string(),
            Value::Fraction(number) => number.to_string(),
            _ => return visitor.visit_newtype_struct(self),
        };
        match name {
            "Quantity" => visitor.visit_newtype_struct(number.into_deserializer()),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        match &self.node.value {
            Value::Null => visitor.visit_seq(Items { list: self, rest: [].iter().enumerate() }),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        match &self.node.value {
            Value::Null => visitor.visit_map(Entries { map: self, rest: [].iter(), value: None }),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        self.deserialize_map(visitor)
    }

    /// A type asks this of the fields it does not know.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        self.unknown.borrow_mut().insert(self.path.general());
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
    }
}

struct Items<'de, 'p> {
    list: Reader<'de, 'p>,
    rest: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = TypeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, TypeError> {
        let Some((index, node)) = self.rest.next() else { return Ok(None) };
        let path = Path::Item(self.list.path, index);
        seed.deserialize(self.list.child(node, &path)).map(Some).map_err(|e| e.located(node.at, &path))
    }
}

struct Entries<'de, 'p> {
    map: Reader<'de, 'p>,
    rest: std::slice::Iter<'de, (Key, Node)>,
    value: Option<&'de (Key, Node)>,
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = TypeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, TypeError> {
        self.value = self.rest.next();
        let Some((key, _)) = self.value else { return Ok(None) };
        let name: StrDeserializer<'_, TypeError> = key.text.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|e| e.located(key.at, self.map.path))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, TypeError> {
        let Some((key, node)) = self.value.take() else {
            return Err(TypeError::custom("a value was asked for before its key"));
        };
        let path = Path::Field(self.map.path, &key.text);
        seed.deserialize(self.map.child(node, &path)).map_err(|e| e.located(node.at, &path))
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};

    use super::super::finding::Findings;
    use super::super::parse::parse;
    use super::{Node, read};

    fn one(text: &str) -> Node {
        parse("test.yaml", text, &mut Findings::default()).remove(0)
    }

    fn refused<T: for<'de> serde::Deserialize<'de> + std::fmt::Debug>(text: &str) -> String {
        let (at, path, message, advice) = read::<T>(&one(text)).expect_err("refused").into_parts();
        format!("{}:{} {path}: {message}; {advice}", at.line, at.column)
    }

    #[test]
    fn null_is_the_zero_value_of_any_type() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  creationTimestamp: null\n  labels:\n    a:\n  annotations:\n\
            spec:\n  containers:\n  - name: x\n    env:\n    ports:\n    -\n";
        let (pod, unknown) = read::<Pod>(&one(text)).expect("a pod");
        assert_eq!(pod.metadata.labels.unwrap()["a"], "");
        let container = &pod.spec.unwrap().containers[0];
        assert_eq!(container.env, None);
        assert_eq!(container.ports.as_ref().unwrap()[0].container_port, 0);
        assert!(unknown.is_empty());
    }

    #[test]
    fn fields_that_the_type_does_not_know_are_named_once_for_all_elements() {
        let text = "apiVersion: v1\nkind: Service\nspec:\n  selectors: {a: b}\n  ports:\n  - {port: 1, prot: TCP}\n\
            \x20 - {port: 2, prot: UDP, \"\\e[1m\": 1}\n";
        let (_, unknown) = read::<Service>(&one(text)).expect("a service");
        let unknown: Vec<_> = unknown.into_iter().collect();
        assert_eq!(unknown, [r"spec.ports[].\u{1b}[1m", "spec.ports[].prot", "spec.selectors"]);
    }

    #[test]
    fn a_wrong_type_is_told_with_path_and_place() {
        let service = |port: &str| format!("apiVersion: v1\nkind: Service\nspec:\n  ports:\n  - port: {port}\n");
        insta::assert_snapshot!("text_for_number", refused::<Service>(&service("\"eighty\"")));
        insta::assert_snapshot!("too_large", refused::<Service>(&service("99999999999")));
        insta::assert_snapshot!("list_for_number", refused::<Service>(&service("[80]")));
        insta::assert_snapshot!(
            "map_for_list",
            refused::<Service>("apiVersion: v1\nkind: Service\nspec:\n  ports: {}\n")
        );
        insta::assert_snapshot!("text_for_map", refused::<Service>("apiVersion: v1\nkind: Service\nspec: none\n"));
        let data = "apiVersion: v1\nkind: ConfigMap\ndata:\n  PORT: 80\n";
        insta::assert_snapshot!("number_for_text", refused::<ConfigMap>(data));
    }
}
