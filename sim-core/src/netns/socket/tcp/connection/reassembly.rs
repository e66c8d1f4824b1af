//! Data that arrived out of order, and the SACK blocks that tell the peer of it (RFC 2018, RFC 2883).

use bytes::Bytes;

use super::super::options::{SackBlock, SackBlocks};
use super::super::seq::{after, before, later};
use super::receive_queue::Charge;

/// A segment held back until what precedes it arrives.
#[derive(Clone, Debug)]
pub(in super::super) struct Held {
    pub(super) seq: u32,
    pub(super) payload: Bytes,
    pub(super) fin: bool,
    pub(super) charge: Charge,
}

/// What became of a segment that was to be held back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Inserted {
    /// Another holds all of it.
    Known,
    /// It was copied behind the one that it goes on from (`tcp_ooo_try_coalesce`).
    Joined,
    Apart,
}

impl Held {
    pub(super) fn end(&self) -> u32 {
        self.seq.wrapping_add(self.payload.len() as u32 + u32::from(self.fin))
    }

    /// Whether there was room for `next`, which goes on where this ends.
    fn takes(&mut self, next: &Held) -> bool {
        let joined = !self.fin && next.seq == self.end() && self.charge.takes(next.payload.len() as u32);
        if joined {
            self.payload = [&self.payload[..], &next.payload].concat().into();
            self.fin = next.fin;
        }
        joined
    }
}

/// What arrived beyond the next byte expected.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Reassembly {
    /// In order of sequence; neighbours may overlap but none holds another.
    held: Vec<Held>,
    /// The SACK blocks, newest first, at most four.
    blocks: Vec<SackBlock>,
    /// A duplicate to be reported once.
    dsack: Option<SackBlock>,
    told: Told,
}

/// What is to be counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// Duplicates to be reported.
    pub(super) reported: u32,
    /// Segments that others hold whole.
    pub(super) merged: u32,
}

/// SACK blocks kept (`TCP_NUM_SACKS`).
const BLOCKS: usize = 4;

impl Reassembly {
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The segments that are held.
    pub(super) fn held(&self) -> impl Iterator<Item = &Held> {
        self.held.iter()
    }

    /// The end of the rightmost block: a RST may stand there (RFC 5961 3.2).
    pub(super) fn right_edge(&self) -> Option<u32> {
        self.blocks.iter().map(|b| b.end).reduce(later)
    }

    /// What is to be counted since it was asked last.
    pub(super) fn take_told(&mut self) -> Told {
        std::mem::take(&mut self.told)
    }

    /// Reports a duplicate, replacing an unsent report (`tcp_dsack_set`).
    pub(super) fn report_duplicate(&mut self, start: u32, end: u32) {
        self.told.reported += 1;
        self.dsack = Some(SackBlock { start, end });
    }

    /// Widens an unsent report if it touches, else keeps it; makes one if there is none (`tcp_dsack_extend`).
    fn extend_duplicate(&mut self, start: u32, end: u32) {
        match &mut self.dsack {
            None => self.report_duplicate(start, end),
            Some(block) => {
                extend(block, start, end);
            }
        }
    }

    /// The blocks of the next ACK; a duplicate is reported once, in front.
    pub(super) fn take_blocks(&mut self) -> SackBlocks {
        let mut out = SackBlocks::default();
        self.dsack.take().into_iter().chain(self.blocks.iter().copied()).for_each(|b| out.push(b));
        out
    }

    /// How many blocks the next ACK would have.
    pub(super) fn block_count(&self) -> u32 {
        (self.blocks.len() + usize::from(self.dsack.is_some())).min(BLOCKS) as u32
    }

    /// Where the last segment that waits ends, in order of sequence.
    pub(super) fn last_end(&self) -> Option<u32> {
        self.held.last().map(Held::end)
    }

    /// Takes a segment from beyond the next byte expected (`tcp_data_queue_ofo`).
    pub(super) fn insert(&mut self, new: Held, dsack: bool) -> Inserted {
        let (seq, end) = (new.seq, new.end());
        let at = self.held.partition_point(|h| !after(h.seq, seq));
        if let Some(previous) = at.checked_sub(1).and_then(|i| self.held.get_mut(i))
            && previous.takes(&new)
        {
            self.note(seq, end);
            return Inserted::Joined;
        }
        if let Some(previous) = at.checked_sub(1).and_then(|i| self.held.get(i))
            && before(seq, previous.end())
        {
            if !after(end, previous.end()) {
                self.told.merged += 1;
                if dsack {
                    self.report_duplicate(seq, end);
                }
                self.note(seq, end);
                return Inserted::Known;
            }
            let overlap = previous.end();
            if dsack && after(seq, previous.seq) {
                self.report_duplicate(seq, overlap);
            }
        }
        self.drop_covered(at, seq, end, dsack);
        let at = self.held.partition_point(|h| before(h.seq, seq));
        self.held.insert(at, new);
        self.note(seq, end);
        Inserted::Apart
    }

