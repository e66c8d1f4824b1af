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
        let duplicate = is_dsack(blocks, segment.ack);
        if duplicate {
            self.note_dsack(cx, blocks[0], found);
        }
        for (i, block) in blocks.iter().enumerate() {
            if self.is_valid(block, duplicate && i == 0) {
                self.tag_block(cx, *block, duplicate && i == 0, found);
            }
        }
        let loss_without_undo = self.recovery.state == super::CaState::Loss && self.recovery.undo_marker.is_none();
        if !loss_without_undo && before(found.reordered, self.snd.nxt) {
            self.note_reordering(cx, found.reordered);
        }
    }

    /// `tcp_is_sackblock_valid`: inside what was sent; a D-SACK may lie below `una`.
    fn is_valid(&self, b: &SackBlock, duplicate: bool) -> bool {
        if after(b.end, self.snd.nxt) || !before(b.start, b.end) {
            return false;
        }
        if !before(b.start, self.snd.una) {
            return before(b.start, self.snd.nxt);
        }
        duplicate && !before(b.start, self.snd.una.wrapping_sub(self.snd.max_window))
    }

    /// A duplicate arrived: one of our retransmissions was needless (`tcp_check_dsack`, `tcp_dsack_seen`).
    fn note_dsack(&mut self, cx: &mut Context, block: SackBlock, found: &mut Found) {
        cx.count("TCPDSACKRecv");
        found.dsack = true;
        found.dsack_of_probe = self.recovery.tlp_retransmitted && self.recovery.tlp_high_seq == Some(block.end);
        self.recovery.rack.dsack_seen = true;
        if let Some(marker) = self.recovery.undo_marker
            && self.recovery.undo_retrans > 0
            && !after(block.end, found.prior_una)
            && after(block.end, marker)
        {
            let segments = block.end.wrapping_sub(block.start).div_ceil(self.snd.mss.max(1)).max(1);
            self.recovery.undo_retrans = (self.recovery.undo_retrans - segments as i64).max(0);
        }
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
            self.snd.delivered += chunk.packets();
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
