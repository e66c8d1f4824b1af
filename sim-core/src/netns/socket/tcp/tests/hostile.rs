//! A peer that sends anything: the table neither panics nor hangs nor grows.

use std::net::Shutdown;

use proptest::prelude::*;

use super::super::*;
use crate::engine::arena::SocketId;
use crate::engine::rng::Seed;
use crate::engine::time::{Duration, Instant};
use crate::wire::icmp::IcmpHeader;
use crate::wire::ip::Family;
use crate::wire::l4::{ACK, SYN};

/// One thing that happens, numbers relative to what the two sides would say.
#[derive(Clone, Debug)]
enum Event {
    Segment { flags: u8, seq: i32, ack: i32, window: u16, len: usize, sack: Vec<(i32, u32)>, ts: Option<(u32, u32)> },
    Icmp { kind: u8, code: u8, mtu: u32, seq: i32 },
    Send(usize),
    Recv(usize),
    Shutdown,
    Close,
    Wait(u64),
}

fn near() -> impl Strategy<Value = i32> {
    prop_oneof![Just(0), -3..3i32, -5000..5000i32, any::<i32>()]
}

fn event() -> impl Strategy<Value = Event> {
    let flags = prop_oneof![3 => Just(ACK), 1 => any::<u8>()];
    let window = prop_oneof![Just(0u16), Just(1), Just(65_535), any::<u16>()];
    let sack = proptest::collection::vec((near(), 0..5000u32), 0..5);
    let ts = proptest::option::of((any::<u32>(), any::<u32>()));
    let segment = (flags, near(), near(), window, 0..3000usize, sack, ts)
        .prop_map(|(flags, seq, ack, window, len, sack, ts)| Event::Segment { flags, seq, ack, window, len, sack, ts });
    let icmp = (any::<u8>(), any::<u8>(), any::<u32>(), near()).prop_map(|(kind, code, mtu, seq)| Event::Icmp {
        kind: kind % 13,
        code: code % 16,
        mtu,
        seq,
    });
    prop_oneof![
        10 => segment,
        1 => icmp,
        3 => (0..40_000usize).prop_map(Event::Send),
        2 => (0..40_000usize).prop_map(Event::Recv),
        1 => Just(Event::Shutdown),
        1 => Just(Event::Close),
        3 => (0..3_000_000u64).prop_map(Event::Wait),
    ]
}

struct Bench {
    now: Instant,
    table: TcpTable,
    listener: SocketId,
    socket: Option<SocketId>,
    /// What the pod would send next, and what it acknowledges.
    nxt: u32,
    acked: u32,
}

impl Bench {
    fn new(timestamps: bool) -> Self {
        let config = TcpConfig { timestamps, ..TcpConfig::default() };
        let mut table = TcpTable::new(config, SocketId(0), Seed(1).stream("tcp", 0));
        let listener =
            table.listen("0.0.0.0:80".parse().expect("an address"), 3, SocketOptions::default()).expect("free");
        Self { now: Instant::START, table, listener, socket: None, nxt: 0, acked: 0 }
    }

    fn segment(&self, flags: u8, seq: u32, ack: u32) -> Segment {
        let (src, dst) = ("10.0.0.9:999".parse().expect("ours"), "10.0.0.1:80".parse().expect("theirs"));
        let options = Options::default();
        Segment { src, dst, seq, ack, flags, window: 65_535, tos: 0, options, payload: bytes::Bytes::new() }
    }

    fn deliver(&mut self, segment: &Segment) {
        self.table.on_segment(self.now, segment, Path::new(1450));
        self.collect();
        self.socket = self.socket.or_else(|| self.table.accept(self.listener).map(|(id, _)| id));
    }

    fn collect(&mut self) {
        let mut sent = 0;
        while let Some(out) = self.table.poll_output() {
            sent += 1;
            if out.segment.flags & ACK != 0 {
                (self.nxt, self.acked) = (out.segment.end(), out.segment.ack);
            }
        }
        assert!(sent < 10_000, "a flood");
        while self.table.poll_wake().is_some() {}
    }

    fn handshake(&mut self) {
        let mut syn = self.segment(SYN, 5000, 0);
        let timestamps = self.table.config().timestamps.then_some(Timestamps { value: 1, echo: 0 });
        syn.options =
            Options { mss: Some(1460), window_scale: Some(7), sack_permitted: true, timestamps, ..Options::default() };
        self.deliver(&syn);
        let ack = self.segment(ACK, self.acked, self.nxt);
        self.deliver(&ack);
        assert!(self.socket.is_some());
    }

    fn apply(&mut self, event: &Event) {
        let at = |base: u32, offset: i32| base.wrapping_add(offset as u32);
        match event {
            Event::Segment { flags, seq, ack, window, len, sack, ts } => {
                let mut s = self.segment(*flags, at(self.acked, *seq), at(self.nxt, *ack));
                (s.window, s.payload) = (*window, bytes::Bytes::from(vec![1; *len]));
                s.options.timestamps = ts.map(|(value, echo)| Timestamps { value, echo });
                for (start, len) in sack {
                    let start = at(self.nxt, *start);
                    s.options.sack.push(SackBlock { start, end: start.wrapping_add(*len) });
                }
                self.deliver(&s);
            }
            Event::Icmp { kind, code, mtu, seq } => {
                let s = self.segment(0, 0, 0);
                let mtu = (*mtu as u16).to_be_bytes();
                let header = IcmpHeader { kind: *kind, code: *code, rest: [0, 0, mtu[0], mtu[1]] };
                if let Some(error) = IcmpError::of(Family::V4, header) {
                    self.table.on_icmp_error(self.now, s.dst, s.src, at(self.nxt, *seq), error);
                }
            }
            Event::Wait(us) => self.wait(Duration::from_micros(*us)),
            _ => self.call(event),
        }
        self.collect();
    }

    fn call(&mut self, event: &Event) {
        let Some(id) = self.socket else { return };
        match event {
            Event::Send(n) => drop(self.table.send(self.now, id, &vec![0; *n])),
            Event::Recv(n) => drop(self.table.recv(self.now, id, *n)),
            Event::Shutdown => drop(self.table.shutdown(self.now, id, Shutdown::Write)),
            _ => {
                self.table.close(self.now, id);
                self.socket = None;
            }
        }
    }

    fn wait(&mut self, duration: Duration) {
        let until = self.now + duration;
        for timers in 0.. {
            let at = self.table.next_timer();
            if at > until {
                break;
            }
            assert!(timers < 100_000, "timers without end");
            self.now = self.now.max(at);
            self.table.on_timer(self.now);
            self.collect();
        }
        self.now = until;
    }
}

proptest! {
    #[test]
    fn whatever_a_peer_sends_is_survived_and_forgotten(timestamps: bool, events in proptest::collection::vec(event(), 0..80)) {
        let mut bench = Bench::new(timestamps);
        bench.handshake();
        for event in &events {
            bench.apply(event);
        }
        if let Some(id) = bench.socket.take() {
            bench.table.close(bench.now, id);
        }
        bench.table.close(bench.now, bench.listener);
        bench.collect();
        bench.wait(Duration::from_secs(3600));
        prop_assert!(bench.table.rows().is_empty(), "{:?}", bench.table.rows());
        prop_assert_eq!(bench.table.next_timer(), Instant::NEVER);
    }
}
