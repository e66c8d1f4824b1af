//! `everyhop explain`: what became of a packet, a connection or a call, and why.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use sim_core::engine::time::Duration;
use sim_scenarios::explain::{
    Call, Explanation, Film, NoExplanation, NoFilm, Subject, Which, connections, explain, mermaid, svg,
};
use sim_scenarios::run::{Recipe, Scenario, VERSION};

use crate::cluster::OptionArgs;
use crate::interrupt::Interrupt;
use crate::output::write_whole;
use crate::problem::{FAILED, FINE, Problem};
use crate::terminal::{printable, say};
use crate::{input, replay, run};

/// What `everyhop explain` is told.
#[derive(Clone, Debug, clap::Args)]
#[command(
    override_usage = "everyhop explain [OPTIONS] <DIR> --packet <ID>\n       \
        everyhop explain [OPTIONS] <DIR> --flow <FROM -> HOST:PORT> [--nth <N> | --at <TIME> | --list]\n       \
        everyhop explain [OPTIONS] <PATH>... <FROM> <TO[:PORT]> [--at <TIME>]",
    after_help = "Examples:\n  everyhop run examples/shop --out out\n  everyhop explain out --packet 1234\n  \
    everyhop explain out --flow \"shop/front -> catalog:7000\"\n  \
    everyhop explain examples/tour client far\n  everyhop explain examples/tour client 8.8.8.8:53 --svg why.svg\n  \
    everyhop explain examples/shop outside shop/front --faults examples/faults/shop.yaml --at 12s\n\n\
    DIR is a folder that `everyhop run --out` or `--capture` wrote: its run is replayed. With PATHs a cluster is brought up, \
    and the call is tried when it has settled. FROM is a pod, a workload, a node or `outside`; TO is a Service, a pod, a node, \
    a name or an address; `:53/udp` calls by UDP, `/sctp` by SCTP.\n\n\
    Exit codes: 0 it got where it should, 1 it did not, 2 bad input or usage"
)]
pub(crate) struct ExplainArgs {
    /// DIR, or PATH… FROM TO
    #[arg(required = true, value_name = "WORDS")]
    words: Vec<String>,
    /// The packet with this id: frame.packet_id in the capture
    #[arg(long, value_name = "ID")]
    packet: Option<u64>,
    /// A connection of the run: "shop/front -> catalog:7000"
    #[arg(long, value_name = "FLOW", conflicts_with = "packet")]
    flow: Option<String>,
    /// Of several connections this one, counted from 1 [default: the first that was not answered, else the first]
    #[arg(long, value_name = "N", requires = "flow", conflicts_with = "at")]
    nth: Option<usize>,
    /// Counted from when the cluster has settled: the first connection that begins then or later; when the call is made
    #[arg(long, value_name = "TIME")]
    at: Option<Duration>,
    /// Lists the connections
    #[arg(long, requires = "flow")]
    list: bool,
    /// What is done to the cluster before the call is made
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Shows routes, neighbours, FDB and conntrack entries, too, as they stood
    #[arg(long)]
    tables: bool,
    /// Shows each rule that was looked at, too, and whether it fitted
    #[arg(long)]
    rules: bool,
    /// Writes the walk as a picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Writes the walk as a Mermaid diagram, for Markdown; `-` prints it
    #[arg(long, value_name = "FILE")]
    mermaid: Option<PathBuf>,
    /// Prints all of it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: OptionArgs,
}

/// The latest moment of a call: that of a fault.
const LATEST: Duration = Duration::from_secs(24 * 3600);

