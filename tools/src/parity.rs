//! `everyhop parity`: specs of the reference lab, run here and compared with what the kernel did, or does now.

mod random;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sim_core::engine::rng::Seed;
use sim_k8s::manifest::SourceFile;
use sim_scenarios::lab::canon::compact;
use sim_scenarios::lab::compare::first_diff;
use sim_scenarios::lab::kernel::{Emulator, Kernel};
use sim_scenarios::lab::run::RunError;
use sim_scenarios::lab::side_by_side::side_by_side;
use sim_scenarios::lab::spec::{Asked, Document, SpecError};

use crate::input::read;
use crate::interrupt::Interrupt;
use crate::output::{prepare_folder, write_whole};
use crate::problem::{BAD_INPUT, FAILED, FINE, Problem, SKIPPED};
use crate::terminal::{complain, printable, say};

/// What `everyhop parity` is told.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  everyhop parity golden/cross_node_vxlan.json\n  everyhop parity specs/*.json --emit out --json\n  \
    everyhop parity --random 100 --seed 7 --out found\n\n\
    A file is a spec of the reference lab, or a golden: a spec with the kernel's result.\n\
    --live and --random need Linux and root; they use network namespaces of their own and leave nothing behind.\n\
    Exit codes: 0 all that hold a result agree, 1 some differ, 2 bad input or usage,\n\
    3 skipped: specs cannot be run on this machine's kernel"
)]
pub(crate) struct ParityArgs {
    /// Specs or goldens
    #[arg(required_unless_present = "cases", conflicts_with = "cases", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Writes each file's result to DIR/NAME.json in the lab's form
    #[arg(long, value_name = "DIR", requires = "files")]
    emit: Option<PathBuf>,
    /// Runs the specs on this machine's kernel as well: the emulator, and a result in FILE, must agree with it
    #[arg(long)]
    live: bool,
    /// Writes the spec with what this machine's kernel did to FILE; for one spec
    #[arg(long, value_name = "FILE", requires = "live")]
    record: Option<PathBuf>,
    /// Prints a list of {file, ok, compared, first_difference, record_difference, error}; of random specs what was found
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    random: random::RandomArgs,
}

/// What is random in the kernel is shown as what it stands for: any seed must do.
const SEED: Seed = Seed(1);

/// What became of one file.
enum Outcome {
    /// Nobody says what the kernel does.
    Ran,
    /// What the kernel did is known.
    Compared {
        /// How the emulator differs from it: in one line, and the page that shows it.
        emulator: Option<(String, String)>,
        /// How the file's result differs from this machine's kernel.
        record: Option<String>,
    },
    /// It could not be run.
    Refused(Problem),
}

/// Runs the command.
///
/// # Errors
/// Why it ended before the last file.
pub(crate) fn execute(args: &ParityArgs, interrupt: &Interrupt) -> Result<u8, Problem> {
    if let Some(cases) = args.random.cases {
        return random::execute(&args.random, cases, args.json, interrupt);
    }
    let names = output_names(args)?;
    if args.record.is_some() && args.files.len() > 1 {
        return Err(
            Problem::bad_input("--record writes one file, and several are given").help("record them one by one")
        );
    }
    if !args.live {
        return compare(args, &names, None, interrupt);
    }
    sim_linux::with_kernel(0, |kernel| compare(args, &names, Some(kernel), interrupt)).unwrap_or_else(|why| {
        complain(&format!("skipped: {}\n", printable(&why.to_string())));
        Ok(SKIPPED)
    })
}

