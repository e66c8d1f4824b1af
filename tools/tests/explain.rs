//! `everyhop explain` as a user meets it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const TOUR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/tour");
const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/shop");

fn everyhop(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_everyhop")).current_dir(folder).args(words).output().unwrap()
}

/// Explains with these words: exit code, stdout, stderr.
fn explain(folder: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = everyhop(folder, &[&["explain"], words].concat());
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A folder with a run of the shop in `out`.
fn recorded() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("t.yaml"), "- {from: shop/front, to: shop/catalog, count: 3}\n").unwrap();
    let ran = everyhop(folder.path(), &["run", SHOP, "--traffic", "t.yaml", "--duration", "4s", "--out", "out"]);
    assert_eq!(ran.status.code(), Some(0));
    folder
}

#[test]
fn a_call_that_is_tried_is_explained_and_the_exit_code_says_how_it_went() {
    let folder = tempfile::tempdir().unwrap();
    let words = [TOUR, "client", "far", "--nodes", "2"];
    let (exit, page, error) = explain(folder.path(), &[&words[..], &["--svg", "a.svg", "--mermaid", "a.mmd"]].concat());
    assert_eq!((exit, error.as_str()), (Some(0), ""), "{page}");
    assert!(page.starts_with("client → far: it got there\n"), "{page}");
    let written = |name: &str| String::from_utf8(fs::read(folder.path().join(name)).unwrap()).unwrap();
    let picture = written("a.svg");
    assert!(picture.starts_with("<svg ") && picture.contains("default/green"), "{picture}");
    assert!(written("a.mmd").starts_with("sequenceDiagram\n"));
    let (exit, page, _) = explain(folder.path(), &[TOUR, "client", "nobody", "--nodes", "2", "--json"]);
    let told: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(exit, Some(1));
    assert_eq!(
        (&told["ok"], &told["why"]["what"]),
        (&false.into(), &"NETFILTER_REJECT at n1/cni0, stage FORWARD".into())
    );
}

#[test]
fn a_packet_and_a_connection_of_a_run_are_explained_from_its_folder() {
    let folder = recorded();
    let flow = "shop/front -> catalog:7000";
    let (exit, list, error) = explain(folder.path(), &["out", "--flow", flow, "--list"]);
    assert_eq!((exit, list.lines().count(), error.as_str()), (Some(0), 3, ""), "{list}");
    let second: Vec<&str> = list.lines().nth(1).unwrap().split_whitespace().collect();
    for which in [["--nth", "2"], ["--at", "500ms"]] {
        let (exit, page, _) = explain(folder.path(), &[&["out", "--flow", flow], &which[..]].concat());
        assert_eq!(exit, Some(0), "{page}");
        assert!(page.contains(second[3]), "{second:?}: {page}");
    }
    let (exit, page, _) = explain(folder.path(), &["out", "--packet", "100"]);
    assert_eq!(exit, Some(0), "{page}");
    assert!(page.starts_with("packet 100: it got there\n"), "{page}");
}

#[test]
fn what_is_not_in_the_run_is_refused_with_what_is() {
    let folder = recorded();
    fs::create_dir(folder.path().join("empty")).unwrap();
    for (words, told) in [
        (&["out", "--packet", "0"][..], "no device saw a packet 0\n  help: packets are 1 to "),
        (&["out", "--packet", "99999999"], "help: packets are 1 to "),
        (&["out", "--packet", "-1"], "unexpected argument"),
        (
            &["out", "--flow", "shop/front -> nowhere:1"],
            "nobody made the flow shop/front -> nowhere:1\n  help: it called kube-dns.kube-system.svc:53, catalog.shop.svc:7000",
        ),
        // It answers, and calls nobody.
        (
            &["out", "--flow", "shop/db-0 -> nowhere:1"],
            "nobody made the flow shop/db-0 -> nowhere:1\n  help: it made none at all",
        ),
        (
            &["out", "--flow", "shop/ghost → catalog:7000"],
            "there never was a pod shop/ghost\n  help: there were: outside, ",
        ),
        (&["out", "--flow", "shop/front"], "\"shop/front\" is no flow"),
        (&["out", "--flow", "shop/front -> catalog", "--at", "1h"], "the last began "),
        (&["out", "--flow", "shop/front -> catalog", "--nth", "9"], "there were 3"),
        (&["empty", "--packet", "1"], "is not a folder of everyhop run"),
        (&["out", "more", "--packet", "1"], "are about one folder"),
        (&["out"], "what is to be explained?"),
        (&[TOUR, "ghost", "far"], "there is no pod default/ghost\n  help: from: outside, n1"),
        (&[TOUR, "client", "far", "--at", "25h"], "is too late"),
    ] {
        let (exit, page, error) = explain(folder.path(), words);
        assert_eq!((exit, page.as_str()), (Some(2), ""), "{words:?}: {error}");
        assert!(error.contains(told), "{words:?}: {error}");
    }
}
