//! `everyhop tour`: the life of a packet, stop by stop.

use std::path::PathBuf;

use sim_scenarios::tour::{self, STOPS, Stop};

use crate::interrupt::Interrupt;
use crate::output::{OutputError, prepare_folder, write_whole};
use crate::problem::{BAD_INPUT, FAILED, FINE, Problem};
use crate::terminal::{printable, say};

/// What `everyhop tour` is told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  everyhop tour\n  everyhop tour service-dnat\n  everyhop tour --all --json\n\n\
    Without a name the stops are listed. Exit codes: 0 everything was as it must be, 1 something was not, 2 bad input or usage")]
pub(crate) struct TourArgs {
    /// A stop
    #[arg(value_name = "NAME", conflicts_with = "all")]
    name: Option<String>,
    /// All stops, in order
    #[arg(long)]
    all: bool,
    /// A folder for each stop's capture and picture, NAME.pcapng and NAME.svg
    #[arg(long, value_name = "DIR", default_value = "tour")]
    out: PathBuf,
    /// Prints name, ok, sends, hops and capture of each stop as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// An unknown stop, or captures that cannot be written.
pub(crate) fn execute(args: &TourArgs, interrupt: &Interrupt) -> Result<u8, Problem> {
    let stops: Vec<&Stop> = match &args.name {
        Some(name) => vec![tour::stop(name).ok_or_else(|| unknown(name))?],
        None if args.all => STOPS.iter().collect(),
        None => return Ok(list()),
    };
    prepare_folder(&args.out).map_err(|error: OutputError| Problem { exit: BAD_INPUT, ..error.into() })?;
    let mut visits = Vec::with_capacity(stops.len());
    for stop in stops {
        if interrupt.pressed() {
            return Err(Problem::failed("interrupted"));
        }
        let mut visit = stop.visit().map_err(|error| Problem::failed(error.to_string()))?;
        let file = |extension| args.out.join(format!("{}.{extension}", stop.name));
        write_whole(&file("svg"), visit.picture.as_bytes())?;
        write_whole(&file("pcapng"), &visit.pcapng)?;
        let path = file("pcapng").display().to_string();
        if !args.json {
            let Stop { name, .. } = stop;
            say(&printable(&format!("{}{} frames: wireshark -C everyhop {path}\n\n", visit.story, visit.hops)));
            if !visit.ok {
                say(&format!("{name}: not everything was as it must be\n\n"));
            }
        }
        visit.capture = Some(path);
        visits.push(visit);
    }
    if args.json {
        say(&(serde_json::to_string_pretty(&visits).expect("visits are plain values") + "\n"));
    }
    Ok(if visits.iter().all(|visit| visit.ok) { FINE } else { FAILED })
}

/// Lists the stops.
fn list() -> u8 {
    for stop in STOPS {
        say(&format!("{:<20} {}\n", stop.name, stop.shows));
    }
    FINE
}

fn unknown(name: &str) -> Problem {
    let names: Vec<_> = STOPS.iter().map(|stop| stop.name).collect();
    Problem::bad_input(format!("there is no stop called {name}")).help(format!("stops: {}", names.join(" ")))
}
