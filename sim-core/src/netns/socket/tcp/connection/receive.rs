//! The receiving side: data in order for the application, what is out of order held back (`tcp_data_queue`).

use std::cmp::Ordering;

use bytes::Bytes;

use super::reassembly::{Held, Inserted, Reassembly};
use super::receive_queue::{Charge, ReceiveQueue};
use super::{Connection, SENT_OVERHEAD, State};
use crate::engine::mutant::Mutant;
use crate::engine::time::{Duration, Instant};
use crate::netns::socket::tcp::config::TcpConfig;
use crate::netns::socket::tcp::context::{Context, Wake};
use crate::netns::socket::tcp::options::Options;
use crate::netns::socket::tcp::segment::Segment;
use crate::netns::socket::tcp::seq::{after, before};
use crate::netns::socket::tcp::sockopt::SocketOptions;
use crate::wire::l4::{ACK, FIN, PSH};

/// The state of receiving.
#[derive(Clone, Debug)]
pub(in super::super) struct Receiver {
    /// Next sequence number expected.
    pub(super) nxt: u32,
    /// `nxt` when the window was last announced.
    pub(super) wup: u32,
    /// The window last announced, from `wup`.
    pub(super) wnd: u32,
    /// Next sequence number the application will read.
    pub(super) copied: u32,
    /// Window that is announced at most for now (`rcv_ssthresh`).
    pub(super) ssthresh: u32,
    /// Greatest window to announce.
    pub(super) window_clamp: u32,
    /// Size of the receive buffer in bytes of memory (`sk_rcvbuf`).
    pub(super) buffer_size: u32,
    /// The application has fixed the buffer size.
    pub(super) buffer_locked: bool,
    /// How much of the memory is data, in 256ths (`scaling_ratio`).
    pub(super) scaling: u32,
    pub(super) ofo: Reassembly,
    queue: ReceiveQueue,
    /// Memory the socket has beyond what it uses, less than a page (`sk_forward_alloc`).
    spare: u32,
    /// Whether a segment that only goes on where the last one ended takes the short way (`pred_flags`): that is counted,
    /// and takes over a timestamp before the ACK is looked at; else both ways do the same.
    pub(super) predicts: bool,
    pub(super) round: Round,
}

/// How much the application reads in a round trip, for the size of the buffer (`rcvq_space`, `rcv_rtt_est`).
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Round {
    /// Bytes read in a round trip.
    pub(super) space: u32,
    pub(super) seq: u32,
    pub(super) since: Instant,
    /// Eight times the RTT as the receiver sees it, in microseconds.
    pub(super) rtt8: u64,
    pub(super) rtt_seq: u32,
    pub(super) rtt_since: Instant,
}

impl Receiver {
    pub(in super::super) fn new(options: &SocketOptions, config: &TcpConfig) -> Self {
        let fixed = options.rcvbuf.map(|n| fixed_buffer(n, config));
        Self {
            nxt: 0,
            wup: 0,
            wnd: 0,
            copied: 0,
            ssthresh: 0,
            window_clamp: 0,
            buffer_size: fixed.unwrap_or(config.rmem[1]),
            buffer_locked: fixed.is_some(),
            scaling: 128,
            ofo: Reassembly::default(),
            queue: ReceiveQueue::default(),
            spare: 0,
            predicts: false,
            round: Round::default(),
        }
    }

    /// The peer's next expected sequence number is `nxt`.
    pub(super) fn start(&mut self, nxt: u32) {
        (self.nxt, self.wup, self.copied) = (nxt, nxt, nxt);
        (self.round.seq, self.round.rtt_seq) = (nxt, nxt);
    }

    /// SO_RCVBUF on a socket that has begun: what was announced stays (`__sock_set_rcvbuf`).
    pub(super) fn fix_buffer(&mut self, wanted: u32, config: &TcpConfig) {
        self.buffer_size = fixed_buffer(wanted, config);
        self.buffer_locked = true;
    }

    /// What is left of the window announced (`tcp_receive_window`).
    pub(in super::super) fn window(&self) -> u32 {
        let end = self.wup.wrapping_add(self.wnd);
        if before(end, self.nxt) { 0 } else { end.wrapping_sub(self.nxt) }
    }

    /// Nothing waits to be read, not even the end: a FIN has a place in the queue, too.
    pub(super) fn all_read(&self) -> bool {
        self.copied == self.nxt
    }

