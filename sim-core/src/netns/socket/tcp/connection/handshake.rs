//! Opening a connection: the SYN, what may answer it, and the child of a listener's request.

use super::rtx::Chunk;
use super::undo::between_stamps;
use super::{Connection, PeerClock, State};
use crate::netns::socket::tcp::congestion::{INFINITE, INITIAL_WINDOW};
use crate::netns::socket::tcp::context::{Context, Wake};
use crate::netns::socket::tcp::options::{Options, Timestamps};
use crate::netns::socket::tcp::path::DEFAULT_MSS;
use crate::netns::socket::tcp::request::Request;
use crate::netns::socket::tcp::segment::Segment;
use crate::netns::socket::tcp::seq::after;
use crate::wire::l4::{ACK, CWR, ECE, RST, SYN};

use super::input::Verdict;
use super::rtt::TICK;
use super::window::initial_window;

impl Connection {
    /// Sends the SYN (`tcp_connect`).
    pub(in super::super) fn connect(&mut self, cx: &mut Context) {
        cx.count("ActiveOpens");
        self.state = State::SynSent;
        let user_mss = self.options.maxseg.map_or(u32::MAX, u32::from);
        self.negotiated.advmss = self.path.advmss(self.remote).min(user_mss);
        self.initialize_peer_mss();
        let mss = self.negotiated.advmss - self.fixed_options();
        let initial = initial_window(&self.rcv, &cx.config, mss, cx.config.window_scaling);
        self.negotiated.rcv_wscale = initial.scale;
        self.start_window(initial);
        self.sync_mss(cx);
        self.ecn.on = cx.config.ecn == 1;
        self.recovery.retrans_stamp = Some(cx.now);
        let chunk = self.syn_chunk(cx);
        self.snd.write_seq = chunk.end();
        self.transmit(cx, &chunk);
        self.note_sent(cx, chunk);
    }

    fn syn_chunk(&self, cx: &Context) -> Chunk {
        Chunk {
            seq: self.snd.una,
            len: 0,
            syn: true,
            fin: false,
            psh: false,
            mss: DEFAULT_MSS,
            sent_at: cx.now,
            delivered: 0,
            sacked: false,
            lost: false,
            retransmitted: false,
            ever_retransmitted: false,
        }
    }

    /// Options of our SYN, and of the SYN-ACK of a simultaneous open, which is that SYN once more whatever the peer has
    /// offered (`tcp_syn_options`). The MSS follows the path, which may have shrunk since.
    pub(super) fn syn_options(&mut self, cx: &Context) -> Options {
        self.negotiated.advmss = self.negotiated.advmss.min(self.path.advmss(self.remote));
        let echo = self.negotiated.timestamps.map_or(0, |ts| ts.recent);
        Options {
            mss: Some(self.negotiated.advmss as u16),
            window_scale: cx.config.window_scaling.then_some(self.negotiated.rcv_wscale),
            sack_permitted: cx.config.sack,
            timestamps: cx.config.timestamps.then(|| Timestamps { value: self.clock(cx), echo }),
            sack: Default::default(),
        }
    }

    /// Takes over what a SYN or SYN-ACK of the peer agrees to of what we offer.
    fn negotiate(&mut self, cx: &Context, options: &Options) {
        let n = &mut self.negotiated;
        // A peer that names none is taken to have what was chosen here (`tcp_connect_init`).
        let mss = options.mss.map(|told| self.options.limit_mss(told)).or(self.options.maxseg);
        n.mss_clamp = mss.map_or(DEFAULT_MSS, u32::from);
        n.sack = cx.config.sack && options.sack_permitted;
        n.window_scaling = cx.config.window_scaling && options.window_scale.is_some();
        n.snd_wscale = options.window_scale.filter(|_| n.window_scaling).unwrap_or(0);
        n.timestamps = options
            .timestamps
            .filter(|_| cx.config.timestamps)
            .map(|ts| PeerClock { recent: ts.value, stored: cx.now });
    }

