//! What has come: which DATA chunks, the messages they make, and what the peer is told of it (net/sctp/tsnmap.c,
//! ulpqueue.c, `sctp_assoc_rwnd_decrease`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::data::{BEGIN, DataChunk, END, UNORDERED, unwrap};
use crate::netns::socket::RMEM_DEFAULT;
use crate::netns::socket::sctp::config::OVERHEAD;
use crate::netns::socket::sctp::init::RWND;
use crate::wire::sctp::{Chunk, SACK};

/// How far beyond the last TSN in order one may be (`SCTP_TSN_MAP_SIZE`).
const TSN_WINDOW: u64 = 4096;
/// Gaps and duplicates that one SACK tells (`SCTP_MAX_GABS`, `SCTP_MAX_DUP_TSNS`).
const MAX_TOLD: usize = 16;

/// A message, or as much of one as had to be handed over before the rest came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Its stream.
    pub stream: u16,
    /// Its data.
    pub data: Bytes,
    /// Whether the message ends with it (`MSG_EOR`).
    pub ends: bool,
    /// Chunks it came in, which the receive buffer was charged for.
    chunks: usize,
}

/// What became of a DATA chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// It is new.
    New,
    /// It was here before, and is told of as a duplicate.
    Duplicate,
    /// There is no room for it, or it is too far ahead.
    Refused,
}

/// The receiving half of an association.
#[derive(Clone, Debug)]
pub(super) struct Inbound {
    /// The last TSN up to which all have come.
    cumulative: u64,
    /// Those beyond it that have come, too.
    beyond: BTreeSet<u64>,
    duplicates: Vec<u32>,
    /// Chunks that are no whole message yet.
    fragments: BTreeMap<u64, DataChunk>,
    /// The message that is handed over in parts: its stream, and the TSN of the part that is next.
    partial: Option<(u16, u64)>,
    /// Whole messages that wait for an earlier one of their stream.
    waiting: BTreeMap<(u16, u16), Message>,
    next_ssn: BTreeMap<u16, u16>,
    /// Whole messages that wait for the end of one that is handed over in parts.
    behind_partial: VecDeque<Message>,
    ready: VecDeque<Message>,
    /// Bytes that the application has not read, each chunk with its overhead.
    held: usize,
    /// The receive window, what was taken beyond it, and what was kept back because the buffer is full.
    rwnd: u32,
    rwnd_over: u32,
    rwnd_press: u32,
    /// The window as the peer was told last.
    told_rwnd: u32,
    /// Packets with data since the last SACK; the first one of all is answered at once.
    unanswered: u32,
    answer_next: bool,
}

impl Inbound {
    /// Nothing has come; the peer's first TSN will be `first`.
    pub(super) fn new(first: u32) -> Self {
        Self {
            cumulative: (1 << 32) + u64::from(first) - 1,
            beyond: BTreeSet::new(),
            duplicates: Vec::new(),
            fragments: BTreeMap::new(),
            partial: None,
            waiting: BTreeMap::new(),
            next_ssn: BTreeMap::new(),
            behind_partial: VecDeque::new(),
            ready: VecDeque::new(),
            held: 0,
            rwnd: RWND,
            rwnd_over: 0,
            rwnd_press: 0,
            told_rwnd: RWND,
            unanswered: 0,
            answer_next: true,
        }
    }

    /// The last TSN up to which all have come.
    pub(super) const fn cumulative(&self) -> u32 {
        self.cumulative as u32
    }

    /// Takes a DATA chunk (`sctp_eat_data`).
    pub(super) fn take(&mut self, tsn: u32, chunk: DataChunk) -> Taken {
        let at = unwrap(tsn, self.cumulative);
        if at <= self.cumulative || self.beyond.contains(&at) {
            if self.duplicates.len() < MAX_TOLD {
                self.duplicates.push(tsn);
            }
            return Taken::Duplicate;
        }
        if at > self.cumulative + TSN_WINDOW || !self.has_room(at, chunk.data.len()) {
            return Taken::Refused;
        }
        self.note(at);
        self.decrease_rwnd(chunk.data.len());
        self.fragments.insert(at, chunk);
        self.assemble(at);
        if self.rwnd == 0 {
            self.hand_over_in_parts();
        }
        Taken::New
    }

