//! `everyhop shell`: the words people know, answered by an emulated node or pod.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use sim_core::engine::time::Duration;
use sim_k8s::manifest::load;
use sim_k8s::workload::infer_calls;
use sim_scenarios::run::RunConfig;
use sim_scenarios::shell::session::{Reply, Session};

use crate::cluster::ClusterArgs;
use crate::input;
use crate::interrupt::Interrupt;
use crate::problem::{FAILED, FINE, Problem};
use crate::terminal::{complain, printable, say};

/// What `everyhop shell` is told.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  everyhop shell examples/shop\n  everyhop shell examples/shop --at 10s -c \"n1: ip route; conntrack -L\"\n  \
    echo 'kubectl get pods -o wide' | everyhop shell examples/shop\n\n\
    Without -c commands are read from stdin; `help` lists them. All commands are carried out, whatever the ones before did.\n\
    Exit codes: that of the first command that failed, 0 if none did; 2 for words that are not understood, and bad input or usage"
)]
pub(crate) struct ShellArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The moment of the run, its traffic included, at which the session begins; counted from when the cluster has settled
    #[arg(long, value_name = "TIME", default_value = "0s")]
    at: Duration,
    /// Counts from when the machines were switched on: `--cold --at 5s` sees the cluster come up
    #[arg(long)]
    cold: bool,
    /// Commands to carry out: "PLACE: WORDS; WORDS"
    #[arg(short = 'c', value_name = "COMMANDS")]
    commands: Vec<String>,
}

/// Longest line read from stdin, in bytes; more than a session takes.
const LONGEST: u64 = 1 << 20;

/// Runs the command.
///
/// # Errors
/// Why it ended early.
pub(crate) fn execute(args: &ShellArgs, interrupt: &Interrupt) -> Result<u8, Problem> {
    let loaded = load(&input::manifests(&args.cluster.paths)?).map_err(|findings| input::mistakes(&findings))?;
    let plan = infer_calls(&loaded.objects);
    // Nobody takes what the taps would see.
    let config = RunConfig { cluster: args.cluster.options().config(), capture: false, ..RunConfig::default() };
    let stop = || interrupt.pressed();
    let session = Session::new(&loaded.objects, &plan, config, &stop);
    let mut session = session.map_err(|error| Problem::bad_input(error.to_string()))?;
    if !args.cold {
        session.settle();
    }
    session.run_until(session.now() + args.at);
    let exit = if args.commands.is_empty() {
        from_stdin(&mut session, interrupt)?
    } else {
        let lines = args.commands.iter().flat_map(|commands| commands.lines().map(str::to_owned).map(Ok));
        script(&mut session, lines, interrupt)?
    };
    if interrupt.pressed() { Err(Problem::failed("interrupted")) } else { Ok(exit) }
}

/// What is left of a session: the exit code so far, and whether it is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct SoFar {
    exit: u8,
    over: bool,
}

/// Carries out line after line; the exit code of the first command that failed.
fn script(
    session: &mut Session<'_>,
    lines: impl Iterator<Item = Result<String, Problem>>,
    interrupt: &Interrupt,
) -> Result<u8, Problem> {
    let mut so_far = SoFar::default();
    for line in lines {
        one(session, &line?, &mut so_far);
        if so_far.over || interrupt.pressed() {
            break;
        }
    }
    Ok(so_far.exit)
}

/// Carries out one line and shows what it says.
fn one(session: &mut Session<'_>, line: &str, so_far: &mut SoFar) {
    session.line(line, &mut |reply: &Reply| {
        say(&printable(&reply.output.stdout));
        complain(&printable(&reply.output.stderr));
        so_far.over |= reply.over;
        if so_far.exit == FINE {
            so_far.exit = u8::try_from(reply.output.status).unwrap_or(FAILED);
        }
    });
}

/// Lines of a pipe; or as they are typed, after a prompt, and then the session ends well whatever failed on the way.
fn from_stdin(session: &mut Session<'_>, interrupt: &Interrupt) -> Result<u8, Problem> {
    if !io::stdin().is_terminal() {
        return script(session, std::iter::from_fn(|| next_line().transpose()), interrupt);
    }
    say("`help` says what is understood; `exit` or Ctrl-D ends.\n");
    let mut so_far = SoFar::default();
    while !so_far.over && !interrupt.pressed() {
        prompt(session);
        match next_line()? {
            Some(line) => one(session, &line, &mut so_far),
            None => {
                say("\n");
                break;
            }
        }
    }
    Ok(FINE)
}

fn prompt(session: &Session<'_>) {
    say(&printable(&format!("{}> ", session.place())));
    // Nobody listening is no error, as for all that is said.
    let _ = io::stdout().flush();
}

/// The next line of stdin; `None` at its end.
fn next_line() -> Result<Option<String>, Problem> {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(LONGEST).read_until(b'\n', &mut bytes);
    match read {
        Ok(0) => Ok(None),
        Ok(read) if read as u64 == LONGEST => {
            Err(Problem::bad_input(format!("a line of stdin is longer than {LONGEST} bytes")))
        }
        Ok(_) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(why) => Err(Problem::bad_input(format!("cannot read stdin: {why}"))),
    }
}
