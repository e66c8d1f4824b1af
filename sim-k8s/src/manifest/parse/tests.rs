use proptest::prelude::*;

use super::super::finding::{Findings, Position};
use super::super::tree::{Node, Value};
use super::parse;

fn documents(text: &str) -> Vec<Node> {
    let mut findings = Findings::default();
    let documents = parse("test.yaml", text, &mut findings);
    assert_eq!(findings.errors, []);
    documents
}

fn one(text: &str) -> Node {
    let mut documents = documents(text);
    assert_eq!(documents.len(), 1, "one document");
    documents.remove(0)
}

fn refused(text: &str) -> String {
    let mut findings = Findings::default();
    parse("test.yaml", text, &mut findings);
    let errors: Vec<String> = findings.errors.iter().map(ToString::to_string).collect();
    errors.join("\n")
}

fn at(line: u32, column: u32) -> Position {
    Position { line, column }
}

#[test]
fn every_value_knows_where_it_stands() {
    let doc = one("a: 1\nspec:\n  ports:\n  - name: web\n    port: 80\n");
    assert_eq!(doc.position_of("a"), at(1, 4));
    assert_eq!(doc.position_of("spec.ports[0].port"), at(5, 11));
    assert_eq!(doc.position_of("spec.ports"), at(3, 3), "a map or list at its key");
    assert_eq!(doc.position_of("spec.ports[0].protocol"), at(4, 5), "what is missing, where it should be");
    assert_eq!(doc.position_of("spec.ports[7]"), at(3, 3));
}

#[test]
fn separators_comments_bom_and_crlf_are_no_documents() {
    let text = "\u{feff}# head\r\n---\r\n---\r\na: 1\r\n---\r\n# nothing\r\n---\r\nb: 2\r\n...\r\n";
    let documents = documents(text);
    assert_eq!(documents.len(), 2);
    assert_eq!(documents[1].position_of("b"), at(8, 4));
}

#[test]
fn json_is_read_as_it_is() {
    let doc = one("{\n\t\"kind\": \"List\",\n\t\"items\": [{\"a\":1,\"b\":\"x\\/\\u00e9\\ud83d\\ude00\"}]\n}\n");
    assert_eq!(doc.position_of("items[0].a").line, 3);
    assert_eq!(doc.get("items").unwrap().items()[0].get("b").unwrap().text(), Some("x/é😀"));
}

#[test]
fn scalars_mean_what_kubectl_takes_them_for() {
    let doc =
        one("mode: 0644\nyes: no\nquoted: \"80\"\nempty:\nbig: 18446744073709551615\ndate: 2020-01-01\nip: 1.2.3.4\n");
    let value = |key: &str| doc.get(key).unwrap().value.clone();
    assert_eq!(value("mode"), Value::Signed(0o644));
    assert_eq!(value("yes"), Value::Bool(false));
    assert_eq!(value("quoted"), Value::Text("80".into()));
    assert_eq!(value("empty"), Value::Null);
    assert_eq!(value("big"), Value::Unsigned(u64::MAX));
    assert_eq!(value("date"), Value::Text("2020-01-01".into()));
    assert_eq!(value("ip"), Value::Text("1.2.3.4".into()));
}

#[test]
fn anchors_and_merge_keys_are_expanded() {
    let doc = one("base: &b {x: 1, y: 2}\nused: *b\nmerged:\n  <<: *b\n  y: 3\n");
    assert_eq!(doc.get("used").unwrap().get("x").unwrap().value, Value::Signed(1));
    assert_eq!(doc.get("merged").unwrap().get("x").unwrap().value, Value::Signed(1));
    assert_eq!(doc.get("merged").unwrap().get("y").unwrap().value, Value::Signed(3));
}

#[test]
fn exploding_aliases_are_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let list = vec![format!("*a{}", i - 1); 10].join(", ");
        text += &format!("a{i}: &a{i} [{list}]\n");
    }
    insta::assert_snapshot!("aliases", refused(&text));
    let big = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 1000].join(","));
    insta::assert_snapshot!("aliases_of_a_big_text", refused(&big));
    let chain: String = (1..3000).map(|i| format!("a{i}: &a{i} [*a{}]\n", i - 1)).collect();
    insta::assert_snapshot!("chain_of_aliases", refused(&format!("a0: &a0 []\n{chain}")));
    insta::assert_snapshot!("alias_inside_its_anchor", refused("a: &a [*a]\n"));
}

#[test]
fn bottomless_nesting_is_refused() {
    insta::assert_snapshot!("nested_flow", refused(&"[".repeat(100_000)));
    let block: String = (0..3000).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    insta::assert_snapshot!("nested_block", refused(&block));
    let deep = "[".repeat(100) + &"]".repeat(100);
    one(&deep);
}

