//! Two of our endpoints against each other over a wire that may lose, reorder and duplicate.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::Shutdown;

use super::*;
use crate::engine::arena::SocketId;
use crate::engine::errno::Errno;
use crate::engine::rng::{Seed, Stream};
use crate::engine::time::{Duration, Instant};

const PATH: Path = Path::new(1450);

/// Two tables and the segments between them.
struct Wire {
    now: Instant,
    ends: [TcpTable; 2],
    rng: Stream,
    /// (arrival, order, destination, segment)
    flying: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    segments: Vec<Option<Segment>>,
    /// Per mille.
    loss: u32,
    duplication: u32,
    jitter: Duration,
}

impl Wire {
    fn new(seed: u64, loss: u32, duplication: u32, jitter: Duration) -> Self {
        let table = |n| TcpTable::new(TcpConfig::default(), SocketId(0), Seed(seed).stream("tcp", n));
        let rng = Seed(seed).stream("wire", 0);
        let (flying, segments) = (BinaryHeap::new(), Vec::new());
        Self { now: Instant::START, ends: [table(0), table(1)], rng, flying, segments, loss, duplication, jitter }
    }

    fn lossless() -> Self {
        Self::new(1, 0, 0, Duration::ZERO)
    }

    /// A connection from end 0 to a listener at end 1: (client, listener).
    fn connect(&mut self) -> (SocketId, SocketId) {
        let listener = self.ends[1].listen("0.0.0.0:80".parse().unwrap(), 8, SocketOptions::default()).unwrap();
        let (local, remote) = ("10.0.0.1:0".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let client = self.ends[0].connect(self.now, local, remote, PATH, SocketOptions::default()).unwrap();
        (client, listener)
    }

    fn collect(&mut self) {
        for end in 0..2 {
            while let Some(out) = self.ends[end].poll_output() {
                let copies = if self.rng.below(1000) < self.duplication { 2 } else { 1 };
                for _ in 0..copies {
                    if self.rng.below(1000) >= self.loss {
                        let late = Duration::from_micros(u64::from(self.rng.below(self.jitter.as_micros() as u32)));
                        let at = self.now + Duration::from_micros(50) + late;
                        self.flying.push(Reverse((at, self.segments.len() as u64, 1 - end)));
                        self.segments.push(Some(out.segment.clone()));
                    }
                }
            }
        }
    }

    /// One arrival or timer; false if nothing will ever happen again before `until`.
    fn step(&mut self, until: Instant) -> bool {
        self.collect();
        let arrival = self.flying.peek().map_or(Instant::NEVER, |Reverse((at, ..))| *at);
        let next = self.ends.iter().map(TcpTable::next_timer).fold(arrival, Instant::min);
        if next > until {
            self.now = until;
            return false;
        }
        self.now = next.max(self.now);
        if arrival <= next {
            let Some(Reverse((_, n, end))) = self.flying.pop() else { return false };
            let segment = self.segments[n as usize].take().unwrap();
            self.ends[end].on_segment(self.now, &segment, PATH);
        } else {
            self.ends.iter_mut().for_each(|end| end.on_timer(self.now));
        }
        true
    }

    fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.step(until) {}
    }
}

#[test]
fn a_call_is_answered_and_both_sides_close() {
    let mut w = Wire::lossless();
    let (client, listener) = w.connect();
    w.run(Duration::from_millis(1));
    let (server, peer) = w.ends[1].accept(listener).unwrap();
    assert_eq!(peer.ip().to_string(), "10.0.0.1");
    assert_eq!(w.ends[0].send(w.now, client, b"hello"), Ok(5));
    w.run(Duration::from_millis(1));
    assert_eq!(&w.ends[1].recv(w.now, server, 100).unwrap()[..], b"hello");
    assert_eq!(w.ends[1].recv(w.now, server, 100), Err(Errno::EAGAIN));
    w.ends[0].close(w.now, client);
    w.run(Duration::from_millis(1));
    assert!(w.ends[1].recv(w.now, server, 100).unwrap().is_empty(), "end of file");
    w.ends[1].close(w.now, server);
    w.run(Duration::from_millis(1));
    let states = |end: &TcpTable| end.rows().iter().map(|r| r.state).collect::<Vec<_>>();
    assert_eq!(states(&w.ends[0]), [State::TimeWait]);
    assert_eq!(states(&w.ends[1]), [State::Listen]);
    w.run(Duration::from_secs(61));
    assert!(w.ends[0].rows().is_empty());
    assert_eq!(w.ends[0].next_timer(), Instant::NEVER);
}

