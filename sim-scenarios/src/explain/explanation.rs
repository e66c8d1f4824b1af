//! What became of a packet, a connection or a call, put together.

use std::fmt;

use serde::Serialize;
use sim_core::capture::{Direction, Seen};
use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::Instant;
use sim_core::wire::packet::PacketId;

use super::call::NoCall;
use super::film::{Film, NoFilm};
use super::flow::{is_for_another, resets};
use super::lookup;
use super::rules::{self, TableWalk};
use super::scene::{Scene, Subject};
use super::tables::{self, Tables};
use super::walk::{PacketWalk, Walk};
use super::why::Why;
use crate::run::Run;

/// Packets whose walks are told; of the others there is a line each.
const TOLD: usize = 3;
/// Lines of others.
const LINES: usize = 40;

/// What became of it. Serialized it is what `--json` prints.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Explanation {
    /// What is explained.
    pub title: String,
    /// Whether it got where it should.
    pub ok: bool,
    /// What the client was told, if there is one that says so.
    pub told: Option<String>,
    /// Why it failed, if it did.
    pub why: Option<Why>,
    /// How it went.
    pub walk: Walk,
    /// What the tables on the way said about the packet that failed, or else the first, as they stood when it failed or was
    /// seen first.
    pub tables: Vec<Tables>,
    /// Which rules were looked at for the same packet, as they stood then.
    pub rules: Vec<TableWalk>,
    /// Other packets of it, a line each.
    pub others: Vec<String>,
    /// The hash of everything that happened in the run.
    pub fingerprint: String,
}

/// Why nothing is explained.
#[derive(Debug, thiserror::Error)]
pub enum NoExplanation {
    /// There is no run to look at.
    #[error(transparent)]
    Film(#[from] NoFilm),
    /// There is nothing of the kind in the run.
    #[error(transparent)]
    Nothing(#[from] NoCall),
}

/// Where it went wrong.
struct Trouble {
    packet: PacketId,
    /// The last that was seen then, as an index.
    last: usize,
    /// The run as it stood then.
    run: Run,
}

/// Explains it.
///
/// # Errors
/// There is nothing of the kind; what there is, is told.
pub fn explain(film: &Film<'_>, subject: &Subject) -> Result<Explanation, NoExplanation> {
    let scene = Scene::of(film, subject)?;
    let (seen, trouble, first) = look_closely(film, &scene)?;
    let mut order: Vec<PacketId> = Vec::new();
    for packet in seen.iter().map(Seen::packet) {
        if !order.contains(&packet) {
            order.push(packet);
        }
    }
    let ok = scene.answered.unwrap_or(trouble.is_none());
    let run = trouble.as_ref().map_or(&first, |trouble| &trouble.run);
    let told = told_packets(&order, &seen, trouble.as_ref(), scene.client);
    let others = order.iter().filter(|packet| !told.contains(packet));
    let others = others.take(LINES).map(|packet| line(&PacketWalk::of(*packet, &seen, run))).collect();
    let packet = trouble.as_ref().map(|trouble| trouble.packet).or(order.first().copied());
    let tables = packet.map_or_else(Vec::new, |packet| tables::of(packet, &seen, run));
    let rules = packet.map_or_else(Vec::new, |packet| rules::of(packet, &seen, run));
    let walk = Walk::of(scene.title.clone(), &told, &seen, run);
    let mut why = match &trouble {
        Some(trouble) if !ok => {
            let until = seen[..=trouble.last].iter().filter(|seen| seen.packet() == trouble.packet);
            let until: Vec<Seen> = until.cloned().collect();
            Why::of(&until, &trouble.run)
        }
        None if !ok => lookup::why(&seen, scene.client, run),
        _ => None,
    };
    if let Some(why) = &mut why {
        why.date(film, trouble.as_ref().map_or(Instant::NEVER, |trouble| trouble.run.world().now()))?;
    }
    let told = (!scene.told.is_empty()).then_some(scene.told);
    Ok(Explanation { title: scene.title, ok, told, why, walk, tables, rules, others, fingerprint: scene.fingerprint })
}

/// Plays the film once more, for all that was seen of these packets, and the run as it stood when it went wrong, and when
/// they were seen first.
fn look_closely(film: &Film<'_>, scene: &Scene) -> Result<(Vec<Seen>, Option<Trouble>, Run), NoFilm> {
    let (mut all, mut trouble, mut first) = (Vec::new(), None, None);
    let ended = film.play_closely(&mut |run, seen| {
        for seen in seen.iter().filter(|seen| scene.packets.contains(&seen.packet())) {
            first.get_or_insert_with(|| run.clone());
            if trouble.is_none() && is_trouble(seen, scene.client) {
                trouble = Some(Trouble { packet: seen.packet(), last: all.len(), run: run.clone() });
            }
            all.push(seen.clone());
        }
    })?;
    Ok((all, trouble, first.unwrap_or(ended.run)))
}

/// Whether the packet ended there, or a connection with it. A copy of a flooded frame that is nobody's there is no loss.
fn is_trouble(seen: &Seen, client: Option<NetnsId>) -> bool {
    match seen {
        Seen::Loss(_) => !is_for_another(seen),
        Seen::Hop(hop) => {
            hop.direction == Direction::Out && client.is_some_and(|client| client != hop.netns) && resets(&hop.frame)
        }
    }
}

/// The first packet, the one that ended badly, and the first that came back.
fn told_packets(
    order: &[PacketId],
    seen: &[Seen],
    trouble: Option<&Trouble>,
    client: Option<NetnsId>,
) -> Vec<PacketId> {
    let came = |packet: &&PacketId| {
        let mut frames = seen.iter().filter(|seen| seen.packet() == **packet);
        frames.next().is_some_and(|first| Some(first.tap().0) != client)
    };
    let wanted = [order.first().copied(), trouble.map(|trouble| trouble.packet), order.iter().find(came).copied()];
    let mut told: Vec<PacketId> = order.iter().filter(|packet| wanted.contains(&Some(**packet))).copied().collect();
    told.truncate(TOLD);
    told
}

/// A packet in one line.
fn line(packet: &PacketWalk) -> String {
    let ends = packet.frames.first().map_or("", |frame| &frame.ends);
    let at = packet.frames.first().map_or(0, |frame| frame.at_ns);
    let lost =
        packet.loss().and_then(|frame| frame.lost.as_ref()).map(|lost| format!(", lost: {lost}")).unwrap_or_default();
    format!("{} s  packet {}  {}  {ends}{lost}", Instant::from_nanos(at), packet.id, packet.what)
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, told, why, walk, others, .. } = self;
        writeln!(f, "{title}: {}\n", if self.ok { "it got there" } else { "it failed" })?;
        told.iter().try_for_each(|told| writeln!(f, "The client was told: {}\n", told.trim_end()))?;
        why.iter().try_for_each(|why| writeln!(f, "{why}"))?;
        write!(f, "{walk}")?;
        if !others.is_empty() {
            writeln!(f, "Its other packets:")?;
            others.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
            writeln!(f)?;
        }
        Ok(())
    }
}