    /// A TSN whose data is of no use has come (`SCTP_CMD_REPORT_TSN`). Whether it is new.
    pub(super) fn take_useless(&mut self, tsn: u32) -> bool {
        let at = unwrap(tsn, self.cumulative);
        let new = at > self.cumulative && at <= self.cumulative + TSN_WINDOW && !self.beyond.contains(&at);
        if new {
            self.note(at);
        }
        new
    }

    fn note(&mut self, at: u64) {
        self.beyond.insert(at);
        while self.beyond.remove(&(self.cumulative + 1)) {
            self.cumulative += 1;
        }
    }

    /// With the window shut only what fills a gap is taken, and no more than the peer can have sent before it knew.
    fn has_room(&self, at: u64, len: usize) -> bool {
        let fills_gap = !self.beyond.is_empty() && at == self.cumulative + 1;
        let open = self.rwnd > 0 && self.rwnd_over == 0;
        open || (fills_gap && self.rwnd_over as usize + len <= RMEM_DEFAULT)
    }

    /// `sctp_assoc_rwnd_decrease`
    fn decrease_rwnd(&mut self, len: usize) {
        self.held += len + OVERHEAD;
        let len = len as u32;
        if self.rwnd < len {
            self.rwnd_over += len - self.rwnd;
            self.rwnd = 0;
            return;
        }
        self.rwnd -= len;
        if self.held >= RMEM_DEFAULT {
            self.rwnd_press += self.rwnd;
            self.rwnd = 0;
        }
    }

    /// `sctp_assoc_rwnd_increase`; whether the peer should hear of the new window (`sctp_peer_needs_update`).
    fn increase_rwnd(&mut self, len: u32, chunks: usize, path_mtu: u32) -> bool {
        self.held = self.held.saturating_sub(len as usize + chunks * OVERHEAD);
        let of_over = len.min(self.rwnd_over);
        self.rwnd_over -= of_over;
        self.rwnd += len - of_over;
        if self.rwnd_press > 0 && self.held < RMEM_DEFAULT {
            let change = path_mtu.min(self.rwnd_press);
            self.rwnd += change;
            self.rwnd_press -= change;
        }
        let grown = self.rwnd.saturating_sub(self.told_rwnd);
        grown >= (RMEM_DEFAULT as u32 >> 4).max(path_mtu)
    }

    /// Whether the chunk at `at` makes a message whole; hands it on (`sctp_ulpq_reasm`).
    fn assemble(&mut self, at: u64) {
        if self.partial.is_some_and(|(_, next)| next == at) {
            return self.go_on_in_parts();
        }
        let Some(chunk) = self.fragments.get(&at) else { return };
        let (stream, ssn, unordered) = (chunk.stream, chunk.ssn, chunk.is(UNORDERED));
        let belongs = |tsn: u64| {
            let found = self.fragments.get(&tsn)?;
            ((found.stream, found.ssn, found.is(UNORDERED)) == (stream, ssn, unordered)).then_some(found)
        };
        let (mut first, mut last) = (at, at);
        while belongs(first).is_some_and(|chunk| !chunk.is(BEGIN)) {
            first -= 1;
        }
        while belongs(last).is_some_and(|chunk| !chunk.is(END)) {
            last += 1;
        }
        if belongs(first).is_none() || belongs(last).is_none() {
            return;
        }
        let mut data = Vec::new();
        for tsn in first..=last {
            data.extend(self.fragments.remove(&tsn).map(|chunk| chunk.data).unwrap_or_default());
        }
        let chunks = (last - first) as usize + 1;
        let message = Message { stream, data: data.into(), ends: true, chunks };
        if unordered {
            self.ready_after_partial(message);
        } else {
            self.waiting.insert((stream, ssn), message);
            self.hand_over(stream);
        }
    }

    /// Messages of a stream become ready in their order (`sctp_ulpq_order`).
    fn hand_over(&mut self, stream: u16) {
        let mut next = self.next_ssn.get(&stream).copied().unwrap_or(0);
        while let Some(message) = self.waiting.remove(&(stream, next)) {
            next = next.wrapping_add(1);
            self.ready_after_partial(message);
        }
        self.next_ssn.insert(stream, next);
    }

    fn ready_after_partial(&mut self, message: Message) {
        let queue = if self.partial.is_some() { &mut self.behind_partial } else { &mut self.ready };
        queue.push_back(message);
    }

