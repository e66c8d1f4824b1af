//! What a segment acknowledges (`tcp_ack`, `tcp_clean_rtx_queue`).

use super::{Connection, State};
use crate::engine::time::Instant;
use crate::netns::socket::tcp::congestion::Sample;
use crate::netns::socket::tcp::context::Context;
use crate::netns::socket::tcp::segment::Segment;
use crate::netns::socket::tcp::seq::{after, before};
use crate::wire::l4::{ECE, SYN};

/// What processing an ACK has found out so far (the kernel's `FLAG_*` and `tcp_sacktag_state`).
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// `una` before this ACK.
    pub(super) prior_una: u32,
    /// The end of what SACKs covered before it.
    pub(super) prior_highest: u32,
    pub(super) prior_delivered: u32,
    pub(super) prior_lost: u32,
    /// It carried data.
    pub(super) data: bool,
    pub(super) window_update: bool,
    /// It acknowledged data that was outstanding.
    pub(super) data_acked: bool,
    pub(super) syn_acked: bool,
    pub(super) una_advanced: bool,
    /// A SACK covers something new.
    pub(super) data_sacked: bool,
    /// Segments that SACKs say have arrived.
    pub(super) sack_delivered: u32,
    /// It reports a duplicate.
    pub(super) dsack: bool,
    /// It says that a router has marked what we sent.
    pub(super) marked: bool,
    /// The duplicate is the tail loss probe.
    pub(super) dsack_of_probe: bool,
    /// Something it covers was sent more than once.
    pub(super) retransmitted_acked: bool,
    /// Something it covers was sent once, before the recovery began.
    pub(super) original_acked: bool,
    pub(super) retransmission_lost: bool,
    /// The RACK timer runs: the RTO must not replace it.
    pub(super) set_timer: bool,
    /// Lowest sequence number that was found to be reordered.
    pub(super) reordered: u32,
    /// When the first and last segment that a SACK newly covers were sent.
    pub(super) sacked_sent: Option<(Instant, Instant)>,
    /// `delivered` when the newest segment it covers was sent.
    pub(super) sent_delivered: Option<u32>,
}

impl Found {
    fn not_duplicate(&self) -> bool {
        self.data || self.window_update || self.data_acked || self.syn_acked
    }
}

/// What recovery wants to be sent (`REXMIT_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Resend {
    Nothing,
    /// What is lost.
    Lost,
    /// New data, to see whether the timeout was spurious (F-RTO).
    New,
}

impl Connection {
    /// Takes the acknowledgment of a segment; false if the segment is to be dropped.
    ///
    /// A segment without ACK is dropped. `challenge`: numbers that cannot be are answered.
    pub(super) fn acknowledge(&mut self, cx: &mut Context, segment: &Segment, challenge: bool) -> bool {
        let predicted = self.predicts(segment);
        if !segment.has(crate::wire::l4::ACK) {
            return false;
        }
        let mut found = self.nothing_found(segment);
        if predicted && self.rcv.nxt == self.rcv.wup {
            // The short way does so before it looks at the number (`tcp_rcv_established`).
            self.store_timestamp(cx, segment);
        }
        if before(segment.ack, self.snd.una) {
            return self.take_old_ack(cx, segment, found, challenge);
        }
        if after(segment.ack, self.snd.nxt) {
            if challenge {
                self.challenge(cx);
            }
            return false;
        }
        found.una_advanced = after(segment.ack, self.snd.una);
        if found.una_advanced {
            self.recovery.retransmits = 0;
        }
        if predicted && found.una_advanced {
            cx.count("TCPHPAcks");
        } else if !found.data {
            cx.count("TCPPureAcks");
        }
        self.store_timestamp(cx, segment);
        self.update_window(cx, segment, &mut found);
        let outstanding = !self.snd.rtx.is_empty();
        if !segment.options.sack.is_empty() && self.negotiated.sack {
            self.tag_sacked(cx, segment, &mut found);
            self.snd.delivered += found.sack_delivered;
        }
        // Something worked: forget what ICMP said.
        self.soft_error = None;
        self.recovery.probes_out = 0;
        self.recovery.last_ack = cx.now;
        let (delivered, marked) = (found.prior_delivered, found.marked);
        if outstanding {
            self.process_outstanding(cx, segment, found);
        } else {
            self.take_late_dsack(cx, segment, &mut found);
        }
        self.count_delivered(cx, delivered, marked);
        true
    }

    /// `tcp_newly_delivered`.
    fn count_delivered(&self, cx: &mut Context, before: u32, marked: bool) {
        let delivered = self.snd.delivered.wrapping_sub(before);
        cx.add("TCPDelivered", delivered);
        if marked {
            cx.add("TCPDeliveredCE", delivered);
        }
    }

