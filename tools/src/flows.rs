//! `everyhop flows`: truth tables of packet flows, tried on kube-proxy's rules.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use sim_scenarios::flows::{NotRun, Outcome, Row, Table, run};

use crate::input::read;
use crate::interrupt::Interrupt;
use crate::output::write_whole;
use crate::problem::{BAD_INPUT, FAILED, FINE, Problem};
use crate::terminal::{complain, printable, say};

/// What `everyhop flows` is told.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  everyhop flows tables/*.yaml\n  everyhop flows shop.yaml --json --emit result.json\n\n\
    docs/flows.md has the form of a table.\n\
    Exit codes: 0 all rows that expect something agree, 1 some do not, 2 bad input or usage"
)]
pub(crate) struct FlowsArgs {
    /// Truth tables
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Tries the rows of this backend alone
    #[arg(long, value_name = "NAME", value_parser = ["iptables", "nftables"])]
    backend: Option<String>,
    /// Writes all results to FILE, whether the table expects something or not
    #[arg(long, value_name = "FILE")]
    emit: Option<PathBuf>,
    /// Prints {rows, ok, failed, not_run, passed_over}
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Files that are no tables; nothing is run then.
pub(crate) fn execute(args: &FlowsArgs, interrupt: &Interrupt) -> Result<u8, Problem> {
    let mut tables = Vec::new();
    for file in &args.files {
        let source = read(file)?;
        let broken = |message: String| Problem::bad_input(format!("{}:{message}", source.name));
        let table = Table::read(&source.text).map_err(|error| broken(error.to_string()))?;
        if table.is_empty() {
            let help = "a table has cases, endpoint_selection, service_ports or endpoints: see docs/flows.md";
            return Err(broken("1:1: the file holds no row".into()).help(help));
        }
        tables.push((source.name, table));
    }
    let mut outcome = Outcome::default();
    let mut passed_over = Vec::new();
    for (name, table) in &tables {
        let pressed = || interrupt.pressed();
        let Outcome { rows, not_run } =
            run(table, args.backend.as_deref(), &pressed).map_err(|_| Problem::failed("interrupted"))?;
        outcome.rows.extend(rows);
        outcome.not_run.extend(not_run);
        passed_over.extend(table.passed_over.iter().map(|key| format!("{name}: {key}")));
    }
    if let Some(path) = &args.emit {
        let emitted: Vec<&Value> = outcome.rows.iter().filter_map(|row| row.emitted.as_ref()).collect();
        let text = format!("{:#}\n", json!(emitted));
        write_whole(path, text.as_bytes()).map_err(|error| Problem { exit: BAD_INPUT, ..error.into() })?;
    }
    let failed: Vec<&Row> = outcome.rows.iter().filter(|row| !row.ok()).collect();
    if args.json {
        let told = json!({
            "rows": outcome.rows.len(),
            "ok": outcome.rows.len() - failed.len(),
            "failed": failed.iter().map(|row| row.told()).collect::<Vec<_>>(),
            "not_run": outcome.not_run.iter().map(NotRun::told).collect::<Vec<_>>(),
            "passed_over": passed_over,
        });
        say(&format!("{told:#}\n"));
    } else {
        for key in passed_over {
            complain(&printable(&format!("no effect: {key}\n")));
        }
        say(&printable(&shown(&outcome)));
    }
    Ok(if failed.is_empty() { FINE } else { FAILED })
}

/// A table for each case, what was not run, and the sum.
fn shown(outcome: &Outcome) -> String {
    let mut out = String::new();
    let mut case = None;
    for row in &outcome.rows {
        if case != Some(&row.case) {
            out += &format!("{}\n", row.case);
            case = Some(&row.case);
        }
        let mark = match (&row.expected, row.ok()) {
            (None, _) => "ran   ",
            (_, true) => "ok    ",
            (_, false) => "FAILED",
        };
        out += &format!("  {mark}  {:6} {:44} {}\n", place(row.step, row.flow), row.name, words(&row.got));
        if let Some(expected) = row.expected.as_ref().filter(|_| !row.ok()) {
            out += &format!("  {:8}{:6} {:44} {}\n", "", "", "  expected", words(expected));
        }
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &outcome.not_run {
        *reasons.entry(row.reason.as_str()).or_default() += 1;
    }
    for (reason, count) in reasons {
        out += &format!("not run: {count} rows: {reason}\n");
    }
    let failed = outcome.rows.iter().filter(|row| !row.ok()).count();
    let (rows, not_run) = (outcome.rows.len(), outcome.not_run.len());
    out + &format!("{rows} rows: {} ok, {failed} failed; {not_run} not run\n", rows - failed)
}

/// `step.flow`
fn place(step: Option<usize>, flow: Option<usize>) -> String {
    [step, flow].iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join(".")
}

/// A result in one line.
fn words(result: &Value) -> String {
    let Some(verdict) = result["verdict"].as_str() else { return result.to_string() };
    let to: Vec<&str> = result["to"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let masquerade = if result["masq"] == true { " masquerade" } else { "" };
    let arrow = if to.is_empty() { "" } else { " -> " };
    format!("{verdict}{arrow}{}{masquerade}", to.join(", "))
}
