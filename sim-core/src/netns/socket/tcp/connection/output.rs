//! Making segments: how much may be sent now, in what portions, with which header (net/ipv4/tcp_output.c).

use bytes::Bytes;

use super::rtx::Chunk;
use super::{Connection, State};
use crate::engine::time::{Duration, Instant};
use crate::netns::socket::tcp::context::Context;
use crate::netns::socket::tcp::options::{Options, SPACE, TIMESTAMPS_ALIGNED, Timestamps};
use crate::netns::socket::tcp::path::{DEFAULT_MSS, header_len};
use crate::netns::socket::tcp::segment::{OutSegment, Segment};
use crate::netns::socket::tcp::seq::{after, before};
use crate::wire::l4::{ACK, FIN, PSH, RST, SYN};

/// What holds small segments back (`TCP_NAGLE_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Nagle {
    /// RFC 896.
    On,
    /// TCP_NODELAY, or a push that must not wait.
    Off,
    /// TCP_CORK.
    Cork,
}

/// How much `write_xmit` may send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Amount {
    All,
    /// The first packet of a write that goes on (`tcp_push_one`).
    One,
    /// A tail loss probe: one packet, whatever the congestion window says.
    Probe,
}

/// `GSO_LEGACY_MAX_SIZE`: bytes handed to a device at once.
const GSO_SIZE: u32 = 65_536;
/// What of them is kept for headers (`sk_dst_gso_max_size`).
const GSO_HEADERS: u32 = 257;
/// `sysctl_tcp_min_tso_segs`.
const MIN_TSO_SEGMENTS: u64 = 2;

impl Connection {
    pub(super) fn nagle(&self) -> Nagle {
        match (self.options.cork, self.options.nodelay) {
            (true, _) => Nagle::Cork,
            (_, true) => Nagle::Off,
            _ => Nagle::On,
        }
    }

    /// Bytes of data a segment sent now may carry: the SACK blocks it will have take room (`tcp_current_mss`).
    pub(super) fn current_mss(&self) -> u32 {
        let blocks = if self.negotiated.sack { self.rcv.ofo.block_count() } else { 0 };
        let room = SPACE as u32 - self.fixed_options();
        let sack = if blocks > 0 { 4 + 8 * blocks.min((room - 4) / 8) } else { 0 };
        self.snd.mss.saturating_sub(sack).max(1)
    }

    /// Sets the segment size from the path MTU (`tcp_sync_mss`).
    pub(super) fn sync_mss(&mut self, cx: &Context) {
        let mss = self.path.mtu.saturating_sub(header_len(self.remote)).min(self.negotiated.mss_clamp);
        // A SYN makes room for the timestamps it offers (`tcp_connect_init`).
        let offers = self.state == State::SynSent && cx.config.timestamps;
        let options = if offers { TIMESTAMPS_ALIGNED } else { self.fixed_options() };
        let mss = mss.max(cx.config.min_snd_mss).saturating_sub(options).max(1);
        let mss = self.half_window(mss);
        self.snd.mss = mss.min(self.snd.tried_mss.unwrap_or(mss));
    }

    /// `size`, but half the largest window seen, or the peer could never acknowledge two of them
    /// (`tcp_bound_to_half_wnd`).
    fn half_window(&self, size: u32) -> u32 {
        let window = self.snd.max_window;
        let cutoff = if window > DEFAULT_MSS { window >> 1 } else { window };
        if cutoff > 0 && size > cutoff { cutoff.max(68 - 20 - self.fixed_options()) } else { size }
    }

    /// Bytes of whole segments that a write puts into one packet (`tcp_xmit_size_goal`).
    pub(super) fn size_goal(&self, mss: u32) -> u32 {
        (self.half_window(GSO_SIZE - GSO_HEADERS) / mss).max(1) * mss
    }

    /// The last packet of a write is pushed (`tcp_mark_push`).
    pub(super) fn mark_push(&mut self) {
        self.snd.unsent.push();
        self.snd.pushed = self.snd.write_seq;
    }

    /// More than half a window was written since the last push (`forced_push`).
    pub(super) fn push_is_forced(&self) -> bool {
        after(self.snd.write_seq, self.snd.pushed.wrapping_add(self.snd.max_window >> 1))
    }

