//! The `everyhop` command line: the only place with files, environment and terminal.

mod cluster;
mod explain;
mod flows;
mod input;
mod interrupt;
mod output;
mod parity;
mod problem;
mod progress;
mod replay;
mod report;
mod rules;
mod run;
mod shell;
mod terminal;
mod tour;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::interrupt::Interrupt;
use crate::problem::Problem;

/// A whole Kubernetes network in one deterministic process: every hop of every packet, from one seed.
#[derive(Debug, clap::Parser)]
#[command(name = "everyhop", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Brings Kubernetes manifests up in simulated time and lets their traffic flow
    Run(run::RunArgs),
    /// Runs once more what left a folder, and checks that it is the same run
    Replay(replay::ReplayArgs),
    /// Makes one page to look at from the folder a run left
    Report(report::ReportArgs),
    /// Runs specs of the reference lab and compares with what the Linux kernel did
    Parity(parity::ParityArgs),
    /// Prints one node's rules as iptables-save does
    Rules(rules::RulesArgs),
    /// Answers the words people know (ip, iptables, conntrack, ss, kubectl get …) at a node or pod
    Shell(shell::ShellArgs),
    /// Tries truth tables of packet flows on kube-proxy's rules
    Flows(flows::FlowsArgs),
    /// Says what became of a packet, a connection or a call, and why
    Explain(explain::ExplainArgs),
    /// Shows the life of a packet, stop by stop
    Tour(tour::TourArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = Interrupt::watch().map_err(|e| Problem::failed(format!("cannot watch for Ctrl-C: {e}")));
    let ended = ended.and_then(|interrupt| match &cli.command {
        Command::Run(args) => run::execute(args, &interrupt),
        Command::Replay(args) => replay::execute(args, &interrupt),
        Command::Report(args) => report::execute(args, &interrupt),
        Command::Parity(args) => parity::execute(args, &interrupt),
        Command::Rules(args) => rules::execute(args, &interrupt),
        Command::Shell(args) => shell::execute(args, &interrupt),
        Command::Flows(args) => flows::execute(args, &interrupt),
        Command::Explain(args) => explain::execute(args, &interrupt),
        Command::Tour(args) => tour::execute(args, &interrupt),
    });
    ExitCode::from(ended.unwrap_or_else(|problem| {
        terminal::complain(&problem.shown(&command_line(std::env::args_os().skip(1))));
        problem.exit
    }))
}

/// `everyhop` and these words, to be typed into a shell.
fn command_line(words: impl IntoIterator<Item = OsString>) -> String {
    let quoted = words.into_iter().map(|word| {
        let word = word.to_string_lossy().into_owned();
        let plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./=:,".contains(&b));
        if plain && !word.is_empty() { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    });
    std::iter::once("everyhop".to_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
}
