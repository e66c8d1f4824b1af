//! `everyhop report` as a user meets it, in a browser where there is one.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn everyhop(words: &[&str]) -> Output {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    Command::new(env!("CARGO_BIN_EXE_everyhop")).current_dir(root).args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    text(&std::fs::read(path).unwrap())
}

/// The page of a run of `examples/shop`, with those words more.
fn page(folder: &Path, words: &[&str]) -> PathBuf {
    let out = folder.to_str().unwrap();
    let ran = everyhop(&[&["run", "examples/shop", "--duration", "15s", "--out", out], words].concat());
    assert!(ran.status.code() < Some(2), "{}", text(&ran.stderr));
    let made = everyhop(&["report", out]);
    assert_eq!((made.status.code(), text(&made.stderr)), (Some(0), String::new()));
    let path = folder.join("report.html");
    assert_eq!(text(&made.stdout), format!("{}\n", path.display()));
    path
}

/// A browser without a window.
fn browser() -> Option<&'static str> {
    ["chromium-headless-shell", "chromium"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok())
}

/// The document as the browser has it, and what it logged.
fn shown(browser: &str, page: &Path, (width, dark): (u32, bool)) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    let scheme = if dark { 0 } else { 1 };
    let ran = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--log-net-log={}", profile.path().join("net.json").display()))
        .arg(format!("--window-size={width},900"))
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let net = read(profile.path().join("net.json"));
    (text(&ran.stdout), text(&ran.stderr) + &net)
}

#[test]
fn a_browser_shows_the_page_wide_and_narrow_light_and_dark_and_asks_nobody() {
    let Some(browser) = browser() else {
        eprintln!("skipped: no chromium");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for (name, words) in [("fine", &[][..]), ("faults", &["--faults", "examples/faults/shop.yaml"])] {
        let page = page(&folder.path().join(name), words);
        let (dom, log) = shown(browser, &page, (1280, false));
        for part in ["cluster", "traffic", "timeline", "walks", "drops"] {
            assert!(dom.contains(&format!("<section id=\"{part}\">")), "{part}: {dom}");
        }
        assert!(!log.contains("CONSOLE") && !log.contains("\"url\":\"http"), "{log}");

        // The page itself has no script: a copy that may have one measures it.
        let html = read(&page);
        let measure = "<script>document.title = [document.documentElement.scrollWidth - document.documentElement.clientWidth, \
                       getComputedStyle(document.body).backgroundColor].join(' ')</script></body>";
        let copy = html.replace("Content-Security-Policy", "nothing").replace("</body>", measure);
        let measured = page.with_file_name("measured.html");
        std::fs::write(&measured, copy).unwrap();
        for (width, dark) in [(1280, true), (390, false)] {
            let (dom, _) = shown(browser, &measured, (width, dark));
            let title = dom.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>")).unwrap().0;
            let paper = if dark { "rgb(19, 21, 24)" } else { "rgb(250, 250, 248)" };
            assert_eq!(title, format!("0 {paper}"), "{width} {dark}");
        }
    }
}

#[test]
fn a_page_goes_where_it_is_wanted_and_is_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = read(page(folder.path(), &[]));
    let elsewhere = folder.path().join("page.html");
    let words = ["report", folder.path().to_str().unwrap(), "--out", elsewhere.to_str().unwrap()];
    assert_eq!(everyhop(&words).status.code(), Some(0));
    assert_eq!(read(&elsewhere), first);
    assert_eq!(everyhop(&[&words[..], &["--packet", "200"]].concat()).status.code(), Some(0));
    assert!(read(&elsewhere).contains("<b>Asked for</b>"));
    assert!(first.contains("All ") && first.contains(" calls were answered."));
}

#[test]
fn what_is_no_run_or_another_run_has_no_page() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = everyhop(&["report", folder.path().to_str().unwrap()]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(text(&nothing.stderr).contains("there is no replay.json in it"), "{}", text(&nothing.stderr));

    let page = page(folder.path(), &[]);
    std::fs::remove_file(&page).unwrap();
    let unseen = everyhop(&["report", folder.path().to_str().unwrap(), "--packet", "99999999"]);
    assert_eq!(unseen.status.code(), Some(2));
    assert!(text(&unseen.stderr).contains("no tap saw a packet 99999999: their ids go up to "));
    let replay = folder.path().join("replay.json");
    let recorded = read(&replay);
    std::fs::write(&replay, recorded.replace("\"seed\": 1", "\"seed\": 2")).unwrap();
    let other = everyhop(&["report", folder.path().to_str().unwrap()]);
    assert_eq!(other.status.code(), Some(1), "{}", text(&other.stderr));
    assert!(text(&other.stderr).contains("this is another run"), "{}", text(&other.stderr));
    assert!(!page.exists(), "nothing is written");
}
