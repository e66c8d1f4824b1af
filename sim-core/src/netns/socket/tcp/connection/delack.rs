//! When received data is acknowledged: at once while a connection is young, late when answers are likely to carry the
//! ACK (net/ipv4/tcp_input.c, `tcp_event_data_recv`, `__tcp_ack_snd_check`; facts 83, 95).

use super::Connection;
use crate::engine::mutant::Mutant;
use crate::engine::time::{Duration, Instant};
use crate::netns::socket::tcp::context::Context;
use crate::netns::socket::tcp::segment::Segment;
use crate::wire::l4::{FIN, PSH, RST, SYN};

use super::rtt::TICK;

/// `TCP_ATO_MIN`: least delay of an ACK.
const ATO_MIN: Duration = Duration::from_millis(40);
/// A timer without delay (before the first data there is none) runs at the next tick, up to 4 ms later. An application
/// that answers at once is faster.
const NEXT_TICK: Duration = Duration::from_millis(1);
/// `TCP_DELACK_MAX`: greatest delay of an ACK.
const DELACK_MAX: Duration = Duration::from_millis(200);
/// Limit of the delay where answers are not expected (`HZ / 2`).
const ATO_LIMIT: Duration = Duration::from_millis(500);
/// `TCP_MAX_QUICKACKS`: immediate ACKs in a row.
pub(super) const MAX_QUICKACKS: u32 = 16;
/// `TCP_MSS_DEFAULT`, `TCP_MIN_MSS` and the fixed header: what counts as a full segment.
const MSS_DEFAULT: u32 = 536;
const MSS_LEAST: u32 = 88;
const FIXED_HEADER: u32 = 20;
/// Duplicate ACKs that are sent at once before SACKs are compressed (`TCP_FASTRETRANS_THRESH`).
const DUPLICATES_AT_ONCE: u32 = 3;

/// The state of acknowledging (`icsk_ack`).
#[derive(Clone, Debug, Default)]
pub(in super::super) struct DelayedAck {
    /// An ACK is owed.
    pub(super) scheduled: bool,
    /// Something demands an immediate ACK.
    pub(super) now: bool,
    pushed: bool,
    pushed_twice: bool,
    /// Immediate ACKs left.
    pub(super) quick: u32,
    /// Answers sent soon after data came.
    pingpong: u32,
    /// The delay; zero before the first data.
    pub(super) ato: Duration,
    /// When data came last.
    pub(super) last_received: Instant,
    last_segment: u32,
    /// The segment size the peer seems to use.
    pub(super) rcv_mss: u32,
    duplicates: u32,
    compressed: u32,
    compressed_nxt: u32,
}

impl Connection {
    /// `inet_csk_in_pingpong_mode`.
    pub(super) fn interactive(&self, cx: &Context) -> bool {
        self.delack.pingpong >= cx.config.pingpong_thresh
    }

    pub(super) fn enter_pingpong(&mut self, cx: &Context) {
        self.delack.pingpong = cx.config.pingpong_thresh;
    }

    /// `tcp_incr_quickack`.
    fn raise_quickacks(&mut self) {
        let per_window = self.rcv.wnd / (2 * self.delack.rcv_mss.max(1));
        let quick = if per_window == 0 { 2 } else { per_window }.min(MAX_QUICKACKS);
        self.delack.quick = self.delack.quick.max(quick);
    }

    /// The ACK of a SYN-ACK waits for data that may carry it (`tcp_rcv_synsent_state_process`).
    pub(super) fn delay_first_ack(&mut self, cx: &Context) {
        self.delack.scheduled = true;
        self.enter_quickack();
        self.timers.delack = Some(cx.now + DELACK_MAX);
    }

    /// `tcp_enter_quickack_mode`.
    pub(super) fn enter_quickack(&mut self) {
        self.raise_quickacks();
        self.delack.pingpong = 0;
        self.delack.ato = ATO_MIN;
    }

    /// TCP_QUICKACK: 0 delays the next ACK, 1 sends what is owed (`__tcp_sock_set_quickack`).
    pub(in super::super) fn set_quickack(&mut self, cx: &mut Context, on: bool) {
        if !on {
            self.enter_pingpong(cx);
            return;
        }
        self.delack.pingpong = 0;
        if self.delack.scheduled && matches!(self.state, super::State::Established | super::State::CloseWait) {
            self.delack.pushed = true;
            self.after_read(cx, 1);
        }
    }

