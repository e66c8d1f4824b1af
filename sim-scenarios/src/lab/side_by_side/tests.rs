use serde_json::json;

use super::*;
use crate::lab::compare::first_diff;

fn hop(netns: &str, dev: &str, direction: &str, ttl: u8) -> Value {
    json!({"n": netns, "if": dev, "d": direction, "eth": ["a/eth0", "n1/cni0"],
           "ip": {"s": "10.244.1.2", "d": "10.96.0.10", "ttl": ttl, "len": 33, "id": "A", "df": 1, "ck": "ok", "p": "udp"},
           "udp": {"s": 40000, "d": 53, "len": 13, "ck": "ok", "data": "hello"}})
}

fn page(kernel: &Value, everyhop: &Value) -> String {
    let source = json!({"steps": [{"op": "udp", "ns": "a", "sport": 40000, "dst": "10.96.0.10", "dport": 53}]});
    let at = first_diff(kernel, everyhop).unwrap();
    side_by_side(&source, kernel, everyhop, &at, false)
}

#[test]
fn a_differing_hop_is_shown_between_its_neighbours_with_the_field_that_differs() {
    let saw = json!({"outcome": "reply"});
    let hops = |ttl| json!([{"saw": saw, "hops": [hop("a", "eth0", "out", 64), hop("n1", "cni0", "in", ttl)]}]);
    insta::assert_snapshot!(page(&hops(64), &hops(63)));
}

#[test]
fn a_missing_hop_and_an_answer_that_is_none_are_shown_as_such() {
    let one = json!([{"saw": {"outcome": "timeout"}, "hops": [hop("a", "eth0", "out", 64)]}]);
    let two = json!([{"saw": {"outcome": "timeout"}, "hops": []}]);
    assert!(page(&one, &two).contains("| (nothing)"), "{}", page(&one, &two));
    let reply = json!([{"saw": {"outcome": "reply", "data": "b:hello"}}]);
    let shown = page(&one, &reply);
    assert!(shown.contains(r#"{"outcome": "timeout"}"#) && shown.contains(r#""data": "b:hello""#), "{shown}");
}

#[test]
fn where_an_answer_differs_the_place_where_the_hops_part_is_shown_too() {
    let run = |outcome: &str, hops: Value| json!([{"saw": {"outcome": outcome}, "hops": hops}]);
    let whole = run("reply", json!([hop("a", "eth0", "out", 64), hop("n1", "cni0", "in", 64)]));
    let shown = page(&whole, &run("timeout", json!([hop("a", "eth0", "out", 64)])));
    assert!(shown.contains("where the hops part: [0]/hops: length 2 != 1"), "{shown}");
    assert!(shown.contains("| (nothing)"), "{shown}");
}

#[test]
fn no_line_is_longer_than_120_characters_and_no_escape_gets_through() {
    let long = json!([{"trace": {"n1": ["x".repeat(4000), "\u{1b}[31m".repeat(9)]}}]);
    let shown = page(&long, &json!([{"trace": {"n1": ["y z ".repeat(900), "\u{1b}[0m"]}}]));
    assert!(shown.lines().all(|line| line.chars().count() <= 120), "{shown}");
    assert!(!shown.contains('\u{1b}'));
}

proptest::proptest! {
    #[test]
    fn wrapping_keeps_within_its_column(text in ".{0,400}") {
        let lines = wrap(&text);
        proptest::prop_assert!(lines.len() <= ITEM_LINES && lines.iter().all(|line| line.chars().count() <= COLUMN));
    }
}
