//! What every association of a netns shares: the time, the draws, the secret, the way out.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use super::cookie::Secret;
use crate::engine::arena::SocketId;
use crate::engine::rng::Stream;
use crate::engine::time::Instant;
use crate::wire::sctp::SctpHeader;

/// A packet to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutPacket {
    /// The socket it belongs to; `None` for what answers in no socket's name.
    pub socket: Option<SocketId>,
    /// Its source.
    pub src: SocketAddr,
    /// Its destination.
    pub dst: SocketAddr,
    /// Common header and chunks.
    pub l4: Vec<u8>,
    /// Don't Fragment.
    pub df: bool,
}

/// Passed to every association with every call.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) now: Instant,
    pub(super) rng: Stream,
    pub(super) secret: Secret,
    pub(super) out: VecDeque<OutPacket>,
    pub(super) woken: VecDeque<SocketId>,
    counters: BTreeMap<&'static str, u64>,
}

impl Context {
    pub(super) fn new(mut rng: Stream) -> Self {
        let secret = Secret::new(rng.next_u64());
        let (out, woken) = (VecDeque::new(), VecDeque::new());
        Self { now: Instant::START, rng, secret, out, woken, counters: BTreeMap::new() }
    }

    /// Adds one to a counter of /proc/net/sctp/snmp, by the kernel's name without its `Sctp`.
    pub(super) fn count(&mut self, name: &'static str) {
        *self.counters.entry(name).or_default() += 1;
    }

    pub(super) fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    pub(super) fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counters.iter().map(|(name, n)| (*name, *n))
    }

    pub(super) fn wake(&mut self, socket: SocketId) {
        if !self.woken.contains(&socket) {
            self.woken.push_back(socket);
        }
    }

    /// A tag, which is never 0 (`sctp_generate_tag`).
    pub(super) fn draw_tag(&mut self) -> u32 {
        self.rng.next_u32().max(1)
    }

    /// Sends chunks from `src` to `dst` with a verification tag.
    pub(super) fn send(
        &mut self,
        socket: Option<SocketId>,
        ends: (SocketAddr, SocketAddr),
        tag: u32,
        chunks: &[u8],
        df: bool,
    ) {
        let (src, dst) = ends;
        self.count("OutSCTPPacks");
        let l4 = SctpHeader { src: src.port(), dst: dst.port(), tag }.packet(chunks);
        self.out.push_back(OutPacket { socket, src, dst, l4, df });
    }
}
