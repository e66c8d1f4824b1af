//! The retransmission queue: what was sent and is not yet acknowledged, with what is known of its fate.
//!
//! A chunk is what the kernel sends as one skb: up to many segments that were handed over at once. It is split where a
//! SACK, a loss or the window makes its parts differ (net/ipv4/tcp_output.c, `tcp_fragment`).

use std::collections::VecDeque;

use super::super::seq::{after, before};
use crate::engine::time::Instant;

/// A range of sequence numbers sent at one moment.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) seq: u32,
    /// Bytes of data.
    pub(super) len: u32,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) psh: bool,
    /// Size of its segments in bytes.
    pub(super) mss: u32,
    pub(super) sent_at: Instant,
    /// Segments the connection had delivered when it was sent.
    pub(super) delivered: u32,
    /// A SACK covers it.
    pub(super) sacked: bool,
    /// Taken for lost.
    pub(super) lost: bool,
    /// Sent again, and that copy is taken to be in flight.
    pub(super) retransmitted: bool,
    /// Ever sent again.
    pub(super) ever_retransmitted: bool,
}

impl Chunk {
    /// The sequence number after it.
    pub(super) fn end(&self) -> u32 {
        self.seq.wrapping_add(self.len + u32::from(self.syn) + u32::from(self.fin))
    }

    /// How many segments it is.
    pub(super) fn packets(&self) -> u32 {
        self.len.div_ceil(self.mss.max(1)).max(1)
    }

    /// Leaves out what is acknowledged (`tcp_trim_head`).
    pub(super) fn trim(&mut self, una: u32) {
        if before(self.seq, una) && after(self.end(), una) {
            self.len -= una.wrapping_sub(self.seq);
            self.seq = una;
        }
    }

    /// Length of its segments (`tcp_skb_seglen`).
    pub(super) fn segment_len(&self) -> u32 {
        self.len.min(self.mss)
    }
}

/// The chunks in order of sequence, and the counts the kernel keeps of them, in segments.
#[derive(Clone, Debug, Default)]
pub(super) struct RtxQueue {
    chunks: VecDeque<Chunk>,
    /// Segments outstanding.
    pub(super) packets_out: u32,
    /// Segments the peer holds; without SACK, the number of duplicate ACKs.
    pub(super) sacked_out: u32,
    /// Segments taken for lost.
    pub(super) lost_out: u32,
    /// Segments sent again and in flight.
    pub(super) retrans_out: u32,
}

