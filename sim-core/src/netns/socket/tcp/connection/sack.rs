//! What the peer's SACK blocks cover (RFC 2018, RFC 2883; `tcp_sacktag_write_queue`).

use super::Connection;
use super::ack::Found;
use crate::netns::socket::tcp::context::Context;
use crate::netns::socket::tcp::options::SackBlock;
use crate::netns::socket::tcp::segment::Segment;
use crate::netns::socket::tcp::seq::{after, before};

impl Connection {
    /// Marks what the SACK blocks of a segment cover.
    pub(super) fn tag_sacked(&mut self, cx: &mut Context, segment: &Segment, found: &mut Found) {
        let blocks = segment.options.sack.as_slice();
        let duplicate = self.note_dsack(cx, blocks, segment.ack, found);
        // In the order of the queue, or what lies below a later block would look overtaken.
        let mut in_order: Vec<_> = blocks.iter().enumerate().collect();
        in_order.sort_by(|(_, a), (_, b)| (a.start.wrapping_sub(b.start) as i32).cmp(&0));
        for (i, block) in in_order {
            let duplicate = duplicate && i == 0;
            if self.is_valid(block, duplicate) {
                self.tag_block(cx, *block, duplicate, found);
            } else if !self.snd.rtx.is_empty() {
                self.count_ignored(cx, block, duplicate, segment.ack);
            }
        }
        let loss_without_undo = self.recovery.state == super::CaState::Loss && self.recovery.undo_marker.is_none();
        if !loss_without_undo && before(found.reordered, self.snd.nxt) {
            self.note_reordering(cx, found.reordered);
        }
    }

    /// Old blocks of overtaken ACKs are not counted.
    fn count_ignored(&self, cx: &mut Context, block: &SackBlock, duplicate: bool, ack: u32) {
        match (duplicate, self.recovery.undo_marker) {
            (true, None) => cx.count("TCPDSACKIgnoredNoUndo"),
            (true, Some(_)) => cx.count("TCPDSACKIgnoredOld"),
            (false, _) if ack != self.snd.una && !after(block.end, self.snd.una) => {}
            (false, _) => cx.count("TCPSACKDiscard"),
        }
    }

    /// `tcp_is_sackblock_valid`: inside what was sent; a D-SACK may lie below `una`, as far as a reduction could be undone.
    fn is_valid(&self, b: &SackBlock, duplicate: bool) -> bool {
        if after(b.end, self.snd.nxt) || !before(b.start, b.end) || !before(b.start, self.snd.nxt) {
            return false;
        }
        if after(b.start, self.snd.una) {
            return true;
        }
        let Some(marker) = self.recovery.undo_marker.filter(|_| duplicate && !after(b.end, self.snd.una)) else {
            return false;
        };
        let across = after(b.end, marker) && !before(b.start, b.end.wrapping_sub(self.snd.max_window));
        !before(b.start, marker) || across
    }

    /// Whether the first block reports a duplicate: one of our retransmissions was needless. What cannot be is ignored
    /// (`tcp_check_dsack`, `tcp_dsack_seen`).
    fn note_dsack(&mut self, cx: &mut Context, blocks: &[SackBlock], ack: u32, found: &mut Found) -> bool {
        let Some(block) = blocks.first().filter(|_| is_dsack(blocks, ack)) else { return false };
        cx.count(if before(block.start, ack) { "TCPDSACKRecv" } else { "TCPDSACKOfoRecv" });
        let (len, mss) = (block.end.wrapping_sub(block.start), self.snd.mss.max(1));
        let segments = len.div_ceil(mss).max(1);
        let possible = before(block.start, block.end) && len <= self.snd.max_window;
        self.recovery.dsack_dups += if possible { segments } else { 0 };
        if !possible || self.recovery.dsack_dups > self.recovery.total_retrans {
            cx.count("TCPDSACKIgnoredDubious");
            return false;
        }
        cx.add("TCPDSACKRecvSegs", segments);
        let of_probe = len <= mss && self.recovery.tlp_high_seq == Some(block.end);
        found.dsack = true;
        found.dsack_of_probe = of_probe && self.recovery.tlp_retransmitted;
        found.sack_delivered += segments;
        self.recovery.rack.dsack_seen |= self.recovery.reordering_seen && !of_probe;
        if let Some(marker) = self.recovery.undo_marker
            && self.recovery.undo_retrans > 0
            && !after(block.end, found.prior_una)
            && after(block.end, marker)
        {
            self.recovery.undo_retrans = (self.recovery.undo_retrans - i64::from(segments)).max(0);
        }
        true
    }