    /// Memory that received data occupies.
    pub(super) fn memory(&self) -> u32 {
        self.ofo.held().map(|h| h.charge.memory).fold(self.queue.memory(), u32::saturating_add)
    }

    /// Learns from a segment how much of the memory is data (`tcp_set_window_clamp`).
    pub(super) fn measure_overhead(&mut self, segment: &Segment) {
        let share = ((segment.payload.len() as u32) << 8) / Charge::of(segment).memory;
        let before = std::mem::replace(&mut self.scaling, share.clamp(1, 255));
        if self.scaling == before {
            return;
        }
        let clamp = self.window_from(self.buffer_size).max(LEAST_BUFFER / 2);
        match clamp.cmp(&self.window_clamp) {
            Ordering::Less => self.ssthresh = self.ssthresh.min(clamp),
            Ordering::Greater => self.ssthresh = self.ssthresh.max(self.wnd.min(clamp)),
            Ordering::Equal => {}
        }
        self.window_clamp = clamp;
        self.round.space = self.round.space.min(clamp);
    }

    /// The application reads `space` bytes in a round trip: the buffer has room for twice as much and more if that has
    /// grown, and for what is out of order (`tcp_rcvbuf_grow`).
    fn grow_buffer(&mut self, space: u32, config: &TcpConfig) {
        let before = u64::from(std::mem::replace(&mut self.round.space, space).max(1));
        if self.buffer_locked {
            return;
        }
        let window = 2 * u64::from(space);
        let window = window + window * u64::from(space).saturating_sub(before) / before * 2;
        let window = window + self.ofo.last_end().map_or(0, |end| u64::from(end.wrapping_sub(self.nxt)));
        let memory = (window << 8) / u64::from(self.scaling);
        let memory = memory.min(u64::from(config.rmem[2])) as u32;
        if memory > self.buffer_size {
            self.buffer_size = memory;
            self.window_clamp = self.window_from(memory);
        }
    }

    /// `tcp_win_from_space`.
    pub(super) fn window_from(&self, memory: u32) -> u32 {
        ((u64::from(memory) * u64::from(self.scaling)) >> 8) as u32
    }

    /// The window the free memory would hold (`tcp_space`).
    pub(super) fn free_window(&self) -> u32 {
        self.free_window_beside(self.memory())
    }

    /// The window that a buffer with `used` bytes of memory taken would hold.
    fn free_window_beside(&self, used: u32) -> u32 {
        self.window_from(self.buffer_size.saturating_sub(used))
    }

    fn push(&mut self, payload: Bytes, charge: Charge) {
        if !payload.is_empty() {
            self.nxt = self.nxt.wrapping_add(payload.len() as u32);
            let apart = self.queue.push(payload, charge);
            self.charge(charge.memory, apart);
        }
    }

    /// Memory comes in pages, and is there also for a packet that turns out to need none of its own (`sk_rmem_schedule`).
    fn charge(&mut self, memory: u32, apart: bool) {
        self.spare += memory.saturating_sub(self.spare).next_multiple_of(PAGE);
        if apart {
            self.spare -= memory;
        }
    }

    /// Throws away what is in order and was not read.
    pub(super) fn discard_unread(&mut self) {
        self.queue.clear();
    }

    /// Takes up to `max` bytes that are in order.
    pub(super) fn read(&mut self, max: usize) -> Bytes {
        let used = self.queue.memory();
        let read = self.queue.read(max);
        self.copied = self.copied.wrapping_add(read.len() as u32);
        self.spare = (self.spare + (used - self.queue.memory())) % PAGE;
        read
    }

    /// Bytes in order and not read.
    pub(in super::super) fn readable(&self) -> usize {
        self.queue.len()
    }
}

/// `PAGE_SIZE`
const PAGE: u32 = 4096;
/// `SOCK_MIN_RCVBUF`
const LEAST_BUFFER: u32 = 2304;

/// The memory that SO_RCVBUF gives (`sock_setsockopt`): twice what is asked for, since there is overhead.
fn fixed_buffer(wanted: u32, config: &TcpConfig) -> u32 {
    wanted.min(config.rmem_max).saturating_mul(2).max(LEAST_BUFFER)
}

