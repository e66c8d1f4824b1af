//! Loss recovery: from the first sign of loss to the end of the reduction (`tcp_fastretrans_alert`, PRR of RFC 6937).

use super::ack::{Found, Resend};
use super::rack::Rack;
use super::{CaState, Connection};
use crate::engine::time::Instant;
use crate::netns::socket::tcp::config::TcpConfig;
use crate::netns::socket::tcp::congestion::INFINITE;
use crate::netns::socket::tcp::context::Context;
use crate::netns::socket::tcp::seq::{after, before};

/// The state of loss recovery.
#[derive(Clone, Debug)]
pub(in super::super) struct Recovery {
    pub(super) state: CaState,
    /// `nxt` when the recovery began: it ends when this is acknowledged.
    pub(super) high_seq: u32,
    pub(super) rack: Rack,
    /// How far segments overtake one another, in segments.
    pub(super) reordering: u32,
    pub(super) reordering_seen: bool,
    /// `una` when the window was reduced, while that may still be undone.
    pub(super) undo_marker: Option<u32>,
    /// Retransmissions not yet reported as duplicates.
    pub(super) undo_retrans: i64,
    /// When the first retransmission of this recovery was sent.
    pub(super) retrans_stamp: Option<Instant>,
    /// Timestamp of ours that the peer echoed last.
    pub(super) last_echo: Option<u32>,
    pub(super) prior_cwnd: u32,
    pub(super) prior_ssthresh: Option<u32>,
    pub(super) prr_delivered: u32,
    pub(super) prr_out: u32,
    /// `nxt` when a tail loss probe was sent.
    pub(super) tlp_high_seq: Option<u32>,
    pub(super) tlp_retransmitted: bool,
    pub(super) frto: bool,
    /// Timeouts since something was acknowledged.
    pub(super) retransmits: u32,
    /// Timeouts of the handshake or of the present outage.
    pub(super) total_timeouts: u32,
    /// Retransmissions in all.
    pub(super) total_retrans: u32,
    /// Segments reported as duplicates.
    pub(super) dsack_dups: u32,
    /// Segments ever taken for lost.
    pub(super) lost: u32,
    /// Probes without answer: keepalive and zero window.
    pub(super) probes_out: u32,
    /// When zero window probing began.
    pub(super) probing_since: Option<Instant>,
    /// When anything was acknowledged last.
    pub(super) last_ack: Instant,
}

impl Recovery {
    pub(super) fn new(config: &TcpConfig) -> Self {
        Self {
            state: CaState::Open,
            high_seq: 0,
            rack: Rack::default(),
            reordering: config.reordering,
            reordering_seen: false,
            undo_marker: None,
            undo_retrans: 0,
            retrans_stamp: None,
            last_echo: None,
            prior_cwnd: 0,
            prior_ssthresh: None,
            prr_delivered: 0,
            prr_out: 0,
            tlp_high_seq: None,
            tlp_retransmitted: false,
            frto: false,
            retransmits: 0,
            total_timeouts: 0,
            total_retrans: 0,
            dsack_dups: 0,
            lost: 0,
            probes_out: 0,
            probing_since: None,
            last_ack: Instant::START,
        }
    }

    /// `tcp_in_cwnd_reduction`.
    pub(super) fn in_reduction(&self) -> bool {
        matches!(self.state, CaState::Cwr | CaState::Recovery)
    }
}

impl Connection {
    /// An ACK that is not plain progress (`tcp_fastretrans_alert`).
    pub(super) fn fast_retransmit_alert(&mut self, cx: &mut Context, found: &mut Found, duplicates: u32) -> Resend {
        if self.snd.rtx.is_empty() {
            self.snd.rtx.sacked_out = 0;
        }
        if found.marked {
            self.recovery.prior_ssthresh = None;
        }
        if self.recovery.state == CaState::Open {
            self.recovery.retrans_stamp = None;
        } else if !before(self.snd.una, self.recovery.high_seq) && self.reduction_ends(cx) {
            return Resend::Nothing;
        }
        match self.recovery.state {
            CaState::Recovery => {
                if !found.una_advanced {
                    if !self.negotiated.sack {
                        self.add_reno_sack(cx, duplicates);
                    }
                } else if self.try_undo_partial(cx) {
                    return Resend::Nothing;
                }
                if self.try_undo_dsack(cx) {
                    self.try_to_open(found);
                }
                self.find_losses(cx, found);
                if self.recovery.state != CaState::Recovery {
                    if self.snd.rtx.lost_out == 0 {
                        return Resend::Nothing;
                    }
                    self.enter_recovery(cx);
                }
                Resend::Lost
            }
            CaState::Loss => {
                let resend = self.process_loss(cx, found, duplicates);
                self.find_losses(cx, found);
                if self.recovery.state != CaState::Open && !found.retransmission_lost {
                    return resend;
                }
                self.look_for_losses(cx, found, duplicates)
            }
            _ => self.look_for_losses(cx, found, duplicates),
        }
    }

