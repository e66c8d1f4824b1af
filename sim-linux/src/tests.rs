//! What this machine's kernel does with specs of ours is what was recorded.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sim_scenarios::lab::compare::first_diff;
use sim_scenarios::lab::spec::Document;

use super::with_kernel;

/// Runs a spec; `None` where that cannot be done, which is said.
fn run(document: &Document) -> Option<Value> {
    match with_kernel(0, |kernel| kernel.run(&document.asked, &|| false)) {
        Ok(result) => Some(result.unwrap_or_else(|error| panic!("{error}"))),
        Err(why) => {
            eprintln!("skipped: {why}");
            None
        }
    }
}

fn read(path: &Path) -> Document {
    let text = String::from_utf8(std::fs::read(path).unwrap()).unwrap();
    Document::read(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/parity").join(name).with_extension("json")
}

/// Under load a single wait may be too short: one agreement of three says that the kernel does it.
#[test]
fn specs_of_ours_do_on_this_kernel_what_was_recorded() {
    for name in ["netmap", "mac_match", "sctp_first", "tcp_ecn", "tcp_listen_odd"] {
        let document = read(&recorded(name));
        let mut difference = None;
        for _ in 0..3 {
            let Some(live) = run(&document) else { return };
            let (record, live) = document.asked.repeated(document.result.as_ref().unwrap(), &live);
            difference = first_diff(&record, &live);
            if difference.is_none() {
                break;
            }
        }
        assert_eq!(difference.map(|at| at.to_string()), None, "{name}");
    }
}

#[test]
fn two_runs_beside_each_other_do_not_meet() {
    let document = read(&recorded("netmap"));
    let both = std::thread::scope(|scope| {
        let one = scope.spawn(|| run(&document));
        let other = scope.spawn(|| run(&document));
        [one.join().unwrap(), other.join().unwrap()]
    });
    let [Some(one), Some(other)] = both else { return };
    let (one, other) = document.asked.repeated(&one, &other);
    assert_eq!(first_diff(&one, &other).map(|at| at.to_string()), None);
}