    /// Data came in order or out of order (`tcp_event_data_recv`).
    pub(super) fn data_arrived(&mut self, cx: &mut Context, segment: &Segment) {
        self.delack.scheduled = true;
        self.measure_peer_mss(segment);
        self.measure_receive_rtt(cx);
        let gap = match self.delack.last_received {
            // A simultaneous open has no moment yet (`lrcvtime`): that was long ago.
            Instant::START => Duration::from_nanos(u64::MAX >> 1),
            last => cx.now.since(last),
        };
        let rto = self.rtt.rto;
        let half = Duration::from_nanos(self.delack.ato.as_nanos() / 2);
        if self.delack.ato == Duration::ZERO {
            // The first data: the delayed ACK engine starts.
            self.raise_quickacks();
            self.delack.ato = ATO_MIN;
        } else if gap.saturating_mul(2) <= ATO_MIN {
            self.delack.ato = half + Duration::from_nanos(ATO_MIN.as_nanos() / 2);
        } else if gap < self.delack.ato {
            self.delack.ato = (half + gap).min(rto);
        } else if gap > rto {
            // Too long a gap: the sender has restarted its window and wants ACKs quickly.
            self.raise_quickacks();
        }
        self.delack.last_received = cx.now;
        self.ecn_check(segment);
        if segment.payload.len() >= 128 {
            self.grow_window(cx, segment, self.rcv.free_window());
        }
    }

    /// `tcp_measure_rcv_mss`.
    pub(super) fn measure_peer_mss(&mut self, segment: &Segment) {
        let last = std::mem::take(&mut self.delack.last_segment);
        let len = segment.payload.len() as u32;
        if len >= self.delack.rcv_mss {
            if len != self.delack.rcv_mss {
                self.rcv.measure_overhead(segment);
            }
            self.delack.rcv_mss = len.min(self.negotiated.advmss);
            self.delack.pushed |= segment.has(PSH);
            return;
        }
        let with_header = len + FIXED_HEADER + self.fixed_options();
        let not_pushed = segment.flags & (FIN | SYN | RST | PSH) == 0;
        if with_header >= MSS_DEFAULT + FIXED_HEADER || (with_header >= MSS_LEAST + FIXED_HEADER && not_pushed) {
            self.delack.last_segment = len;
            if len == last {
                self.delack.rcv_mss = len;
                return;
            }
        }
        self.delack.pushed_twice |= self.delack.pushed;
        self.delack.pushed = true;
    }

    /// `tcp_initialize_rcv_mss`.
    pub(super) fn initialize_peer_mss(&mut self) {
        let hint = self.negotiated.advmss.min(self.snd.mss).min(self.rcv.wnd / 2).min(MSS_DEFAULT);
        self.delack.rcv_mss = hint.max(MSS_LEAST);
    }

    /// A segment was taken: is an ACK due now, later, or not at all (`tcp_ack_snd_check`)?
    pub(super) fn check_ack(&mut self, cx: &mut Context) {
        if !self.delack.scheduled {
            return;
        }
        let unacked = self.rcv.nxt.wrapping_sub(self.rcv.wup);
        let full = unacked > self.delack.rcv_mss && (self.rcv.all_read() || self.new_window() >= self.rcv.wnd);
        let quick = self.delack.quick > 0 && !self.interactive(cx);
        if full || quick || self.delack.now || cx.planted.is(Mutant::TcpAckAtOnce) {
            self.send_ack(cx);
        } else if self.rcv.ofo.is_empty() {
            self.delay_ack(cx);
        } else {
            self.compress_ack(cx);
        }
    }

    /// While data is out of order every segment is answered, but not a whole train of them one by one.
    fn compress_ack(&mut self, cx: &mut Context) {
        if !self.negotiated.sack || self.delack.compressed >= cx.config.comp_sack_nr {
            return self.send_ack(cx);
        }
        if self.delack.compressed_nxt != self.rcv.nxt {
            self.delack.compressed_nxt = self.rcv.nxt;
            self.delack.duplicates = 0;
        }
        if self.delack.duplicates < DUPLICATES_AT_ONCE {
            self.delack.duplicates += 1;
            return self.send_ack(cx);
        }
        self.delack.compressed += 1;
        if self.timers.compressed_ack.is_none() {
            // A twentieth of the RTT, but no more than tcp_comp_sack_delay_ns.
            let rtt = Duration::from_nanos(self.receive_rtt().as_nanos() / 20);
            self.timers.compressed_ack = Some(cx.now + rtt.min(cx.config.comp_sack_delay.into()));
        }
    }