    /// Outside of recovery: is it time to enter it?
    fn look_for_losses(&mut self, cx: &mut Context, found: &mut Found, duplicates: u32) -> Resend {
        if !self.negotiated.sack {
            if found.una_advanced {
                self.snd.rtx.sacked_out = 0;
            }
            self.add_reno_sack(cx, duplicates);
        }
        if self.recovery.state <= CaState::Disorder {
            self.try_undo_dsack(cx);
        }
        self.find_losses(cx, found);
        if self.snd.rtx.lost_out == 0 {
            self.try_to_open(found);
            return Resend::Nothing;
        }
        self.enter_recovery(cx);
        Resend::Lost
    }

    /// What was outstanding at the start is acknowledged; true if nothing more is to be done.
    fn reduction_ends(&mut self, cx: &mut Context) -> bool {
        match self.recovery.state {
            CaState::Cwr if self.snd.una != self.recovery.high_seq => {
                self.end_reduction(cx);
                self.recovery.state = CaState::Open;
            }
            CaState::Recovery => {
                if !self.negotiated.sack {
                    self.snd.rtx.sacked_out = 0;
                }
                if self.try_undo_recovery(cx) {
                    return true;
                }
                self.end_reduction(cx);
            }
            _ => {}
        }
        false
    }

    /// The window is the threshold now, unless the reduction was undone (`tcp_end_cwnd_reduction`).
    fn end_reduction(&mut self, cx: &Context) {
        let reduced = self.recovery.state == CaState::Cwr || self.recovery.undo_marker.is_some();
        if self.congestion.ssthresh < INFINITE && reduced {
            self.congestion.cwnd = self.congestion.ssthresh;
            self.congestion.stamp = cx.now;
        }
    }

    /// `tcp_identify_packet_loss`.
    fn find_losses(&mut self, cx: &mut Context, found: &mut Found) {
        if self.snd.rtx.is_empty() {
            return;
        }
        if self.negotiated.sack {
            self.rack_mark_lost(cx, found);
            return;
        }
        let state = self.recovery.state;
        let third = state < CaState::Recovery && self.snd.rtx.sacked_out >= self.recovery.reordering;
        if third || (state == CaState::Recovery && found.una_advanced) {
            self.mark_head_lost(cx);
        }
    }

    /// NewReno: one segment at the head is lost (`tcp_newreno_mark_lost`).
    fn mark_head_lost(&mut self, cx: &mut Context) {
        let Some(head) = self.snd.rtx.head().filter(|head| !head.lost) else { return };
        let mss = head.mss;
        if head.packets() > 1 {
            self.snd.rtx.split(0, mss, mss);
        }
        self.mark_lost(cx, 0);
    }

    /// Marks chunk `i` as lost and counts it.
    pub(super) fn mark_lost(&mut self, cx: &mut Context, i: usize) {
        if let Some(chunk) = self.snd.rtx.get(i)
            && !chunk.sacked
            && (!chunk.lost || chunk.retransmitted)
        {
            if chunk.lost {
                cx.add("TCPLostRetransmit", chunk.packets());
            }
            self.recovery.lost += chunk.packets();
            self.snd.rtx.mark_lost(i);
        }
    }

    /// `tcp_any_retrans_done`.
    pub(super) fn any_retransmission(&self) -> bool {
        self.snd.rtx.retrans_out > 0 || self.snd.rtx.head().is_some_and(|head| head.ever_retransmitted)
    }

    /// `tcp_enter_recovery`.
    pub(super) fn enter_recovery(&mut self, cx: &mut Context) {
        cx.count(if self.negotiated.sack { "TCPSackRecovery" } else { "TCPRenoRecovery" });
        self.clean_retrans_stamp();
        self.recovery.prior_ssthresh = None;
        self.start_undo();
        if !self.recovery.in_reduction() {
            self.recovery.prior_ssthresh = Some(self.congestion.current_ssthresh(false));
            self.start_reduction();
        }
        self.recovery.state = CaState::Recovery;
    }

    /// `tcp_retrans_stamp_cleanup`: the clock starts with this recovery unless an older one still goes on.
    pub(super) fn clean_retrans_stamp(&mut self) {
        if !self.any_retransmission() {
            self.recovery.retrans_stamp = None;
        }
    }

    /// `tcp_init_undo`.
    pub(super) fn start_undo(&mut self) {
        self.recovery.undo_marker = Some(self.snd.una);
        // Retransmissions that are under way already cannot be told from later ones; nor can a tail loss probe.
        let probe = self.recovery.tlp_high_seq.is_some() && self.recovery.tlp_retransmitted;
        let in_flight = i64::from(self.snd.rtx.retrans_out) + i64::from(probe);
        self.recovery.undo_retrans = if in_flight > 0 { in_flight } else { -1 };
    }