    /// A segment in SYN-SENT (`tcp_rcv_synsent_state_process`; fact 93).
    pub(super) fn input_syn_sent(&mut self, cx: &mut Context, segment: &Segment) -> Verdict {
        if segment.has(ACK) {
            if !after(segment.ack, self.snd.una) || after(segment.ack, self.snd.nxt) {
                // Somebody else's: reset it, and try again at once to find out.
                if self.recovery.retransmits == 0 {
                    self.timers.retransmit_at(cx.now + TICK + TICK);
                }
                return Verdict::Reset;
            }
            if self.echo_is_impossible(cx, segment) {
                return Verdict::Reset;
            }
            if segment.has(RST) {
                self.reset_by_peer(cx);
            } else if segment.has(SYN) {
                self.connected(cx, segment);
            }
        } else if segment.has(SYN) && !segment.has(RST) {
            self.open_simultaneously(cx, segment);
        }
        Verdict::Done
    }

    fn echo_is_impossible(&self, cx: &Context, segment: &Segment) -> bool {
        let Some(ts) = segment.options.timestamps.filter(|ts| ts.echo != 0 && cx.config.timestamps) else {
            return false;
        };
        let first = self.recovery.retrans_stamp.unwrap_or(cx.now);
        !between_stamps(self.negotiated.ts_offset, ts.echo, first, cx.now)
    }

    /// The SYN-ACK has come.
    fn connected(&mut self, cx: &mut Context, segment: &Segment) {
        self.ecn.on &= segment.has(ECE) && !segment.has(CWR);
        self.snd.wl1 = segment.seq;
        self.negotiate(cx, &segment.options);
        self.forgive_spurious_syn(segment);
        self.acknowledge(cx, segment, true);
        self.rcv.start(segment.seq.wrapping_add(1));
        // The window of a SYN is never scaled (RFC 7323 2.2).
        self.snd.wnd = u32::from(segment.window);
        self.snd.max_window = self.snd.wnd;
        if !self.negotiated.window_scaling {
            self.negotiated.rcv_wscale = 0;
            self.rcv.window_clamp = self.rcv.window_clamp.min(u32::from(u16::MAX));
        }
        self.negotiated.advmss = self.negotiated.advmss.saturating_sub(self.fixed_options());
        self.begin_small(cx);
        self.state = State::Established;
        self.delack.last_received = cx.now;
        self.sync_mss(cx);
        self.initialize_peer_mss();
        self.rcv.predicts = self.negotiated.snd_wscale == 0;
        self.start_transfer(cx);
        cx.wake(self.id, Wake::Connected);
        cx.wake(self.id, Wake::Writable);
        // The data of a SYN-ACK is not taken; the peer repeats it. Who wants data with the first ACK waits for it.
        if self.interactive(cx) || self.options.deferrals() > 0 {
            self.delay_first_ack(cx);
        } else {
            self.send_ack(cx);
        }
        self.push_pending(cx);
    }

    /// The peer's SYN crosses ours (RFC 9293 figure 8).
    fn open_simultaneously(&mut self, cx: &mut Context, segment: &Segment) {
        self.state = State::SynReceived;
        self.ecn.on &= segment.has(ECE | CWR);
        self.rcv.start(segment.seq.wrapping_add(1));
        self.snd.wl1 = segment.seq;
        self.snd.wnd = u32::from(segment.window);
        self.snd.max_window = self.snd.wnd;
        self.negotiate(cx, &segment.options);
        self.sync_mss(cx);
        self.initialize_peer_mss();
        // The SYN is sent again, now with ACK; it stays in the queue (`tcp_send_synack`).
        let now = cx.now;
        self.snd.rtx.update(0, |chunk| chunk.sent_at = now);
        if let Some(chunk) = self.snd.rtx.head().cloned() {
            self.transmit(cx, &chunk);
        }
    }

    /// With tcp_mtu_probing 2 segments are small until larger ones are found to pass (`tcp_mtup_init`).
    fn begin_small(&mut self, cx: &Context) {
        self.snd.tried_mss = (cx.config.mtu_probing > 1).then_some(cx.config.base_mss);
    }

    /// The SYN, or SYN-ACK, was repeated too early: its first copy is answered (`tcp_try_undo_spurious_syn`).
    fn forgive_spurious_syn(&mut self, segment: &Segment) {
        let first = self.recovery.retrans_stamp.map(|first| self.stamp_of(first));
        if first.is_some() && first == segment.options.timestamps.map(|ts| ts.echo) {
            self.recovery.undo_marker = None;
        }
    }

