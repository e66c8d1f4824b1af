//! `everyhop parity --random`: specs that nobody wrote, on this machine's kernel and here.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, mpsc};

use serde_json::{Value, json};
use sim_core::engine::rng::Seed;
use sim_linux::Unavailable;
use sim_scenarios::lab::canon::compact;
use sim_scenarios::lab::random::coverage::{Coverage, Covered};
use sim_scenarios::lab::random::hunt::{Found, Hunt, Tally};
use sim_scenarios::lab::random::trial::Differing;
use sim_scenarios::lab::random::{self, Case};
use sim_scenarios::lab::run::RunError;
use sim_scenarios::lab::side_by_side::side_by_side;

use super::SEED;
use crate::interrupt::Interrupt;
use crate::output::{prepare_folder, write_whole};
use crate::problem::{FAILED, FINE, Problem, SKIPPED};
use crate::progress::Line;
use crate::terminal::{complain, printable, say};

/// Which random specs, and where the smallest that differ go.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RandomArgs {
    /// Runs N random specs on this machine's kernel and here, and makes each kind of difference as small as it can be
    #[arg(long = "random", value_name = "N")]
    pub(super) cases: Option<u64>,
    /// Where random specs come from
    #[arg(long, value_name = "S", default_value_t = 1, conflicts_with = "files")]
    seed: u64,
    /// What all of them are about; if not told, one in four is a TCP script
    #[arg(long, value_enum, conflicts_with = "files")]
    kind: Option<Kind>,
    /// The number of the first random spec
    #[arg(long, value_name = "I", default_value_t = 0, conflicts_with = "files")]
    case: u64,
    /// How many smaller specs are tried for each kind of difference
    #[arg(long, value_name = "T", default_value_t = 100, conflicts_with = "files")]
    shrink: u32,
    /// How many run beside each other; as many as there are CPUs if not told
    #[arg(long, value_name = "J", conflicts_with = "files")]
    jobs: Option<NonZero<usize>>,
    /// Writes the smallest specs that differ to DIR/case-I.json, with what the kernel did
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    out: Option<PathBuf>,
}

/// What random specs are about.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kind {
    /// Clusters, and what becomes of packets
    Cluster,
    /// Scripts for one pod's TCP
    Tcp,
}

impl RandomArgs {
    fn case(&self, number: u64) -> Case {
        let kind = match self.kind {
            None => random::Kind::of(number),
            Some(Kind::Cluster) => random::Kind::Cluster,
            Some(Kind::Tcp) => random::Kind::Tcp,
        };
        Case { kind, seed: Seed(self.seed), number }
    }
}

/// A longer spec is shown in a file only.
const LONGEST_SPEC: usize = 500;

/// The smallest spec of a kind of difference, and where it went.
struct Smallest {
    found: Found,
    file: Option<PathBuf>,
}

/// Runs `cases` of them.
///
/// # Errors
/// A folder or file could not be written, or it was interrupted.
pub(super) fn execute(args: &RandomArgs, cases: u64, json: bool, interrupt: &Interrupt) -> Result<u8, Problem> {
    if let Some(folder) = &args.out {
        prepare_folder(folder)?;
    }
    let line = Line::new();
    let mut tally = Tally::default();
    let numbers = args.case..args.case.saturating_add(cases);
    let judged = in_parallel(args, numbers, interrupt, &|hunt, number| hunt.judge(args.case(number)), &mut |judged| {
        tally.add(judged);
        line.show(&format!("{} of {cases} random specs: {}", tally.cases, sums(&tally)));
    });
    if let Err(why) = judged {
        complain(&format!("skipped: {}\n", printable(&why.to_string())));
        return Ok(SKIPPED);
    }
    let smallest = shrink(args, &tally, interrupt, &line)?;
    drop(line);
    say(&if json { format!("{:#}\n", as_json(args, &tally, &smallest)) } else { shown(args, &tally, &smallest) });
    if tally.cases < cases {
        return Err(Problem::failed(format!("interrupted after {} of {cases} cases", tally.cases)));
    }
    Ok(if tally.differ.is_empty() && tally.refused.is_empty() { FINE } else { FAILED })
}

