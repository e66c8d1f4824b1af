//! Two endpoints against each other over a wire that may lose, reorder, duplicate and damage; and hostile packets.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use super::*;
use crate::engine::arena::SocketId;
use crate::engine::errno::Errno;
use crate::engine::rng::{Seed, Stream};
use crate::engine::time::{Duration, Instant};
use crate::wire::checksum::sctp_checksum_ok;
use crate::wire::sctp::{self as wire, Chunk, Chunks, HEADER, SctpHeader};

mod data;
mod handshake;
mod hostile;

const MTU: u32 = 1450;
const PORTS: (u16, u16) = (32_768, 60_999);

/// Two tables and the packets between them.
struct Wire {
    now: Instant,
    ends: [SctpTable; 2],
    rng: Stream,
    /// (arrival, order, destination)
    flying: BinaryHeap<Reverse<(Instant, usize, usize)>>,
    /// Every packet that was sent, by whom, and whether it was lost.
    sent: Vec<(usize, OutPacket)>,
    /// Per mille each.
    loss: u32,
    duplication: u32,
    damage: u32,
    jitter: Duration,
    /// The next packets with a chunk of this kind are lost, so many.
    swallow: (u8, u32),
}

impl Wire {
    fn new(seed: u64) -> Self {
        let table = |n| SctpTable::new(SocketId(1), Seed(seed).stream("sctp", n));
        Self {
            now: Instant::START,
            ends: [table(0), table(1)],
            rng: Seed(seed).stream("wire", 0),
            flying: BinaryHeap::new(),
            sent: Vec::new(),
            loss: 0,
            duplication: 0,
            damage: 0,
            jitter: Duration::from_nanos(0),
            swallow: (0, 0),
        }
    }

    /// An association from end 0 to a listener at end 1: (client, listener).
    fn connect(&mut self) -> (SocketId, SocketId) {
        let listener = self.ends[1].listen("0.0.0.0:80".parse().unwrap(), 8, false, PORTS).unwrap();
        let (local, remote) = ("10.0.0.1:0".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let client = self.ends[0].connect(self.now, local, remote, MTU, PORTS).unwrap();
        (client, listener)
    }

    /// The same, and both are through.
    fn connected(&mut self) -> (SocketId, SocketId) {
        let (client, listener) = self.connect();
        self.run(Duration::from_millis(10));
        (client, self.ends[1].accept(listener).unwrap().0)
    }

    fn collect(&mut self) {
        for end in 0..2 {
            while let Some(mut out) = self.ends[end].poll_output() {
                assert!(sctp_checksum_ok(&out.l4));
                let kinds: Vec<u8> = kinds(&out.l4);
                let copies = 1 + u32::from(self.rng.below(1000) < self.duplication);
                for _ in 0..copies {
                    if self.swallow.1 > 0 && kinds.contains(&self.swallow.0) {
                        self.swallow.1 -= 1;
                        continue;
                    }
                    if self.rng.below(1000) < self.loss {
                        continue;
                    }
                    if self.rng.below(1000) < self.damage {
                        let at = self.rng.below(out.l4.len() as u32) as usize;
                        out.l4[at] ^= 1 << self.rng.below(8);
                    }
                    let late = Duration::from_micros(u64::from(self.rng.below(self.jitter.as_micros() as u32)));
                    self.flying.push(Reverse((self.now + Duration::from_micros(50) + late, self.sent.len(), 1 - end)));
                }
                self.sent.push((end, out));
            }
        }
    }

    /// One arrival or timer; false if nothing will happen before `until`.
    fn step(&mut self, until: Instant) -> bool {
        self.collect();
        let arrival = self.flying.peek().map_or(Instant::NEVER, |Reverse((at, ..))| *at);
        let next = self.ends.iter().map(SctpTable::next_timer).fold(arrival, Instant::min);
        if next > until {
            self.now = until;
            return false;
        }
        self.now = next.max(self.now);
        if arrival <= next {
            let Some(Reverse((_, n, end))) = self.flying.pop() else { return false };
            let packet = self.sent[n].1.clone();
            self.deliver(end, packet.src, packet.dst, &packet.l4);
        } else {
            self.ends.iter_mut().for_each(|end| end.on_timer(self.now));
        }
        true
    }

    fn deliver(&mut self, end: usize, src: SocketAddr, dst: SocketAddr, l4: &[u8]) {
        if sctp_checksum_ok(l4) {
            self.ends[end].on_packet(self.now, src.ip(), dst.ip(), l4, MTU);
        } else {
            self.ends[end].on_broken_packet();
        }
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
    }

    /// The kinds of chunks of every packet since the `from`th, with who sent it.
    fn story(&self, from: usize) -> Vec<(usize, Vec<u8>)> {
        self.sent[from..].iter().map(|(end, out)| (*end, kinds(&out.l4))).collect()
    }
}

/// The kinds of the chunks of a packet.
fn kinds(l4: &[u8]) -> Vec<u8> {
    Chunks::new(&l4[HEADER..]).map(|chunk| chunk.unwrap().kind).collect()
}

/// The value of a packet's first chunk.
fn value(l4: &[u8]) -> Vec<u8> {
    Chunks::new(&l4[HEADER..]).next().unwrap().unwrap().value.to_vec()
}

/// Reads all there is: messages and how it ended, if it has.
fn read_all(wire: &mut Wire, end: usize, socket: SocketId) -> (Vec<Vec<u8>>, Option<Result<(), Errno>>) {
    let (mut messages, mut whole) = (Vec::new(), true);
    loop {
        match wire.ends[end].recv(wire.now, socket) {
            Ok(Some(message)) => {
                if whole {
                    messages.push(Vec::new());
                }
                messages.last_mut().unwrap().extend(&message.data);
                whole = message.ends;
            }
            Ok(None) => return (messages, Some(Ok(()))),
            Err(Errno::EAGAIN) => return (messages, None),
            Err(errno) => return (messages, Some(Err(errno))),
        }
    }
}
