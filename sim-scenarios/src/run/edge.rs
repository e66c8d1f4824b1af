//! An edge: one caller of one Service port, when it calls, and what came of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sim_core::engine::rng::{Seed, Stream};
use sim_core::engine::time::{Duration, Instant};
use sim_k8s::workload::{Call, Why};

use super::losses::Place;
use super::ways::Way;
use crate::workload::protocol::{Protocol, spoken};
use crate::workload::{Answer, Failure, Reason};

/// Each pod calls what its environment names once in this time.
const EVERY: Duration = Duration::from_secs(2);
/// At least so many calls of an edge are made, that their spread over endpoints can be seen.
const AT_LEAST: u64 = 3;
/// The same, of an edge from outside: enough to see how a load balancer spreads them over nodes.
const OPEN_AT_LEAST: u64 = 60;
/// At most so many calls are made that no traffic file asks for, all edges together.
const AT_MOST: u64 = 6_000;

/// Who calls whom.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The call of the plan.
    pub call: Call,
    /// What they speak; known from the first call on.
    pub protocol: &'static Protocol,
    /// What came of it.
    pub tally: Tally,
    /// For the choice of an address.
    pub(super) draws: Stream,
    times: Times,
}

/// When the calls of an edge begin: `first`, then one `every` so often.
#[derive(Clone, Copy, Debug)]
struct Times {
    first: Instant,
    every: Duration,
    count: u64,
}

/// What came of the calls of an edge.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Calls begun.
    pub sent: u64,
    /// Answers, by the number of the pod that gave them; under `None` those without a signature.
    pub answered_by: BTreeMap<Option<usize>, u64>,
    /// The same of calls from outside, by their way as far as it was seen.
    pub ways: BTreeMap<(Way, Option<usize>), u64>,
    /// Failures, by reason and place.
    pub failures: BTreeMap<(Reason, Option<Place>), u64>,
    /// How each call ended, in the order in which they did.
    pub ends: Vec<CallEnd>,
}

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallEnd {
    /// When.
    pub at: Instant,
    /// The caller's end, if it came so far.
    pub client: Option<SocketAddr>,
    /// How long the answer took; or why there was none, and where that was.
    pub outcome: Result<Duration, (Reason, Option<Place>)>,
}

impl Tally {
    /// How long answers took, in the order they came.
    pub fn latencies(&self) -> impl Iterator<Item = Duration> {
        self.ends.iter().filter_map(|end| end.outcome.ok())
    }

    pub(super) fn answered(&mut self, at: Instant, answer: Answer, way: Option<Way>) {
        *self.answered_by.entry(answer.by).or_default() += 1;
        if let Some(way) = way {
            *self.ways.entry((way, answer.by)).or_default() += 1;
        }
        self.ends.push(CallEnd { at, client: Some(answer.local), outcome: Ok(answer.latency) });
    }

    pub(super) fn failed(&mut self, at: Instant, failure: Failure, place: Option<Place>) {
        let Failure { reason, attempt } = failure;
        *self.failures.entry((reason, place)).or_default() += 1;
        let client = attempt.map(|attempt| attempt.local);
        self.ends.push(CallEnd { at, client, outcome: Err((reason, place)) });
    }
}

impl Edge {
    /// Edge number `number` of `of`, whose calls come from so many `origins`.
    pub(super) fn new(
        call: Call,
        (number, of, origins): (usize, usize, usize),
        (seed, begin, duration): (Seed, Instant, Duration),
    ) -> Self {
        let mut draws = seed.stream("edge", number as u64);
        let (count, every) = match call.why {
            Why::TrafficFile => (u64::from(call.count), call.every),
            // Enough to know that the port is served.
            Why::Uncalled | Why::Egress => (1, duration),
            Why::Environment { .. } | Why::Open => {
                let wished = origins as u64 * (duration.as_nanos() / EVERY.as_nanos());
                let least = if call.why == Why::Open { OPEN_AT_LEAST } else { AT_LEAST };
                let count = wished.max(least).min((AT_MOST / of as u64).max(1));
                (count, Duration::from_nanos(duration.as_nanos() / count))
            }
        };
        let phase = draws.below(u32::try_from(every.as_micros()).unwrap_or(u32::MAX));
        let first = begin + Duration::from_micros(phase.into());
        let protocol = spoken(call.protocol, [call.port]);
        Self { call, protocol, tally: Tally::default(), draws, times: Times { first, every, count } }
    }

    /// When the `nth` call begins, counted from 0; `None` if there are not so many.
    pub(super) fn begins_at(&self, nth: u64) -> Option<Instant> {
        let Times { first, every, count } = self.times;
        (nth < count).then(|| first + every.saturating_mul(nth))
    }

    /// Leaves out the calls that would begin at `end` or later; how many.
    pub(super) fn end_at(&mut self, end: Instant) -> u64 {
        let all = self.times.count;
        while self.begins_at(self.times.count.saturating_sub(1)).is_some_and(|at| at >= end) {
            self.times.count -= 1;
        }
        all - self.times.count
    }
}