#[test]
fn each_unreadable_document_is_an_error_of_its_own_and_the_others_are_read() {
    let mut findings = Findings::default();
    let read = parse("test.yaml", "a: [1\n---\nb: 2\n---\nc: \"x\n---\nd: 4\n", &mut findings);
    let places: Vec<_> = findings.errors.iter().map(|e| e.at.line).collect();
    assert_eq!(places.len(), 2, "{:?}", findings.errors);
    assert_eq!(read.len(), 2);
}

#[test]
fn a_file_of_nothing_but_errors_is_given_up() {
    assert_eq!(refused(&"a: [\n---\n".repeat(100_000)).lines().count(), 2 * 20);
}

#[test]
fn a_template_before_rendering_is_no_manifest() {
    insta::assert_snapshot!(refused("metadata:\n  name: {{ .Release.Name }}\n"));
}

#[test]
fn merging_gives_way_to_what_is_written() {
    let doc = one("x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz:\n  <<: [*x, *y]\n  a: 0\n\"<<\": text\nw: <<\n");
    let z = doc.get("z").unwrap();
    let value = |key: &str| z.get(key).unwrap().value.clone();
    assert_eq!([value("a"), value("b"), value("c")], [0, 1, 2].map(Value::Signed));
    assert_eq!(doc.get("<<").unwrap().text(), Some("text"), "a quoted << is a key like any other");
    assert_eq!(doc.get("w").unwrap().text(), Some("<<"));
    insta::assert_snapshot!(refused("a:\n  <<: 1\n"));
}

#[test]
fn ten_megabytes_of_name_are_read_and_never_echoed() {
    let name = "a".repeat(10 << 20);
    assert_eq!(one(&format!("name: {name}")).get("name").unwrap().text().map(str::len), Some(name.len()));
    assert!(refused(&format!("{name}: 1")).len() < 400);
    assert!(refused(&format!("a: *{name}")).len() < 400);
}

#[test]
fn tabs_truncation_and_unknown_aliases_name_their_place() {
    insta::assert_snapshot!("tab", refused("a:\n\tb: 1\n"));
    insta::assert_snapshot!("truncated", refused("a: [1, 2\nb: \"x"));
    insta::assert_snapshot!("unknown_alias", refused("a: 1\nb: *nowhere\n"));
    insta::assert_snapshot!("control", refused("a: x\u{1b}[31m\n"));
}

#[test]
fn a_huge_file_is_refused_before_it_is_read() {
    let text = " ".repeat((64 << 20) + 1);
    insta::assert_snapshot!(refused(&text));
}

/// JSON text of a tree, keys quoted and all else as JSON has it.
fn json(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".into(),
        Value::Bool(v) => v.to_string(),
        Value::Signed(v) => v.to_string(),
        Value::Unsigned(v) => v.to_string(),
        Value::Fraction(v) => format!("{v:e}"),
        Value::Text(text) => quoted(text),
        Value::List(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(",")),
        Value::Map(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|(key, node)| format!("{}:{}", quoted(&key.text), json(node))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        ' '..='~' => c.to_string(),
        _ => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

/// Any tree that JSON can write, its places left out.
fn any_tree() -> impl Strategy<Value = Node> {
    let node = |value| Node { at: at(0, 0), value };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Signed),
        "\\PC{0,12}|[yn~<.0-9-]{0,4}|[\u{0}-\u{7f}]{0,4}".prop_map(Value::Text),
    ];
    leaf.prop_map(node).prop_recursive(4, 32, 4, move |inner| {
        let entries = prop::collection::btree_map("\\PC{0,6}|<<|yes|0x1|[a-z]{1,4}", inner.clone(), 0..4);
        let key = |text| super::super::tree::Key { at: at(0, 0), text };
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(move |items| node(Value::List(items))),
            entries.prop_map(move |map| node(Value::Map(map.into_iter().map(|(text, n)| (key(text), n)).collect()))),
        ]
    })
}

fn without_places(mut node: Node) -> Node {
    node.at = at(0, 0);
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| *item = without_places(item.clone())),
        Value::Map(entries) => entries.iter_mut().for_each(|(key, value)| {
            key.at = at(0, 0);
            *value = without_places(value.clone());
        }),
        _ => {}
    }
    node
}

proptest! {
    #[test]
    fn json_means_the_same_here(tree in any_tree()) {
        let list = format!("[{}]", json(&tree));
        let read = without_places(one(&list));
        prop_assert_eq!(read.items(), &[tree]);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[-a-z:{}\\[\\]&*#!|>'\"%@ \t\n\\\\0-9<~,?.\u{1b}]{0,200}") {
        parse("any.yaml", &text, &mut Findings::default());
    }
}
