//! `everyhop run`: Kubernetes manifests in simulated time.

mod captures;
mod folder;

use std::path::PathBuf;

use sim_core::engine::time::Duration;
use sim_k8s::manifest::{Loaded, load};
use sim_k8s::workload::{Plan, infer_calls, read_traffic};
use sim_scenarios::determinism::{Difference, compare};
use sim_scenarios::fault::{Planned, read_faults};
use sim_scenarios::report::Report;
use sim_scenarios::run::{Run, RunConfig};

use crate::cluster::ClusterArgs;
use crate::input;
use crate::interrupt::Interrupt;
use crate::problem::{FAILED, FINE, Problem};
use crate::progress::Progress;
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
    duration: Duration,
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
const STRETCH: u64 = 10_000;

/// Runs the command.
///
/// # Errors
/// Why it ended early.
pub(crate) fn execute(args: &RunArgs, interrupt: &Interrupt) -> Result<u8, Problem> {
    let loaded = load(&input::manifests(&args.cluster.paths)?).map_err(|findings| input::mistakes(&findings))?;
    let plan = plan(args, &loaded)?;
    let faults = faults(args)?;
    let new_run = |capture| new_run(args, &loaded, &plan, &faults, capture);
    let mut run = new_run(true)?;
    args.out.as_deref().map_or(Ok(()), folder::prepare)?;
    let mut captures = Captures::begin(&args.captures, args.out.as_deref(), &run)?;
    if args.check_determinism {
        // The two differ in what must not matter.
        check([run.clone(), new_run(false)?], args, interrupt)?;
    }
    let progress = Progress::new("running", args.duration);
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
    let mut report = Report::of(&run, &loaded);
    let files = captures.map_or(Ok(Vec::new()), |captures| captures.finish(&run))?;
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

/// The calls to make.
fn plan(args: &RunArgs, loaded: &Loaded) -> Result<Plan, Problem> {
    let Some(file) = &args.traffic else { return Ok(infer_calls(&loaded.objects)) };
    let calls = read_traffic(&input::read(file)?, &loaded.objects).map_err(|findings| input::mistakes(&findings))?;
    Ok(Plan { calls, not_called: Vec::new() })
}

/// What is done to the run.
fn faults(args: &RunArgs) -> Result<Vec<Planned>, Problem> {
    let Some(file) = &args.faults else { return Ok(Vec::new()) };
    read_faults(&input::read(file)?).map_err(|findings| input::mistakes(&findings))
}

fn new_run(args: &RunArgs, loaded: &Loaded, plan: &Plan, faults: &[Planned], capture: bool) -> Result<Run, Problem> {
    let config = RunConfig { cluster: args.cluster.config(), duration: args.duration, capture, ..RunConfig::default() };
    let run = Run::new(&loaded.objects, plan, config).map_err(|error| Problem::bad_input(error.to_string()))?;
    Ok(run.with_faults(faults.to_vec()))
}

fn check(runs: [Run; 2], args: &RunArgs, interrupt: &Interrupt) -> Result<(), Problem> {
    let progress = Progress::new("running twice", args.duration);
    let difference = compare(runs, |run| {
        progress.at(run);
        !interrupt.pressed()
    });
    match difference {
        Some(Difference { event, was: [first, second] }) => Err(Problem::failed(format!(
            "two runs of seed {} differ, first in event {event}\n  one: {first}\n  two: {second}",
            args.cluster.seed
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

/// How long something lasts: not no time at all.
fn duration(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(Duration::ZERO) => Err("nothing happens in no time".into()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}
