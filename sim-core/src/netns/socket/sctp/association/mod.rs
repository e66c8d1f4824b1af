//! One association (`struct sctp_association`): its state, its two halves, and what leaves in a packet.

mod data;
mod errors;
mod handshake;
mod inbound;
mod input;
mod outbound;
mod rto;
mod shutdown;
mod timers;
mod user;

use std::net::SocketAddr;

pub use errors::IcmpError;
use inbound::Inbound;
pub use inbound::Message;
use outbound::Outbound;
use rto::Rto;
use timers::{Timer, Timers};

use super::config::{MIN_PATH_MTU, RTO_INITIAL};
use super::context::Context;
use super::init::Beginning;
use crate::engine::arena::SocketId;
use crate::engine::errno::Errno;
use crate::engine::time::{Duration, Instant};
use crate::wire::ip::Family;
use crate::wire::sctp::{Chunk, HEADER};

/// The states of an association (RFC 9260 section 4), and of a socket that listens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "the names are the RFC's")]
pub enum State {
    Closed,
    Listen,
    CookieWait,
    CookieEchoed,
    Established,
    ShutdownPending,
    ShutdownSent,
    ShutdownReceived,
    ShutdownAckSent,
}

impl State {
    /// The name `ss -S` prints.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Listen => "LISTEN",
            Self::CookieWait => "COOKIE_WAIT",
            Self::CookieEchoed => "COOKIE_ECHOED",
            Self::Established => "ESTAB",
            Self::ShutdownPending => "SHUTDOWN_PENDING",
            Self::ShutdownSent => "SHUTDOWN_SENT",
            Self::ShutdownReceived => "SHUTDOWN_RECEIVED",
            Self::ShutdownAckSent => "ACK_SENT",
        }
    }
}

/// A heartbeat that is not answered yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Heartbeat {
    nonce: u64,
    sent: Instant,
}

/// An association and the socket that it is.
#[derive(Clone, Debug)]
pub(super) struct Association {
    pub(super) id: SocketId,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) state: State,
    /// The listener it waits at to be accepted.
    pub(super) listener: Option<SocketId>,
    /// Nobody holds the socket any more.
    pub(super) orphan: bool,
    own: Beginning,
    /// What the peer has told; all 0 before its INIT ACK.
    peer: Beginning,
    /// The cookie that is echoed.
    cookie: Vec<u8>,
    /// So often INIT or COOKIE ECHO was sent in vain, and how long to wait for the answer.
    attempts: u32,
    patience: Duration,
    path_mtu: u32,
    inbound: Inbound,
    outbound: Outbound,
    rto: Rto,
    /// Timeouts in a row (`overall_error_count`).
    timeouts: u32,
    heartbeat: Option<Heartbeat>,
    last_sent: Instant,
    timers: Timers,
    /// Chunks that leave with the next packet.
    control: Vec<Vec<u8>>,
    /// What is sent again goes in one packet, then it waits: after a timeout, and when a loss was noticed.
    one_packet: bool,
    /// What was found missing goes whatever the congestion window says.
    lost: bool,
    error: Option<Errno>,
    /// The peer sends no more.
    read_closed: bool,
    /// The application sends no more.
    write_closed: bool,
}

impl Association {
    /// One between `local` and `remote` about which nothing was told yet.
    pub(super) fn new(
        cx: &Context,
        (id, local, remote): (SocketId, SocketAddr, SocketAddr),
        own: Beginning,
        path_mtu: u32,
    ) -> Self {
        let path_mtu = path_mtu.max(MIN_PATH_MTU);
        Self {
            id,
            local,
            remote,
            state: State::Closed,
            listener: None,
            orphan: false,
            own,
            peer: Beginning { tag: 0, rwnd: 0, out_streams: 0, in_streams: 0, tsn: 1 },
            cookie: Vec::new(),
            attempts: 0,
            patience: RTO_INITIAL,
            path_mtu,
            inbound: Inbound::new(1),
            outbound: Outbound::new(own.tsn, 0, path_mtu),
            rto: Rto::new(),
            timeouts: 0,
            heartbeat: None,
            last_sent: cx.now,
            timers: Timers::default(),
            control: Vec::new(),
            one_packet: false,
            lost: false,
            error: None,
            read_closed: false,
            write_closed: false,
        }
    }