impl RtxQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.chunks.len()
    }

    pub(super) fn get(&self, i: usize) -> Option<&Chunk> {
        self.chunks.get(i)
    }

    pub(super) fn head(&self) -> Option<&Chunk> {
        self.chunks.front()
    }

    /// Bytes of data in all chunks.
    pub(super) fn bytes(&self) -> u32 {
        self.chunks.iter().map(|c| c.len).sum()
    }

    /// Segments in flight (RFC 6675 `pipe`; `tcp_packets_in_flight`).
    pub(super) fn in_flight(&self) -> u32 {
        (self.packets_out + self.retrans_out).saturating_sub(self.sacked_out + self.lost_out)
    }

    pub(super) fn push(&mut self, chunk: Chunk) {
        self.account(&chunk, true);
        self.chunks.push_back(chunk);
    }

    pub(super) fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front()?;
        self.account(&chunk, false);
        Some(chunk)
    }

    /// Changes a chunk and keeps the counts right.
    pub(super) fn update(&mut self, i: usize, change: impl FnOnce(&mut Chunk)) {
        let Some(mut chunk) = self.chunks.get(i).cloned() else { return };
        self.account(&chunk, false);
        change(&mut chunk);
        self.account(&chunk, true);
        self.chunks[i] = chunk;
    }

    /// Cuts chunk `i` after `len` bytes; both parts get segments of `mss`.
    pub(super) fn split(&mut self, i: usize, len: u32, mss: u32) {
        let Some(mut first) = self.chunks.get(i).cloned().filter(|c| c.len > len && len > 0) else { return };
        self.account(&first, false);
        let mut second = first.clone();
        second.seq = first.seq.wrapping_add(len);
        second.len = first.len - len;
        second.mss = mss;
        (first.len, first.mss, first.fin, first.psh) = (len, mss, false, false);
        self.account(&first, true);
        self.account(&second, true);
        self.chunks[i] = first;
        self.chunks.insert(i + 1, second);
    }

    /// Appends chunk `i + 1` to chunk `i` (`tcp_collapse_retrans`).
    pub(super) fn join(&mut self, i: usize) {
        let Some(next) = self.chunks.remove(i + 1) else { return };
        self.account(&next, false);
        self.update(i, |c| {
            c.len += next.len;
            c.fin |= next.fin;
            c.psh |= next.psh;
            c.ever_retransmitted |= next.ever_retransmitted;
        });
    }

    /// Removes the acknowledged whole segments at the start of a chunk that `una` cuts; how many (`tcp_tso_acked`).
    pub(super) fn trim_head(&mut self, una: u32) -> u32 {
        let Some(head) = self.chunks.front() else { return 0 };
        if !after(head.end(), una) || !before(head.seq, una) {
            return 0;
        }
        let before = head.packets();
        if before == 1 {
            return 0;
        }
        self.update(0, |c| c.trim(una));
        before - self.chunks[0].packets()
    }

    /// Takes a chunk for lost; a retransmission of it that was in flight is lost again (`tcp_mark_skb_lost`).
    pub(super) fn mark_lost(&mut self, i: usize) {
        self.update(i, |c| {
            if c.sacked {
                return;
            }
            if c.lost {
                c.retransmitted = false;
            }
            c.lost = true;
        });
    }

    /// The end of the last chunk that a SACK covers, or `una` (`tcp_highest_sack_seq`).
    pub(super) fn highest_sacked(&self, una: u32) -> u32 {
        self.chunks.iter().rev().find(|c| c.sacked).map_or(una, Chunk::end)
    }

    /// Forgets what was sent, but not what was thought of it: TCP_INFO shows that of a dead connection
    /// (`tcp_write_queue_purge`).
    pub(super) fn purge(&mut self) {
        self.chunks.clear();
        self.packets_out = 0;
    }

    fn account(&mut self, c: &Chunk, add: bool) {
        let n = c.packets();
        let change = |count: &mut u32| *count = if add { *count + n } else { count.saturating_sub(n) };
        change(&mut self.packets_out);
        if c.sacked {
            change(&mut self.sacked_out);
        }
        if c.lost {
            change(&mut self.lost_out);
        }
        if c.retransmitted {
            change(&mut self.retrans_out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(len: u32) -> RtxQueue {
        let mut q = RtxQueue::default();
        let (sent_at, delivered) = (Instant::START, 0);
        let (sacked, lost, retransmitted, ever_retransmitted) = (false, false, false, false);
        let (syn, fin, psh) = (false, true, true);
        let mss = 1000;
        q.push(Chunk {
            seq: 0,
            len,
            syn,
            fin,
            psh,
            mss,
            sent_at,
            delivered,
            sacked,
            lost,
            retransmitted,
            ever_retransmitted,
        });
        q
    }

    #[test]
    fn splitting_keeps_flags_and_counts_where_they_belong() {
        let mut q = queue(2500);
        assert_eq!(q.packets_out, 3);
        q.split(0, 1000, 500);
        assert_eq!((q.packets_out, q.len()), (5, 2));
        assert!(!q.get(0).unwrap().fin && q.get(1).unwrap().fin && q.get(1).unwrap().psh);
        q.join(0);
        assert_eq!((q.packets_out, q.get(0).unwrap().end()), (5, 2501));
    }

    #[test]
    fn a_lost_chunk_that_is_sent_again_is_in_flight_and_can_be_lost_again() {
        let mut q = queue(900);
        q.mark_lost(0);
        assert_eq!(q.in_flight(), 0);
        q.update(0, |c| c.retransmitted = true);
        assert_eq!(q.in_flight(), 1);
        q.mark_lost(0);
        assert_eq!((q.in_flight(), q.lost_out, q.retrans_out), (0, 1, 0));
    }

    #[test]
    fn an_ack_inside_a_chunk_removes_whole_segments_only() {
        let mut q = queue(2500);
        assert_eq!(q.trim_head(1000), 1);
        assert_eq!((q.packets_out, q.head().unwrap().seq), (2, 1000));
        assert_eq!(queue(900).trim_head(500), 0);
    }
}
