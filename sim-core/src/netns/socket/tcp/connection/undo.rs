//! Taking back a reduction that reordering or delay, not loss, has caused (Eifel, D-SACK; `tcp_try_undo_*`).

use super::ack::Found;
use super::{CaState, Connection, State};
use crate::engine::time::Instant;
use crate::netns::socket::tcp::context::Context;
use crate::netns::socket::tcp::seq::before;

/// Whether a timestamp of ours, milliseconds plus `offset`, lies between two moments.
pub(super) fn between_stamps(offset: u32, stamp: u32, from: Instant, to: Instant) -> bool {
    let ms = |at: Instant| ((at.as_nanos() / 1_000_000) as u32).wrapping_add(offset);
    super::between(stamp, ms(from), ms(to))
}

impl Connection {
    /// Everything sent again was needless, or what was acknowledged had only been delayed (`tcp_may_undo`).
    fn may_undo(&self, cx: &Context) -> bool {
        self.recovery.undo_marker.is_some() && (self.recovery.undo_retrans == 0 || self.was_only_delayed(cx))
    }

    /// `tcp_packet_delayed`: the echoed timestamp is older than the first retransmission, or there was none.
    pub(super) fn was_only_delayed(&self, cx: &Context) -> bool {
        match self.recovery.retrans_stamp {
            Some(first) => self.recovery.last_echo.is_some_and(|echo| {
                self.negotiated.timestamps.is_some() && cx.config.timestamps && before(echo, self.stamp_of(first))
            }),
            // A SYN that is acknowledged has no stamp any more, however often it was sent.
            None if self.state == State::SynSent => false,
            None => self.negotiated.sack || before(self.snd.una, self.recovery.high_seq),
        }
    }

    /// `tcp_undo_cwnd_reduction`.
    fn undo_reduction(&mut self, cx: &Context, unmark: bool) {
        if unmark {
            for i in 0..self.snd.rtx.len() {
                self.snd.rtx.update(i, |c| c.lost = false);
            }
        }
        if let Some(ssthresh) = self.recovery.prior_ssthresh {
            self.congestion.cwnd = self.congestion.cwnd.max(self.recovery.prior_cwnd);
            self.ecn.reduced &= ssthresh <= self.congestion.ssthresh;
            self.congestion.ssthresh = self.congestion.ssthresh.max(ssthresh);
        }
        self.congestion.stamp = cx.now;
        self.recovery.undo_marker = None;
        self.recovery.rack.recovered();
    }

    /// The recovery has come to its end; whether the state must be kept a little (`tcp_try_undo_recovery`).
    pub(super) fn try_undo_recovery(&mut self, cx: &mut Context) -> bool {
        if self.may_undo(cx) {
            cx.count(if self.recovery.state == CaState::Loss { "TCPLossUndo" } else { "TCPFullUndo" });
            self.undo_reduction(cx, false);
        } else {
            self.recovery.rack.recovered();
        }
        if self.snd.una == self.recovery.high_seq && !self.negotiated.sack {
            // NewReno must not start again on late duplicates (RFC 6582 3.2 step 1).
            if !self.any_retransmission() {
                self.recovery.retrans_stamp = None;
            }
            return true;
        }
        self.recovery.state = CaState::Open;
        false
    }

    /// Every retransmission was reported as a duplicate (`tcp_try_undo_dsack`).
    pub(super) fn try_undo_dsack(&mut self, cx: &mut Context) -> bool {
        if self.recovery.undo_marker.is_none() || self.recovery.undo_retrans != 0 {
            return false;
        }
        cx.count("TCPDSACKUndo");
        self.undo_reduction(cx, false);
        true
    }

    /// A partial ACK for what was only delayed (`tcp_try_undo_partial`); whether nothing more is to be done.
    pub(super) fn try_undo_partial(&mut self, cx: &mut Context) -> bool {
        if self.recovery.undo_marker.is_none() || !self.was_only_delayed(cx) {
            return false;
        }
        // Wait for what was retransmitted before undoing, to know how far.
        if self.snd.rtx.retrans_out > 0 {
            return true;
        }
        if !self.any_retransmission() {
            self.recovery.retrans_stamp = None;
        }
        cx.count("TCPPartialUndo");
        self.undo_reduction(cx, true);
        self.try_keep_open();
        false
    }

    /// The timeout was spurious (`tcp_try_undo_loss`).
    pub(super) fn try_undo_loss(&mut self, cx: &mut Context, frto: bool) -> bool {
        if !frto && !self.may_undo(cx) {
            return false;
        }
        cx.count("TCPLossUndo");
        if frto {
            cx.count("TCPSpuriousRTOs");
        }
        self.undo_reduction(cx, true);
        self.recovery.retransmits = 0;
        if frto || self.negotiated.sack {
            self.recovery.state = CaState::Open;
        }
        true
    }

    /// F-RTO (RFC 5682 3.1), and the end of the Loss state (`tcp_process_loss`).
    pub(super) fn process_loss(&mut self, cx: &mut Context, found: &Found, duplicates: u32) -> super::ack::Resend {
        use super::ack::Resend;
        let recovered = !before(self.snd.una, self.recovery.high_seq);
        if found.una_advanced && self.try_undo_loss(cx, false) {
            return Resend::Nothing;
        }
        if self.recovery.frto {
            if found.original_acked && self.try_undo_loss(cx, true) {
                return Resend::Nothing;
            }
            if before(self.recovery.high_seq, self.snd.nxt) {
                if found.data_sacked || duplicates > 0 {
                    self.recovery.frto = false;
                }
            } else if found.una_advanced && !recovered {
                self.recovery.high_seq = self.snd.nxt;
                if self.snd.has_unsent() && before(self.snd.nxt, self.snd.window_end()) {
                    return Resend::New;
                }
                self.recovery.frto = false;
            }
        }
        if recovered {
            self.try_undo_recovery(cx);
            return Resend::Nothing;
        }
        if !self.negotiated.sack {
            if before(self.recovery.high_seq, self.snd.nxt) && duplicates > 0 {
                self.add_reno_sack(cx, duplicates);
            } else if found.una_advanced {
                self.snd.rtx.sacked_out = 0;
            }
        }
        Resend::Lost
    }
}