    /// `tcp_send_delayed_ack`.
    fn delay_ack(&mut self, cx: &mut Context) {
        let mut ato = self.delack.ato;
        if ato > ATO_MIN {
            let mut limit = if self.interactive(cx) || self.delack.pushed { DELACK_MAX } else { ATO_LIMIT };
            if self.rtt.srtt8 != 0 {
                limit = limit.min(self.rtt.smoothed().max(ATO_MIN));
            }
            ato = ato.min(limit);
        }
        // The peer's RTO is taken to be like ours (`tcp_delack_max`).
        let limit = self.rtt.rto_min.max(TICK + TICK) - TICK;
        let mut at = cx.now + ato.min(DELACK_MAX).min(limit).max(NEXT_TICK);
        if let Some(old) = self.timers.delack {
            // About to fire anyway.
            if old <= cx.now + Duration::from_nanos(ato.as_nanos() / 4).max(NEXT_TICK) {
                return self.send_ack(cx);
            }
            at = at.min(old);
        }
        self.timers.delack = Some(at);
    }

    /// The delayed ACK was not carried by data (`tcp_delack_timer_handler`).
    pub(super) fn delack_timer(&mut self, cx: &mut Context) {
        self.timers.delack = None;
        if !self.delack.scheduled {
            return;
        }
        if self.interactive(cx) {
            self.delack.pingpong = 0;
            self.delack.ato = ATO_MIN;
        } else {
            self.delack.ato = self.delack.ato.saturating_mul(2).min(self.rtt.rto);
        }
        self.send_ack(cx);
        cx.count("DelayedACKs");
    }

    /// `tcp_sack_compress_send_ack`.
    pub(super) fn compressed_ack_timer(&mut self, cx: &mut Context) {
        self.timers.compressed_ack = None;
        if self.delack.compressed > 0 {
            // The first of them takes the place of the ACK that is sent now.
            cx.add("TCPAckCompressed", self.delack.compressed - 1);
            self.send_ack(cx);
        }
    }

    /// A segment with ACK left (`tcp_event_ack_sent`).
    pub(super) fn ack_sent(&mut self) {
        self.delack.compressed = 0;
        self.timers.compressed_ack = None;
        if self.delack.quick > 0 && self.delack.scheduled {
            self.delack.quick -= 1;
            if self.delack.quick == 0 {
                self.delack.ato = ATO_MIN;
            }
        }
        self.timers.delack = None;
        (self.delack.scheduled, self.delack.now) = (false, false);
        (self.delack.pushed, self.delack.pushed_twice) = (false, false);
    }

    /// Data left; soon after data came it is a reply (`tcp_event_data_sent`).
    pub(super) fn data_sent(&mut self, cx: &Context) {
        if self.snd.rtx.in_flight() == 0 {
            self.congestion.transmission_starts(cx.now, self.snd.last_data);
        }
        self.snd.last_data = cx.now;
        if cx.now.since(self.delack.last_received) < self.delack.ato {
            self.delack.pingpong = (self.delack.pingpong + 1).min(u32::from(u8::MAX));
        }
    }

    /// The application has read `copied` bytes: the ACK may be due, or a window that opened (`tcp_cleanup_rbuf`).
    pub(super) fn after_read(&mut self, cx: &mut Context, copied: usize) {
        let d = &self.delack;
        let drained = copied > 0
            && (d.pushed_twice || (d.pushed && !self.interactive(cx)))
            && self.rcv.all_read()
            && self.rcv.ofo.is_empty();
        let due = d.scheduled && (self.rcv.nxt.wrapping_sub(self.rcv.wup) > d.rcv_mss || drained);
        let opened = copied > 0 && !self.receive_shutdown && {
            let now = self.rcv.window();
            now.saturating_mul(2) <= self.rcv.window_clamp && {
                let new = self.new_window();
                new > 0 && new >= now.saturating_mul(2)
            }
        };
        if due || opened {
            self.send_ack(cx);
        }
    }
}
