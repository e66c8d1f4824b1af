//! The book in `docs/` is true: what its pages show is what the program prints, and what they link to is there.
//!
//! A block marked `console` is a command after `$`, and what it prints; those of a page are carried out one after the other,
//! in one folder. A line `…` stands for any number of lines, `…` in a line for any text. A block marked `sh` is for the
//! reader's own machine: its `everyhop` commands must be ones that the program understands.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const EVERYHOP: &str = env!("CARGO_BIN_EXE_everyhop");

/// The README, and all of the book.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![Path::new(ROOT).join("README.md")];
    let mut folders = vec![Path::new(ROOT).join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

fn read(page: &Path) -> String {
    String::from_utf8(fs::read(page).unwrap()).unwrap()
}

/// A fenced block: what it is marked as, the number of its first line, and its lines.
struct Block {
    kind: String,
    number: usize,
    lines: Vec<String>,
}

fn blocks(page: &Path) -> Vec<Block> {
    let text = read(page);
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in (1..).zip(text.lines()) {
        match (line.strip_prefix("```"), &mut open) {
            (Some(kind), None) => open = Some(Block { kind: kind.into(), number: number + 1, lines: Vec::new() }),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.lines.push(line.trim_end().into()),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{}: a block is not closed", page.display());
    blocks
}

/// Carries `line` out in `folder`, with our program first on the path.
fn shell(folder: &Path, line: &str) -> Output {
    let bin = Path::new(EVERYHOP).parent().unwrap().display();
    let line = format!("PATH='{bin}':$PATH; {line}");
    Command::new("sh").args(["-c", &line]).current_dir(folder).output().unwrap()
}

/// Whether `line` is what is shown, `…` being any text.
fn fits(shown: &str, line: &str) -> bool {
    let Some((first, shown)) = shown.split_once('…') else { return shown == line };
    let Some(rest) = line.strip_prefix(first) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| fits(shown, &rest[at..]))
}

/// Whether `lines` are what is shown, a line `…` being any number of lines.
fn all_fit(shown: &[String], lines: &[&str]) -> bool {
    match shown.split_first() {
        None => lines.is_empty(),
        Some((first, shown)) if first.trim() == "…" => (0..=lines.len()).any(|skip| all_fit(shown, &lines[skip..])),
        Some((first, shown)) => {
            lines.split_first().is_some_and(|(line, lines)| fits(first, line) && all_fit(shown, lines))
        }
    }
}

/// The programs beside ours that `line` needs and this machine does not have.
fn missing(line: &str) -> Option<&'static str> {
    let there = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
    ["tshark"].into_iter().find(|tool| line.contains(tool) && !there(tool))
}

#[test]
fn what_a_page_shows_is_what_is_printed() {
    let mut wrong = Vec::new();
    for page in pages() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["examples", "wireshark"] {
            std::os::unix::fs::symlink(fs::canonicalize(ROOT).unwrap().join(name), folder.path().join(name)).unwrap();
        }
        for block in blocks(&page).into_iter().filter(|block| block.kind == "console") {
            let (command, shown) = block.lines.split_first().unwrap();
            let command = command.strip_prefix("$ ").expect("a session begins with a command");
            if let Some(tool) = missing(command) {
                eprintln!("skipped: {}: there is no {tool}", page.display());
                continue;
            }
            let ran = shell(folder.path(), command);
            let printed = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
            let lines: Vec<_> = printed.lines().map(str::trim_end).collect();
            if !all_fit(shown, &lines) {
                wrong.push(format!("{}:{}: {command} prints\n{printed}", page.display(), block.number));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_for_the_readers_machine_are_understood() {
    for page in pages() {
        for block in blocks(&page).into_iter().filter(|block| block.kind == "sh") {
            for line in &block.lines {
                let line = line.split(" # ").next().unwrap().trim().replace("cargo run --release -- ", "everyhop ");
                if line.starts_with("everyhop ") {
                    // The program reads all words before it gives help.
                    let ran = shell(Path::new(ROOT), &format!("{line} --help"));
                    let complaint = String::from_utf8_lossy(&ran.stderr);
                    assert!(ran.status.success(), "{}:{}: {line}: {complaint}", page.display(), block.number);
                }
            }
        }
    }
}

/// Targets of Markdown links and pictures, without those of other sites.
fn links(page: &Path) -> Vec<String> {
    let text = read(page);
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

/// A heading as the name by which it is linked.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_leads_somewhere() {
    for page in pages() {
        for link in links(&page) {
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link}", page.display());
            if !heading.is_empty() {
                let text = read(&target);
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                let found = headings.any(|line| anchor(line.trim_start_matches('#')) == heading);
                assert!(found, "{}: {link}", page.display());
            }
        }
    }
}

#[test]
fn the_contents_name_every_page_once() {
    let docs = Path::new(ROOT).join("docs");
    let contents = links(&docs.join("SUMMARY.md"));
    let named: BTreeSet<_> = contents.iter().map(|link| docs.join(link)).collect();
    assert_eq!(named.len(), contents.len(), "a page is named twice");
    let pages = pages().into_iter().filter(|page| page.starts_with(&docs) && !page.ends_with("SUMMARY.md"));
    assert_eq!(named, pages.collect());
}

#[test]
fn every_stop_of_the_tour_has_its_chapter() {
    let contents = links(&Path::new(ROOT).join("docs/SUMMARY.md"));
    let listed = shell(Path::new(ROOT), "everyhop tour").stdout;
    let stops = String::from_utf8(listed).unwrap();
    let stops: Vec<_> = stops.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let chapters = contents.iter().filter_map(|link| link.strip_prefix("tour/")?.strip_suffix(".md"));
    assert_eq!(chapters.collect::<Vec<_>>(), stops);
}

/// To draw them anew: `everyhop tour --all --out docs/tour`, without the captures.
#[test]
fn the_chapters_pictures_are_those_the_tour_draws() {
    let folder = tempfile::tempdir().unwrap();
    assert!(shell(folder.path(), "everyhop tour --all --out .").status.success());
    let docs = Path::new(ROOT).join("docs/tour");
    for entry in fs::read_dir(&docs).unwrap() {
        let chapter = entry.unwrap().path();
        if chapter.extension().is_some_and(|extension| extension == "md") {
            let picture = chapter.with_extension("svg");
            let name = picture.file_name().unwrap();
            assert!(links(&chapter).iter().any(|link| link.as_str() == name), "{} does not show it", chapter.display());
            let same = read(&picture) == read(&folder.path().join(name));
            assert!(same, "{}: the tour draws another", picture.display());
        }
    }
}
