//! `everyhop run`: Kubernetes manifests in simulated time.

use std::path::PathBuf;

use crate::interrupt::Interrupt;
use crate::problem::Problem;

/// What `everyhop run` is told.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  everyhop run manifests/\n  everyhop run shop.yaml --nodes 3 --seed 7 --out out\n\n\
    Exit codes: 0 all calls answered, 1 some were not, 2 bad input or usage"
)]
pub(crate) struct RunArgs {
    /// Files or folders of Kubernetes YAML or JSON
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Where all randomness comes from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many nodes the cluster has
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    nodes: u32,
    /// How long traffic flows, in simulated time
    #[arg(long, default_value = "30s", value_parser = duration)]
    duration: sim_core::engine::time::Duration,
    /// A folder for all.pcapng, run.json and each node's rules
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Who calls whom, instead of what the manifests' environment says
    #[arg(long, value_name = "FILE")]
    traffic: Option<PathBuf>,
    /// Runs twice and shows the first event that differs
    #[arg(long)]
    check_determinism: bool,
    /// Prints the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Why it ended early.
pub(crate) fn execute(_args: &RunArgs, _interrupt: &Interrupt) -> Result<u8, Problem> {
    Err(Problem::bad_input("not supported yet: everyhop run"))
}

/// A whole number with a unit: `30s`, `500ms`, `2m`, `1h`.
fn duration(text: &str) -> Result<sim_core::engine::time::Duration, String> {
    use sim_core::engine::time::Duration;
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "us" => Duration::from_micros(1),
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        _ => return Err("a whole number with a unit: 30s, 500ms, 2m, 1h".into()),
    };
    number.parse().map(|n| unit.saturating_mul(n)).map_err(|e| e.to_string())
}
