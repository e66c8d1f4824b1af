//! What a script met: which segments came in which states, and what was counted.

use std::collections::BTreeSet;

use serde_json::Value;
use sim_core::netns::socket::tcp::State;

use super::Thing;
use crate::lab::spec::{Call, PeerSegment, Script};

/// Kinds of what a peer sends.
const KINDS: [&str; 8] = ["RST", "SYN-ACK", "SYN", "FIN", "data", "ACK", "other", "ICMP"];

/// Every kind in every state, met or not.
pub(super) fn all() -> impl Iterator<Item = Thing> {
    State::ALL.iter().flat_map(|state| KINDS.iter().map(move |kind| thing(state, kind)))
}

/// What `script` met: the sockets are known where a step looked at them last.
pub(super) fn met(script: &Script, result: &Value) -> BTreeSet<Thing> {
    let (mut things, mut sockets) = (BTreeSet::new(), &Value::Null);
    for (step, told) in script.steps.iter().zip(result.as_array().into_iter().flatten()) {
        match &step.call {
            Call::Segments(segments) => {
                things.extend(
                    segments.iter().map(|segment| thing(&state(script, &segment.flow, sockets), kind(segment))),
                );
            }
            Call::Icmp(error) => drop(things.insert(thing(&state(script, &error.flow, sockets), "ICMP"))),
            Call::Counters(_) => {
                let counted = told["saw"].as_object().into_iter().flatten().filter(|(_, n)| **n != 0);
                things.extend(counted.map(|(name, _)| ("counter", name.clone())));
            }
            _ => {}
        }
        sockets = &told["after"];
    }
    things
}

fn thing(state: &State, kind: &str) -> Thing {
    ("segment", format!("{state} {kind}"))
}

/// The state of a connection, by the lines of a look at all sockets; of its listener if there is no connection.
fn state(script: &Script, flow: &str, sockets: &Value) -> State {
    let (pod, peer) = script.flows[flow];
    let of = |remote: u16| {
        let start = format!("{} {remote} ", pod.port());
        let lines = sockets.as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut words = lines.filter_map(|line| line.strip_prefix(&start)?.split(' ').next());
        words.find_map(|word| State::ALL.iter().copied().find(|state| state.to_string() == word))
    };
    of(peer.port()).or_else(|| of(0)).unwrap_or(State::Closed)
}

fn kind(segment: &PeerSegment) -> &'static str {
    let has = |letter| segment.flags.contains(letter);
    match () {
        () if has('R') => "RST",
        () if has('S') && has('A') => "SYN-ACK",
        () if has('S') => "SYN",
        () if has('F') => "FIN",
        () if segment.len > 0 => "data",
        () if has('A') => "ACK",
        () => "other",
    }
}
