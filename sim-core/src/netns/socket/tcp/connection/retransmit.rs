//! Sending again what is outstanding (`tcp_xmit_retransmit_queue`, `__tcp_retransmit_skb`).

use super::{Connection, State};
use crate::netns::socket::tcp::context::Context;
use crate::netns::socket::tcp::seq::{after, before};

impl Connection {
    /// Sends what is lost, as far as the congestion window allows.
    pub(super) fn retransmit_lost(&mut self, cx: &mut Context) {
        let burst = self.burst(self.current_mss());
        let mut rearm = false;
        let mut i = 0;
        while let Some(chunk) = self.snd.rtx.get(i) {
            let segments = self.congestion.cwnd.saturating_sub(self.snd.rtx.in_flight());
            if segments == 0 || self.snd.rtx.retrans_out >= self.snd.rtx.lost_out {
                break;
            }
            if !chunk.lost || chunk.sacked || chunk.retransmitted {
                i += 1;
                continue;
            }
            if !self.retransmit(cx, i, segments.min(burst)) {
                break;
            }
            let slow_start = self.recovery.state == super::CaState::Loss;
            let packets = self.snd.rtx.get(i).map_or(0, |c| c.packets());
            cx.add(if slow_start { "TCPSlowStartRetrans" } else { "TCPFastRetrans" }, packets);
            if self.recovery.in_reduction() {
                self.recovery.prr_out += packets;
            }
            rearm |= i == 0 && !self.timers.is_reorder();
            i += 1;
        }
        if rearm {
            self.timers.retransmit_at(cx.now + self.rtt.rto);
        }
    }

    /// Sends chunk `i` again, up to `segments` of it, and notes that (`tcp_retransmit_skb`).
    pub(super) fn retransmit(&mut self, cx: &mut Context, i: usize, segments: u32) -> bool {
        if !self.transmit_again(cx, i, segments) {
            return false;
        }
        self.snd.rtx.update(i, |c| c.retransmitted = true);
        self.recovery.retrans_stamp.get_or_insert(cx.now);
        let packets = self.snd.rtx.get(i).map_or(0, |c| c.packets());
        self.recovery.undo_retrans = self.recovery.undo_retrans.max(0) + i64::from(packets);
        true
    }

    /// Sends chunk `i` again; false if the peer's window does not take it any more (`__tcp_retransmit_skb`).
    pub(super) fn transmit_again(&mut self, cx: &mut Context, i: usize, segments: u32) -> bool {
        let mss = self.current_mss();
        let una = self.snd.una;
        self.snd.rtx.update(i, |c| c.trim(una));
        let Some(seq) = self.snd.rtx.get(i).map(|c| c.seq) else { return false };
        let end = self.snd.window_end();
        let mut window = if before(seq, end) { end.wrapping_sub(seq) } else { 0 };
        if window == 0 {
            // A segment at the very edge serves as a zero window probe.
            if seq != self.snd.una && self.state != State::SynSent {
                return false;
            }
            window = mss;
        }
        let mut len = mss.saturating_mul(segments);
        if len > window {
            len = if window >= mss { window / mss * mss } else { window };
        }
        if self.snd.rtx.get(i).is_some_and(|c| c.len > len) {
            self.snd.rtx.split(i, len, mss);
        }
        self.snd.rtx.update(i, |c| {
            if !c.syn {
                c.mss = mss;
            }
        });
        if self.snd.rtx.get(i).is_some_and(|c| c.len < window.min(mss)) {
            self.collapse(cx, i, window.min(mss));
        }
        let (now, delivered) = (cx.now, self.snd.delivered);
        self.snd.rtx.update(i, |c| (c.sent_at, c.delivered, c.ever_retransmitted) = (now, delivered, true));
        let Some(chunk) = self.snd.rtx.get(i).cloned() else { return false };
        cx.add("RetransSegs", chunk.packets());
        if chunk.syn {
            cx.count("TCPSynRetrans");
        }
        self.recovery.total_retrans += chunk.packets();
        self.transmit(cx, &chunk);
        true
    }

    /// Joins small chunks that follow into one segment (`tcp_retrans_try_collapse`).
    fn collapse(&mut self, cx: &Context, i: usize, space: u32) {
        if !cx.config.retrans_collapse || self.snd.rtx.get(i).is_none_or(|c| c.syn || c.packets() > 1) {
            return;
        }
        while let (Some(chunk), Some(next)) = (self.snd.rtx.get(i), self.snd.rtx.get(i + 1)) {
            let fits = chunk.len + next.len <= space && !after(next.end(), self.snd.window_end());
            if !fits || next.packets() > 1 || next.sacked || chunk.sacked || chunk.fin {
                break;
            }
            self.snd.rtx.join(i);
        }
    }

    /// The path takes less than was sent: everything too long is sent again at once (`tcp_simple_retransmit`).
    pub(super) fn retransmit_smaller(&mut self, cx: &mut Context) {
        let mss = self.current_mss();
        for i in 0..self.snd.rtx.len() {
            if self.snd.rtx.get(i).is_some_and(|c| c.segment_len() > mss) {
                self.mark_lost(cx, i);
            }
        }
        if self.snd.rtx.lost_out == 0 {
            return;
        }
        if self.recovery.state != super::CaState::Loss {
            // The window is not touched: not less may be in flight, only in other units.
            let in_reduction = self.recovery.in_reduction();
            self.recovery.high_seq = self.snd.nxt;
            self.congestion.ssthresh = self.congestion.current_ssthresh(in_reduction);
            self.recovery.prior_ssthresh = None;
            self.recovery.undo_marker = None;
            self.recovery.state = super::CaState::Loss;
        }
        self.retransmit_lost(cx);
    }
}
