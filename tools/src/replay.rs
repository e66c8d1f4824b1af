//! `everyhop replay`: a run once more, from the folder it left; and that folder's `replay.json`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sim_k8s::manifest::shown;
use sim_scenarios::report::Report;
use sim_scenarios::run::{Recipe, VERSION};

use crate::input;
use crate::interrupt::Interrupt;
use crate::output::{OutputError, write_whole};
use crate::problem::{FINE, Problem};
use crate::progress::Progress;
use crate::run;
use crate::terminal::{complain, printable, say};

/// The file of a run's folder that holds its recipe.
const NAME: &str = "replay.json";

/// What `everyhop replay` is told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  everyhop run manifests/ --out out\n  everyhop replay out\n\n\
    Exit codes: 0 it was the same run, event by event, 1 it was not, 2 bad input or usage")]
pub(crate) struct ReplayArgs {
    /// A folder that `everyhop run --out` or `--capture` wrote
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// Why there was no run, or that it was another one.
pub(crate) fn execute(args: &ReplayArgs, interrupt: &Interrupt) -> Result<u8, Problem> {
    let recipe = read(&args.folder)?;
    let scenario = run::read(&recipe)?;
    let mut run = run::begin(&scenario, true)?;
    let progress = Progress::new("replaying", run.config().duration);
    while run.advance(run::STRETCH) {
        run.take_seen();
        if interrupt.pressed() {
            return Err(Problem::failed("interrupted"));
        }
        progress.at(&run);
    }
    drop(progress);
    let report = Report::of(&run, &scenario.loaded);
    check(&recipe, &report.fingerprint)?;
    say(&printable(&format!("{report}This is the run that was recorded, event by event.\n")));
    Ok(FINE)
}

/// Whether a run that was replayed ended as the one that was recorded.
///
/// # Errors
/// It did not.
pub(crate) fn check(recipe: &Recipe, fingerprint: &str) -> Result<(), Problem> {
    match &recipe.fingerprint {
        Some(recorded) if recorded != fingerprint => {
            let message =
                format!("this is another run: its fingerprint is {fingerprint}, {} was recorded", shown(recorded));
            let help = format!(
                "it was recorded by everyhop {}, this is {VERSION}; builds differ, too",
                shown(&recipe.version)
            );
            Err(Problem::failed(message).help(help))
        }
        _ => Ok(()),
    }
}

/// Writes the recipe of a run into its folder; where to.
///
/// # Errors
/// What the system says.
pub(crate) fn write(folder: &Path, recipe: &Recipe) -> Result<PathBuf, OutputError> {
    let path = folder.join(NAME);
    let text = serde_json::to_string_pretty(recipe).expect("a recipe is plain values");
    write_whole(&path, (text + "\n").as_bytes())?;
    Ok(path)
}

/// Reads the recipe of the run that wrote a folder. That another version wrote it is told.
///
/// # Errors
/// It is no such folder, or `replay.json` is none.
pub(crate) fn read(folder: &Path) -> Result<Recipe, Problem> {
    let path = folder.join(NAME);
    if !path.is_file() {
        let message = format!("{} is not a folder of everyhop run: there is no {NAME} in it", folder.display());
        return Err(Problem::bad_input(message).help("everyhop run PATH… --out DIR writes one"));
    }
    let file = input::read(&path)?;
    let version = written_by(&file.text);
    let other = version.filter(|version| version != VERSION);
    let recipe: Recipe = serde_json::from_str(&file.text).map_err(|error| {
        // A name of megabytes is in it as it is.
        let error: String = error.to_string().chars().take(300).collect();
        let problem = Problem::bad_input(format!("{}: {error}", file.name));
        match &other {
            Some(other) => problem.help(format!("it was written by everyhop {other}, this is {VERSION}")),
            None => problem,
        }
    })?;
    if let Some(other) = other {
        let name = &file.name;
        let warning =
            format!("warning: {name} was written by everyhop {other}: {VERSION} may make another run of it\n");
        complain(&printable(&warning));
    }
    Ok(recipe)
}

/// The version in a recipe, whatever else that holds.
fn written_by(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Version {
        version: String,
    }
    serde_json::from_str(text).ok().map(|Version { version }| shown(&version).to_string())
}
