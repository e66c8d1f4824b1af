//! `everyhop run` as a user meets it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const HELLO: &str = include_str!("../../examples/hello/hello.yaml");

fn everyhop(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_everyhop")).current_dir(folder).arg("run").args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn example(name: &str) -> String {
    format!("{}/../examples/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// All files of a folder and those in it, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn the_examples_run_and_every_call_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["hello", "shop"] {
        for seed in ["1", "2", "3"] {
            let ran = everyhop(folder.path(), &[&example(&format!("{name}/{name}.yaml")), "--seed", seed, "--json"]);
            let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
            assert_eq!(ran.status.code(), Some(0), "{report:#}");
            assert_eq!(report["seed"].to_string(), seed);
            assert!(report["calls"]["sent"].as_u64() > Some(0), "{report:#}");
            assert_eq!(report["calls"]["sent"], report["calls"]["answered"], "{report:#}");
            assert!(report["services"].as_array().unwrap().iter().all(|s| s["calls"].as_u64() > Some(0)), "{report:#}");
        }
    }
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new(), "without --out nothing is written");
}

#[test]
fn clusters_of_ipv6_and_of_both_families_answer_every_call() {
    let folder = tempfile::tempdir().unwrap();
    for family in ["ipv6", "dual", "ipv6,ipv4"] {
        let ran = everyhop(folder.path(), &[&example("dual"), "--ip-family", family, "--nodes", "2", "--json"]);
        let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
        assert_eq!(ran.status.code(), Some(0), "{family}: {report:#}");
        assert_eq!(report["calls"]["sent"], report["calls"]["answered"], "{family}: {report:#}");
        let called = report["services"].as_array().unwrap();
        assert!(called.len() > 1 && called.iter().all(|s| s["calls"].as_u64() > Some(0)), "{family}: {report:#}");
    }
    let refused = everyhop(folder.path(), &[&example("dual"), "--json"]);
    assert_ne!(refused.status.code(), Some(0), "a cluster of IPv4 has no address for a Service of IPv6");
}

#[test]
fn with_a_folder_the_run_is_the_same_and_all_of_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let words = [&example("hello/hello.yaml"), "--nodes", "2", "--json"];
    let without: Value = serde_json::from_slice(&everyhop(folder.path(), &words).stdout).unwrap();
    let ran = everyhop(folder.path(), &[&words[..], &["--out", "out", "--check-determinism"]].concat());
    assert_eq!((ran.status.code(), text(&ran.stderr)), (Some(0), String::new()));
    let with: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(with["fingerprint"], without["fingerprint"]);
    let names = ["all.pcapng", "replay.json", "rules/n1.rules", "rules/n2.rules", "run.json"];
    assert_eq!(files(folder.path()), names.map(|name| folder.path().join("out").join(name)));
    assert_eq!(with["files"], serde_json::json!(names.map(|name| format!("out/{name}"))));
    assert_eq!(text(&fs::read(folder.path().join("out/run.json")).unwrap()), text(&ran.stdout));
    let rules = text(&fs::read(folder.path().join("out/rules/n1.rules")).unwrap());
    assert!(rules.contains("-A KUBE-SERVICES ") && rules.contains("default/web"), "{rules}");
}

#[test]
fn a_call_that_fails_is_shown_with_its_reason_and_place_and_told_by_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello.yaml"), HELLO.replace("replicas: 2", "replicas: 0")).unwrap();
    let ran = everyhop(folder.path(), &["hello.yaml", "--nodes", "1"]);
    let page = text(&ran.stdout);
    assert_eq!(ran.status.code(), Some(1), "{page}");
    assert!(page.contains("15 × ECONNREFUSED: NETFILTER_REJECT at n1/"), "{page}");
    assert!(page.ends_with("to see it again: everyhop run hello.yaml --nodes 1\n"), "{page}");
}

#[test]
fn bad_input_is_refused_with_its_place_and_nothing_is_written() {
    let service = |name: &str, port: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{a: b}}, ports: [{{port: {port}}}]}}\n"
        )
    };
    let bomb = (1..30).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, n| {
        let alias = format!("*a{}", n - 1);
        text + &format!("a{n}: &a{n} [{}]\n", [alias.as_str(); 9].join(", "))
    });
    let cases = [
        ("truncated", HELLO[..HELLO.len() / 2].to_owned() + "\n  - {", "m.yaml:"),
        ("a port too large", service("web", "70000"), "70000 is no port"),
        ("a port of the wrong type", service("web", "eighty"), "m.yaml:4:"),
        ("a terminal escape", service("\"w\\e[31m\"", "80"), r"w\u{1b}[31m"),
        ("a name of megabytes", service(&"a".repeat(10_000_000), "80"), "… (10000000 bytes)"),
        ("exploding aliases", bomb, "anchors and aliases"),
        ("too deep", "[".repeat(100_000), "nest deeper"),
    ];
    for (what, manifest, told) in cases {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("m.yaml"), manifest).unwrap();
        let ran = everyhop(folder.path(), &["m.yaml", "--out", "out"]);
        let error = text(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{what}: {error}");
        assert!(error.contains(told) && !error.contains('\u{1b}') && error.len() < 4000, "{what}: {error}");
        assert!(error.ends_with("to see it again: everyhop run m.yaml --out out\n"), "{what}: {error}");
        assert!(ran.stdout.is_empty() && !folder.path().join("out").exists(), "{what}");
    }
}

#[test]
fn bad_usage_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello.yaml"), HELLO).unwrap();
    fs::write(folder.path().join("traffic.yaml"), "- {from: nobody, to: web}\n").unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    for (words, told) in [
        (&["hello.yaml", "--nodes", "0"][..], "'--nodes <NODES>'"),
        (&["hello.yaml", "--nodes", "1000"], "1000 is not in 1..=244"),
        (&["hello.yaml", "--duration", "soon"], "a whole number with a unit"),
        (&["hello.yaml", "--duration", "0s"], "nothing happens in no time"),
        (&["hello.yaml", "--traffic", "traffic.yaml"], "traffic.yaml:1:10"),
        (&["hello.yaml", "--out", "hello.yaml"], "cannot write hello.yaml"),
        (&["nowhere.yaml"], "cannot read nowhere.yaml"),
        (&["empty"], "there is no manifest in empty"),
        (&[], "<PATH>"),
    ] {
        let ran = everyhop(folder.path(), words);
        let error = text(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{words:?}: {error}");
        assert!(error.contains(told) && ran.stdout.is_empty(), "{words:?}: {error}");
    }
}

#[test]
#[cfg(unix)]
fn ctrl_c_leaves_a_readable_capture_under_its_partial_name() {
    let folder = tempfile::tempdir().unwrap();
    let endless = "- {from: shop/front, to: shop/catalog, count: 1000000, every: 1ms}\n";
    fs::write(folder.path().join("t.yaml"), endless).unwrap();
    let running = Command::new(env!("CARGO_BIN_EXE_everyhop"))
        .current_dir(folder.path())
        .args(["run", &example("shop/shop.yaml"), "--traffic", "t.yaml", "--duration", "1h", "--out", "out"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let partial = folder.path().join("out/all.pcapng.partial");
    while !fs::metadata(&partial).is_ok_and(|file| file.len() > 2 << 20) {
        std::thread::yield_now();
    }
    assert!(Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap().success());
    let ended = running.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(text(&ended.stderr).contains("interrupted"), "{}", text(&ended.stderr));
    assert_eq!(files(&folder.path().join("out")), [partial]);
}