    fn nothing_found(&self, segment: &Segment) -> Found {
        let una = self.snd.una;
        Found {
            prior_una: una,
            prior_highest: if self.negotiated.sack { self.snd.rtx.highest_sacked(una) } else { una },
            prior_delivered: self.snd.delivered,
            prior_lost: self.recovery.lost,
            data: segment.seq != segment.end(),
            window_update: false,
            data_acked: false,
            syn_acked: false,
            una_advanced: false,
            data_sacked: false,
            sack_delivered: 0,
            dsack: false,
            marked: self.ecn.on && segment.has(ECE) && !segment.has(SYN),
            dsack_of_probe: false,
            retransmitted_acked: false,
            original_acked: false,
            retransmission_lost: false,
            set_timer: false,
            reordered: self.snd.nxt,
            sacked_sent: None,
            sent_delivered: None,
        }
    }

    /// An acknowledgment of what was acknowledged before; far too old ones are challenged (RFC 5961 5.2).
    fn take_old_ack(&mut self, cx: &mut Context, segment: &Segment, mut found: Found, challenge: bool) -> bool {
        let window = u64::from(self.snd.max_window).min(self.snd.bytes_acked) as u32;
        if before(segment.ack, self.snd.una.wrapping_sub(window)) {
            if challenge {
                self.challenge(cx);
            }
            return false;
        }
        if !segment.options.sack.is_empty() && self.negotiated.sack {
            self.tag_sacked(cx, segment, &mut found);
            let resend = self.fast_retransmit_alert(cx, &mut found, 0);
            self.resend(cx, resend);
        }
        true
    }

    /// `tcp_replace_ts_recent`.
    fn store_timestamp(&mut self, cx: &Context, segment: &Segment) {
        let Some(ts) = segment.options.timestamps else { return };
        self.recovery.last_echo = Some(ts.echo);
        if let Some(clock) = &mut self.negotiated.timestamps
            && !after(segment.seq, self.rcv.wup)
            && (clock.recent.wrapping_sub(ts.value) as i32) <= 0
        {
            (clock.recent, clock.stored) = (ts.value, cx.now);
        }
    }

    /// `tcp_may_update_window`.
    pub(super) fn updates_window(&self, segment: &Segment, window: u32) -> bool {
        after(segment.ack, self.snd.una)
            || after(segment.seq, self.snd.wl1)
            || (segment.seq == self.snd.wl1 && (window > self.snd.wnd || window == 0))
    }

    /// `tcp_ack_update_window`.
    fn update_window(&mut self, cx: &mut Context, segment: &Segment, found: &mut Found) {
        let syn = segment.has(SYN);
        let window = u32::from(segment.window) << if syn { 0 } else { self.negotiated.snd_wscale };
        if self.updates_window(segment, window) {
            found.window_update = true;
            self.snd.wl1 = segment.seq;
            if self.snd.wnd != window {
                self.snd.wnd = window;
                self.rcv.predicts = self.may_predict();
                if self.snd.has_unsent() {
                    self.restart_after_idle(cx);
                }
                if window > self.snd.max_window {
                    self.snd.max_window = window;
                    self.sync_mss(cx);
                }
            }
        }
        self.snd.bytes_acked += u64::from(segment.ack.wrapping_sub(self.snd.una));
        self.snd.una = segment.ack;
    }

    fn process_outstanding(&mut self, cx: &mut Context, segment: &Segment, mut found: Found) {
        self.clean_queue(cx, segment, &mut found);
        self.update_reordering_window(cx, &found);
        if self.recovery.tlp_high_seq.is_some() {
            self.probe_acknowledged(cx, segment.ack, &found);
        }
        let mut resend = Resend::Nothing;
        let alert = found.data_sacked || found.dsack || found.marked;
        if !found.not_duplicate() || alert || self.recovery.state != super::CaState::Open {
            let duplicate = !(found.una_advanced || found.not_duplicate() || found.dsack);
            resend = self.fast_retransmit_alert(cx, &mut found, u32::from(duplicate));
        }
        if found.set_timer {
            self.set_xmit_timer(cx);
        }
        self.control_congestion(cx, &found);
        self.resend(cx, resend);
    }

    fn take_late_dsack(&mut self, cx: &mut Context, segment: &Segment, found: &mut Found) {
        if found.dsack {
            self.fast_retransmit_alert(cx, found, 0);
        }
        self.window_may_be_open(cx);
        if self.recovery.tlp_high_seq.is_some() {
            self.probe_acknowledged(cx, segment.ack, found);
        }
    }

    /// Takes what is acknowledged off the retransmission queue.
    fn clean_queue(&mut self, cx: &mut Context, segment: &Segment, found: &mut Found) {
        let una = self.snd.una;
        let mut acked = Acked::default();
        while let Some(head) = self.snd.rtx.head() {
            let chunk = head.clone();
            let whole = !after(chunk.end(), una);
            let packets = if whole { chunk.packets() } else { self.snd.rtx.trim_head(una) };
            if packets == 0 {
                break;
            }
            if whole {
                self.snd.rtx.pop();
            }
            self.count_acked(cx, &chunk, packets, found, &mut acked);
            if !whole {
                break;
            }
        }
        self.snd.buffer.acknowledge(una);
        self.measure_rtt(cx, segment, found, &acked);
        if found.data_acked || found.syn_acked {
            found.set_timer = true;
            if !self.negotiated.sack {
                self.remove_reno_sacks(acked.packets);
                found.original_acked &= !found.retransmitted_acked;
            } else if before(acked.reordered.unwrap_or(self.snd.nxt), found.prior_highest) {
                self.note_reordering(cx, acked.reordered.unwrap_or(self.snd.nxt));
            }
        }
    }

