//! What a page needs of a run and no run keeps: what happened when.

use std::collections::BTreeMap;

use sim_core::capture::Seen;
use sim_core::engine::time::Instant;
use sim_core::engine::trail::{DropPlace, DropReason};
use sim_core::wire::packet::PacketId;
use sim_k8s::apiserver::Cache;

use super::moments::{self, Lane, Moment};
use super::walks::Walks;
use crate::report::where_failed;
use crate::run::Run;

/// Moments that are kept: what a run of hours has more of is counted.
const MOMENTS: usize = 50_000;

/// What happened when. It is told of everything from the first event on, stretch by stretch.
#[derive(Clone, Debug)]
pub struct Recording {
    objects: Cache,
    pub(super) moments: Vec<Moment>,
    /// Moments that were not kept.
    pub(super) left_out: usize,
    pub(super) losses: BTreeMap<DropPlace, Lost>,
    /// Packets lost in each second, copies that were flooded to others excepted.
    pub(super) lost_in: BTreeMap<u64, u64>,
    pub(super) walks: Walks,
}

/// When packets were dropped at one place for one reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Lost {
    pub(super) first: (Instant, PacketId),
    pub(super) last: Instant,
}

impl Recording {
    /// Begins to record a run in which nothing has happened yet. It should capture. The walks of the packets `wanted` are
    /// shown beside those the page chooses.
    pub fn begin(run: &mut Run, wanted: &[u64]) -> Self {
        run.keep_journal();
        Self {
            objects: run.cluster().objects().clone(),
            moments: Vec::new(),
            left_out: 0,
            losses: BTreeMap::new(),
            lost_in: BTreeMap::new(),
            walks: Walks::new(wanted),
        }
    }

    /// A packet that was wanted and not seen, and the last one that was seen.
    pub fn missing(&self) -> Option<(u64, u64)> {
        self.walks.missing().map(|wanted| (wanted, self.walks.last))
    }

    /// Takes note of what happened since the last time; `seen` is what the taps saw meanwhile.
    pub fn add(&mut self, run: &mut Run, seen: Vec<Seen>) {
        for entry in run.take_journal() {
            for moment in moments::of_entry(&entry, &mut self.objects) {
                self.keep(moment);
            }
        }
        for seen in &seen {
            let Seen::Loss(loss) = seen else { continue };
            let lost = Lost { first: (loss.at, loss.packet), last: loss.at };
            self.losses.entry(loss.place).or_insert(lost).last = loss.at;
            if loss.place.reason != DropReason::OtherHost {
                *self.lost_in.entry(loss.at.since(Instant::START).as_secs()).or_default() += 1;
            }
        }
        self.walks.see(seen, run);
    }

    fn keep(&mut self, moment: Moment) {
        if self.moments.len() < MOMENTS {
            self.moments.push(moment);
        } else {
            self.left_out += 1;
        }
    }

    /// Everything that happened, in order: what was recorded, and the faults and failed calls of the `run`.
    pub(super) fn moments(&self, run: &Run) -> Vec<Moment> {
        let mut moments = self.moments.clone();
        let fault = |(at, what): &(Instant, String)| Moment {
            at: *at,
            lane: Lane::Faults,
            who: "fault".into(),
            what: what.clone(),
            detail: String::new(),
            bad: what.contains("not done"),
        };
        moments.extend(run.struck().iter().map(fault));
        for edge in run.edges() {
            for end in &edge.tally.ends {
                let Err((reason, place)) = end.outcome else { continue };
                let call = &edge.call;
                moments.push(Moment {
                    at: end.at,
                    lane: Lane::Calls,
                    who: format!("{} → {}:{}", call.from, call.to, call.port),
                    what: reason.to_string(),
                    detail: place.map(|place| where_failed(run.world(), place)).unwrap_or_default(),
                    bad: true,
                });
            }
        }
        // A fault comes before what it does at once.
        moments.sort_by_key(|moment| (moment.at, moment.lane != Lane::Faults));
        moments
    }
}
