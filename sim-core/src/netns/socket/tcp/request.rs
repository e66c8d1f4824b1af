//! A half-open connection of a listener: small, and forgotten if the handshake does not end
//! (net/ipv4/tcp_minisocks.c, `tcp_check_req`; net/ipv4/inet_connection_sock.c, `reqsk_timer_handler`).

use std::net::SocketAddr;

use bytes::Bytes;

use super::connection::{InitialWindow, RTO_INITIAL, RTO_MAX};
use super::context::{Context, oow_limited};
use super::options::{Options, TIMESTAMPS_ALIGNED, Timestamps};
use super::path::Path;
use super::segment::{ECN, OutSegment, Segment};
use super::seq::{after, between, in_window};
use crate::engine::arena::SocketId;
use crate::engine::time::Instant;
use crate::netns::socket::tx_hash;
use crate::wire::l4::{ACK, CWR, ECE, RST, SYN};

/// A SYN that was answered.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) listener: SocketId,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) path: Path,
    /// Our first sequence number.
    pub(super) isn: u32,
    /// The peer's.
    pub(super) peer_isn: u32,
    /// The options of the SYN.
    pub(super) offered: Options,
    /// ECN was asked for and is granted.
    pub(super) ecn: bool,
    pub(super) initial: InitialWindow,
    /// The MSS we announce.
    pub(super) mss: u32,
    /// Added to our clock in our timestamps.
    pub(super) ts_offset: u32,
    /// The peer's last timestamp.
    pub(super) ts_recent: Option<u32>,
    /// Our timestamps in the first and the last SYN-ACK: what the peer may echo.
    told: Option<(u32, u32)>,
    /// SYN-ACKs sent again.
    pub(super) retransmits: u32,
    /// SYN-ACKs sent again by the timer.
    pub(super) timeouts: u32,
    pub(super) sent_at: Instant,
    /// When the SYN-ACK is due again.
    pub(super) due: Instant,
    /// A valid ACK came but could not be used yet.
    pub(super) acked: bool,
    last_oow_ack: Option<Instant>,
    ttl: Option<u8>,
    tos: u8,
}

/// What a segment does to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// It is done with.
    Done,
    /// It is not for the request but for the listener: an ACK of something else.
    ToListener,
    /// It ends the handshake.
    Complete,
    /// The request dies; unless the segment is a RST it is answered with one.
    Refused,
}

/// The fixed part of a request.
pub(super) struct Opening<'a> {
    pub(super) listener: SocketId,
    pub(super) segment: &'a Segment,
    pub(super) path: Path,
    pub(super) isn: u32,
    pub(super) initial: InitialWindow,
    pub(super) mss: u32,
    pub(super) ts_offset: u32,
    pub(super) ttl: Option<u8>,
    pub(super) tos: u8,
}

impl Request {
    pub(super) fn new(cx: &Context, opening: Opening<'_>) -> Self {
        let Opening { listener, segment, path, isn, initial, mss, ts_offset, ttl, tos } = opening;
        let mut offered = segment.options;
        offered.timestamps = offered.timestamps.filter(|_| cx.config.timestamps);
        offered.window_scale = offered.window_scale.filter(|_| cx.config.window_scaling);
        offered.sack_permitted &= cx.config.sack;
        // A SYN that says it may be marked was not made by this rule (`tcp_ecn_create_request`).
        let ecn = cx.config.ecn != 0 && segment.has(ECE | CWR) && segment.tos & ECN == 0;
        Self {
            listener,
            local: segment.dst,
            remote: segment.src,
            path,
            isn,
            peer_isn: segment.seq,
            offered,
            ecn,
            initial,
            mss,
            ts_offset,
            ts_recent: offered.timestamps.map(|ts| ts.value),
            told: None,
            retransmits: 0,
            timeouts: 0,
            sent_at: cx.now,
            due: cx.now + RTO_INITIAL,
            acked: false,
            last_oow_ack: None,
            ttl,
            tos,
        }
    }

    /// The MSS for the windows: less where timestamps take room.
    pub(super) fn window_mss(mss: u32, timestamps: bool) -> u32 {
        if timestamps { mss.saturating_sub(TIMESTAMPS_ALIGNED) } else { mss }
    }

    /// The SYN-ACK: it offers only what was offered (fact 85).
    pub(super) fn syn_ack(&mut self, cx: &Context) -> OutSegment {
        let timestamps = self.timestamps(cx);
        self.told = timestamps.map(|ts| (self.told.map_or(ts.value, |(first, _)| first), ts.value));
        let options = Options {
            mss: Some(self.mss as u16),
            window_scale: self.offered.window_scale.map(|_| self.initial.scale),
            sack_permitted: self.offered.sack_permitted,
            timestamps,
            sack: Default::default(),
        };
        let window = self.initial.window.min(u32::from(u16::MAX)) as u16;
        let ecn = if self.ecn { ECE } else { 0 };
        self.segment(self.isn, SYN | ACK | ecn, window, options)
    }

    fn timestamps(&self, cx: &Context) -> Option<Timestamps> {
        let value = ((cx.now.as_nanos() / 1_000_000) as u32).wrapping_add(self.ts_offset);
        self.offered.timestamps.and(self.ts_recent).map(|echo| Timestamps { value, echo })
    }