    fn count_acked(
        &mut self,
        cx: &Context,
        chunk: &super::rtx::Chunk,
        packets: u32,
        found: &mut Found,
        acked: &mut Acked,
    ) {
        if chunk.ever_retransmitted {
            found.retransmitted_acked = true;
        } else if !chunk.sacked {
            acked.last_sent = Some(chunk.sent_at);
            acked.first_sent.get_or_insert(chunk.sent_at);
            if before(chunk.seq, acked.reordered.unwrap_or(self.snd.nxt)) {
                acked.reordered = Some(chunk.seq);
            }
            found.original_acked |= !after(chunk.end(), self.recovery.high_seq);
        }
        if !chunk.sacked && self.negotiated.sack {
            self.snd.delivered += packets;
            self.rack_advance(cx, chunk);
        }
        acked.packets += packets;
        found.sent_delivered = found.sent_delivered.max(Some(chunk.delivered));
        if chunk.syn {
            found.syn_acked = true;
            self.recovery.retrans_stamp = None;
        } else {
            found.data_acked = true;
        }
    }

    /// Karn's rule: what was sent twice gives no RTT, except by its timestamp (`tcp_ack_update_rtt`).
    fn measure_rtt(&mut self, cx: &mut Context, segment: &Segment, found: &mut Found, acked: &Acked) {
        let since = |at: Instant| cx.now.since(at).as_micros();
        let clean = acked.first_sent.filter(|_| !found.retransmitted_acked);
        let mut path = acked.last_sent.filter(|_| clean.is_some()).map(since);
        let mut rtt = clean.map(since);
        if let Some((first, last)) = found.sacked_sent {
            rtt = rtt.or(Some(since(first)));
            path = Some(since(last));
        }
        if rtt.is_none() && (found.data_acked || found.syn_acked) {
            rtt = self.rtt_by_timestamp(cx, segment);
            path = rtt;
        }
        let Some(us) = rtt else { return };
        let path_us = path.unwrap_or(us);
        self.rtt.min = self.rtt.min.min(path_us.max(1));
        self.rtt.sample(us, self.snd.una, self.snd.nxt);
        let sample = self.congestion_sample(cx, path_us);
        self.congestion.acked(&sample);
        let sacked_only = !found.data_acked && !found.syn_acked;
        if sacked_only
            && let (Some((first, _)), Some(head)) = (found.sacked_sent, self.snd.rtx.head())
            && first < head.sent_at
        {
            // The RTO may move only if what was SACKed is older than the head's last transmission.
            found.set_timer = true;
        }
    }

    pub(super) fn rtt_by_timestamp(&self, cx: &Context, segment: &Segment) -> Option<u64> {
        self.negotiated.timestamps?;
        let echo = segment.options.timestamps.filter(|ts| ts.echo != 0)?.echo;
        let ms = self.clock(cx).wrapping_sub(echo);
        (ms < i32::MAX as u32).then_some(u64::from(ms.max(1)) * 1000)
    }

    pub(super) fn congestion_sample(&self, cx: &Context, rtt_us: u64) -> Sample {
        Sample { now: cx.now, rtt_us, una: self.snd.una, nxt: self.snd.nxt, pacing_rate: self.pacing_rate() }
    }

    /// `tcp_cong_control`: reduce, or grow if the ACK says that data left the network.
    fn control_congestion(&mut self, cx: &mut Context, found: &Found) {
        let delivered = self.snd.delivered.wrapping_sub(found.prior_delivered);
        let lost = self.recovery.lost.wrapping_sub(found.prior_lost);
        let progress = found.data_acked || found.syn_acked || found.data_sacked;
        let may_raise = if self.recovery.reordering > cx.config.reordering {
            progress
        } else {
            found.data_acked || found.syn_acked
        };
        if self.recovery.in_reduction() {
            self.reduce_cwnd(delivered, lost, found.una_advanced);
        } else if may_raise && self.state != State::SynSent {
            self.congestion.avoid(cx.now, delivered);
            self.congestion.stamp = cx.now;
        }
    }

    fn resend(&mut self, cx: &mut Context, resend: Resend) {
        match resend {
            Resend::Nothing => return,
            Resend::Lost => {}
            Resend::New => {
                self.push_with(cx, super::output::Nagle::Off);
                if after(self.snd.nxt, self.recovery.high_seq) {
                    return;
                }
                self.recovery.frto = false;
            }
        }
        self.retransmit_lost(cx);
    }
}

/// What an ACK took off the queue.
#[derive(Clone, Debug, Default)]
struct Acked {
    packets: u32,
    first_sent: Option<Instant>,
    last_sent: Option<Instant>,
    reordered: Option<u32>,
}