    /// Bytes per second that two (or 1.2) windows per RTT make (`tcp_update_pacing_rate`).
    pub(super) fn pacing_rate(&self) -> u64 {
        let cwnd = self.congestion.cwnd.max(self.snd.rtx.packets_out);
        let percent = if self.congestion.cwnd < self.congestion.ssthresh / 2 { 200 } else { 120 };
        let bytes = u64::from(self.snd.mss) * u64::from(cwnd) * percent / 100;
        (bytes * 8_000_000).checked_div(self.rtt.srtt8).unwrap_or(u64::MAX >> 1)
    }

    /// Segments handed over at once: about a millisecond of the pacing rate (`tcp_tso_autosize`).
    pub(super) fn burst(&self, mss: u32) -> u32 {
        let mut bytes = self.pacing_rate() >> 10;
        // Near peers get more (`tcp_tso_rtt_log`).
        let near = self.rtt.min >> 9;
        if near < 32 {
            bytes += u64::from(GSO_SIZE >> near);
        }
        (bytes.min(u64::from(GSO_SIZE)) / u64::from(mss)).max(MIN_TSO_SEGMENTS) as u32
    }

    /// Sends what may be sent (`tcp_push_pending_frames`).
    pub(super) fn push_pending(&mut self, cx: &mut Context) {
        self.push_with(cx, self.nagle());
    }

    /// `__tcp_push_pending_frames`.
    pub(super) fn push_with(&mut self, cx: &mut Context, nagle: Nagle) {
        if self.state == State::Closed || !self.snd.has_unsent() {
            return;
        }
        let mss = self.current_mss();
        self.write_xmit(cx, mss, nagle, Amount::All);
        if self.snd.rtx.is_empty() && self.snd.has_unsent() {
            self.arm_zero_window_probe(cx);
        }
    }

    /// `tcp_write_xmit`: sends chunk after chunk while both windows allow it.
    pub(super) fn write_xmit(&mut self, cx: &mut Context, mss: u32, nagle: Nagle, amount: Amount) {
        let burst = self.burst(mss);
        let mut sent = 0;
        let mut cwnd_limited = false;
        while self.snd.has_unsent() {
            let quota = match self.quota() {
                0 if amount == Amount::Probe => 1,
                0 => break,
                n => n.min(burst),
            };
            self.snd.unsent.grow_first(quota.saturating_mul(mss));
            let (len, last) = (self.snd.unsent.first(), self.snd.unsent.len() <= 1);
            if after(self.first_segment_end(mss), self.snd.window_end()) {
                break;
            }
            let mut take = len;
            if len > mss {
                if amount == Amount::All && self.defers(cx, len, burst, &mut cwnd_limited) {
                    break;
                }
                take = self.split_point(len, mss, quota, nagle);
            } else if last && !self.snd.fin_queued && self.waits(len < mss, nagle) {
                break;
            }
            if take == 0 && !self.snd.fin_queued {
                break;
            }
            sent += self.send_new(cx, take, mss, false);
            if amount != Amount::All {
                break;
            }
        }
        cwnd_limited |= self.snd.rtx.in_flight() >= self.congestion.cwnd;
        if sent > 0 || cwnd_limited {
            self.validate_cwnd(cx, cwnd_limited);
        }
        if sent > 0 {
            if self.recovery.in_reduction() {
                self.recovery.prr_out += sent;
            }
            if amount != Amount::Probe {
                self.schedule_loss_probe(cx, false);
            }
        }
    }

    /// The end of the next segment to be sent (`tcp_snd_wnd_test`).
    pub(super) fn first_segment_end(&self, mss: u32) -> u32 {
        if self.snd.unsent.first() > mss { self.snd.nxt.wrapping_add(mss) } else { self.snd.first_end() }
    }

    /// Segments the congestion window allows: half of it at most at once (`tcp_cwnd_test`).
    fn quota(&self) -> u32 {
        let (in_flight, cwnd) = (self.snd.rtx.in_flight(), self.congestion.cwnd);
        if in_flight >= cwnd { 0 } else { (cwnd >> 1).max(1).min(cwnd - in_flight) }
    }

    /// `tcp_nagle_check`: a small segment waits while another one is in flight.
    fn waits(&self, partial: bool, nagle: Nagle) -> bool {
        partial
            && match nagle {
                Nagle::Cork => true,
                Nagle::Off => false,
                Nagle::On => {
                    let small_in_flight = after(self.snd.small, self.snd.una) && !after(self.snd.small, self.snd.nxt);
                    !self.snd.rtx.is_empty() && small_in_flight
                }
            }
    }

