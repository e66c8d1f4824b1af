//! What is to be sent, what is on its way, and how fast (net/sctp/outqueue.c, transport.c; RFC 9260 section 7).

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;

use super::data::{BEGIN, DATA_HEADER, DataChunk, END, unwrap};
use crate::engine::time::Instant;
use crate::netns::socket::sctp::config::{MAX_BURST, OVERHEAD, SEND_BUFFER};

/// Reports of a chunk as missing that stand for its loss (RFC 9260 7.2.4).
const MISSING_REPORTS: u8 = 3;

/// A chunk on its way.
#[derive(Clone, Debug)]
struct Sent {
    chunk: DataChunk,
    /// When it was sent, if nothing has made the answer ambiguous (Karn's rule).
    timed: Option<Instant>,
    /// A gap of a SACK said that it has come.
    acked: bool,
    /// So often SACKs told of later ones and not of it.
    missing: u8,
    /// It is to be sent again.
    due: bool,
    /// It was sent again because it was missing, which happens once.
    fast: bool,
}

/// What a SACK says.
#[derive(Clone, Debug)]
pub(super) struct Sack {
    /// The last TSN up to which all have come.
    pub(super) cumulative: u32,
    /// The receive window in bytes, without what is on its way.
    pub(super) rwnd: u32,
    /// The runs that have come beyond, counted from there; in order of their beginnings.
    pub(super) gaps: Vec<RangeInclusive<u16>>,
}

/// What a SACK led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Acked {
    /// Chunks were acknowledged that were not before.
    pub(super) any: bool,
    /// The oldest were among them.
    pub(super) advanced: bool,
    /// When the one was sent whose round trip is measured.
    pub(super) timed: Option<Instant>,
    /// Some are lost, by what SACKs said of later ones.
    pub(super) lost: bool,
    /// The peer has no room, and is asked by one chunk at a time.
    pub(super) probes_window: bool,
}

/// The sending half of an association.
#[derive(Clone, Debug)]
pub(super) struct Outbound {
    next_tsn: u64,
    /// The last one that is acknowledged with all before it.
    cumulative: u64,
    pending: VecDeque<DataChunk>,
    flight: BTreeMap<u64, Sent>,
    /// Bytes on their way: neither acknowledged nor to be sent again.
    outstanding: usize,
    /// Bytes written and not acknowledged, each chunk with its overhead.
    held: usize,
    peer_rwnd: usize,
    next_ssn: BTreeMap<u16, u16>,
    cwnd: usize,
    ssthresh: usize,
    partial_bytes_acked: usize,
    /// In fast recovery until this TSN is acknowledged.
    recovery: Option<u64>,
    /// The chunk whose round trip is measured.
    timed: Option<u64>,
}

impl Outbound {
    /// Nothing was sent. Our first TSN will be `first`; the peer has room for `rwnd` bytes.
    pub(super) fn new(first: u32, rwnd: u32, path_mtu: u32) -> Self {
        let next_tsn = (1 << 32) + u64::from(first);
        let (rwnd, mtu) = (rwnd as usize, path_mtu as usize);
        Self {
            next_tsn,
            cumulative: next_tsn - 1,
            pending: VecDeque::new(),
            flight: BTreeMap::new(),
            outstanding: 0,
            held: 0,
            peer_rwnd: rwnd,
            next_ssn: BTreeMap::new(),
            // RFC 9260 7.2.1
            cwnd: (4 * mtu).min((2 * mtu).max(4380)),
            ssthresh: rwnd,
            partial_bytes_acked: 0,
            recovery: None,
            timed: None,
        }
    }

    /// The peer has told how much room it has (INIT ACK).
    pub(super) fn open_window(&mut self, rwnd: u32) {
        (self.peer_rwnd, self.ssthresh) = (rwnd as usize, rwnd as usize);
    }

    /// Whether a message is taken (`sctp_wspace`).
    pub(super) const fn has_room(&self) -> bool {
        self.held < SEND_BUFFER
    }

    /// Bytes written and not acknowledged.
    pub(super) fn unsent(&self) -> usize {
        let pending: usize = self.pending.iter().map(|chunk| chunk.data.len()).sum();
        pending + self.flight.values().map(|sent| sent.chunk.data.len()).sum::<usize>()
    }

    /// The peer's window, with what is on its way.
    pub(super) fn peer_window(&self) -> u32 {
        (self.peer_rwnd + self.outstanding) as u32
    }

