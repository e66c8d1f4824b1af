//! `conntrack`: the table of connections.

use sim_core::engine::arena::NetnsId;
use sim_core::netns::netlink::words::conntrack_entries;
use sim_core::world::World;

use super::ip::not_understood;
use super::{Answer, NotUnderstood, Output};

pub(super) const USAGE: &[&str] = &[
    "conntrack -L [-o extended] [-p PROTO] [-s ADDR] [-d ADDR] [--sport N] [--dport N] … · conntrack -C · conntrack -S",
    "conntrack -D [-p PROTO] [-s ADDR] … · conntrack -F",
];

/// What the tool calls itself on standard error.
const NAME: &str = "conntrack v1.4.7 (conntrack-tools)";

pub(super) fn run(world: &mut World, netns: NetnsId, words: &[&str]) -> Answer {
    let conditions = |words: &[&str]| {
        conntrack_entries(&words.join(" ")).map_err(|error| not_understood("conntrack", words, &error))
    };
    let (ns, now) = (world.netns(netns), world.now());
    match words {
        ["-L" | "--dump", words @ ..] => {
            let words = if let ["conntrack", rest @ ..] = words { rest } else { words };
            let (extended, rest) = take_extended(words);
            let lines = ns.show_conntrack_of(&conditions(&rest)?, now);
            let count = lines.len();
            Ok(Output::lines(shown(lines, extended)).remark(format!("{NAME}: {count} flow entries have been shown.")))
        }
        ["-C" | "--count"] => Ok(Output::lines([ns.conntrack().len().to_string()])),
        ["-S" | "--stats"] => Ok(Output::lines([ns.conntrack().stats().to_string()])),
        ["-D" | "--delete", rest @ ..] => {
            let filter = conditions(rest)?;
            let lines = ns.show_conntrack_of(&filter, now);
            let count = world.conntrack_delete(netns, &filter);
            // Deleting nothing is a failure.
            let output = Output { status: i32::from(count == 0), ..Output::lines(shown(lines, false)) };
            Ok(output.remark(format!("{NAME}: {count} flow entries have been deleted.")))
        }
        ["-F" | "--flush"] => {
            world.conntrack_flush(netns);
            Ok(Output::default().remark(format!("{NAME}: connection tracking table has been emptied.")))
        }
        _ => Err(NotUnderstood::word(words.first().unwrap_or(&""), "-L, -C, -S, -D, -F")),
    }
}

/// Without `-o extended` a line begins with the L4 protocol.
fn shown(lines: Vec<String>, extended: bool) -> Vec<String> {
    let without_family = |line: String| {
        let mut rest = line.as_str();
        for _ in 0..2 {
            rest = rest.split_once(' ').map_or("", |(_, rest)| rest.trim_start());
        }
        rest.to_owned()
    };
    if extended { lines } else { lines.into_iter().map(without_family).collect() }
}

/// Whether `-o extended` is among the words, and the others.
fn take_extended<'w>(words: &[&'w str]) -> (bool, Vec<&'w str>) {
    let at = words.windows(2).position(|pair| matches!(pair, ["-o" | "--output", "extended"]));
    let mut rest = words.to_vec();
    if let Some(at) = at {
        rest.drain(at..at + 2);
    }
    (at.is_some(), rest)
}