    /// How many bytes to send at once: whole segments, the rest only if Nagle allows (`tcp_mss_split_point`).
    fn split_point(&self, len: u32, mss: u32, quota: u32, nagle: Nagle) -> u32 {
        let window = self.snd.window_end().wrapping_sub(self.snd.nxt);
        let needed = len.min(window);
        let most = mss.saturating_mul(quota);
        if most <= needed || (most <= window && self.snd.unsent.len() > 1) {
            return most.min(len);
        }
        let partial = needed % mss;
        if self.waits(partial != 0, nagle) { needed - partial } else { needed }
    }

    /// Whether waiting for the next ACK will let more leave at once (`tcp_tso_should_defer`).
    fn defers(&self, cx: &Context, len: u32, burst: u32, cwnd_limited: &mut bool) -> bool {
        if self.recovery.state >= super::CaState::Recovery
            || cx.now.since(self.snd.last_data) > Duration::from_millis(1)
            || (self.snd.fin_queued && self.snd.unsent.len() == 1)
        {
            return false;
        }
        let in_flight = self.snd.rtx.in_flight();
        let window = self.snd.window_end().wrapping_sub(self.snd.nxt);
        let cwnd = (self.congestion.cwnd - in_flight.min(self.congestion.cwnd)).saturating_mul(self.snd.mss);
        let limit = window.min(cwnd);
        let third = self.snd.wnd.min(self.congestion.cwnd.saturating_mul(self.snd.mss)) / 3;
        let whole = limit >= len && self.snd.unsent.len() > 1;
        if limit >= burst.saturating_mul(self.snd.mss) || whole || limit >= third {
            return false;
        }
        let half_rtt = Duration::from_micros(self.rtt.srtt8 >> 4);
        if self.snd.rtx.head().is_none_or(|head| cx.now.since(head.sent_at) < half_rtt) {
            return false;
        }
        *cwnd_limited |= cwnd < window && cwnd <= len;
        if cwnd < window { cwnd <= len } else { window <= len }
    }

    /// Sends the first `take` bytes of the first packet, with the FIN if it follows them; how many segments that were.
    /// `push`: with PSH, whatever the write has asked for.
    pub(super) fn send_new(&mut self, cx: &mut Context, take: u32, mss: u32, push: bool) -> u32 {
        let last = take == self.snd.unsent();
        let psh = self.snd.unsent.take(take) || push;
        let chunk = Chunk {
            seq: self.snd.nxt,
            len: take,
            syn: false,
            fin: last && self.snd.fin_queued,
            psh,
            mss,
            sent_at: cx.now,
            delivered: self.snd.delivered,
            sacked: false,
            lost: false,
            retransmitted: false,
            ever_retransmitted: false,
        };
        let packets = chunk.packets();
        if take < packets * mss {
            self.snd.small = chunk.end();
        }
        self.transmit(cx, &chunk);
        self.note_sent(cx, chunk);
        cx.add("TCPOrigDataSent", packets);
        packets
    }

    /// `tcp_event_new_data_sent`.
    pub(super) fn note_sent(&mut self, cx: &mut Context, chunk: Chunk) {
        let first = self.snd.rtx.is_empty();
        self.snd.nxt = chunk.end();
        self.snd.rtx.push(chunk);
        if first || self.timers.is_loss_probe() {
            self.rearm_rto(cx);
        }
    }

    /// Remembers whether the congestion window was the limit (`tcp_cwnd_validate`).
    fn validate_cwnd(&mut self, cx: &Context, limited: bool) {
        let (packets, snd) = (self.snd.rtx.packets_out, &self.snd);
        let c = &mut self.congestion;
        if !before(snd.una, c.usage_seq) || limited || (!c.is_limited && packets > c.max_packets_out) {
            (c.is_limited, c.max_packets_out, c.usage_seq) = (limited, packets, snd.nxt);
        }
        if c.is_limited || (c.in_slow_start() && c.cwnd < 2 * c.max_packets_out) {
            c.used = 0;
            c.stamp = cx.now;
        } else {
            c.used = c.used.max(packets);
            if cx.config.slow_start_after_idle && cx.now.since(c.stamp) >= self.rtt.rto {
                c.application_limited(cx.now);
            }
        }
    }