/// Makes the first spec of each kind of difference small, and writes it.
fn shrink(
    args: &RandomArgs,
    tally: &Tally,
    interrupt: &Interrupt,
    line: &Line,
) -> Result<BTreeMap<String, Smallest>, Problem> {
    let mut smallest = BTreeMap::new();
    let mut written = Ok(());
    let kinds = tally.differ.iter().filter_map(|(kind, cases)| Some((kind.clone(), cases.first_key_value()?)));
    let kinds: Vec<(String, (&u64, &Found))> = kinds.collect();
    let work = |hunt: &mut Hunt<'_>, (kind, (number, found)): (String, (&u64, &Found))| {
        hunt.shrink(found.clone(), args.shrink).map(|found| (kind, *number, found))
    };
    let shrunk = in_parallel(args, kinds.into_iter(), interrupt, &work, &mut |(kind, number, found)| {
        let file = args.out.as_ref().map(|folder| folder.join(format!("case-{number}.json")));
        if let Some(path) = &file {
            let mut golden = json!({ "made_with": sim_linux::versions(), "spec": found.spec });
            // What the kernel refused has no result.
            if found.differing.kernel.is_array() {
                golden["result"] = found.differing.kernel.clone();
            }
            let whole = write_whole(path, compact(&golden).as_bytes());
            written = std::mem::replace(&mut written, Ok(())).and(whole);
        }
        smallest.insert(kind, Smallest { found, file });
        line.show(&format!("{} of {} kinds of differences are small", smallest.len(), tally.differ.len()));
    });
    shrunk.map_err(|why| Problem::failed(why.to_string()))?;
    written?;
    Ok(smallest)
}

/// Hands each of `tasks` to the next free of several kernels; `done` hears what came of them, in any order. Interrupted,
/// nothing more comes.
fn in_parallel<T: Send, D: Send>(
    args: &RandomArgs,
    tasks: impl Iterator<Item = T> + Send,
    interrupt: &Interrupt,
    work: &(dyn Fn(&mut Hunt<'_>, T) -> Result<D, RunError> + Sync),
    done: &mut dyn FnMut(D),
) -> Result<(), Unavailable> {
    let jobs = args.jobs.or(std::thread::available_parallelism().ok()).map_or(1, NonZero::get);
    let tasks = Mutex::new(tasks);
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        let one = |worker, tell: mpsc::Sender<D>| {
            sim_linux::with_kernel(worker, |kernel| {
                let stop = || interrupt.pressed();
                let mut hunt = Hunt { kernel, everyhop: Covered::new(SEED), stop: &stop };
                let next = || tasks.lock().ok()?.next();
                while let Some(task) = next() {
                    let Ok(result) = work(&mut hunt, task) else { return };
                    let _ = tell.send(result);
                }
            })
        };
        let workers: Vec<_> = (0..jobs)
            .map(|worker| {
                let tell = tell.clone();
                scope.spawn(move || one(worker, tell))
            })
            .collect();
        drop(tell);
        told.iter().for_each(done);
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn sums(tally: &Tally) -> String {
    let mut out = format!("{} agree, {} differ", tally.agree, tally.differing());
    for (count, what) in [(tally.unsteady.len(), "did not repeat"), (tally.refused.len(), "could not be run")] {
        if count > 0 {
            let _ = write!(out, ", {count} {what}");
        }
    }
    out
}

/// The command that shows a difference again: its file if there is one, else its case.
fn command(args: &RandomArgs, case: u64, smallest: Option<&Smallest>) -> String {
    let words = match smallest.and_then(|smallest| smallest.file.as_ref()) {
        Some(file) => vec!["parity".into(), "--live".into(), file.into()],
        None => {
            let kind = if let random::Kind::Tcp = args.case(case).kind { "tcp" } else { "cluster" };
            let (seed, case) = (args.seed.to_string(), case.to_string());
            ["parity", "--random", "1", "--kind", kind, "--seed", &seed, "--case", &case].map(Into::into).into()
        }
    };
    crate::command_line(words)
}

/// What is told of a kind of difference: its cases, the first difference, the spec, the command.
type Row<'t> = (&'t str, Vec<u64>, &'t Found, Option<&'t Path>, String);

fn rows<'t>(args: &RandomArgs, tally: &'t Tally, smallest: &'t BTreeMap<String, Smallest>) -> Vec<Row<'t>> {
    let row = |(kind, cases): (&'t String, &'t BTreeMap<u64, Found>)| {
        let (first, found) = cases.first_key_value()?;
        let small = smallest.get(kind);
        let command = command(args, *first, small);
        let file = small.and_then(|small| small.file.as_deref());
        Some((kind.as_str(), cases.keys().copied().collect(), small.map_or(found, |small| &small.found), file, command))
    };
    tally.differ.iter().filter_map(row).collect()
}

fn shown(args: &RandomArgs, tally: &Tally, smallest: &BTreeMap<String, Smallest>) -> String {
    let mut out = format!("{} random specs of seed {}: {}\n", tally.cases, args.seed, sums(tally));
    for (kind, cases, found, file, command) in rows(args, tally, smallest) {
        let _ = writeln!(out, "differs   {kind}: {}", numbers(&cases));
        if file.is_some() {
            let _ = writeln!(out, "          {}", found.differing.at);
        } else {
            out += &in_full(found);
        }
        let _ = writeln!(out, "          to see it again: {command}");
    }
    for (number, difference) in &tally.unsteady {
        let _ = writeln!(out, "no repeat case {number}: once {difference}");
    }
    for (number, why) in &tally.refused {
        let _ = writeln!(out, "refused   case {number}: {why}");
    }
    out += &covered(&tally.coverage);
    printable(&out)
}

/// A difference between its neighbours, and the spec unless it is longer than that.
fn in_full(found: &Found) -> String {
    let Differing { kernel, everyhop, at } = &found.differing;
    let mut out = side_by_side(&found.spec, kernel, everyhop, at, false);
    let spec = found.spec.to_string();
    if spec.len() <= LONGEST_SPEC {
        let _ = writeln!(out, "          smallest: {spec}");
    }
    out
}

fn numbers(cases: &[u64]) -> String {
    let all: Vec<String> = cases.iter().map(u64::to_string).collect();
    format!("{} {}", if all.len() == 1 { "case" } else { "cases" }, all.join(" "))
}

/// In how many cases each thing was met, and what of its kind never was.
fn covered(coverage: &Coverage) -> String {
    let mut out = String::from("met in so many cases\n");
    for (kind, rows) in by_kind(coverage) {
        let (met, never): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, cases)| *cases > 0);
        if met.is_empty() {
            continue;
        }
        let met: Vec<String> = met.into_iter().map(|(name, cases)| format!("{name} {cases}")).collect();
        let _ = writeln!(out, "{kind:<10}{}", met.join(", "));
        if !never.is_empty() {
            let never: Vec<&str> = never.into_iter().map(|(name, _)| name).collect();
            let _ = writeln!(out, "{:<10}never: {}", "", never.join(", "));
        }
    }
    out
}

