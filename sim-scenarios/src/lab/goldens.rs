//! Everything that was recorded of the kernel, against what happens here.

use std::path::{Path, PathBuf};

use sim_core::engine::rng::Seed;

use super::compare::first_diff;
use super::kernel::{Emulator, Kernel};
use super::spec::Document;

/// Goldens of the second series that do not agree yet, by the beginning of their names. The list only shrinks.
const NOT_YET: [&str; 1] = ["nft_"];

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/kernel-lab").join(folder);
    let Ok(files) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: {} is not here", folder.display());
        return Vec::new();
    };
    let mut files: Vec<_> = files.map(|f| f.unwrap().path()).collect();
    files.sort();
    files
}

/// The first difference from the kernel, or why the file was refused.
fn difference(path: &Path) -> Option<String> {
    let text = String::from_utf8(std::fs::read(path).unwrap()).unwrap();
    let told = || -> Result<Option<String>, String> {
        let golden = Document::read(&text).map_err(|e| e.to_string())?;
        let everyhop = Emulator(Seed(1)).run(&golden.asked, &|| false).map_err(|e| e.to_string())?;
        let (kernel, everyhop) = golden.asked.compared(golden.result.as_ref().ok_or("it holds no result")?, &everyhop);
        Ok(first_diff(&kernel, &everyhop).map(|at| at.to_string()))
    };
    told().unwrap_or_else(Some)
}

fn assert_agree(files: &[PathBuf]) {
    let differing: Vec<_> = files.iter().filter_map(|path| Some((path, difference(path)?))).collect();
    assert!(differing.is_empty(), "{differing:#?}");
}

/// Specs of our own, recorded with the lab on Linux 6.18 for what its own series do not show.
#[test]
fn our_own_specs_agree_in_every_field() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/parity");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    files.sort();
    assert_agree(&files);
}

#[test]
fn the_first_series_agrees_in_every_field() {
    assert_agree(&files("golden"));
}

#[test]
fn the_second_series_agrees_but_for_what_is_not_there_yet() {
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let here = |path: &PathBuf| !NOT_YET.iter().any(|start| name(path).starts_with(start));
    assert_agree(&files("golden2").into_iter().filter(here).collect::<Vec<_>>());
}
