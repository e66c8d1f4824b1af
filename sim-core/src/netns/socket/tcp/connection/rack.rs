//! RACK (RFC 8985): what was sent before something that arrived, and does not arrive, is lost (net/ipv4/tcp_recovery.c).

use super::ack::Found;
use super::rtt::{TIMEOUT_MIN, in_ticks};
use super::rtx::Chunk;
use super::{CaState, Connection};
use crate::engine::time::{Duration, Instant};
use crate::netns::socket::tcp::context::Context;
use crate::netns::socket::tcp::seq::{after, before};

/// What RACK remembers.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Rack {
    /// When the newest segment that arrived was sent, and its end.
    newest: (Instant, u32),
    /// Its round-trip time in microseconds.
    rtt_us: u64,
    advanced: bool,
    pub(super) dsack_seen: bool,
    /// Quarters of the least RTT that a segment may be late.
    steps: u32,
    persist: u32,
    last_delivered: u32,
}

/// `TCP_RACK_RECOVERY_THRESH`: recoveries without D-SACK until the window shrinks again.
const PERSIST: u32 = 16;
/// Bits of tcp_recovery.
const STATIC_WINDOW: u32 = 2;
const NO_DUPTHRESH: u32 = 4;

/// Whether the segment sent at `a.0` up to `a.1` was sent after that of `b` (`tcp_skb_sent_after`).
fn sent_after(a: (Instant, u32), b: (Instant, u32)) -> bool {
    a.0 > b.0 || (a.0 == b.0 && after(a.1, b.1))
}

impl Rack {
    /// A recovery ended without undo.
    pub(super) fn recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
    }
}

impl Connection {
    /// A segment arrived (`tcp_rack_advance`).
    pub(super) fn rack_advance(&mut self, cx: &Context, chunk: &Chunk) {
        let rtt_us = cx.now.since(chunk.sent_at).as_micros();
        if chunk.ever_retransmitted && rtt_us < self.rtt.min {
            // It was sent twice, and the answer is too early for the second time.
            return;
        }
        let rack = &mut self.recovery.rack;
        rack.advanced = true;
        rack.rtt_us = rtt_us;
        let this = (chunk.sent_at, chunk.end());
        if sent_after(this, rack.newest) {
            rack.newest = this;
        }
    }

    /// How late a segment may be (`tcp_rack_reo_wnd`).
    fn reordering_window(&self, cx: &Context) -> u64 {
        if !self.recovery.reordering_seen {
            let enough = self.snd.rtx.sacked_out >= self.recovery.reordering && cx.config.recovery & NO_DUPTHRESH == 0;
            if self.recovery.state >= CaState::Recovery || enough {
                return 0;
            }
        }
        let min = if self.rtt.min == u64::MAX { 0 } else { self.rtt.min };
        // A path that takes no time here takes some on any machine.
        (min / 4 * u64::from(self.recovery.rack.steps.max(1))).min(self.rtt.srtt8 >> 3).max(1)
    }

    /// Microseconds until a chunk is taken for lost; zero or less: it is (`tcp_rack_skb_timeout`).
    pub(super) fn rack_remaining(&self, cx: &Context, chunk: &Chunk, window: u64) -> i64 {
        (self.recovery.rack.rtt_us + window) as i64 - cx.now.since(chunk.sent_at).as_micros() as i64
    }

    /// Marks what is lost by now; when the next one will be (`tcp_rack_detect_loss`).
    fn detect_loss(&mut self, cx: &mut Context) -> Option<Duration> {
        let window = self.reordering_window(cx);
        let newest = self.recovery.rack.newest;
        let mut longest = 0;
        for i in 0..self.snd.rtx.len() {
            let Some(chunk) = self.snd.rtx.get(i) else { break };
            let already = chunk.lost && !chunk.retransmitted;
            if chunk.sacked || already || !sent_after(newest, (chunk.sent_at, chunk.end())) {
                continue;
            }
            let remaining = self.rack_remaining(cx, chunk, window);
            if remaining <= 0 {
                self.mark_lost(cx, i);
            } else {
                longest = longest.max(remaining as u64);
            }
        }
        (longest > 0).then(|| Duration::from_micros(longest))
    }

    /// After an ACK: marks what is lost and starts the timer for the rest (`tcp_rack_mark_lost`).
    pub(super) fn rack_mark_lost(&mut self, cx: &mut Context, found: &mut Found) {
        if !std::mem::take(&mut self.recovery.rack.advanced) {
            return;
        }
        let retransmissions = self.snd.rtx.retrans_out;
        if let Some(wait) = self.detect_loss(cx) {
            self.timers.reorder_at(cx.now + in_ticks(wait + TIMEOUT_MIN));
            found.set_timer = false;
        }
        found.retransmission_lost |= retransmissions > self.snd.rtx.retrans_out;
    }

    /// The reordering timer has fired (`tcp_rack_reo_timeout`).
    pub(super) fn reorder_timer(&mut self, cx: &mut Context) {
        let in_flight = self.snd.rtx.in_flight();
        self.detect_loss(cx);
        if in_flight != self.snd.rtx.in_flight() {
            if self.recovery.state != CaState::Recovery {
                self.enter_recovery(cx);
                self.reduce_cwnd(1, 1, false);
            }
            self.retransmit_lost(cx);
        }
        if !self.timers.is_retransmit() {
            self.rearm_rto(cx);
        }
    }

    /// D-SACKs widen the window, 16 recoveries without one narrow it again (`tcp_rack_update_reo_wnd`).
    pub(super) fn update_reordering_window(&mut self, cx: &Context, found: &Found) {
        let Some(delivered) = found.sent_delivered.filter(|_| cx.config.recovery & STATIC_WINDOW == 0) else { return };
        let rack = &mut self.recovery.rack;
        if before(delivered, rack.last_delivered) {
            rack.dsack_seen = false;
        }
        if std::mem::take(&mut rack.dsack_seen) {
            rack.steps = (rack.steps.max(1) + 1).min(255);
            rack.last_delivered = self.snd.delivered;
            rack.persist = PERSIST;
        } else if rack.persist == 0 {
            rack.steps = 1;
        }
    }
}
