//! `everyhop parity`: specs of the reference lab, run here and compared with what the kernel did.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sim_core::engine::rng::Seed;
use sim_scenarios::lab::canon::compact;
use sim_scenarios::lab::compare::first_diff;
use sim_scenarios::lab::kernel::{Emulator, Kernel};
use sim_scenarios::lab::run::RunError;
use sim_scenarios::lab::side_by_side::side_by_side;
use sim_scenarios::lab::spec::{Document, SpecError};

use crate::input::read;
use crate::interrupt::Interrupt;
use crate::output::{prepare_folder, write_whole};
use crate::problem::{BAD_INPUT, FAILED, FINE, Problem};
use crate::terminal::{complain, printable, say};

/// What `everyhop parity` is told.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  everyhop parity golden/cross_node_vxlan.json\n  everyhop parity specs/*.json --emit out --json\n\n\
    A file is a spec of the reference lab, or a golden: a spec with the kernel's result.\n\
    Exit codes: 0 all that hold a result agree, 1 some differ, 2 bad input or usage"
)]
pub(crate) struct ParityArgs {
    /// Specs or goldens
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Writes each file's result to DIR/NAME.json in the lab's form
    #[arg(long, value_name = "DIR")]
    emit: Option<PathBuf>,
    /// Prints a list of {file, ok, compared, first_difference, error}
    #[arg(long)]
    json: bool,
}

/// What is random in the kernel is shown as what it stands for: any seed must do.
const SEED: Seed = Seed(1);

/// What became of one file.
enum Outcome {
    /// It agrees; false: it holds nothing to compare with.
    Agrees(bool),
    /// It differs: the difference in one line, and the page that shows it.
    Differs(String, String),
    /// It could not be run.
    Refused(Problem),
}

/// Runs the command.
///
/// # Errors
/// Why it ended before the last file.
pub(crate) fn execute(args: &ParityArgs, interrupt: &Interrupt) -> Result<u8, Problem> {
    let names = output_names(args)?;
    let mut all = Vec::new();
    let mut exit = FINE;
    for (file, name) in args.files.iter().zip(names) {
        let outcome = match one(file, name.as_deref(), interrupt) {
            _ if interrupt.pressed() => return Err(interrupted()),
            Ok(outcome) => outcome,
            Err(problem) => Outcome::Refused(problem),
        };
        exit = exit.max(exit_code(&outcome));
        if args.json {
            all.push(told(file, &outcome));
        } else {
            say(&shown(file, &outcome));
        }
        if let Outcome::Refused(problem) = &outcome {
            complain(&problem.shown(&reproduce(file)));
        }
    }
    if args.json {
        say(&format!("{:#}\n", Value::Array(all)));
    }
    Ok(exit)
}

/// Where each file's result goes, if anywhere; two files may not go to one place.
fn output_names(args: &ParityArgs) -> Result<Vec<Option<PathBuf>>, Problem> {
    let Some(folder) = &args.emit else { return Ok(vec![None; args.files.len()]) };
    let mut taken = BTreeMap::new();
    let mut names = Vec::new();
    for file in &args.files {
        let stem = file.file_stem().ok_or_else(|| Problem::bad_input(format!("{} is not a file", file.display())))?;
        let mut name = stem.to_owned();
        name.push(".json");
        let path = folder.join(name);
        if let Some(other) = taken.insert(path.clone(), file) {
            let both =
                format!("{} and {} would both be written to {}", other.display(), file.display(), path.display());
            return Err(Problem::bad_input(both).help("run them into two folders"));
        }
        names.push(Some(path));
    }
    prepare_folder(folder).map_err(|e| Problem { exit: BAD_INPUT, ..e.into() })?;
    Ok(names)
}

fn one(file: &Path, emit: Option<&Path>, interrupt: &Interrupt) -> Result<Outcome, Problem> {
    let source = read(file)?;
    let in_spec = |error: &SpecError| Problem::in_spec(&source.name, &source.text, error);
    let document = Document::read(&source.text).map_err(|e| in_spec(&e))?;
    let everyhop = match Emulator(SEED).run(&document.asked, &|| interrupt.pressed()) {
        Ok(result) => result,
        Err(RunError::Interrupted) => return Err(interrupted()),
        Err(error @ RunError::Step { place, .. }) => return Err(in_spec(&SpecError::new(place, error.to_string()))),
        Err(error @ RunError::Build { .. }) => return Err(Problem::bad_input(format!("{}: {error}", source.name))),
    };
    if let Some(path) = emit {
        let text = compact(&json!({ "spec": document.source, "result": everyhop }));
        write_whole(path, text.as_bytes())?;
    }
    let Some(kernel) = &document.result else { return Ok(Outcome::Agrees(false)) };
    let (kernel, everyhop) = document.asked.compared(kernel, &everyhop);
    Ok(match first_diff(&kernel, &everyhop) {
        None => Outcome::Agrees(true),
        Some(at) => {
            let colour = std::io::stdout().is_terminal();
            Outcome::Differs(at.to_string(), side_by_side(&document.source, &kernel, &everyhop, &at, colour))
        }
    })
}

fn interrupted() -> Problem {
    Problem::failed("interrupted: files that are whole were written, nothing else")
}

fn exit_code(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Agrees(_) => FINE,
        Outcome::Differs(..) => FAILED,
        Outcome::Refused(problem) => problem.exit,
    }
}

fn told(file: &Path, outcome: &Outcome) -> Value {
    let (compared, difference, error) = match outcome {
        Outcome::Agrees(compared) => (*compared, None, None),
        Outcome::Differs(difference, _) => (true, Some(difference), None),
        Outcome::Refused(problem) => (false, None, Some(&problem.message)),
    };
    json!({
        "file": file.display().to_string(),
        "ok": difference.is_none() && error.is_none(),
        "compared": compared,
        "first_difference": difference,
        "error": error,
    })
}

fn shown(file: &Path, outcome: &Outcome) -> String {
    let name = printable(&file.display().to_string());
    match outcome {
        Outcome::Agrees(true) => format!("agrees   {name}\n"),
        Outcome::Agrees(false) => format!("ran      {name}: it holds no result to compare with\n"),
        Outcome::Refused(_) => format!("refused  {name}\n"),
        Outcome::Differs(_, page) => {
            format!("differs  {name}\n{page}\nto see it again: {}\n", printable(&reproduce(file)))
        }
    }
}

fn reproduce(file: &Path) -> String {
    crate::command_line(["parity".into(), file.into()])
}