    fn segment(&self, seq: u32, flags: u8, window: u16, options: Options) -> OutSegment {
        let ack = self.peer_isn.wrapping_add(1);
        let (src, dst, payload) = (self.local, self.remote, Bytes::new());
        let segment = Segment { src, dst, seq, ack, flags, window, tos: 0, options, payload };
        let df = !self.path.locked;
        let tx_hash = tx_hash(src, dst, self.isn);
        OutSegment { df, ttl: self.ttl, tos: self.tos, tx_hash, ..OutSegment::socketless(segment) }
    }

    /// When the SYN-ACK is due after as many timeouts as there were.
    fn interval(&self, cx: &Context) -> Instant {
        cx.now + RTO_INITIAL.saturating_mul(1 << self.timeouts.min(20)).min(RTO_MAX)
    }

    /// The SYN-ACK is due again; false if the request is given up.
    ///
    /// `defer`: repetitions after which an ACK without data is good enough (TCP_DEFER_ACCEPT).
    pub(super) fn on_timer(&mut self, cx: &mut Context, retries: u32, defer: u32) -> bool {
        let expired = if defer == 0 {
            self.timeouts >= retries
        } else {
            self.timeouts >= retries && (!self.acked || self.timeouts >= defer)
        };
        if expired {
            return false;
        }
        if defer == 0 || !self.acked || self.timeouts + 1 >= defer {
            self.send_again(cx);
        }
        self.timeouts += 1;
        self.due = self.interval(cx);
        true
    }

    fn send_again(&mut self, cx: &mut Context) {
        cx.count("TCPSynRetrans");
        cx.count("RetransSegs");
        cx.count("OutSegs");
        self.retransmits += 1;
        let syn_ack = self.syn_ack(cx);
        cx.out.push_back(syn_ack);
    }

    /// The connection that `segment` completes takes over its timestamp; the request itself keeps that of the SYN
    /// (`tcp_check_req`).
    pub(super) fn completed_by(mut self, segment: &Segment) -> Self {
        let clock = segment.options.timestamps.filter(|_| self.offered.timestamps.is_some());
        if let Some(ts) = clock
            && !after(segment.seq, self.peer_isn.wrapping_add(1))
        {
            self.ts_recent = Some(ts.value);
        }
        self
    }

    /// A segment for this half-open connection.
    pub(super) fn input(&mut self, cx: &mut Context, segment: &Segment, defer: u32) -> Outcome {
        let rcv_nxt = self.peer_isn.wrapping_add(1);
        let clock = segment.options.timestamps.filter(|_| self.offered.timestamps.is_some());
        let old = match (clock, self.ts_recent) {
            (Some(ts), Some(recent)) => after(recent, ts.value) && !segment.has(RST),
            _ => false,
        };
        let plain = segment.flags & (SYN | ACK | RST | crate::wire::l4::FIN);
        if segment.seq == self.peer_isn && plain == SYN && !old {
            // The SYN again: so is the answer, and the running interval begins anew without being counted.
            if !oow_limited(cx, segment, &mut self.last_oow_ack) {
                self.send_again(cx);
                self.due = self.interval(cx);
            }
            return Outcome::Done;
        }
        if segment.has(ACK) && !segment.has(RST) && segment.ack != self.isn.wrapping_add(1) {
            return Outcome::ToListener;
        }
        let foreign = clock.is_some_and(|ts| self.has_not_told(ts.echo));
        let inside = in_window(segment.seq, segment.end(), rcv_nxt, rcv_nxt.wrapping_add(self.initial.window));
        if old || foreign || !inside {
            if old {
                cx.count("PAWSEstab");
            } else if foreign {
                cx.count("TSEcrRejected");
            }
            if segment.has(RST) {
                return Outcome::Done;
            }
            if oow_limited(cx, segment, &mut self.last_oow_ack) {
                cx.count("TCPACKSkippedSynRecv");
            } else {
                self.send_ack(cx, segment);
            }
            return Outcome::Done;
        }
        if segment.has(RST) {
            return self.reset(cx, segment);
        }
        // A SYN at the old place is cut off, it is not in the window.
        if segment.has(SYN) && segment.seq != self.peer_isn {
            return Outcome::Refused;
        }
        if !segment.has(ACK) {
            return Outcome::Done;
        }
        if self.timeouts < defer && segment.end() == rcv_nxt {
            self.acked = true;
            cx.count("TCPDeferAcceptDrop");
            return Outcome::Done;
        }
        Outcome::Complete
    }

    /// Whether no SYN-ACK of ours had the timestamp that is echoed; 0 is none.
    fn has_not_told(&self, echo: u32) -> bool {
        echo != 0 && self.told.is_some_and(|(first, last)| !between(echo, first, last))
    }

    /// A RST in the window, whatever it acknowledges (RFC 5961 3.2, for a request as for a connection).
    fn reset(&mut self, cx: &mut Context, segment: &Segment) -> Outcome {
        if segment.seq == self.peer_isn.wrapping_add(1) {
            return Outcome::Refused;
        }
        if !oow_limited(cx, segment, &mut self.last_oow_ack) {
            cx.count("TCPChallengeACK");
            self.send_ack(cx, segment);
        }
        Outcome::Done
    }

    /// An ACK in nobody's name, with the type of service of what it answers (`tcp_v4_reqsk_send_ack`).
    fn send_ack(&self, cx: &mut Context, segment: &Segment) {
        let options = Options { timestamps: self.timestamps(cx), ..Options::default() };
        let window = (self.initial.window >> self.initial.scale).min(u32::from(u16::MAX)) as u16;
        let out = self.segment(self.isn.wrapping_add(1), ACK, window, options);
        cx.count("OutSegs");
        cx.out.push_back(OutSegment { ttl: None, tos: segment.tos, ..out });
    }
}
