//! Files that are read, bounded in number and size, and errors that name them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sim_k8s::manifest::{Finding, SourceFile};

use crate::problem::Problem;

/// The largest file read: recorded goldens and dumps of clusters have a few megabytes.
const LARGEST: u64 = 64 << 20;
/// The largest number of files in the folders of one command.
const MOST: usize = 10_000;
/// How deep folders may lie in folders.
const DEEPEST: usize = 32;
/// What a file in a folder is called if it is a manifest.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Reads one file of text.
///
/// # Errors
/// It cannot be read, is too large, or not UTF-8.
pub(crate) fn read(file: &Path) -> Result<SourceFile, Problem> {
    let name = file.display().to_string();
    let mut bytes = Vec::new();
    File::open(file).and_then(|f| f.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(|why| unreadable(file, &why))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Problem::bad_input(format!("{name} is larger than {} MiB", LARGEST >> 20)));
    }
    SourceFile::from_bytes(name, bytes).map_err(|finding| Problem::bad_input(finding.to_string()))
}

/// Reads manifests: files whatever they are called, and of folders all that end like YAML or JSON, those of folders inside
/// included, by name.
///
/// # Errors
/// As [`read`]; a folder without manifests; too many files.
pub(crate) fn manifests(paths: &[PathBuf]) -> Result<Vec<SourceFile>, Problem> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        search(path, DEEPEST, &mut files)?;
        if files.len() == before {
            let message = format!("there is no manifest in {}", path.display());
            return Err(Problem::bad_input(message).help("in a folder, files ending in .yaml, .yml or .json are read"));
        }
    }
    files.iter().map(|file| read(file)).collect()
}

/// Adds the manifests of `folder`. Links to folders are not followed: they may lead in a circle.
fn search(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Problem> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(|why| unreadable(folder, &why))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().map_err(|why| unreadable(&path, &why))?;
        let manifest = path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
        if kind.is_dir() {
            let depth = depth.checked_sub(1);
            let depth = depth.ok_or_else(|| Problem::bad_input(format!("{} lies too deep", path.display())))?;
            search(&path, depth, files)?;
        } else if manifest && path.is_file() {
            files.push(path);
        }
        if files.len() > MOST {
            return Err(Problem::bad_input(format!("more than {MOST} manifests, with those in {}", folder.display())));
        }
    }
    Ok(())
}

fn unreadable(path: &Path, why: &io::Error) -> Problem {
    Problem::bad_input(format!("cannot read {}: {why}", path.display()))
}

/// Mistakes in what was read, as one problem.
pub(crate) fn mistakes(findings: &[Finding]) -> Problem {
    const SHOWN: usize = 20;
    let mut lines: Vec<String> = findings.iter().take(SHOWN).map(ToString::to_string).collect();
    if findings.len() > SHOWN {
        lines.push(format!("and {} more like these", findings.len() - SHOWN));
    }
    Problem::bad_input(lines.join("\n"))
}