/// Runs the specs one by one, on `live` as well if there is one; the exit code.
fn compare(
    args: &ParityArgs,
    names: &[Option<PathBuf>],
    mut live: Option<&mut dyn Kernel>,
    interrupt: &Interrupt,
) -> Result<u8, Problem> {
    let mut all = Vec::new();
    let mut exit = FINE;
    for (file, name) in args.files.iter().zip(names) {
        let outcome = match one(args, file, name.as_deref(), &mut live, interrupt) {
            _ if interrupt.pressed() => return Err(interrupted()),
            Ok(outcome) => outcome,
            Err(problem) => Outcome::Refused(problem),
        };
        exit = exit.max(exit_code(&outcome));
        if args.json {
            all.push(told(file, &outcome));
        } else {
            say(&shown(args, file, &outcome));
        }
        if let Outcome::Refused(problem) = &outcome {
            complain(&problem.shown(&reproduce(args, file)));
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

fn one(
    args: &ParityArgs,
    file: &Path,
    emit: Option<&Path>,
    live: &mut Option<&mut dyn Kernel>,
    interrupt: &Interrupt,
) -> Result<Outcome, Problem> {
    let source = read(file)?;
    let document = Document::read(&source.text).map_err(|e| Problem::in_spec(&source.name, &source.text, &e))?;
    let run_on = |kernel: &mut dyn Kernel, asked: &Asked| run_on(kernel, asked, &source, interrupt);
    let (live, pace) = match live {
        Some(kernel) => (Some(run_on(*kernel, &document.asked)?), kernel.pace()),
        None => (None, &[][..]),
    };
    if let (Some(path), Some(live)) = (&args.record, &live) {
        let record = json!({ "made_with": sim_linux::versions(), "spec": document.source, "result": live });
        write_whole(path, compact(&record).as_bytes())?;
    }
    let everyhop = run_on(&mut Emulator(SEED), &document.asked.clone().at_pace(pace))?;
    if let Some(path) = emit {
        let text = compact(&json!({ "spec": document.source, "result": everyhop }));
        write_whole(path, text.as_bytes())?;
    }
    let Some(kernel) = live.as_ref().or(document.result.as_ref()) else { return Ok(Outcome::Ran) };
    let (theirs, ours) = match live {
        Some(_) => document.asked.repeated(kernel, &everyhop),
        None => document.asked.compared(kernel, &everyhop),
    };
    let emulator = first_diff(&theirs, &ours).map(|at| {
        let colour = std::io::stdout().is_terminal();
        (at.to_string(), side_by_side(&document.source, &theirs, &ours, &at, colour))
    });
    let record = live.as_ref().zip(document.result.as_ref()).and_then(|(live, record)| {
        let (live, record) = document.asked.repeated(live, record);
        first_diff(&live, &record).map(|at| at.to_string())
    });
    Ok(Outcome::Compared { emulator, record })
}

fn run_on(
    kernel: &mut dyn Kernel,
    asked: &Asked,
    source: &SourceFile,
    interrupt: &Interrupt,
) -> Result<Value, Problem> {
    kernel.run(asked, &|| interrupt.pressed()).map_err(|error| match error {
        RunError::Interrupted => interrupted(),
        RunError::Step { place, .. } => {
            Problem::in_spec(&source.name, &source.text, &SpecError::new(place, error.to_string()))
        }
        RunError::Build { .. } => Problem::bad_input(format!("{}: {error}", source.name)),
        RunError::Watch(_) => Problem::failed(format!("{}: {error}", source.name)),
    })
}

fn interrupted() -> Problem {
    Problem::failed("interrupted: files that are whole were written, nothing else")
}

fn exit_code(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Ran | Outcome::Compared { emulator: None, record: None } => FINE,
        Outcome::Compared { .. } => FAILED,
        Outcome::Refused(problem) => problem.exit,
    }
}

fn told(file: &Path, outcome: &Outcome) -> Value {
    let (emulator, record) = match outcome {
        Outcome::Compared { emulator, record } => (emulator.as_ref().map(|(line, _)| line), record.as_ref()),
        _ => (None, None),
    };
    let error = match outcome {
        Outcome::Refused(problem) => Some(&problem.message),
        _ => None,
    };
    json!({
        "file": file.display().to_string(),
        "ok": exit_code(outcome) == FINE,
        "compared": matches!(outcome, Outcome::Compared { .. }),
        "first_difference": emulator,
        "record_difference": record,
        "error": error,
    })
}

fn shown(args: &ParityArgs, file: &Path, outcome: &Outcome) -> String {
    let name = printable(&file.display().to_string());
    let mut out = match outcome {
        Outcome::Compared { emulator: None, .. } => format!("agrees   {name}\n"),
        Outcome::Ran => format!("ran      {name}: it holds no result to compare with\n"),
        Outcome::Refused(_) => format!("refused  {name}\n"),
        Outcome::Compared { emulator: Some((_, page)), .. } => {
            format!("differs  {name}\n{page}\nto see it again: {}\n", printable(&reproduce(args, file)))
        }
    };
    if let Outcome::Compared { record: Some(difference), .. } = outcome {
        out += &format!("         its result is not what this machine's kernel does: {}\n", printable(difference));
    }
    out
}

fn reproduce(args: &ParityArgs, file: &Path) -> String {
    let live = args.live.then(|| "--live".into());
    crate::command_line(["parity".into()].into_iter().chain(live).chain([file.into()]))
}