    /// Whether all that was written is acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.flight.is_empty()
    }

    /// Whether something is on its way, or was and is lost.
    pub(super) fn is_in_flight(&self) -> bool {
        !self.flight.is_empty()
    }

    /// Queues a message, in chunks that fit into packets with room for `room` bytes of chunks (`sctp_datamsg_from_user`).
    pub(super) fn write(&mut self, stream: u16, data: &[u8], room: usize) {
        let ssn = self.next_ssn.entry(stream).or_insert(0);
        let largest = (room - DATA_HEADER) & !3;
        let count = data.len().div_ceil(largest);
        for (n, part) in data.chunks(largest).enumerate() {
            let flags = if n == 0 { BEGIN } else { 0 } | if n + 1 == count { END } else { 0 };
            let data = bytes::Bytes::copy_from_slice(part);
            self.held += data.len() + OVERHEAD;
            self.pending.push_back(DataChunk { flags, stream, ssn: *ssn, protocol: 0, data });
        }
        *ssn = ssn.wrapping_add(1);
    }

    /// Everything is given up.
    pub(super) fn clear(&mut self) {
        self.pending.clear();
        self.flight.clear();
        (self.outstanding, self.held, self.timed) = (0, 0, None);
    }

    /// What may be on its way for now: the congestion window, but no more than a burst at once
    /// (`sctp_transport_burst_limited`).
    pub(super) fn allowance(&self, path_mtu: u32) -> usize {
        self.cwnd.min(self.outstanding + (MAX_BURST * path_mtu) as usize)
    }

    /// The next chunk of those that are sent again: its bytes in a packet, or `None` if none may go. `lost`: one that was
    /// found missing goes whatever the congestion window says.
    pub(super) fn next_again(&self, allowance: usize, lost: bool) -> Option<usize> {
        let (_, sent) = self.flight.iter().find(|(_, sent)| sent.due)?;
        let len = sent.chunk.data.len();
        let free = (lost && sent.fast) || self.outstanding < allowance;
        (free && self.peer_has_room(len)).then(|| sent.chunk.wire_len())
    }

    /// Whether anything waits to be sent again.
    pub(super) fn has_again(&self) -> bool {
        self.flight.values().any(|sent| sent.due)
    }

    /// The next new chunk: its bytes in a packet, or `None` if none may go (`sctp_packet_can_append_data`). `room`: what a
    /// packet has room for, if the chunk would be the first in its packet, and small ones wait for company (Nagle).
    pub(super) fn next_new(&self, allowance: usize, room: Option<usize>) -> Option<usize> {
        let chunk = self.pending.front()?;
        if self.outstanding >= allowance || !self.peer_has_room(chunk.data.len()) {
            return None;
        }
        if let Some(room) = room.filter(|_| self.outstanding > 0 && chunk.is(BEGIN) && chunk.is(END)) {
            let waiting: usize = self.pending.iter().map(DataChunk::wire_len).sum();
            if waiting + DATA_HEADER + 4 <= room {
                return None;
            }
        }
        Some(chunk.wire_len())
    }

    /// One chunk may always be on its way, to find out about the window (RFC 9260 6.1 A).
    const fn peer_has_room(&self, len: usize) -> bool {
        len <= self.peer_rwnd || self.outstanding == 0
    }

    /// Writes the first chunk that waits to be sent again.
    pub(super) fn send_again(&mut self, out: &mut Vec<u8>) {
        let Some((tsn, sent)) = self.flight.iter_mut().find(|(_, sent)| sent.due) else { return };
        (sent.due, sent.timed) = (false, None);
        sent.chunk.write(*tsn as u32, out);
        let len = sent.chunk.data.len();
        self.spend(len);
    }

    /// Writes the first new chunk.
    pub(super) fn send_new(&mut self, now: Instant, out: &mut Vec<u8>) {
        let Some(chunk) = self.pending.pop_front() else { return };
        let tsn = self.next_tsn;
        self.next_tsn += 1;
        // One round trip at a time is measured (`rto_pending`).
        let timed = self.timed.is_none().then_some(now);
        if timed.is_some() {
            self.timed = Some(tsn);
        }
        chunk.write(tsn as u32, out);
        self.spend(chunk.data.len());
        self.flight.insert(tsn, Sent { chunk, timed, acked: false, missing: 0, due: false, fast: false });
    }

    fn spend(&mut self, len: usize) {
        self.outstanding += len;
        self.peer_rwnd = self.peer_rwnd.saturating_sub(len);
    }

    /// A SACK, or a SHUTDOWN, which tells no gaps (`sctp_outq_sack`). `None`: it acknowledges what was never sent.
    pub(super) fn acknowledge(&mut self, sack: &Sack, path_mtu: u32) -> Option<Acked> {
        let cumulative = unwrap(sack.cumulative, self.cumulative);
        if cumulative >= self.next_tsn {
            return None;
        }
        if cumulative < self.cumulative {
            return Some(Acked::default());
        }
        let (before, outstanding) = (self.cumulative, self.outstanding);
        let mut acked = Acked { advanced: cumulative > before, ..Acked::default() };
        self.cumulative = cumulative;
        let (bytes, newest) = self.mark_acked(sack, &mut acked);
        while self.flight.first_key_value().is_some_and(|(tsn, _)| *tsn <= cumulative) {
            let gone = self.flight.pop_first().map_or(0, |(_, sent)| sent.chunk.data.len());
            self.held -= gone + OVERHEAD;
        }
        if self.timed.is_some_and(|tsn| self.flight.get(&tsn).is_none_or(|sent| sent.timed.is_none())) {
            self.timed = None;
        }
        if acked.advanced && outstanding >= self.cwnd {
            self.raise_cwnd(bytes, path_mtu as usize);
        }
        if self.recovery.is_some_and(|exit| cumulative >= exit) {
            self.recovery = None;
        }
        let highest = sack.gaps.last().map_or(cumulative, |run| cumulative + u64::from(*run.end()));
        let told = if self.recovery.is_some() && acked.advanced { highest } else { newest };
        acked.lost = !sack.gaps.is_empty() && self.mark_missing(told, path_mtu as usize);
        self.peer_rwnd = (sack.rwnd as usize).saturating_sub(self.outstanding);
        acked.probes_window = self.peer_rwnd == 0 && self.flight.len() == 1;
        Some(acked)
    }

    /// `sctp_check_transmitted`: bytes newly acknowledged, and the newest TSN among them.
    fn mark_acked(&mut self, sack: &Sack, acked: &mut Acked) -> (usize, u64) {
        let (mut bytes, mut newest) = (0, self.cumulative);
        for (tsn, sent) in &mut self.flight {
            let offset = tsn.saturating_sub(self.cumulative);
            let told =
                offset == 0 || u16::try_from(offset).is_ok_and(|at| sack.gaps.iter().any(|run| run.contains(&at)));
            let len = sent.chunk.data.len();
            if !told && sent.acked {
                // The peer has thought better of it (RFC 9260 6.3.2 R4).
                sent.acked = false;
                self.outstanding += len;
            }
            if !told || sent.acked {
                continue;
            }
            if !sent.due {
                self.outstanding -= len;
            }
            acked.any = true;
            acked.timed = sent.timed.take().filter(|_| self.timed == Some(*tsn)).or(acked.timed);
            (sent.acked, sent.due) = (true, false);
            bytes += len;
            newest = newest.max(*tsn);
        }
        (bytes, newest)
    }

    /// `sctp_transport_raise_cwnd`; the window was used up.
    fn raise_cwnd(&mut self, bytes: usize, mtu: usize) {
        if self.cwnd <= self.ssthresh {
            if self.recovery.is_none() {
                self.cwnd += bytes.min(mtu);
            }
            return;
        }
        self.partial_bytes_acked += bytes;
        if self.partial_bytes_acked >= self.cwnd {
            self.partial_bytes_acked -= self.cwnd;
            self.cwnd += mtu;
        }
    }

    /// Counts the reports of what is missing before `told`; whether something counts as lost now (`sctp_mark_missing`).
    fn mark_missing(&mut self, told: u64, mtu: usize) -> bool {
        let mut lost = false;
        for (_, sent) in self.flight.range_mut(..told) {
            if sent.acked || sent.due || sent.fast {
                continue;
            }
            sent.missing += 1;
            if sent.missing >= MISSING_REPORTS {
                (sent.due, sent.fast) = (true, true);
                self.outstanding -= sent.chunk.data.len();
                lost = true;
            }
        }
        if lost && self.recovery.is_none() {
            self.ssthresh = (self.cwnd / 2).max(4 * mtu);
            (self.cwnd, self.partial_bytes_acked) = (self.ssthresh, 0);
            self.recovery = Some(self.next_tsn - 1);
        }
        lost
    }

    /// The retransmission timer has run out: all counts as lost (`sctp_retransmit` with `SCTP_RTXR_T3_RTX`).
    pub(super) fn time_out(&mut self, path_mtu: u32) {
        let mtu = path_mtu as usize;
        self.ssthresh = (self.cwnd / 2).max(4 * mtu);
        (self.cwnd, self.partial_bytes_acked, self.recovery) = (mtu, 0, None);
        self.send_all_again();
    }

    /// All that is not acknowledged is to be sent again.
    pub(super) fn send_all_again(&mut self) {
        for sent in self.flight.values_mut().filter(|sent| !sent.acked && !sent.due) {
            let len = sent.chunk.data.len();
            (sent.due, sent.missing, sent.fast, sent.timed) = (true, 0, false, None);
            self.outstanding -= len;
            self.peer_rwnd += len;
        }
        self.timed = None;
    }

    /// Nothing was sent for a while (`sctp_transport_lower_cwnd` with `SCTP_LOWER_CWND_INACTIVE`).
    pub(super) fn idle(&mut self, path_mtu: u32) {
        self.cwnd = (self.cwnd / 2).max(4 * path_mtu as usize);
    }
}
