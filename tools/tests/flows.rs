//! `everyhop flows` as a user meets it.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/flows/shop.yaml");

fn everyhop(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_everyhop")).arg("flows").args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_example_agrees_and_is_emitted_in_the_neutral_form() {
    let folder = tempfile::tempdir().unwrap();
    let emit = folder.path().join("result.json");
    let ran = everyhop(&[SHOP, "--emit", emit.to_str().unwrap()]);
    assert_eq!((ran.status.code(), text(&ran.stderr)), (Some(0), String::new()));
    assert!(text(&ran.stdout).ends_with("8 rows: 8 ok, 0 failed; 0 not run\n"), "{}", text(&ran.stdout));
    let list: Vec<Value> = serde_json::from_slice(&fs::read(emit).unwrap()).unwrap();
    assert_eq!(list.len(), 8);
    let third = serde_json::json!({
        "case": "shop", "step": 0, "flow": 2, "backend": "iptables", "verdict": "DROP", "to": [], "masq": false
    });
    assert_eq!(list[2], third);
}

#[test]
fn a_failure_is_shown_with_what_was_expected_and_told_by_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong.yaml");
    fs::write(&wrong, text(&fs::read(SHOP).unwrap()).replacen("expect: DROP", "expect: REJECT", 1)).unwrap();
    let wrong = wrong.to_str().unwrap();
    let shown = everyhop(&[wrong]);
    assert_eq!(shown.status.code(), Some(1));
    let page = text(&shown.stdout);
    assert!(page.contains("FAILED  0.2    strangers are kept out") && page.contains("expected"), "{page}");
    let json: Value = serde_json::from_slice(&everyhop(&[wrong, "--json"]).stdout).unwrap();
    assert_eq!((json["rows"].as_u64(), json["ok"].as_u64()), (Some(8), Some(7)));
    assert_eq!(json["failed"][0]["got"]["verdict"], "DROP");
}

#[test]
fn rows_of_another_backend_are_not_run_and_bad_files_exit_with_2() {
    let json: Value = serde_json::from_slice(&everyhop(&[SHOP, "--backend", "nftables", "--json"]).stdout).unwrap();
    assert_eq!((json["rows"].as_u64(), json["not_run"].as_array().unwrap().len()), (Some(0), 8));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let cases = [
        (file("broken.yaml", "cases:\n- {id: [a"), "broken.yaml:"),
        (file("empty.yaml", "a: 1\n"), "the file holds no row"),
        ("nowhere.yaml".to_owned(), "cannot read nowhere.yaml"),
    ];
    for (path, part) in cases {
        let refused = everyhop(&[&path]);
        let complaint = text(&refused.stderr);
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0), "{path}: {complaint}");
        assert!(complaint.contains(part), "{path}: {complaint}");
    }
}
