//! What is left of a connection that has closed: it answers latecomers (net/ipv4/tcp_minisocks.c,
//! `tcp_timewait_state_process`; facts 84, 89, 90).

use std::net::SocketAddr;

use bytes::Bytes;

use super::connection::{Connection, State};
use super::context::{Context, oow_limited};
use super::options::{Options, Timestamps};
use super::segment::{OutSegment, Segment};
use super::seq::{after, before, in_window};
use crate::engine::time::{Duration, Instant};
use crate::wire::ip::Family;
use crate::wire::l4::{ACK, FIN, RST, SYN};

/// `TCP_TIMEWAIT_LEN`: fixed, whatever tcp_fin_timeout says.
pub(super) const TIME_WAIT_LENGTH: Duration = Duration::from_secs(60);

/// A closed connection that still owns its addresses and ports.
#[derive(Clone, Debug)]
pub(super) struct TimeWait {
    local: SocketAddr,
    remote: SocketAddr,
    /// The family of the socket it was.
    pub(super) family: Family,
    pub(super) tx_hash: u32,
    /// TIME-WAIT, or FIN-WAIT-2 of an orphan.
    pub(super) state: State,
    pub(super) snd_nxt: u32,
    rcv_nxt: u32,
    window: u32,
    scale: u8,
    tos: u8,
    /// The peer's last timestamp and what to add to our clock, if timestamps were in use.
    timestamps: Option<(u32, u32)>,
    pub(super) expires: Instant,
    last_oow_ack: Option<Instant>,
}

/// What becomes of a segment that meets a closed connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It is done with.
    Done,
    /// The entry dies.
    Gone,
    /// The entry dies and the segment is answered with a RST.
    Reset,
    /// It is answered with an ACK.
    Ack,
    /// It may open a new connection whose first sequence number is this.
    NewConnection(u32),
}

impl TimeWait {
    /// The remains of `c` for as long as `lasts`.
    pub(super) fn new(c: &Connection, state: State, now: Instant, lasts: Duration) -> Self {
        let (snd_nxt, rcv_nxt, window) = c.close_numbers();
        Self {
            local: c.local,
            remote: c.remote,
            family: c.family,
            tx_hash: c.tx_hash,
            state,
            snd_nxt,
            rcv_nxt,
            window,
            scale: c.negotiated.rcv_wscale,
            tos: c.options.tos,
            timestamps: c.negotiated.timestamps.map(|ts| (ts.recent, c.negotiated.ts_offset)),
            expires: now + lasts,
            last_oow_ack: None,
        }
    }

    /// Processes a segment for the old connection.
    pub(super) fn input(&mut self, cx: &mut Context, segment: &Segment) -> Fate {
        let old = self.is_old_by_timestamp(segment);
        if self.state == State::FinWait2 {
            return self.input_fin_wait2(cx, segment, old);
        }
        let empty = segment.seq == segment.end();
        if !old && segment.seq == self.rcv_nxt && (empty || segment.has(RST)) {
            if segment.has(RST) && !cx.config.rfc1337 {
                return Fate::Gone;
            }
            if !segment.has(RST) {
                self.restart(cx);
            }
            self.store_timestamp(segment);
            return Fate::Done;
        }
        if segment.flags & (SYN | RST | ACK) == SYN && !old && self.is_newer(segment) {
            // Far enough beyond the old connection's numbers.
            return Fate::NewConnection(self.next_isn().max(1));
        }
        if segment.has(RST) {
            return Fate::Done;
        }
        if old {
            cx.count("PAWSTimewait");
        }
        if old || segment.has(ACK) {
            self.restart(cx);
        }
        self.answer_out_of_window(cx, segment, "TCPACKSkippedTimeWait")
    }

    /// An orphan waits for the FIN: data is too late, the FIN begins TIME-WAIT.
    fn input_fin_wait2(&mut self, cx: &mut Context, segment: &Segment, old: bool) -> Fate {
        let (seq, end) = (segment.seq, segment.end());
        if old || !in_window(seq, end, self.rcv_nxt, self.rcv_nxt.wrapping_add(self.window)) {
            return self.answer_out_of_window(cx, segment, "TCPACKSkippedFinWait2");
        }
        if segment.has(RST) {
            return Fate::Gone;
        }
        if segment.has(SYN) && !before(seq, self.rcv_nxt) {
            return Fate::Reset;
        }
        if !segment.has(ACK) || !after(end, self.rcv_nxt) || end == seq {
            return Fate::Done;
        }
        if !segment.has(FIN) || end != self.rcv_nxt.wrapping_add(1) {
            return Fate::Reset;
        }
        self.state = State::TimeWait;
        self.rcv_nxt = end;
        self.store_timestamp(segment);
        self.restart(cx);
        Fate::Ack
    }

    fn restart(&mut self, cx: &Context) {
        self.expires = cx.now + TIME_WAIT_LENGTH;
    }

    fn answer_out_of_window(&mut self, cx: &mut Context, segment: &Segment, skipped: &'static str) -> Fate {
        if oow_limited(cx, segment, &mut self.last_oow_ack) {
            cx.count(skipped);
            return Fate::Done;
        }
        Fate::Ack
    }

    fn is_newer(&self, segment: &Segment) -> bool {
        let newer_clock = match (self.timestamps, segment.options.timestamps) {
            (Some((recent, _)), Some(ts)) => before(recent, ts.value),
            _ => false,
        };
        after(segment.seq, self.rcv_nxt) || newer_clock
    }

    fn is_old_by_timestamp(&self, segment: &Segment) -> bool {
        match (self.timestamps, segment.options.timestamps) {
            (Some((recent, _)), Some(ts)) => before(ts.value, recent) && !segment.has(RST),
            _ => false,
        }
    }

    fn store_timestamp(&mut self, segment: &Segment) {
        if let (Some((recent, _)), Some(ts)) = (&mut self.timestamps, segment.options.timestamps) {
            *recent = ts.value;
        }
    }

    /// The ACK of the old connection (`tcp_v4_timewait_ack`).
    pub(super) fn ack(&self, cx: &Context) -> OutSegment {
        let timestamps = self.timestamps.map(|(echo, offset)| {
            let value = ((cx.now.as_nanos() / 1_000_000) as u32).wrapping_add(offset);
            Timestamps { value, echo }
        });
        let segment = Segment {
            src: self.local,
            dst: self.remote,
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            flags: ACK,
            // Cut, not limited: without scale a window that was chosen may have more bits than were announced (`tcp_v4_send_ack`).
            window: (self.window >> self.scale) as u16,
            tos: 0,
            options: Options { timestamps, ..Options::default() },
            payload: Bytes::new(),
        };
        OutSegment { tx_hash: self.tx_hash, tos: self.tos, ..OutSegment::socketless(segment) }
    }

    /// Whether connect() may use the ports again: timestamps tell the connections apart. It was asked for this port, or
    /// tcp_tw_reuse would have to allow it (`tcp_twsk_unique`; fact 91).
    pub(super) fn reusable(&self) -> bool {
        self.timestamps.is_some()
    }

    /// The first sequence number of the connection that comes after this one.
    pub(super) fn next_isn(&self) -> u32 {
        self.snd_nxt.wrapping_add(65_535 + 2)
    }

    /// The clocks that connection goes on with: the peer's last timestamp, and what to add to our own.
    pub(super) fn clocks(&self) -> Option<(u32, u32)> {
        self.timestamps
    }
}