/// Runs the command.
///
/// # Errors
/// There is nothing of the kind to explain.
pub(crate) fn execute(args: &ExplainArgs, interrupt: &Interrupt) -> Result<u8, Problem> {
    let subject = match (&args.packet, &args.flow, args.at) {
        (Some(packet), ..) => Subject::Packet(*packet),
        (_, Some(flow), Some(time)) => Subject::Flow(flow.clone(), Which::At(time)),
        (_, Some(flow), None) => Subject::Flow(flow.clone(), args.nth.map_or(Which::Failed, Which::Nth)),
        (None, None, _) => Subject::Call,
    };
    let (recipe, call) = if subject == Subject::Call { tried(args)? } else { (recorded(args)?, None) };
    let scenario: Scenario = run::read(&recipe)?;
    let scenario = if call.is_some() { scenario.without_calls() } else { scenario };
    let stop = || interrupt.pressed();
    let film = Film { scenario: &scenario, call: call.as_ref(), stop: &stop };
    if let (true, Some(flow)) = (args.list, &args.flow) {
        return list(&film, flow, args.json);
    }
    let explanation = explain(&film, &subject).map_err(problem)?;
    if interrupt.pressed() {
        return Err(Problem::failed("interrupted"));
    }
    if call.is_none() {
        replay::check(&recipe, &explanation.fingerprint)?;
    }
    show(args, &explanation)?;
    Ok(if explanation.ok { FINE } else { FAILED })
}

/// The recipe of a run that was.
fn recorded(args: &ExplainArgs) -> Result<Recipe, Problem> {
    let [folder] = args.words.as_slice() else {
        return Err(
            Problem::bad_input("--packet and --flow are about one folder").help("everyhop explain DIR --packet ID")
        );
    };
    replay::read(Path::new(folder))
}

/// The recipe of a cluster, and the call that is tried in it.
fn tried(args: &ExplainArgs) -> Result<(Recipe, Option<Call>), Problem> {
    let [paths @ .., from, to] = args.words.as_slice() else { return Err(too_few()) };
    if paths.is_empty() {
        return Err(too_few());
    }
    let at = args.at.unwrap_or(Duration::ZERO);
    if at > LATEST {
        return Err(Problem::bad_input(format!("--at {at} is too late")).help("a time of the first 24 hours"));
    }
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    let recipe = Recipe {
        version: VERSION.to_owned(),
        cluster: args.cluster.read(),
        duration_ns: NonZeroU64::MIN,
        manifests: input::manifests(&paths)?,
        traffic: None,
        faults: args.faults.as_deref().map(input::read).transpose()?,
        fingerprint: None,
    };
    Ok((recipe, Some(Call { from: from.clone(), to: to.clone(), at })))
}

fn too_few() -> Problem {
    Problem::bad_input("what is to be explained?")
        .help("DIR --packet ID, DIR --flow \"FROM -> HOST:PORT\", or PATH… FROM TO")
}

fn list(film: &Film<'_>, flow: &str, json: bool) -> Result<u8, Problem> {
    let found = connections(film, flow).map_err(problem)?;
    if json {
        say(&(serde_json::to_string_pretty(&found).expect("connections are plain values") + "\n"));
        return Ok(FINE);
    }
    for (number, connection) in found.iter().enumerate() {
        let ended = if connection.answered { "answered" } else { "not answered" };
        say(&format!("{:>5}  {} s  {}  {ended}\n", number + 1, connection.begun(), printable(&connection.to_string())));
    }
    Ok(FINE)
}

/// Writes pictures and prints what was found out.
fn show(args: &ExplainArgs, explanation: &Explanation) -> Result<(), Problem> {
    if let Some(file) = &args.svg {
        write_whole(file, svg(&explanation.walk).as_bytes())?;
    }
    match args.mermaid.as_deref() {
        Some(file) if file == Path::new("-") => {
            say(&mermaid(&explanation.walk));
            return Ok(());
        }
        Some(file) => write_whole(file, mermaid(&explanation.walk).as_bytes())?,
        None => {}
    }
    if args.json {
        say(&(serde_json::to_string_pretty(explanation).expect("an explanation is plain values") + "\n"));
    } else {
        say(&printable(&explanation.to_string()));
        if args.tables {
            let lines: String = explanation.tables.iter().map(ToString::to_string).collect();
            say(&printable(&format!("Tables as they stood:\n{lines}")));
        }
        if args.rules {
            let lines: String = explanation.rules.iter().map(ToString::to_string).collect();
            say(&printable(&format!("Rules that were looked at:\n{lines}")));
        }
    }
    Ok(())
}

fn problem(why: NoExplanation) -> Problem {
    match why {
        NoExplanation::Nothing(no) | NoExplanation::Film(NoFilm::Call(no)) => Problem::bad_input(no.what).help(no.help),
        NoExplanation::Film(NoFilm::Cluster(error)) => Problem::bad_input(error.to_string()),
    }
}