fn by_kind(coverage: &Coverage) -> BTreeMap<&str, Vec<(&str, u64)>> {
    let mut kinds: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
    for ((kind, name), cases) in coverage.rows() {
        kinds.entry(kind).or_default().push((name, cases));
    }
    kinds
}

fn as_json(args: &RandomArgs, tally: &Tally, smallest: &BTreeMap<String, Smallest>) -> Value {
    let difference = |(kind, cases, found, file, command): Row<'_>| {
        json!({
            "kind": kind,
            "cases": cases,
            "first_difference": found.differing.at.to_string(),
            "spec": found.spec,
            "file": file.map(|path| path.display().to_string()),
            "command": command,
        })
    };
    let differences: Vec<Value> = rows(args, tally, smallest).into_iter().map(difference).collect();
    let refused: Vec<Value> = tally.refused.iter().map(|(case, why)| json!({ "case": case, "error": why })).collect();
    let unsteady = tally.unsteady.iter().map(|(case, difference)| json!({ "case": case, "difference": difference }));
    let unsteady: Vec<Value> = unsteady.collect();
    let coverage: BTreeMap<&str, BTreeMap<&str, u64>> =
        by_kind(&tally.coverage).into_iter().map(|(kind, rows)| (kind, rows.into_iter().collect())).collect();
    json!({
        "seed": args.seed,
        "first_case": args.case,
        "cases": tally.cases,
        "agree": tally.agree,
        "differ": tally.differing(),
        "differences": differences,
        "unsteady": unsteady,
        "refused": refused,
        "coverage": coverage,
    })
}