    /// The buffer is full: the oldest message that has begun, and is next in its stream, is handed over as far as it has
    /// come, or nothing would ever move (`sctp_ulpq_partial_delivery`).
    fn hand_over_in_parts(&mut self) {
        if self.partial.is_some() || !self.ready.is_empty() {
            return;
        }
        let is_next = |chunk: &DataChunk| {
            let next = self.next_ssn.get(&chunk.stream).copied().unwrap_or(0);
            chunk.is(BEGIN) && (chunk.is(UNORDERED) || chunk.ssn == next)
        };
        let oldest = self.fragments.range(..=self.cumulative).find(|(_, chunk)| is_next(chunk));
        let Some((stream, first)) = oldest.map(|(tsn, chunk)| (chunk.stream, *tsn)) else { return };
        self.partial = Some((stream, first));
        self.go_on_in_parts();
    }

    fn go_on_in_parts(&mut self) {
        while let Some((stream, next)) = self.partial {
            if self.fragments.get(&next).is_none_or(|chunk| chunk.stream != stream) {
                return;
            }
            let Some(chunk) = self.fragments.remove(&next) else { return };
            let (ends, ordered) = (chunk.is(END), !chunk.is(UNORDERED));
            self.ready.push_back(Message { stream, data: chunk.data, ends, chunks: 1 });
            self.partial = (!ends).then_some((stream, next + 1));
            if ends {
                self.ready.append(&mut self.behind_partial);
                if ordered {
                    self.next_ssn.insert(stream, chunk.ssn.wrapping_add(1));
                    self.hand_over(stream);
                }
            }
        }
    }

    /// Takes the oldest message, and says whether the peer should hear that there is room again.
    pub(super) fn read(&mut self, path_mtu: u32) -> Option<(Message, bool)> {
        let message = self.ready.pop_front()?;
        let wider = self.increase_rwnd(message.data.len() as u32, message.chunks, path_mtu);
        Some((message, wider))
    }

    /// Whether there is something to be read.
    pub(super) fn is_readable(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether something has come that makes no message, or none whose turn it is.
    pub(super) fn has_parts(&self) -> bool {
        !self.fragments.is_empty() || !self.waiting.is_empty()
    }

    /// Bytes that wait to be read.
    pub(super) fn unread(&self) -> usize {
        self.ready.iter().map(|message| message.data.len()).sum()
    }

    /// A packet with data is over: whether a SACK is due now, or with the next packet or after a while
    /// (`sctp_gen_sack`).
    pub(super) fn answers_now(&mut self, forced: bool) -> bool {
        if forced || self.answer_next || !self.beyond.is_empty() {
            return true;
        }
        self.unanswered += 1;
        // Every second packet is answered (`SCTP_DEFAULT_SACK_FREQ`).
        self.answer_next = self.unanswered >= 1;
        false
    }

    /// The SACK chunk that tells all of it (`sctp_make_sack`).
    pub(super) fn sack(&mut self) -> Vec<u8> {
        (self.unanswered, self.answer_next, self.told_rwnd) = (0, false, self.rwnd);
        let gaps = self.gaps();
        let duplicates = std::mem::take(&mut self.duplicates);
        let mut value = Vec::with_capacity(12 + 4 * (gaps.len() + duplicates.len()));
        value.extend(self.cumulative().to_be_bytes());
        value.extend(self.rwnd.to_be_bytes());
        value.extend((gaps.len() as u16).to_be_bytes());
        value.extend((duplicates.len() as u16).to_be_bytes());
        for (first, last) in gaps {
            value.extend(first.to_be_bytes());
            value.extend(last.to_be_bytes());
        }
        duplicates.iter().for_each(|tsn| value.extend(tsn.to_be_bytes()));
        Chunk { kind: SACK, flags: 0, value: &value }.to_bytes()
    }

    /// What has come beyond the gaps: first and last of each run, counted from the last TSN in order.
    fn gaps(&self) -> Vec<(u16, u16)> {
        let mut runs: Vec<(u16, u16)> = Vec::new();
        for offset in self.beyond.iter().map(|tsn| (tsn - self.cumulative) as u16) {
            let is_full = runs.len() == MAX_TOLD;
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == offset => *last = offset,
                _ if is_full => break,
                _ => runs.push((offset, offset)),
            }
        }
        runs
    }
}
