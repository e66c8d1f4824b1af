//! What is looked at: which packets, and whose they are.

use std::collections::BTreeSet;

use sim_core::capture::Seen;
use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::{Duration, Instant};
use sim_core::wire::ip::UDP;
use sim_core::wire::packet::PacketId;
use sim_k8s::manifest::shown;

use super::call::{Call, NoCall};
use super::explanation::NoExplanation;
use super::film::Film;
use super::flow::{Connection, Found, Wanted, is_dns};
use crate::run::Run;

/// What is to be explained.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    /// The packet of this id.
    Packet(u64),
    /// A connection: `namespace/pod → host:port`, and which one of them.
    Flow(String, Which),
    /// The call of the film.
    Call,
}

/// Which of several connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// The first that was not answered, or the first if all were.
    Failed,
    /// The first, the second …, counted from 1.
    Nth(usize),
    /// The first that began at this time after the cluster had settled, or later.
    At(Duration),
}

/// What is looked at.
pub(super) struct Scene {
    pub(super) title: String,
    pub(super) packets: BTreeSet<PacketId>,
    /// Where the client is.
    pub(super) client: Option<NetnsId>,
    /// Whether the client had an answer; `None` where none is expected, and all is well if nothing was lost.
    pub(super) answered: Option<bool>,
    /// What the client was told.
    pub(super) told: String,
    /// Of the run at its end.
    pub(super) fingerprint: String,
}

impl Scene {
    /// Finds the packets.
    pub(super) fn of(film: &Film<'_>, subject: &Subject) -> Result<Self, NoExplanation> {
        match subject {
            Subject::Packet(packet) => packet_scene(film, *packet),
            Subject::Flow(text, which) => flow_scene(film, text, *which),
            Subject::Call => call_scene(film),
        }
    }
}

/// The connections that were found, a line each, without explaining one.
///
/// # Errors
/// There is none; whom it called instead is told.
pub fn connections(film: &Film<'_>, flow: &str) -> Result<Vec<Connection>, NoExplanation> {
    find(film, flow).map(|(connections, _)| connections)
}

fn find(film: &Film<'_>, flow: &str) -> Result<(Vec<Connection>, Run), NoExplanation> {
    let ended = film.play(&mut |_, _| {})?.run;
    let wanted = Wanted::read(flow, &ended)?;
    let mut found = Found::default();
    film.play(&mut |_, seen| found.see(seen, &wanted))?;
    let others = found.others(&ended);
    let connections = found.connections(&ended);
    if connections.is_empty() {
        let what = format!("nobody made the flow {}", shown(flow));
        let help = match others.as_slice() {
            [] => "it made none at all".to_owned(),
            others => format!("it called {}", others.join(", ")),
        };
        return Err(NoCall { what, help }.into());
    }
    Ok((connections, ended))
}

fn flow_scene(film: &Film<'_>, flow: &str, which: Which) -> Result<Scene, NoExplanation> {
    let (connections, ended) = find(film, flow)?;
    let count = connections.len();
    let began = ended.began().unwrap_or(Instant::START);
    let last = connections.last().map_or(Duration::ZERO, |connection| connection.begun().since(began));
    let chosen = match which {
        Which::Failed => {
            let failed = connections.iter().position(|connection| !connection.answered);
            connections.into_iter().nth(failed.unwrap_or(0))
        }
        Which::Nth(number) => connections.into_iter().nth(number.saturating_sub(1)),
        Which::At(time) => connections.into_iter().find(|connection| connection.begun() >= began + time),
    };
    let connection = chosen.ok_or_else(|| NoCall {
        what: "there is no such connection".into(),
        help: format!("there were {count}; the last began {last} after the cluster had settled"),
    })?;
    Ok(Scene {
        title: format!("{flow}, {connection}"),
        packets: connection.packets,
        client: Some(connection.client),
        answered: Some(connection.answered),
        told: String::new(),
        fingerprint: fingerprint(&ended),
    })
}

fn packet_scene(film: &Film<'_>, id: u64) -> Result<Scene, NoExplanation> {
    let (packet, mut last, mut there) = (PacketId(id), 0, false);
    let ended = film.play(&mut |_, seen| {
        for seen in seen {
            last = last.max(seen.packet().0);
            there |= seen.packet() == packet;
        }
    })?;
    if !there {
        let help = format!("packets are 1 to {last}, as frame.packet_id of the capture has them");
        return Err(NoCall { what: format!("no device saw a packet {id}"), help }.into());
    }
    Ok(Scene {
        title: format!("packet {id}"),
        packets: [packet].into(),
        client: None,
        answered: None,
        told: String::new(),
        fingerprint: fingerprint(&ended.run),
    })
}

fn call_scene(film: &Film<'_>) -> Result<Scene, NoExplanation> {
    let call: &Call = film.call.expect("a film of a call");
    let ended = film.play(&mut |_, _| {})?;
    let began = ended.run.began().unwrap_or(Instant::START) + call.at;
    let client = call.client(&ended.run)?;
    let mut found = Found::default();
    let wanted = Wanted::all_of(client);
    let mut looked_up = BTreeSet::new();
    film.play(&mut |run, seen| {
        if run.world().now() >= began {
            found.see(seen, &wanted);
            let dns = seen.iter().filter(|seen| seen.tap().0 == client && is_dns(seen.frame()));
            looked_up.extend(dns.map(Seen::packet));
        }
    })?;
    let connection = found.connections(&ended.run).into_iter().next();
    let (packets, answered) = match connection {
        // Few servers answer the datagram that `nc` sends.
        Some(connection) if connection.proto == UDP && !connection.answered => (connection.packets, None),
        Some(connection) => (connection.packets, Some(connection.answered)),
        None => (looked_up, Some(false)),
    };
    Ok(Scene {
        title: format!("{} → {}", call.from, call.to),
        packets,
        client: Some(client),
        answered,
        told: ended.told,
        fingerprint: fingerprint(&ended.run),
    })
}

fn fingerprint(run: &Run) -> String {
    format!("{:016x}", run.world().fingerprint().value())
}
