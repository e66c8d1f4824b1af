//! The timers of a connection: one for retransmission, probes and reordering, one each for delayed and compressed ACKs
//! and keepalive (net/ipv4/tcp_timer.c).

use super::output::{Amount, Nagle};
use super::rtt::{RTO_INITIAL, RTO_MAX, RTO_MIN, TICK, TIMEOUT_MIN, in_ticks};
use super::{CaState, Connection, State};
use crate::engine::errno::Errno;
use crate::engine::mutant::Mutant;
use crate::engine::time::{Duration, Instant};
use crate::netns::socket::tcp::context::Context;
use crate::netns::socket::tcp::seq::{after, before};
use crate::netns::socket::tcp::time_wait::TIME_WAIT_LENGTH;
use crate::netns::socket::tx_hash;

/// What the retransmission timer is set for (`icsk_pending`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pending {
    Retransmit,
    LossProbe,
    Reorder,
    ZeroWindowProbe,
}

/// When what is due.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Timers {
    retransmit: Option<(Instant, Pending)>,
    pub(super) delack: Option<Instant>,
    pub(super) compressed_ack: Option<Instant>,
    /// Keepalive, or the wait of an orphan in FIN-WAIT-2.
    pub(super) keepalive: Option<Instant>,
}

impl Timers {
    pub(super) fn next(&self) -> Instant {
        let retransmit = self.retransmit.map(|(at, _)| at);
        let all = [retransmit, self.delack, self.compressed_ack, self.keepalive];
        all.into_iter().flatten().min().unwrap_or(Instant::NEVER)
    }

    pub(super) fn retransmit_at(&mut self, at: Instant) {
        self.retransmit = Some((at, Pending::Retransmit));
    }

    pub(super) fn reorder_at(&mut self, at: Instant) {
        self.retransmit = Some((at, Pending::Reorder));
    }

    fn is(&self, pending: Pending) -> bool {
        self.retransmit.is_some_and(|(_, p)| p == pending)
    }

    pub(super) fn is_loss_probe(&self) -> bool {
        self.is(Pending::LossProbe)
    }

    pub(super) fn is_reorder(&self) -> bool {
        self.is(Pending::Reorder)
    }

    pub(super) fn is_retransmit(&self) -> bool {
        self.is(Pending::Retransmit)
    }
}

/// Repetitions after close() where tcp_orphan_retries is 0 (`tcp_orphan_retries`).
const ORPHAN_RETRIES: u32 = 8;

