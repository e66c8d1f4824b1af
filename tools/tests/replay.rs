//! A run is replayed from the folder it left.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

fn everyhop(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_everyhop")).current_dir(folder).args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder with the run `out` of a shop with faults and traffic, whose own files are gone.
fn recorded() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let shop = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/shop/shop.yaml");
    fs::copy(shop, folder.path().join("shop.yaml")).unwrap();
    fs::write(folder.path().join("t.yaml"), "- {from: shop/front, to: shop/catalog, count: 3}\n").unwrap();
    fs::write(folder.path().join("f.yaml"), "- {at: 1s, do: delete a pod of deployment shop/catalog}\n").unwrap();
    let words = ["run", "shop.yaml", "--seed", "5", "--duration", "4s", "--network", "host-gw"];
    let ran =
        everyhop(folder.path(), &[&words[..], &["--traffic", "t.yaml", "--faults", "f.yaml", "--out", "out"]].concat());
    assert_eq!((ran.status.code(), text(&ran.stderr)), (Some(0), String::new()), "{}", text(&ran.stdout));
    for file in ["shop.yaml", "t.yaml", "f.yaml"] {
        fs::remove_file(folder.path().join(file)).unwrap();
    }
    folder
}

/// Changes the recipe of the run.
fn change(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("out/replay.json");
    let mut recipe: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut recipe);
    fs::write(path, recipe.to_string()).unwrap();
}

#[test]
fn the_folder_alone_is_enough_for_the_same_run() {
    let folder = recorded();
    let replayed = everyhop(folder.path(), &["replay", "out"]);
    let page = text(&replayed.stdout);
    assert_eq!((replayed.status.code(), text(&replayed.stderr)), (Some(0), String::new()), "{page}");
    assert!(page.contains("3 calls: 3 answered") && page.contains("delete a pod of deployment shop/catalog"), "{page}");
    assert!(page.ends_with("This is the run that was recorded, event by event.\n"), "{page}");
}

#[test]
fn a_folder_of_captures_can_be_replayed_too() {
    let folder = tempfile::tempdir().unwrap();
    let hello = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/hello");
    let ran = everyhop(folder.path(), &["run", hello, "--nodes", "1", "--duration", "1s", "--capture", "seen"]);
    assert!(text(&ran.stdout).contains("seen/replay.json"), "{}", text(&ran.stdout));
    assert_eq!(everyhop(folder.path(), &["replay", "seen"]).status.code(), Some(0));
}

#[test]
fn another_run_is_not_taken_for_the_recorded_one() {
    let folder = recorded();
    change(folder.path(), |recipe| recipe["cluster"]["seed"] = json!(6));
    let replayed = everyhop(folder.path(), &["replay", "out"]);
    let error = text(&replayed.stderr);
    assert_eq!(replayed.status.code(), Some(1), "{error}");
    assert!(error.contains("this is another run: its fingerprint is "), "{error}");
}

#[test]
fn that_another_version_wrote_it_is_told() {
    let folder = recorded();
    change(folder.path(), |recipe| recipe["version"] = json!("9.9.9"));
    let replayed = everyhop(folder.path(), &["replay", "out"]);
    let error = text(&replayed.stderr);
    assert!(error.starts_with("warning: out/replay.json was written by everyhop 9.9.9"), "{error}");
    change(folder.path(), |recipe| recipe["colour"] = json!("blue"));
    let error = text(&everyhop(folder.path(), &["replay", "out"]).stderr);
    assert!(error.contains("unknown field `colour`") && error.contains("written by everyhop 9.9.9"), "{error}");
}

#[test]
fn what_is_no_recipe_is_refused() {
    let folder = recorded();
    let path = folder.path().join("out/replay.json");
    let good = text(&fs::read(&path).unwrap());
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from), "{good}");
        good.replace(from, to)
    };
    for (recipe, told) in [
        (String::new(), "out/replay.json: EOF while parsing"),
        (good[..good.len() / 2].to_owned(), "out/replay.json: "),
        ("[".repeat(100_000), "out/replay.json: "),
        ("{}".into(), "missing field `version`"),
        (changed("host-gw", "carrier\\u001b[31m-pigeon"), "unknown variant"),
        (changed("host-gw", &"x".repeat(1_000_000)), "unknown variant"),
        (changed("\"nodes\": 3", "\"nodes\": 3000"), "a cluster has 1 to 244 nodes, not 3000"),
        (changed("\"nodes\": 3", "\"nodes\": -3"), "invalid value"),
        (changed("4000000000", "0"), "out/replay.json: "),
        (changed("at: 1s", "at: noon"), "f.yaml:1:"),
        (changed("kind: Deployment", "kind: [Deployment]"), "shop.yaml:"),
    ] {
        fs::write(&path, recipe).unwrap();
        let replayed = everyhop(folder.path(), &["replay", "out"]);
        let error = text(&replayed.stderr);
        assert_eq!(replayed.status.code(), Some(2), "{told}: {error}");
        assert!(error.contains(told) && !error.contains('\u{1b}') && error.len() < 4000, "{told}: {error}");
        assert!(replayed.stdout.is_empty(), "{told}");
    }
    fs::remove_file(&path).unwrap();
    for nowhere in ["out", "nowhere"] {
        let error = text(&everyhop(folder.path(), &["replay", nowhere]).stderr);
        assert!(error.contains("is not a folder of everyhop run: there is no replay.json in it"), "{error}");
    }
}