    /// The connection is open: the windows of the sender start (`tcp_init_transfer`, `tcp_init_buffer_space`).
    pub(super) fn start_transfer(&mut self, cx: &mut Context) {
        // RFC 6298 5.7: after a SYN that was repeated twice the path is taken to be congested.
        let congested = self.recovery.total_retrans > 1 && self.recovery.undo_marker.is_some();
        self.congestion.cwnd = if congested { 1 } else { INITIAL_WINDOW };
        self.congestion.ssthresh = INFINITE;
        self.rtt.start();
        self.congestion.stamp = cx.now;
        self.expand_send_buffer(cx);
        self.reserve_window();
        self.rcv.round.since = cx.now;
        self.snd.last_data = cx.now;
        if self.options.keepalive {
            self.timers.keepalive = Some(cx.now + self.keepalive_time(cx));
        }
    }

    /// The connection a valid ACK makes of a request (`tcp_create_openreq_child`); the ACK is still to be processed.
    pub(in super::super) fn completing(mut self, cx: &Context, request: &Request) -> Self {
        self.state = State::SynReceived;
        self.delack.last_received = cx.now;
        self.snd.nxt = request.isn.wrapping_add(1);
        (self.snd.una, self.snd.write_seq, self.snd.small) = (self.snd.nxt, self.snd.nxt, self.snd.nxt);
        self.rcv.start(request.peer_isn.wrapping_add(1));
        self.rcv.wup = request.peer_isn.wrapping_add(1);
        self.ecn.on = request.ecn;
        self.negotiated.advmss = request.mss;
        self.start_window(request.initial);
        self.negotiated.rcv_wscale = request.initial.scale;
        self.negotiated.ts_offset = request.ts_offset;
        self.negotiate(cx, &request.offered);
        // That of a SYN is limited already; that of a cookie is not.
        self.negotiated.mss_clamp = request.offered.mss.map_or(DEFAULT_MSS, u32::from);
        self.negotiated.rcv_wscale = if self.negotiated.window_scaling { request.initial.scale } else { 0 };
        if let (Some(clock), Some(recent)) = (&mut self.negotiated.timestamps, request.ts_recent) {
            clock.recent = recent;
        }
        self.recovery.total_retrans = request.retransmits;
        if request.timeouts > 0 {
            (self.recovery.undo_marker, self.recovery.retrans_stamp) = (Some(request.isn), Some(request.sent_at));
        }
        if request.retransmits == 0 {
            let us = cx.now.since(request.sent_at).as_micros();
            self.rtt.min = us.max(1);
            self.rtt.sample(us, self.snd.una, self.snd.nxt);
        }
        self.sync_mss(cx);
        self
    }

    /// The ACK that ends the handshake of a child or of a simultaneous open (`tcp_rcv_state_process`, TCP_SYN_RECV).
    pub(super) fn established(&mut self, cx: &mut Context, segment: &Segment) {
        self.state = State::Established;
        self.rcv.predicts = true;
        self.snd.una = segment.ack;
        self.snd.wnd = u32::from(segment.window) << self.negotiated.snd_wscale;
        if !segment.has(SYN) {
            self.snd.max_window = self.snd.max_window.max(self.snd.wnd);
        }
        self.snd.wl1 = segment.seq;
        self.negotiated.advmss = self.negotiated.advmss.saturating_sub(self.fixed_options());
        self.forgive_spurious_syn(segment);
        self.recovery.retrans_stamp = None;
        if self.rtt.srtt8 == 0
            && let Some(us) = self.rtt_by_timestamp(cx, segment)
        {
            // The SYN-ACK was a cookie or was repeated: only its timestamp knows when it left (`tcp_synack_rtt_meas`).
            self.rtt.min = us.max(1);
            self.rtt.sample(us, self.snd.una, self.snd.nxt);
        }
        self.start_transfer(cx);
        self.initialize_peer_mss();
        self.sync_mss(cx);
        // It acts where the MSS is found out the next time.
        self.begin_small(cx);
        if !self.orphan {
            cx.wake(self.id, Wake::Connected);
            cx.wake(self.id, Wake::Writable);
        }
    }
}