    /// Removes what `seq..end` makes superfluous from position `at` on.
    fn drop_covered(&mut self, at: usize, seq: u32, end: u32, dsack: bool) {
        // A segment of the same start that is shorter is covered too.
        let at = if at > 0 && self.held[at - 1].seq == seq { at - 1 } else { at };
        while let Some(next) = self.held.get(at).filter(|n| after(end, n.seq)) {
            let covered = !before(end, next.end());
            let (start, stop) = (next.seq, if covered { next.end() } else { end });
            if dsack {
                self.extend_duplicate(start, stop);
            }
            if !covered {
                break;
            }
            self.held.remove(at);
            self.told.merged += 1;
        }
    }

    /// Puts `seq..end` into the first block (`tcp_sack_new_ofo_skb`).
    fn note(&mut self, seq: u32, end: u32) {
        if let Some(i) = self.blocks.iter_mut().position(|b| extend(b, seq, end)) {
            self.blocks[..=i].rotate_right(1);
            self.merge();
            return;
        }
        self.blocks.truncate(BLOCKS - 1);
        self.blocks.insert(0, SackBlock { start: seq, end });
    }

    /// Joins blocks that touch the first one (`tcp_sack_maybe_coalesce`).
    fn merge(&mut self) {
        let mut i = 1;
        while i < self.blocks.len() {
            let other = self.blocks[i];
            if extend(&mut self.blocks[0], other.start, other.end) {
                self.blocks.remove(i);
                i = 1;
            } else {
                i += 1;
            }
        }
    }

    /// What has become in order now that `nxt` is expected, trimmed to what is new (`tcp_ofo_queue`).
    pub(super) fn take_in_order(&mut self, mut nxt: u32, dsack: bool) -> Vec<Held> {
        let mut duplicate_end = nxt;
        let mut taken = Vec::new();
        while self.held.first().is_some_and(|h| !after(h.seq, nxt)) {
            let mut held = self.held.remove(0);
            if before(held.seq, duplicate_end) {
                let high = duplicate_end;
                let end = if before(held.end(), high) { held.end() } else { high };
                if before(held.end(), high) {
                    duplicate_end = held.end();
                }
                if dsack {
                    self.extend_duplicate(held.seq, end);
                }
            }
            if !after(held.end(), nxt) {
                continue;
            }
            let known = nxt.wrapping_sub(held.seq) as usize;
            held.charge = held.charge.behind(known);
            held.payload = held.payload.split_off(known.min(held.payload.len()));
            held.seq = nxt;
            nxt = held.end();
            taken.push(held);
        }
        taken
    }

    /// Forgets blocks that `nxt` has passed (`tcp_sack_remove`).
    pub(super) fn acknowledge(&mut self, nxt: u32) {
        if self.held.is_empty() {
            self.blocks.clear();
        }
        self.blocks.retain(|b| before(nxt, b.start));
    }

    /// Forgets everything held, and what would be told of duplicates: a FIN came before it (`tcp_sack_reset`).
    pub(super) fn purge(&mut self) {
        self.held.clear();
        self.blocks.clear();
        self.dsack = None;
    }
}

/// Widens `block` by `start..end` if they touch (`tcp_sack_extend`).
fn extend(block: &mut SackBlock, start: u32, end: u32) -> bool {
    let touches = !after(start, block.end) && !after(block.start, end);
    if touches {
        block.start = if before(start, block.start) { start } else { block.start };
        block.end = later(block.end, end);
    }
    touches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(seq: u32, len: usize) -> Held {
        Held { seq, payload: Bytes::from(vec![0; len]), fin: false, charge: Charge::of_frame(len as u32) }
    }

    fn blocks(r: &mut Reassembly) -> Vec<(u32, u32)> {
        r.take_blocks().as_slice().iter().map(|b| (b.start, b.end)).collect()
    }

    /// Golden tcp_sack_receiver.
    #[test]
    fn the_newest_block_comes_first_and_a_duplicate_before_it() {
        let mut r = Reassembly::default();
        for seq in [101, 301, 501] {
            r.insert(held(seq, 100), true);
        }
        assert_eq!(blocks(&mut r), [(501, 601), (301, 401), (101, 201)]);
        assert_eq!(r.insert(held(301, 100), true), Inserted::Known);
        assert_eq!(blocks(&mut r), [(301, 401), (301, 401), (501, 601), (101, 201)]);
        r.insert(held(401, 100), true);
        assert_eq!(blocks(&mut r), [(301, 601), (101, 201)]);
    }

    #[test]
    fn filling_a_hole_gives_back_each_byte_once() {
        let mut r = Reassembly::default();
        r.insert(held(10, 10), true);
        r.insert(held(15, 10), true);
        r.insert(held(30, 5), true);
        let taken: Vec<_> = r.take_in_order(12, true).iter().map(|h| (h.seq, h.payload.len())).collect();
        assert_eq!(taken, [(12, 8), (20, 5)]);
        r.acknowledge(25);
        assert_eq!(r.block_count(), 2, "one block and the report of 10..12");
    }
}
