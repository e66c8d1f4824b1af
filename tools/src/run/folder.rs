//! The folder of a run: `rules/NODE.rules` and `run.json`, beside the captures. Each has its name only when it is whole.

use std::path::{Path, PathBuf};

use sim_scenarios::report::Report;
use sim_scenarios::run::Run;

use crate::output::{OutputError, prepare_folder, write_whole};
use crate::problem::{BAD_INPUT, Problem};

/// Makes the folder, before anything is run.
///
/// # Errors
/// It cannot be made or written to.
pub(super) fn prepare(folder: &Path) -> Result<(), Problem> {
    let bad = |error: OutputError| Problem { exit: BAD_INPUT, ..error.into() };
    prepare_folder(&folder.join("rules")).map_err(bad)
}

/// Fills it. `run.json` comes last, so that where it is, all is; it names the `captures`, too.
///
/// # Errors
/// What the system says.
pub(super) fn fill(folder: &Path, run: &Run, report: &mut Report, captures: Vec<PathBuf>) -> Result<(), Problem> {
    let mut files = captures;
    for node in &run.cluster().nodes {
        let path = folder.join("rules").join(format!("{}.rules", node.name));
        write_whole(&path, run.world().iptables_save(node.netns, false).as_bytes())?;
        files.push(path);
    }
    let path = folder.join("run.json");
    files.push(path.clone());
    report.files = names(&files);
    write_whole(&path, super::json(report).as_bytes())?;
    Ok(())
}

/// Files as a report names them.
pub(super) fn names(files: &[PathBuf]) -> Vec<String> {
    files.iter().map(|file| file.display().to_string()).collect()
}
