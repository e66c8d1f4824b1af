//! `everyhop run`: Kubernetes manifests in simulated time.

mod captures;
mod folder;

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use sim_core::engine::time::{Duration, NotADuration};
use sim_scenarios::determinism::{Difference, compare};
use sim_scenarios::report::Report;
use sim_scenarios::run::{Recipe, Run, Scenario, VERSION};

use crate::cluster::ClusterArgs;
use crate::input;
use crate::interrupt::Interrupt;
use crate::problem::{FAILED, FINE, Problem};
use crate::progress::Progress;
use crate::replay;
use crate::terminal::{printable, say};
use captures::{CaptureArgs, Captures};

/// What `everyhop run` is told.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  everyhop run manifests/\n  everyhop run shop.yaml --nodes 3 --seed 7 --out out\n\n\
    Exit codes: 0 all calls answered, 1 some were not, 2 bad input or usage"
)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// How long calls are begun after the cluster has settled, in simulated time
    #[arg(long, default_value = "30s", value_parser = duration)]
    duration: NonZeroU64,
    /// A folder for all.pcapng, run.json and each node's rules
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Who calls whom, instead of what the manifests' environment says
    #[arg(long, value_name = "FILE")]
    traffic: Option<PathBuf>,
    /// What is done to the cluster meanwhile: pods deleted, workloads scaled, nodes and wires failing
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Runs twice and shows the first event that differs
    #[arg(long)]
    check_determinism: bool,
    /// Prints the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    captures: CaptureArgs,
}

/// Events between two looks at Ctrl-C and two writes of hops.
pub(crate) const STRETCH: u64 = 10_000;

/// Runs the command.
///
/// # Errors
/// Why it ended early.
pub(crate) fn execute(args: &RunArgs, interrupt: &Interrupt) -> Result<u8, Problem> {
    let mut recipe = recipe(args)?;
    let scenario = read(&recipe)?;
    let mut run = begin(&scenario, true)?;
    args.out.as_deref().map_or(Ok(()), folder::prepare)?;
    let mut captures = Captures::begin(&args.captures, args.out.as_deref(), &run)?;
    if args.check_determinism {
        // The two differ in what must not matter.
        check([run.clone(), begin(&scenario, false)?], args, interrupt)?;
    }
    let progress = Progress::new("running", run.config().duration);
    loop {
        let more = run.advance(STRETCH);
        let seen = run.take_seen();
        if let Some(captures) = &mut captures {
            captures.add(&seen, &run)?;
        }
        if !more {
            break;
        }
        if interrupt.pressed() {
            captures.map_or(Ok(()), Captures::interrupt)?;
            return Err(interrupted());
        }
        progress.at(&run);
    }
    drop(progress);
    let mut report = Report::of(&run, &scenario.loaded);
    let mut files = captures.map_or(Ok(Vec::new()), |captures| captures.finish(&run))?;
    recipe.fingerprint = Some(report.fingerprint.clone());
    for folder in folders(args) {
        files.push(replay::write(folder, &recipe)?);
    }
    match &args.out {
        Some(folder) => folder::fill(folder, &run, &mut report, files)?,
        None => report.files = folder::names(&files),
    }
    if args.json {
        say(&json(&report));
    } else {
        say(&printable(&shown(&report, args)));
    }
    Ok(if report.ok { FINE } else { FAILED })
}

/// What the run is made from.
fn recipe(args: &RunArgs) -> Result<Recipe, Problem> {
    let text = |file: &Option<PathBuf>| file.as_deref().map(input::read).transpose();
    Ok(Recipe {
        version: VERSION.to_owned(),
        cluster: args.cluster.options(),
        duration_ns: args.duration,
        manifests: input::manifests(&args.cluster.paths)?,
        traffic: text(&args.traffic)?,
        faults: text(&args.faults)?,
        fingerprint: None,
    })
}

/// The folders from which the run can be replayed.
fn folders(args: &RunArgs) -> BTreeSet<&Path> {
    args.out.as_deref().into_iter().chain(args.captures.folder()).collect()
}

/// Reads the texts of a recipe.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn read(recipe: &Recipe) -> Result<Scenario, Problem> {
    recipe.scenario().map_err(|findings| input::mistakes(&findings))
}

/// Begins a run.
///
/// # Errors
/// What no cluster can give.
pub(crate) fn begin(scenario: &Scenario, capture: bool) -> Result<Run, Problem> {
    scenario.run(capture).map_err(|error| Problem::bad_input(error.to_string()))
}

fn check(runs: [Run; 2], args: &RunArgs, interrupt: &Interrupt) -> Result<(), Problem> {
    let progress = Progress::new("running twice", runs[0].config().duration);
    let difference = compare(runs, |run| {
        progress.at(run);
        !interrupt.pressed()
    });
    match difference {
        Some(Difference { event, was: [first, second] }) => Err(Problem::failed(format!(
            "two runs of seed {} differ, first in event {event}\n  one: {first}\n  two: {second}",
            args.cluster.options().seed
        ))),
        None if interrupt.pressed() => Err(interrupted()),
        None => Ok(()),
    }
}

fn interrupted() -> Problem {
    Problem::failed("interrupted: what was captured so far is in all.pcapng.partial, if a folder was given")
}

fn json(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("a report is plain values");
    text.push('\n');
    text
}

/// The report for people, with the way to see it again.
fn shown(report: &Report, args: &RunArgs) -> String {
    let checked = if args.check_determinism { "Two runs of this seed were the same, event by event.\n" } else { "" };
    let again = crate::command_line(std::env::args_os().skip(1));
    format!("{report}{checked}to see it again: {again}\n")
}

/// How long something lasts, in ns: not no time at all.
fn duration(text: &str) -> Result<NonZeroU64, String> {
    let duration: Duration = text.parse().map_err(|error: NotADuration| error.to_string())?;
    NonZeroU64::new(duration.as_nanos()).ok_or_else(|| "nothing happens in no time".into())
}