impl Connection {
    /// Takes the data and the FIN of an acceptable segment.
    pub(super) fn take_data(&mut self, cx: &mut Context, segment: &Segment) {
        let (seq, end) = (segment.seq, segment.end());
        if seq == end {
            return;
        }
        if self.predicts(segment) {
            cx.count("TCPHPHits");
        }
        self.ecn_accept(segment);
        if !after(end, self.rcv.nxt) {
            // A retransmission: the ACK was lost, so the next one leaves at once.
            cx.count("DelayedACKLost");
            self.report_duplicate(cx, seq, end);
            return self.refuse_data();
        }
        // A bare FIN needs no window: else it would come again and again (`tcp_data_queue`).
        let bare_fin = seq == self.rcv.nxt && segment.payload.is_empty() && segment.has(FIN);
        let window = self.rcv.window();
        if !bare_fin && (window == 0 || !before(seq, self.rcv.nxt.wrapping_add(window))) {
            if seq == self.rcv.nxt {
                cx.count("TCPZeroWindowDrop");
            }
            return self.refuse_data();
        }
        if self.rcv.memory() >= self.rcv.buffer_size {
            cx.count("TCPRcvQDrop");
            self.delack.scheduled = true;
            self.delack.now = true;
            return;
        }
        if after(seq, self.rcv.nxt) {
            return self.hold_back(cx, segment);
        }
        if before(seq, self.rcv.nxt) {
            self.report_duplicate(cx, seq, self.rcv.nxt);
        }
        self.take_in_order(cx, segment);
    }

    /// The next ACK says that this range came twice (`tcp_dsack_set`).
    pub(super) fn report_duplicate(&mut self, cx: &mut Context, start: u32, end: u32) {
        if self.reports_duplicates(cx) {
            self.rcv.ofo.report_duplicate(start, end);
            self.count_reassembly(cx, "TCPDSACKOldSent");
        }
    }

    fn reports_duplicates(&self, cx: &Context) -> bool {
        self.negotiated.sack && cx.config.dsack && !cx.planted.is(Mutant::TcpDuplicateUntold)
    }

    /// Drops data that cannot be used, and answers soon.
    fn refuse_data(&mut self) {
        self.enter_quickack();
        self.delack.scheduled = true;
    }

    fn take_in_order(&mut self, cx: &mut Context, segment: &Segment) {
        let known = self.rcv.nxt.wrapping_sub(segment.seq) as usize;
        let payload = segment.payload.slice(known.min(segment.payload.len())..);
        self.rcv.push(payload, Charge::of(segment).behind(known));
        if !segment.payload.is_empty() {
            self.data_arrived(cx, segment);
        }
        if segment.has(FIN) {
            self.rcv.nxt = segment.end();
            self.take_fin(cx);
        } else if !self.rcv.ofo.is_empty() {
            let dsack = self.reports_duplicates(cx);
            let held = self.rcv.ofo.take_in_order(self.rcv.nxt, dsack);
            self.count_reassembly(cx, "TCPDSACKOldSent");
            for held in held {
                let (fin, end) = (held.fin, held.end());
                self.rcv.push(held.payload, held.charge);
                self.rcv.nxt = end;
                if fin {
                    self.take_fin(cx);
                    break;
                }
            }
            // RFC 5681 4.2: an ACK at once when a gap is filled.
            self.delack.now |= self.rcv.ofo.is_empty();
        }
        self.rcv.ofo.acknowledge(self.rcv.nxt);
        self.rcv.predicts |= self.may_predict();
        if !self.orphan {
            cx.wake(self.id, Wake::Readable);
        }
    }

    fn hold_back(&mut self, cx: &mut Context, segment: &Segment) {
        self.delack.scheduled = true;
        self.measure_peer_mss(segment);
        let charge = Charge::of(segment);
        let held = Held { seq: segment.seq, payload: segment.payload.clone(), fin: segment.has(FIN), charge };
        let dsack = self.reports_duplicates(cx);
        self.ecn_check(segment);
        cx.count("TCPOFOQueue");
        self.rcv.predicts = false;
        let inserted = self.rcv.ofo.insert(held, dsack);
        self.rcv.charge(charge.memory, inserted == Inserted::Apart);
        self.count_reassembly(cx, "TCPDSACKOfoSent");
        // Without SACK a window that grows would hide a duplicate ACK. The segment is charged only afterwards
        // (`skb_set_owner_r` at the end of `tcp_data_queue_ofo`), so it takes no room yet.
        if inserted != Inserted::Known && self.negotiated.sack {
            let own = if inserted == Inserted::Apart { charge.memory } else { 0 };
            self.grow_window(cx, segment, self.rcv.free_window_beside(self.rcv.memory().saturating_sub(own)));
        }
        if self.accepted && !self.orphan {
            self.rcv.grow_buffer(self.rcv.round.space, &cx.config);
        }
    }