#[test]
fn a_closed_port_refuses() {
    let mut w = Wire::lossless();
    let (local, remote) = ("10.0.0.1:0".parse().unwrap(), "10.0.0.2:81".parse().unwrap());
    let client = w.ends[0].connect(w.now, local, remote, PATH, SocketOptions::default()).unwrap();
    w.run(Duration::from_millis(1));
    assert_eq!(w.ends[0].take_error(client), Some(Errno::ECONNREFUSED));
    assert!(w.ends[0].rows().is_empty());
}

/// Sends `size` bytes each way, reading as they come, and closes; what went wrong, if anything.
fn exchange(mut w: Wire, size: usize) {
    let data: Vec<u8> = (0..size).map(|n| (n * 7 + n / 251) as u8).collect();
    let (client, listener) = w.connect();
    let mut sockets = [Some(client), None];
    let (mut sent, mut received, mut closed) = ([0, 0], [Vec::new(), Vec::new()], [false, false]);
    let mut steps = 0u64;
    while w.now < Instant::START + Duration::from_secs(3600) && !(closed[0] && closed[1]) {
        if sockets[1].is_none() {
            sockets[1] = w.ends[1].accept(listener).map(|(id, _)| id);
        }
        for end in 0..2 {
            let Some(socket) = sockets[end] else { continue };
            if sent[end] < size {
                match w.ends[end].send(w.now, socket, &data[sent[end]..]) {
                    Ok(n) => sent[end] += n,
                    Err(e) => assert_eq!(e, Errno::EAGAIN),
                }
                if sent[end] == size {
                    w.ends[end].shutdown(w.now, socket, Shutdown::Write).unwrap();
                }
            }
            match w.ends[end].recv(w.now, socket, 4000) {
                // An orphan gives up after 8 retries: the application waits until all is acknowledged.
                Ok(bytes) if bytes.is_empty() && w.ends[end].info(socket).unwrap().send_queue == 0 => {
                    closed[end] = true;
                    w.ends[end].close(w.now, socket);
                    sockets[end] = None;
                }
                Ok(bytes) => received[end].extend_from_slice(&bytes),
                Err(e) => assert_eq!(e, Errno::EAGAIN),
            }
            if closed[end] {
                sockets[end] = None;
            }
        }
        if closed[1] {
            sockets[1] = None;
            w.ends[1].close(w.now, listener);
        }
        let until = w.now + Duration::from_secs(200);
        w.step(until);
        steps += 1;
        assert!(steps < 2_000_000, "livelock");
    }
    assert!(received[0] == data && received[1] == data, "{} and {} of {size}", received[0].len(), received[1].len());
    w.run(Duration::from_secs(1200));
    let left: Vec<_> = w.ends.iter().flat_map(TcpTable::rows).filter(|r| r.state != State::Listen).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn data_arrives_intact_over_a_lossless_wire() {
    exchange(Wire::lossless(), 3_000_000);
}

#[test]
fn data_arrives_intact_over_wires_that_lose_reorder_and_duplicate() {
    for seed in 0..24 {
        let loss = [10, 50, 150, 300][seed as usize % 4];
        exchange(Wire::new(seed, loss, 30, Duration::from_millis(seed % 5)), 200_000);
    }
}

#[test]
fn the_same_seed_gives_the_same_segments() {
    let segments = |seed| {
        let mut w = Wire::new(seed, 100, 10, Duration::from_millis(1));
        let (client, _) = w.connect();
        w.run(Duration::from_secs(5));
        let _ = w.ends[0].send(w.now, client, &[7; 50_000]);
        w.run(Duration::from_secs(5));
        (w.segments.len(), w.now, w.ends[0].next_timer())
    };
    assert_eq!(segments(3), segments(3));
    assert_ne!(segments(3), segments(4));
}

mod hostile;
mod smoltcp_peer;