    /// `tcp_init_cwnd_reduction`.
    pub(super) fn start_reduction(&mut self) {
        let r = &mut self.recovery;
        r.high_seq = self.snd.nxt;
        r.tlp_high_seq = None;
        r.prior_cwnd = self.congestion.cwnd;
        (r.prr_delivered, r.prr_out) = (0, 0);
        self.congestion.cwnd_cnt = 0;
        self.congestion.ssthresh = self.congestion.reduced();
        self.ecn.reduced = true;
    }

    /// Proportional rate reduction (RFC 6937; `tcp_cwnd_reduction`).
    pub(super) fn reduce_cwnd(&mut self, delivered: u32, lost: u32, una_advanced: bool) {
        let r = &mut self.recovery;
        if delivered == 0 || r.prior_cwnd == 0 {
            return;
        }
        let in_flight = self.snd.rtx.in_flight();
        let ssthresh = self.congestion.ssthresh;
        r.prr_delivered += delivered;
        let unsent = i64::from(r.prr_delivered) - i64::from(r.prr_out);
        let send = if in_flight > ssthresh {
            let share = u64::from(ssthresh) * u64::from(r.prr_delivered);
            share.div_ceil(u64::from(r.prior_cwnd)) as i64 - i64::from(r.prr_out)
        } else {
            let catch_up = unsent.max(i64::from(delivered)) + i64::from(una_advanced && lost == 0);
            catch_up.min(i64::from(ssthresh - in_flight))
        };
        // Entering recovery always lets one retransmission out.
        let send = send.max(i64::from(r.prr_out == 0));
        self.congestion.cwnd = (i64::from(in_flight) + send).max(0) as u32;
    }

    /// `tcp_try_to_open`.
    fn try_to_open(&mut self, found: &Found) {
        if !self.any_retransmission() {
            self.recovery.retrans_stamp = None;
        }
        if found.marked {
            self.enter_cwr();
        }
        if self.recovery.state != CaState::Cwr {
            self.try_keep_open();
        }
    }

    /// `tcp_try_keep_open`.
    pub(super) fn try_keep_open(&mut self) {
        let rtx = &self.snd.rtx;
        let disorder = rtx.sacked_out + rtx.lost_out > 0 || self.any_retransmission();
        let state = if disorder { CaState::Disorder } else { CaState::Open };
        if self.recovery.state != state {
            self.recovery.state = state;
            self.recovery.high_seq = self.snd.nxt;
        }
    }

    /// Without SACK a duplicate ACK stands for a segment that arrived (`tcp_add_reno_sack`).
    pub(super) fn add_reno_sack(&mut self, cx: &mut Context, duplicates: u32) {
        if duplicates == 0 {
            return;
        }
        let before = self.snd.rtx.sacked_out;
        self.snd.rtx.sacked_out += duplicates;
        self.limit_reno_sacks(cx);
        self.snd.delivered += self.snd.rtx.sacked_out.saturating_sub(before);
    }

    /// There cannot be more than are outstanding and not lost (`tcp_limit_reno_sacked`).
    fn limit_reno_sacks(&mut self, cx: &mut Context) {
        let rtx = &mut self.snd.rtx;
        let holes = rtx.lost_out.clamp(1, rtx.packets_out.max(1));
        if rtx.sacked_out + holes > rtx.packets_out {
            rtx.sacked_out = rtx.packets_out.saturating_sub(holes);
            self.recovery.reordering =
                self.snd.rtx.packets_out.min(cx.config.max_reordering).max(self.recovery.reordering);
            self.recovery.reordering_seen = true;
        }
    }

    /// `tcp_remove_reno_sacks`: `acked` segments left the queue, all but one of them had been counted.
    pub(super) fn remove_reno_sacks(&mut self, acked: u32) {
        if acked > 0 {
            let rtx = &mut self.snd.rtx;
            self.snd.delivered += acked.saturating_sub(rtx.sacked_out).max(1).min(acked);
            rtx.sacked_out = rtx.sacked_out.saturating_sub(acked - 1);
        }
        let rtx = &mut self.snd.rtx;
        rtx.sacked_out = rtx.sacked_out.min(rtx.packets_out.saturating_sub(rtx.lost_out.max(1)));
    }

    /// The peer has something beyond the tail loss probe, or confirms it (`tcp_process_tlp_ack`).
    pub(super) fn probe_acknowledged(&mut self, cx: &mut Context, ack: u32, found: &Found) {
        let Some(high) = self.recovery.tlp_high_seq.filter(|high| !before(ack, *high)) else { return };
        if !self.recovery.tlp_retransmitted || found.dsack_of_probe {
            self.recovery.tlp_high_seq = None;
        } else if after(ack, high) {
            // The probe repaired a loss: reduce once.
            cx.count("TCPLossProbeRecovery");
            self.start_reduction();
            self.recovery.state = CaState::Cwr;
            self.end_reduction(cx);
            self.try_keep_open();
        } else if !(found.una_advanced || found.data || found.window_update || found.data_acked || found.data_sacked) {
            self.recovery.tlp_high_seq = None;
        }
    }
}