    fn count_reassembly(&mut self, cx: &mut Context, reported: &'static str) {
        let told = self.rcv.ofo.take_told();
        cx.add("TCPOFOMerge", told.merged);
        cx.add(reported, told.reported);
    }

    /// Whether header prediction may be on (`tcp_fast_path_check`).
    pub(super) fn may_predict(&self) -> bool {
        self.rcv.ofo.is_empty() && self.rcv.wnd > 0 && self.rcv.memory() < self.rcv.buffer_size
    }

    /// Whether a segment is just what was expected (`tcp_rcv_established`).
    pub(super) fn predicts(&self, segment: &Segment) -> bool {
        let (given, ours) = (&segment.options, self.negotiated.timestamps);
        let plain = Options { timestamps: given.timestamps, ..Options::default() };
        let recent = match (given.timestamps, ours) {
            (None, None) => true,
            (Some(ts), Some(clock)) => clock.recent.wrapping_sub(ts.value) as i32 <= 0,
            _ => false,
        };
        self.state == State::Established
            && self.rcv.predicts
            && segment.flags & !PSH == ACK
            && segment.seq == self.rcv.nxt
            && !after(segment.ack, self.snd.nxt)
            && u32::from(segment.window) == self.snd.wnd >> self.negotiated.snd_wscale
            && *given == plain
            && recent
            && (segment.payload.is_empty() || Charge::of(segment).memory <= self.spare_memory())
    }

    /// Memory the socket has beyond what it uses, what waits for its ACK included.
    fn spare_memory(&self) -> u32 {
        let sent = if self.snd.rtx.is_empty() { 0 } else { PAGE - SENT_OVERHEAD };
        self.rcv.spare + sent
    }

    /// The peer has finished sending (`tcp_fin`).
    fn take_fin(&mut self, cx: &mut Context) {
        self.delack.scheduled = true;
        self.receive_shutdown = true;
        self.eof = true;
        match self.state {
            State::SynReceived | State::Established => {
                self.state = State::CloseWait;
                self.enter_pingpong(cx);
            }
            State::FinWait1 => {
                // Both close at once: acknowledge the FIN, wait for the ACK of ours.
                self.send_ack(cx);
                self.state = State::Closing;
            }
            State::FinWait2 => {
                self.send_ack(cx);
                self.enter_time_wait(cx);
            }
            _ => {}
        }
        self.rcv.ofo.purge();
    }

    /// The round trip as the receiver sees it: the time a window takes to arrive (`tcp_rcv_rtt_measure`).
    pub(super) fn measure_receive_rtt(&mut self, cx: &Context) {
        let round = &mut self.rcv.round;
        if round.rtt_since != Instant::START {
            if before(self.rcv.nxt, round.rtt_seq) {
                return;
            }
            let us = cx.now.since(round.rtt_since).as_micros().max(1);
            round.rtt8 = if round.rtt8 == 0 { us << 3 } else { round.rtt8.min(us << 3) };
        }
        round.rtt_seq = self.rcv.nxt.wrapping_add(self.rcv.wnd);
        round.rtt_since = cx.now;
    }

    /// The smaller of what sender and receiver know of the round trip.
    pub(super) fn receive_rtt(&self) -> Duration {
        let (receiver, sender) = (self.rcv.round.rtt8, self.rtt.srtt8);
        Duration::from_micros(if sender != 0 { sender.min(receiver) } else { receiver } >> 3)
    }

    /// The application reads: the buffer follows what it reads in a round trip (`tcp_rcv_space_adjust`).
    pub(super) fn adjust_buffer(&mut self, cx: &Context) {
        let rtt = Duration::from_micros(self.rcv.round.rtt8 >> 3);
        if self.rcv.round.rtt8 == 0 || cx.now.since(self.rcv.round.since) < rtt {
            return;
        }
        // What still waits will be read in the next one.
        let waiting = self.rcv.nxt.wrapping_sub(self.rcv.copied);
        let copied = self.rcv.copied.wrapping_sub(self.rcv.round.seq).saturating_sub(waiting);
        if copied > self.rcv.round.space {
            self.rcv.grow_buffer(copied, &cx.config);
        }
        self.rcv.round.seq = self.rcv.copied;
        self.rcv.round.since = cx.now;
    }
}