    fn tag_block(&mut self, cx: &Context, block: SackBlock, duplicate: bool, found: &mut Found) {
        let mut i = 0;
        while let Some(chunk) = self.snd.rtx.get(i) {
            if !before(chunk.seq, block.end) {
                break;
            }
            if after(chunk.end(), block.start) && self.cut_to(i, block) {
                self.tag_chunk(cx, i, duplicate, found);
            }
            i += 1;
        }
    }

    /// Splits chunk `i` so that it lies inside or outside of the block; whether it lies inside (`tcp_match_skb_to_sack`).
    fn cut_to(&mut self, i: usize, block: SackBlock) -> bool {
        let Some(chunk) = self.snd.rtx.get(i) else { return false };
        let starts_inside = !after(block.start, chunk.seq);
        if starts_inside && !before(block.end, chunk.end()) {
            return true;
        }
        if chunk.packets() == 1 {
            return false;
        }
        let (mss, seq, len) = (chunk.mss, chunk.seq, chunk.len);
        // SACKs cover whole segments: round to them, away from the block at its start, into it at its end.
        let cut = if starts_inside {
            block.end.wrapping_sub(seq) / mss * mss
        } else {
            block.start.wrapping_sub(seq).div_ceil(mss) * mss
        };
        if cut == 0 || cut >= len {
            return starts_inside && cut >= len;
        }
        self.snd.rtx.split(i, cut, mss);
        starts_inside
    }

    /// `tcp_sacktag_one`.
    fn tag_chunk(&mut self, cx: &Context, i: usize, duplicate: bool, found: &mut Found) {
        let Some(chunk) = self.snd.rtx.get(i).cloned() else { return };
        if duplicate && chunk.ever_retransmitted {
            if self.recovery.undo_retrans > 0 && self.recovery.undo_marker.is_some_and(|m| after(chunk.end(), m)) {
                self.recovery.undo_retrans = (self.recovery.undo_retrans - i64::from(chunk.packets())).max(0);
            }
            if chunk.sacked && before(chunk.seq, found.reordered) {
                found.reordered = chunk.seq;
            }
        }
        if after(chunk.end(), self.snd.una) && !chunk.sacked {
            self.rack_advance(cx, &chunk);
            let retransmitted = chunk.retransmitted;
            if !retransmitted && !chunk.ever_retransmitted {
                self.note_original(&chunk, found);
            }
            self.snd.rtx.update(i, |c| {
                // A retransmission of what is not taken for lost is believed to be in flight still.
                if c.lost {
                    (c.lost, c.retransmitted) = (false, false);
                }
                c.sacked = true;
            });
            found.data_sacked = true;
            found.sent_delivered = found.sent_delivered.max(Some(chunk.delivered));
            found.sack_delivered += chunk.packets();
        }
        if duplicate && chunk.retransmitted {
            self.snd.rtx.update(i, |c| c.retransmitted = false);
        }
    }

    /// Something sent once lies below what other SACKs covered: it was overtaken.
    fn note_original(&self, chunk: &super::rtx::Chunk, found: &mut Found) {
        if before(chunk.seq, self.snd.rtx.highest_sacked(self.snd.una)) && before(chunk.seq, found.reordered) {
            found.reordered = chunk.seq;
        }
        found.original_acked |= !after(chunk.end(), self.recovery.high_seq);
        let first = found.sacked_sent.map_or(chunk.sent_at, |(first, _)| first);
        found.sacked_sent = Some((first, chunk.sent_at));
    }

    /// `tcp_check_sack_reordering`.
    pub(super) fn note_reordering(&mut self, cx: &mut Context, low: u32) {
        let high = self.snd.rtx.highest_sacked(self.snd.una);
        if !before(low, high) {
            return;
        }
        let distance = high.wrapping_sub(low);
        let mss = self.snd.mss.max(1);
        if distance > self.recovery.reordering.saturating_mul(mss) {
            self.recovery.reordering = distance.div_ceil(mss).min(cx.config.max_reordering);
        }
        self.recovery.reordering_seen = true;
        cx.count("TCPSACKReorder");
    }
}

/// Whether the first block reports a duplicate: it lies below the ACK or inside the second one (RFC 2883 4).
fn is_dsack(blocks: &[SackBlock], ack: u32) -> bool {
    match blocks {
        [first, ..] if before(first.start, ack) => true,
        [first, second, ..] => !after(first.end, second.end) && !before(first.start, second.start),
        _ => false,
    }
}