impl Connection {
    /// Does what is due at `cx.now`.
    pub(in super::super) fn on_timer(&mut self, cx: &mut Context) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= cx.now);
        let [delack, compressed, keepalive] =
            [self.timers.delack, self.timers.compressed_ack, self.timers.keepalive].map(due);
        if due(self.timers.retransmit.map(|(at, _)| at)) {
            match self.timers.retransmit.map(|(_, pending)| pending) {
                Some(Pending::Reorder) => self.reorder_timer(cx),
                Some(Pending::LossProbe) => self.send_loss_probe(cx),
                Some(Pending::Retransmit) => {
                    self.timers.retransmit = None;
                    self.retransmit_timer(cx);
                }
                Some(Pending::ZeroWindowProbe) => {
                    self.timers.retransmit = None;
                    self.zero_window_timer(cx);
                }
                None => {}
            }
        }
        if delack && self.state != State::Closed {
            self.delack_timer(cx);
        }
        if compressed && self.state != State::Closed {
            self.compressed_ack_timer(cx);
        }
        if keepalive && self.state != State::Closed {
            self.keepalive_timer(cx);
        }
    }

    /// Sets the tail loss probe or the RTO (`tcp_set_xmit_timer`).
    pub(super) fn set_xmit_timer(&mut self, cx: &Context) {
        if !self.schedule_loss_probe(cx, true) {
            self.rearm_rto(cx);
        }
    }

    /// How long until the RTO that counts from the head's last transmission; `None` if it has passed (`tcp_rto_delta_us`).
    fn rto_remaining(&self, cx: &Context) -> Option<Duration> {
        let sent = self.snd.rtx.head().map_or(cx.now, |head| head.sent_at);
        let at = sent + self.rtt.rto;
        (at > cx.now).then(|| at.since(cx.now))
    }

    /// `tcp_rearm_rto`: probes and the reordering timer do not put the RTO off.
    pub(super) fn rearm_rto(&mut self, cx: &Context) {
        if self.snd.rtx.is_empty() {
            self.timers.retransmit = None;
            return;
        }
        let wait = if self.timers.is(Pending::LossProbe) || self.timers.is(Pending::Reorder) {
            self.rto_remaining(cx).unwrap_or(Duration::ZERO)
        } else {
            self.rtt.rto
        };
        self.timers.retransmit_at(cx.now + wait);
    }

    /// Whether a tail loss probe was scheduled: after two RTTs, for connections with SACK that are not in recovery
    /// (RFC 8985 7.2; `tcp_schedule_loss_probe`).
    pub(super) fn schedule_loss_probe(&mut self, cx: &Context, advancing: bool) -> bool {
        let wanted = matches!(cx.config.early_retrans, 3 | 4) && self.negotiated.sack;
        let in_order = matches!(self.recovery.state, CaState::Open | CaState::Cwr);
        if !wanted || !in_order || self.snd.rtx.is_empty() {
            return false;
        }
        let mut wait = RTO_INITIAL;
        if self.rtt.srtt8 != 0 {
            // One segment may be waiting for a delayed ACK.
            let slack = if self.snd.rtx.packets_out == 1 { self.rtt.rto_min } else { TIMEOUT_MIN };
            wait = in_ticks(Duration::from_micros(self.rtt.srtt8 >> 2) + slack);
        }
        let rto = if advancing { Some(self.rtt.rto) } else { self.rto_remaining(cx) };
        wait = wait.min(rto.unwrap_or(wait));
        self.timers.retransmit = Some((cx.now + wait, Pending::LossProbe));
        true
    }

    /// Sends new data or the last segment again, so that the peer tells what is missing (`tcp_send_loss_probe`).
    fn send_loss_probe(&mut self, cx: &mut Context) {
        if self.recovery.tlp_high_seq.is_none() && self.send_probe_segment(cx) {
            cx.count("TCPLossProbes");
            self.recovery.tlp_high_seq = Some(self.snd.nxt);
            // The RTO counts from now.
            self.timers.retransmit = None;
        }
        self.rearm_rto(cx);
    }

    fn send_probe_segment(&mut self, cx: &mut Context) -> bool {
        self.recovery.tlp_retransmitted = false;
        let mss = self.current_mss();
        let fits = !after(self.first_segment_end(mss), self.snd.window_end());
        if self.snd.has_unsent() && fits {
            let before = self.snd.rtx.packets_out;
            self.write_xmit(cx, mss, Nagle::Off, Amount::Probe);
            return self.snd.rtx.packets_out > before;
        }
        let Some(mut last) = self.snd.rtx.len().checked_sub(1) else { return false };
        if let Some(chunk) = self.snd.rtx.get(last)
            && chunk.packets() > 1
        {
            let cut = (chunk.packets() - 1) * mss;
            if chunk.len > cut {
                self.snd.rtx.split(last, cut, mss);
                last += 1;
            }
        }
        self.recovery.tlp_retransmitted = self.transmit_again(cx, last, 1);
        self.recovery.tlp_retransmitted
    }

    /// The RTO has passed (`tcp_retransmit_timer`).
    pub(super) fn retransmit_timer(&mut self, cx: &mut Context) {
        if self.snd.rtx.is_empty() {
            return;
        }
        let handshake = matches!(self.state, State::SynSent | State::SynReceived);
        let shrunk = self.snd.wnd == 0 && !self.orphan && !handshake;
        if !shrunk {
            cx.count("TCPTimeouts");
        }
        if shrunk {
            // The peer has shrunk its window: what we repeat is a window probe, and it may take for ever while it answers.
            if cx.now.since(self.recovery.last_ack) > RTO_MAX && self.timed_out(cx, cx.config.retries2) {
                return self.give_up(cx);
            }
        } else if self.write_timeout(cx) {
            return self.give_up(cx);
        } else {
            // The flow gets another hash, so that another path may be tried (`sk_rethink_txhash`).
            cx.count("TcpTimeoutRehash");
            self.count_failure(cx);
        }
        self.tx_hash = tx_hash(self.local, self.remote, self.tx_hash);
        self.enter_loss(cx);
        if !shrunk {
            self.recovery.retransmits += 1;
            self.recovery.total_timeouts += 1;
        }
        self.retransmit(cx, 0, 1);
        let linear = self.state == State::SynSent && self.recovery.total_timeouts <= cx.config.syn_linear_timeouts;
        if !linear && !cx.planted.is(Mutant::TcpTimeoutKept) {
            self.rtt.back_off();
        }
        self.timers.retransmit_at(cx.now + self.clamp_to_user_timeout(cx, self.rtt.rto));
    }

    /// The first timeout ends what went on until then (`tcp_retransmit_timer`).
    fn count_failure(&self, cx: &mut Context) {
        if self.recovery.retransmits > 0 {
            return;
        }
        let sack = self.negotiated.sack;
        match self.recovery.state {
            CaState::Recovery => cx.count(if sack { "TCPSackRecoveryFail" } else { "TCPRenoRecoveryFail" }),
            CaState::Loss => cx.count("TCPLossFailures"),
            CaState::Open | CaState::Cwr if self.snd.rtx.sacked_out == 0 => {}
            _ => cx.count(if sack { "TCPSackFailures" } else { "TCPRenoFailures" }),
        }
    }

    /// Whether nothing more should be tried (`tcp_write_timeout`).
    fn write_timeout(&mut self, cx: &Context) -> bool {
        let tried = self.recovery.retransmits;
        match self.state {
            State::SynSent | State::SynReceived => {
                let retries = self.options.syncnt.unwrap_or(cx.config.syn_retries);
                let mut limit = retries;
                if self.state == State::SynSent {
                    limit += cx.config.syn_linear_timeouts;
                }
                tried >= limit || self.timed_out(cx, retries)
            }
            _ => {
                if self.outage(cx) >= Some(model_timeout(cx.config.retries1, RTO_MIN)) {
                    self.suspect_black_hole(cx);
                }
                let alive = self.rtt.rto < RTO_MAX;
                let limit = if self.orphan { self.orphan_retries(cx, alive) } else { cx.config.retries2 };
                self.timed_out(cx, limit)
            }
        }
    }

    /// Large segments may be swallowed without a word: smaller ones are tried (RFC 4821; `tcp_mtu_probing`).
    fn suspect_black_hole(&mut self, cx: &Context) {
        let config = &cx.config;
        if config.mtu_probing == 0 {
            return;
        }
        let smaller = |mss: u32| (mss >> 1).max(config.mtu_probe_floor).min(config.base_mss).max(config.min_snd_mss);
        self.snd.tried_mss = Some(self.snd.tried_mss.map_or(config.base_mss, smaller));
        self.sync_mss(cx);
    }

    /// `tcp_orphan_retries`.
    fn orphan_retries(&self, cx: &Context, alive: bool) -> u32 {
        match (self.soft_error, cx.config.orphan_retries) {
            // The peer's host is known to be unreachable.
            (Some(_), _) if !alive => 0,
            (_, 0) if alive => ORPHAN_RETRIES,
            (_, n) => n,
        }
    }

    /// Whether the outage has lasted as long as `retries` doublings take (`retransmits_timed_out`).
    fn timed_out(&self, cx: &Context, retries: u32) -> bool {
        let handshake = matches!(self.state, State::SynSent | State::SynReceived);
        let first = if handshake { RTO_INITIAL } else { RTO_MIN };
        self.outage(cx) >= Some(self.options.user_timeout.unwrap_or_else(|| model_timeout(retries, first)))
    }

    /// For how long nothing has come through; `None` before the first repetition.
    fn outage(&self, cx: &Context) -> Option<Duration> {
        if self.recovery.retransmits == 0 {
            return None;
        }
        let start = self.recovery.retrans_stamp.unwrap_or(cx.now);
        // The kernel measures with timers that are late by up to an eighth, and how often it tries relies on it: without
        // that the limit would fall between two timeouts (fact 80). A twenty-fourth part is what they are late on average.
        let elapsed = cx.now.since(start);
        Some(elapsed + Duration::from_nanos(elapsed.as_nanos() / 24))
    }

    /// `tcp_clamp_rto_to_user_timeout`.
    fn clamp_to_user_timeout(&self, cx: &Context, wait: Duration) -> Duration {
        match (self.options.user_timeout, self.recovery.retrans_stamp) {
            (Some(limit), Some(start)) => wait.min((limit - cx.now.since(start)).max(TIMEOUT_MIN)),
            _ => wait,
        }
    }

    /// `tcp_write_err`: what ICMP said, if anything, is the reason.
    fn give_up(&mut self, cx: &mut Context) {
        cx.count("TCPAbortOnTimeout");
        let errno = self.soft_error.unwrap_or(Errno::ETIMEDOUT);
        self.fail(cx, errno);
    }

    /// Everything sent long enough ago is lost; begin again with one segment (`tcp_enter_loss`).
    fn enter_loss(&mut self, cx: &mut Context) {
        let new_recovery = self.recovery.state < CaState::Recovery;
        self.mark_timed_out(cx);
        let fresh = self.recovery.state <= CaState::Disorder
            || !after(self.recovery.high_seq, self.snd.una)
            || (self.recovery.state == CaState::Loss && self.recovery.retransmits == 0);
        if fresh {
            let in_reduction = self.recovery.in_reduction();
            self.recovery.prior_ssthresh = Some(self.congestion.current_ssthresh(in_reduction));
            self.recovery.prior_cwnd = self.congestion.cwnd;
            self.congestion.ssthresh = self.congestion.reduced();
            let sample = self.congestion_sample(cx, 0);
            self.congestion.timed_out(&sample);
            self.start_undo();
        }
        self.congestion.cwnd = self.snd.rtx.in_flight() + 1;
        self.congestion.cwnd_cnt = 0;
        self.congestion.stamp = cx.now;
        if self.recovery.state <= CaState::Disorder && self.snd.rtx.sacked_out >= cx.config.reordering {
            self.recovery.reordering = self.recovery.reordering.min(cx.config.reordering);
        }
        self.recovery.state = CaState::Loss;
        self.recovery.high_seq = self.snd.nxt;
        self.recovery.tlp_high_seq = None;
        self.ecn.reduced = true;
        self.recovery.frto = cx.config.frto != 0 && (new_recovery || self.recovery.retransmits > 0);
    }

    /// `tcp_timeout_mark_lost`.
    fn mark_timed_out(&mut self, cx: &mut Context) {
        // A peer whose SACK covered the head has forgotten what it had (reneging).
        let reneged = self.snd.rtx.head().is_some_and(|head| head.sacked);
        if reneged {
            cx.count("TCPSACKReneging");
        } else if !self.negotiated.sack {
            self.snd.rtx.sacked_out = 0;
        }
        for i in 0..self.snd.rtx.len() {
            if reneged {
                self.snd.rtx.update(i, |c| c.sacked = false);
            } else if i > 0 && self.snd.rtx.get(i).is_some_and(|c| self.rack_remaining(cx, c, 0) > 0) {
                continue;
            }
            self.mark_lost(cx, i);
        }
    }

    /// Data waits and nothing is in flight: probe for a window (`tcp_check_probe_timer`).
    pub(super) fn arm_zero_window_probe(&mut self, cx: &Context) {
        if self.timers.retransmit.is_none() {
            let at = cx.now + self.rtt.rto.max(RTO_MIN);
            self.timers.retransmit = Some((at, Pending::ZeroWindowProbe));
        }
    }

    /// An ACK while nothing was outstanding (`tcp_ack_probe`).
    pub(super) fn window_may_be_open(&mut self, cx: &Context) {
        if !self.snd.has_unsent() {
            return;
        }
        if after(self.snd.first_end(), self.snd.window_end()) {
            let at = cx.now + self.probe_interval();
            self.timers.retransmit = Some((at, Pending::ZeroWindowProbe));
        } else {
            self.rtt.backoff = 0;
            self.recovery.probing_since = None;
            if self.timers.is(Pending::ZeroWindowProbe) {
                self.timers.retransmit = None;
            }
        }
    }

    /// `tcp_probe0_when`.
    fn probe_interval(&self) -> Duration {
        self.rtt.rto.max(RTO_MIN).saturating_mul(1 << self.rtt.backoff.min(10)).min(RTO_MAX)
    }

    /// `tcp_probe_timer`: silence is counted, answers are not.
    fn zero_window_timer(&mut self, cx: &mut Context) {
        if !self.snd.rtx.is_empty() || !self.snd.has_unsent() {
            self.recovery.probes_out = 0;
            self.recovery.probing_since = None;
            return;
        }
        let since = *self.recovery.probing_since.get_or_insert(cx.now);
        let mut limit = cx.config.retries2;
        if self.orphan {
            let alive = self.probe_interval() < RTO_MAX;
            limit = self.orphan_retries(cx, alive);
            if !alive && self.rtt.backoff >= limit {
                return self.give_up(cx);
            }
        }
        let patience_over = self.options.user_timeout.is_some_and(|limit| cx.now.since(since) >= limit);
        if self.recovery.probes_out >= limit || patience_over {
            return self.give_up(cx);
        }
        self.write_wakeup(cx);
        if !self.snd.rtx.is_empty() || !self.snd.has_unsent() {
            self.recovery.probes_out = 0;
            self.rtt.backoff = 0;
            return;
        }
        self.recovery.probes_out += 1;
        self.rtt.backoff = (self.rtt.backoff + 1).min(cx.config.retries2);
        let at = cx.now + self.clamp_to_user_timeout(cx, self.probe_interval());
        self.timers.retransmit = Some((at, Pending::ZeroWindowProbe));
    }

    /// Sends what fits the window, else a bare probe (`tcp_write_wakeup`).
    fn write_wakeup(&mut self, cx: &mut Context) {
        if self.snd.has_unsent() && before(self.snd.nxt, self.snd.window_end()) {
            let room = self.snd.window_end().wrapping_sub(self.snd.nxt);
            let mss = self.current_mss();
            self.snd.pushed = self.snd.first_end();
            self.send_new(cx, self.snd.unsent.first().min(room).min(mss), mss, true);
        } else {
            cx.count("TCPWinProbe");
            self.send_probe(cx);
        }
    }

    pub(super) fn keepalive_time(&self, cx: &Context) -> Duration {
        self.options.keepidle.unwrap_or(cx.config.keepalive_time.into())
    }

    /// How long an orphan waits for a FIN (`tcp_fin_time`).
    pub(super) fn fin_timeout(&self, cx: &Context) -> Duration {
        let timeout = self.options.linger2.unwrap_or(cx.config.fin_timeout.into());
        let least = Duration::from_nanos(self.rtt.rto.as_nanos() * 7 / 2);
        timeout.max(least)
    }

    /// `tcp_keepalive_timer`.
    fn keepalive_timer(&mut self, cx: &mut Context) {
        self.timers.keepalive = None;
        if self.state == State::FinWait2 && self.orphan {
            let left = self.fin_timeout(cx) - TIME_WAIT_LENGTH;
            if left > Duration::ZERO {
                return self.wait_for_fin(cx, left);
            }
            self.send_reset(cx);
            return self.close_down(cx);
        }
        if !self.options.keepalive || self.state == State::SynSent {
            return;
        }
        let time = self.keepalive_time(cx);
        let mut wait = time;
        if self.snd.rtx.is_empty() && !self.snd.has_unsent() {
            let heard = self.delack.last_received.max(self.recovery.last_ack);
            let idle = cx.now.since(heard);
            if idle < time {
                wait = time - idle;
            } else if self.keepalive_exhausted(cx, idle) {
                self.send_reset(cx);
                return self.give_up(cx);
            } else {
                cx.count("TCPKeepAlive");
                self.send_probe(cx);
                self.recovery.probes_out += 1;
                wait = self.options.keepintvl.unwrap_or(cx.config.keepalive_intvl.into());
            }
        }
        self.timers.keepalive = Some(cx.now + wait.max(TICK));
    }

    fn keepalive_exhausted(&self, cx: &Context, idle: Duration) -> bool {
        let probes = self.recovery.probes_out;
        match self.options.user_timeout {
            Some(limit) => idle >= limit && probes > 0,
            None => probes >= self.options.keepcnt.unwrap_or(cx.config.keepalive_probes),
        }
    }
}

/// The time `retries` doublings of a first timeout take (`tcp_model_timeout`).
fn model_timeout(retries: u32, first: Duration) -> Duration {
    let doublings = (RTO_MAX.as_micros() / first.as_micros()).ilog2();
    let exponential = first.saturating_mul((2 << retries.min(doublings)) - 1);
    exponential + RTO_MAX.saturating_mul(u64::from(retries.saturating_sub(doublings)))
}