    /// When something is due.
    pub(super) fn next_timer(&self) -> Instant {
        self.timers.next()
    }

    /// Streams that may be sent on.
    fn streams(&self) -> u16 {
        self.own.out_streams.min(self.peer.in_streams)
    }

    /// Bytes of chunks that a packet has room for.
    fn room(&self) -> usize {
        self.path_mtu as usize - Family::of(self.remote.ip()).header_len() - HEADER
    }

    fn queue(&mut self, kind: u8, flags: u8, value: &[u8]) {
        self.control.push(Chunk { kind, flags, value }.to_bytes());
    }

    /// Sends one chunk at once, in a packet of its own.
    fn send_alone(&self, cx: &mut Context, kind: u8, flags: u8, tag: u32, value: &[u8]) {
        let chunk = Chunk { kind, flags, value }.to_bytes();
        cx.count("OutCtrlChunks");
        cx.send(Some(self.id), (self.local, self.remote), tag, &chunk, chunk.len() <= self.room());
    }

    /// Sends what can be sent: chunks of control first, then data (`sctp_outq_flush`).
    fn flush(&mut self, cx: &mut Context) {
        let (mut packet, room) = (Vec::new(), self.room());
        for chunk in std::mem::take(&mut self.control) {
            cx.count("OutCtrlChunks");
            if !packet.is_empty() && packet.len() + chunk.len() > room {
                self.emit(cx, &mut packet);
            }
            packet.extend(chunk);
        }
        if matches!(self.state, State::Established | State::ShutdownPending | State::ShutdownReceived) {
            self.add_data(cx, &mut packet, room);
        }
        self.emit(cx, &mut packet);
        (self.one_packet, self.lost) = (false, false);
        if self.outbound.is_in_flight() && !self.timers.is_running(Timer::Retransmit) {
            self.timers.start(Timer::Retransmit, cx.now + self.rto.timeout);
        }
    }

    /// `sctp_outq_flush_rtx`, `sctp_outq_flush_data`: what is sent again goes before what is new.
    fn add_data(&mut self, cx: &mut Context, packet: &mut Vec<u8>, room: usize) {
        let allowance = self.outbound.allowance(self.path_mtu);
        loop {
            let again = self.outbound.has_again();
            let next = if again {
                self.outbound.next_again(allowance, self.lost)
            } else {
                let alone = packet.is_empty() && self.state == State::Established;
                self.outbound.next_new(allowance, alone.then_some(room))
            };
            let Some(len) = next else { return };
            if self.timers.is_running(Timer::Sack) {
                // A SACK that waits goes with the data (`sctp_packet_bundle_sack`).
                self.timers.stop(Timer::Sack);
                packet.extend(self.inbound.sack());
            }
            if !packet.is_empty() && packet.len() + len > room {
                self.emit(cx, packet);
                if again && self.one_packet {
                    return;
                }
                continue;
            }
            if again {
                self.outbound.send_again(packet);
            } else {
                self.outbound.send_new(cx.now, packet);
            }
            cx.count("OutOrderChunks");
        }
    }

    /// Sends a packet with these chunks. One that is too big, because the path became narrower, may be cut into fragments
    /// (`sctp_packet_will_fit`).
    fn emit(&mut self, cx: &mut Context, chunks: &mut Vec<u8>) {
        if chunks.is_empty() {
            return;
        }
        let df = chunks.len() <= self.room();
        cx.send(Some(self.id), (self.local, self.remote), self.peer.tag, chunks, df);
        chunks.clear();
        self.last_sent = cx.now;
    }

    /// It is no more. What has come whole can still be read; `error` says why it ended, if not in good order.
    fn end(&mut self, cx: &mut Context, error: Option<Errno>) {
        self.state = State::Closed;
        self.timers = Timers::default();
        self.outbound.clear();
        self.control.clear();
        (self.error, self.read_closed, self.write_closed) = (error, true, true);
        cx.count(if error.is_some() { "Aborteds" } else { "Shutdowns" });
        cx.wake(self.id);
    }
}