    /// Sends the segments of a chunk (`__tcp_transmit_skb`).
    pub(super) fn transmit(&mut self, cx: &mut Context, chunk: &Chunk) {
        let ack = if self.state == State::SynSent { 0 } else { ACK };
        let (options, window) = if chunk.syn {
            (self.syn_options(cx), self.rcv.wnd.min(u32::from(u16::MAX)) as u16)
        } else {
            let window = self.select_window(cx);
            (self.segment_options(cx), window)
        };
        let mut offset = 0;
        loop {
            let len = (chunk.len - offset).min(chunk.mss.max(1));
            let last = offset + len == chunk.len;
            let mut flags = ack;
            if chunk.syn {
                flags |= SYN | self.ecn_of_syn(cx, chunk.ever_retransmitted);
            }
            if last {
                // PSH ends what leaves as several segments, each time anew.
                let psh = chunk.psh || chunk.packets() > 1;
                flags |= if chunk.fin { FIN } else { 0 } | if psh { PSH } else { 0 };
            }
            let seq = chunk.seq.wrapping_add(offset);
            let payload = if len == 0 { Bytes::new() } else { self.snd.buffer.slice(seq, len) };
            self.emit(cx, seq, flags, window, options, payload);
            offset += len;
            if last {
                break;
            }
        }
        if ack != 0 {
            self.ack_sent();
        }
        if chunk.len > 0 {
            self.data_sent(cx);
        }
    }

    /// Sends an ACK (`tcp_send_ack`).
    pub(super) fn send_ack(&mut self, cx: &mut Context) {
        if self.state != State::Closed {
            self.send_bare(cx, self.acceptable_seq(), ACK);
        }
    }

    /// Sends an ACK that the peer must answer: its sequence number is an old one (`tcp_xmit_probe_skb`).
    pub(super) fn send_probe(&mut self, cx: &mut Context) {
        self.send_bare(cx, self.snd.una.wrapping_sub(1), ACK);
    }

    /// Sends a RST that breaks the connection off (`tcp_send_active_reset`).
    pub(super) fn send_reset(&mut self, cx: &mut Context) {
        cx.count("OutRsts");
        self.send_bare(cx, self.acceptable_seq(), RST | ACK);
    }

    fn send_bare(&mut self, cx: &mut Context, seq: u32, flags: u8) {
        let window = self.select_window(cx);
        let options = self.segment_options(cx);
        self.emit(cx, seq, flags, window, options, Bytes::new());
        self.ack_sent();
    }

    /// A sequence number the peer will accept although it may have shrunk its window (`tcp_acceptable_seq`).
    fn acceptable_seq(&self) -> u32 {
        let (end, nxt) = (self.snd.window_end(), self.snd.nxt);
        let slack = if self.negotiated.window_scaling { 1 << self.negotiated.rcv_wscale } else { 0 };
        if !before(end, nxt) || nxt.wrapping_sub(end) < slack { nxt } else { end }
    }

    /// Our timestamps, if they are in use.
    pub(super) fn own_timestamps(&self, cx: &Context) -> Option<Timestamps> {
        let echo = self.negotiated.timestamps?.recent;
        Some(Timestamps { value: self.clock(cx), echo })
    }

    /// Our timestamp clock in milliseconds.
    pub(super) fn clock(&self, cx: &Context) -> u32 {
        self.stamp_of(cx.now)
    }

    /// What our timestamp clock showed then.
    pub(super) fn stamp_of(&self, at: Instant) -> u32 {
        ((at.as_nanos() / 1_000_000) as u32).wrapping_add(self.negotiated.ts_offset)
    }

    fn segment_options(&mut self, cx: &Context) -> Options {
        let timestamps = self.own_timestamps(cx);
        let sack = if self.negotiated.sack { self.rcv.ofo.take_blocks() } else { Default::default() };
        Options { timestamps, sack, ..Options::default() }
    }

    /// Hands a segment to the IP layer.
    fn emit(&mut self, cx: &mut Context, seq: u32, mut flags: u8, window: u16, options: Options, payload: Bytes) {
        let ack = if flags & ACK != 0 { self.rcv.nxt } else { 0 };
        let mut ecn = 0;
        if flags & SYN == 0 {
            let told;
            (told, ecn) = self.ecn_of_segment(seq, payload.len());
            flags |= told;
        }
        let again = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0) > 0 && before(seq, self.snd.nxt);
        if !again {
            cx.count("OutSegs");
        }
        let segment =
            Segment { src: self.local, dst: self.remote, seq, ack, flags, window, tos: ecn, options, payload };
        cx.out.push_back(OutSegment {
            socket: Some(self.id),
            segment,
            df: self.options.dont_fragment(&self.path),
            id_zero: false,
            ttl: self.options.ttl,
            tos: self.options.tos,
            tx_hash: self.tx_hash,
        });
    }
}
