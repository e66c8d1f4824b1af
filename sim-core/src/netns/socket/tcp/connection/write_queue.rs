//! The write queue: what was written and not yet sent, in the packets that sendmsg() made of it (`sk_write_queue`).

use std::collections::VecDeque;

/// Bytes of data, and whether the last of them is pushed.
#[derive(Clone, Copy, Debug)]
struct Unsent {
    len: u32,
    psh: bool,
}

/// The lengths of the packets; their bytes are in the send buffer.
#[derive(Clone, Debug, Default)]
pub(super) struct WriteQueue {
    packets: VecDeque<Unsent>,
}

impl WriteQueue {
    /// Number of packets.
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// Bytes of the first packet; 0 if there is none.
    pub(super) fn first(&self) -> u32 {
        self.packets.front().map_or(0, |first| first.len)
    }

    /// Bytes the last packet may still take until it has `goal`.
    pub(super) fn room(&self, goal: u32) -> u32 {
        self.packets.back().map_or(0, |last| goal.saturating_sub(last.len))
    }

    /// A new packet for what is written next.
    pub(super) fn begin(&mut self) {
        self.packets.push_back(Unsent { len: 0, psh: false });
    }

    /// Puts `len` bytes into the last packet. What a write begins with is not pushed yet.
    pub(super) fn extend(&mut self, len: u32, begins: bool) {
        if let Some(last) = self.packets.back_mut() {
            last.len += len;
            last.psh &= !begins;
        }
    }

    /// The last packet is pushed (`tcp_mark_push`).
    pub(super) fn push(&mut self) {
        if let Some(last) = self.packets.back_mut() {
            last.psh = true;
        }
    }

    /// Fills the first packet up to `len` bytes from the one behind it (`tcp_grow_skb`).
    pub(super) fn grow_first(&mut self, len: u32) {
        let (Some(first), Some(next)) = (self.packets.front().copied(), self.packets.get_mut(1)) else { return };
        let more = len.saturating_sub(first.len).min(next.len);
        next.len -= more;
        let emptied = next.len == 0 && more > 0;
        let psh = first.psh | (emptied && next.psh);
        if emptied {
            self.packets.remove(1);
        }
        self.packets[0] = Unsent { len: first.len + more, psh };
    }

    /// Takes `len` bytes off the first packet; whether they end with a push.
    pub(super) fn take(&mut self, len: u32) -> bool {
        let Some(first) = self.packets.front_mut() else { return false };
        first.len = first.len.saturating_sub(len);
        if first.len > 0 {
            return false;
        }
        self.packets.pop_front().is_some_and(|first| first.psh)
    }
}
