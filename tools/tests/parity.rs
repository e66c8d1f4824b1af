//! `everyhop parity` as a user meets it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

fn everyhop(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_everyhop")).current_dir(folder).args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder with `ping.json`: one pod pings another.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let spec =
        json!({"topo": {"nodes": 1, "pods": {"a": 1, "b": 1}}, "steps": [{"op": "ping", "ns": "a", "dst": "b"}]});
    fs::write(folder.path().join("ping.json"), spec.to_string()).unwrap();
    folder
}

#[test]
fn a_spec_runs_without_a_result_and_what_it_emits_agrees_with_itself() {
    let folder = folder();
    let ran = everyhop(folder.path(), &["parity", "ping.json", "--emit", "out/deep"]);
    assert_eq!((ran.status.code(), text(&ran.stderr)), (Some(0), String::new()));
    assert_eq!(text(&ran.stdout), "ran      ping.json: it holds no result to compare with\n");
    let emitted = text(&fs::read(folder.path().join("out/deep/ping.json")).unwrap());
    assert!(emitted.lines().any(|line| line.starts_with(r#"    {"n": "a", "if": "eth0", "d": "out""#)), "{emitted}");
    let again = everyhop(folder.path(), &["parity", "out/deep/ping.json"]);
    assert_eq!((again.status.code(), text(&again.stdout).as_str()), (Some(0), "agrees   out/deep/ping.json\n"));
}

#[test]
fn a_difference_is_shown_side_by_side_and_told_by_the_exit_code() {
    let folder = folder();
    everyhop(folder.path(), &["parity", "ping.json", "--emit", "."]);
    let path = folder.path().join("ping.json");
    let golden = text(&fs::read(&path).unwrap()).replacen("\"ttl\": 64, \"len\"", "\"ttl\": 63, \"len\"", 1);
    fs::write(&path, golden).unwrap();
    let shown = everyhop(folder.path(), &["parity", "ping.json"]);
    let page = text(&shown.stdout);
    assert_eq!(shown.status.code(), Some(1), "{page}");
    for part in
        ["first difference: [0]/hops[0]/ip/ttl: 63 != 64", "| /ip/ttl 64", "to see it again: everyhop parity ping.json"]
    {
        assert!(page.contains(part), "{part:?} is not in\n{page}");
    }
    assert!(!page.contains('\u{1b}'), "colour only on a terminal");
}

#[test]
fn json_is_a_list_of_files_whatever_became_of_them() {
    let folder = folder();
    fs::write(folder.path().join("broken.json"), "{\"steps\": [").unwrap();
    let ran = everyhop(folder.path(), &["parity", "ping.json", "broken.json", "missing.json", "--json"]);
    assert_eq!(ran.status.code(), Some(2));
    let list: Vec<Value> = serde_json::from_slice(&ran.stdout).unwrap();
    let told: Vec<_> = list.iter().map(|f| (f["file"].as_str().unwrap(), f["ok"].as_bool().unwrap())).collect();
    assert_eq!(told, [("ping.json", true), ("broken.json", false), ("missing.json", false)]);
    assert!(list.iter().all(|f| f["first_difference"].is_null()));
    assert!(list[1]["error"].as_str().unwrap().starts_with("broken.json:1:11: EOF"));
    assert!(text(&ran.stderr).contains("to see it again: everyhop parity broken.json"));
}

#[test]
fn bad_usage_runs_nothing_and_exits_with_2() {
    let folder = folder();
    fs::create_dir(folder.path().join("other")).unwrap();
    fs::copy(folder.path().join("ping.json"), folder.path().join("other/ping.json")).unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let cases: [(&[&str], &str); 7] = [
        (&["parity"], "<FILE>..."),
        (&["parity", "ping.json", "--emti", "x"], "--emit"),
        (&["parity", "ping.json", "--emit", "file"], "cannot write file"),
        (&["parity", "ping.json", "other/ping.json", "--emit", "out"], "would both be written to out/ping.json"),
        (&["parity", "ping.json", "--seed", "7"], "cannot be used with"),
        (&["parity", "ping.json", "--random", "7"], "cannot be used with"),
        (&["parity", "no\u{1b}[31m.json"], r"cannot read no\u{1b}[31m.json"),
    ];
    for (words, part) in cases {
        let ran = everyhop(folder.path(), words);
        let complaint = text(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{words:?}: {complaint}");
        assert!(complaint.contains(part), "{words:?}: {complaint}");
        assert!(!complaint.contains('\u{1b}'), "{words:?}: {complaint}");
    }
    assert!(!folder.path().join("out/ping.json").exists());
}

#[test]
fn two_processes_emit_the_same_bytes() {
    let folder = folder();
    let emit = |to: &str| {
        everyhop(folder.path(), &["parity", "ping.json", "--emit", to]);
        fs::read(folder.path().join(to).join("ping.json")).unwrap()
    };
    assert_eq!(emit("first"), emit("second"));
}
