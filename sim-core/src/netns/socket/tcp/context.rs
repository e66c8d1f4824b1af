//! What every connection of a netns shares: the time, the sysctls, the way out.

use std::collections::{BTreeMap, VecDeque};

use super::config::TcpConfig;
use super::segment::{OutSegment, Segment};
use crate::engine::arena::SocketId;
use crate::engine::mutant::Planted;
use crate::engine::rng::Stream;
use crate::engine::time::Instant;
use crate::wire::l4::SYN;

/// Something an application may be waiting for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Wake {
    /// connect() has come to an end, well or not.
    Connected,
    /// There is data, or its end, to be read.
    Readable,
    /// There is room again for data to be sent.
    Writable,
    /// The connection failed; the socket's error says why.
    Error,
    /// A listener has a connection to accept.
    Acceptable,
}

/// Passed to every connection with every call.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) now: Instant,
    pub(super) config: TcpConfig,
    pub(super) rng: Stream,
    pub(super) out: VecDeque<OutSegment>,
    pub(super) wakes: VecDeque<(SocketId, Wake)>,
    counters: BTreeMap<&'static str, u64>,
    pub(super) planted: Planted,
}

impl Context {
    pub(super) fn new(config: TcpConfig, rng: Stream) -> Self {
        let (out, wakes) = (VecDeque::new(), VecDeque::new());
        Self { now: Instant::START, config, rng, out, wakes, counters: BTreeMap::new(), planted: Planted::default() }
    }

    /// Adds one to a counter of /proc/net/netstat or /proc/net/snmp, by the kernel's name.
    pub(super) fn count(&mut self, name: &'static str) {
        self.add(name, 1);
    }

    pub(super) fn add(&mut self, name: &'static str, n: u32) {
        *self.counters.entry(name).or_default() += u64::from(n);
    }

    pub(super) fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    pub(super) fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counters.iter().map(|(name, n)| (*name, *n))
    }

    pub(super) fn wake(&mut self, socket: SocketId, wake: Wake) {
        if !self.wakes.contains(&(socket, wake)) {
            self.wakes.push_back((socket, wake));
        }
    }
}

/// Limits answers to segments that do not fit (`__tcp_oow_rate_limited`): whether this one is one too many.
pub(super) fn rate_limited(cx: &Context, last: &mut Option<Instant>) -> bool {
    if last.is_some_and(|at| cx.now.since(at) < cx.config.invalid_ratelimit.into()) {
        return true;
    }
    *last = Some(cx.now);
    false
}

/// The same for answers to what is out of the window: data is always answered, it cannot be part of a loop of ACKs
/// (`tcp_oow_rate_limited`).
pub(super) fn oow_limited(cx: &Context, segment: &Segment, last: &mut Option<Instant>) -> bool {
    let has_data = segment.seq != segment.end() && !segment.has(SYN);
    !has_data && rate_limited(cx, last)
}
