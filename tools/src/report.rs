//! `everyhop report`: a run as a page to look at, from the folder it left.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use sim_scenarios::page::{Page, Recording};
use sim_scenarios::report::Report;
use sim_scenarios::run::Recipe;

use crate::interrupt::Interrupt;
use crate::output::{OutputError, write_whole};
use crate::problem::{BAD_INPUT, FINE, Problem};
use crate::progress::Progress;
use crate::terminal::{printable, say};
use crate::{replay, run};

/// Manifests that a command line names at most.
const FILES: usize = 12;

/// What `everyhop report` is told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  everyhop run manifests/ --out out\n  everyhop report out\n\n\
    Exit codes: 0 the page was written, 1 the replay was another run than the recorded one, 2 bad input or usage")]
pub(crate) struct ReportArgs {
    /// A folder that `everyhop run --out` or `--capture` wrote
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Where the page goes [default: DIR/report.html]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Shows the walk of the packet with this id, too: frame.packet_id in the capture
    #[arg(long, value_name = "ID")]
    packet: Vec<u64>,
}

/// Runs the command.
///
/// # Errors
/// Why there was no run, that it was another one, or that the page cannot be written.
pub(crate) fn execute(args: &ReportArgs, interrupt: &Interrupt) -> Result<u8, Problem> {
    let recipe = replay::read(&args.folder)?;
    let scenario = run::read(&recipe)?;
    let mut run = run::begin(&scenario, true)?;
    let mut recording = Recording::begin(&mut run, &args.packet);
    let progress = Progress::new("replaying", run.config().duration);
    loop {
        let more = run.advance(run::STRETCH);
        let seen = run.take_seen();
        recording.add(&mut run, seen);
        if !more {
            break;
        }
        if interrupt.pressed() {
            return Err(Problem::failed("interrupted"));
        }
        progress.at(&run);
    }
    drop(progress);
    let report = Report::of(&run, &scenario.loaded);
    replay::check(&recipe, &report.fingerprint)?;
    if let Some((wanted, last)) = recording.missing() {
        return Err(Problem::bad_input(format!("no tap saw a packet {wanted}: their ids go up to {last}")));
    }
    let again = again(&recipe, &args.folder);
    let page = Page { recipe: &recipe, run: &run, report: &report, recording: &recording, again: &again };
    let path = args.out.clone().unwrap_or_else(|| args.folder.join("report.html"));
    let bad = |error: OutputError| Problem { exit: BAD_INPUT, ..error.into() };
    write_whole(&path, page.html().as_bytes()).map_err(bad)?;
    say(&printable(&format!("{}\n", path.display())));
    Ok(FINE)
}

/// The command line that makes this run; of many files, the one that replays the folder.
fn again(recipe: &Recipe, folder: &Path) -> String {
    let replay = || vec!["replay".into(), folder.display().to_string()];
    let words = if recipe.manifests.len() > FILES { replay() } else { recipe.words() };
    crate::command_line(words.into_iter().map(OsString::from))
}
