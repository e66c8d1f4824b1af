//! What arrived in order and waits to be read, and the memory that Linux has for it: a packet's head has one of few sizes,
//! and what comes next is copied into the room behind the data if it fits (`skb_try_coalesce`).

use std::collections::VecDeque;
use std::net::IpAddr;

use bytes::Bytes;

use crate::netns::socket::tcp::segment::Segment;

/// `struct sk_buff` and `struct skb_shared_info`, which lie beside and behind a packet's head.
const PACKET: u32 = 256;
const SHARED_INFO: u32 = 320;
/// `SKB_SMALL_HEAD_CACHE_SIZE`: the least head; larger ones are powers of two (`kmalloc_size_roundup`).
const SMALL_HEAD: u32 = 576;
/// Room for the Ethernet header, aligned (`LL_RESERVED_SPACE`), and what of it lies before the header.
const RESERVED: u32 = 16;
const BEGIN: u32 = RESERVED - ETHERNET;
const ETHERNET: u32 = 14;
const TCP_FIXED: u32 = 20;

/// The memory of a packet that arrived (`truesize`).
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Charge {
    pub(super) memory: u32,
    /// Bytes that fit behind its data (`skb_tailroom`).
    room: u32,
    /// What it begins with is known: it does not go on where another ends.
    overlaps: bool,
}

impl Charge {
    /// What the frame of `segment` occupies, as a packet socket or a card with linear buffers makes it.
    pub(super) fn of(segment: &Segment) -> Self {
        let ip = match segment.src.ip() {
            IpAddr::V4(_) => 20,
            IpAddr::V6(_) => 40,
        };
        Self::of_frame(ETHERNET + ip + TCP_FIXED + segment.options.data_len() + segment.payload.len() as u32)
    }

    /// What a frame of `frame` bytes occupies.
    pub(super) fn of_frame(frame: u32) -> Self {
        let wanted = RESERVED + frame + SHARED_INFO;
        let head = if wanted <= SMALL_HEAD { SMALL_HEAD } else { wanted.next_power_of_two() };
        Self { memory: head + PACKET, room: head - SHARED_INFO - BEGIN - frame, overlaps: false }
    }

    /// The same with `known` bytes at the beginning that another has, too.
    pub(super) fn behind(self, known: usize) -> Self {
        Self { overlaps: known > 0, ..self }
    }

    /// Whether `len` bytes that go on where this ends were copied into its room.
    pub(super) fn takes(&mut self, len: u32) -> bool {
        let fits = len <= self.room;
        if fits {
            self.room -= len;
        }
        fits
    }
}

/// The queue.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct ReceiveQueue {
    data: VecDeque<Bytes>,
    /// The packets: bytes of each that are not read, and its memory, which is free when all of it is read.
    packets: VecDeque<(u32, Charge)>,
    memory: u32,
}

impl ReceiveQueue {
    pub(super) fn memory(&self) -> u32 {
        self.memory
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.packets.iter().map(|(len, _)| *len as usize).sum()
    }

    /// Puts data at the end; whether it takes memory of its own (`tcp_queue_rcv`).
    pub(super) fn push(&mut self, payload: Bytes, charge: Charge) -> bool {
        let len = payload.len() as u32;
        self.data.push_back(payload);
        if let Some((unread, last)) = self.packets.back_mut().filter(|_| !charge.overlaps)
            && last.takes(len)
        {
            *unread += len;
            return false;
        }
        self.packets.push_back((len, charge));
        self.memory += charge.memory;
        true
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes up to `max` bytes.
    pub(super) fn read(&mut self, max: usize) -> Bytes {
        let out = self.take(max);
        self.release(out.len() as u32);
        out
    }

    fn take(&mut self, max: usize) -> Bytes {
        let mut out = Vec::new();
        while let Some(first) = self.data.front_mut().filter(|_| out.len() < max) {
            let part = first.split_to(first.len().min(max - out.len()));
            if first.is_empty() {
                self.data.pop_front();
            }
            if out.is_empty() && self.data.is_empty() {
                return part;
            }
            out.extend_from_slice(&part);
        }
        Bytes::from(out)
    }

    /// Frees the packets of which `read` bytes more are read (`tcp_eat_recv_skb`).
    fn release(&mut self, mut read: u32) {
        while let Some((unread, charge)) = self.packets.front_mut() {
            if read < *unread {
                *unread -= read;
                return;
            }
            read -= *unread;
            self.memory -= charge.memory;
            self.packets.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::socket::tcp::options::Options;
    use crate::wire::l4::ACK;

    /// The memory after each of four segments of `len` bytes.
    fn four(len: usize) -> [u32; 4] {
        let mut queue = ReceiveQueue::default();
        let (src, dst) = ("10.0.0.1:1000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let payload = Bytes::from(vec![0; len]);
        let options = Options::default();
        let segment = Segment { src, dst, seq: 1, ack: 1, flags: ACK, window: 9, tos: 0, options, payload };
        std::array::from_fn(|_| {
            queue.push(segment.payload.clone(), Charge::of(&segment));
            queue.memory()
        })
    }

    /// Measured on Linux 6.18: `SK_MEMINFO_RMEM_ALLOC` after each segment of a packet socket.
    #[test]
    fn small_packets_share_their_memory() {
        assert_eq!(four(1), [832; 4]);
        assert_eq!(four(100), [832, 832, 1664, 1664]);
        assert_eq!(four(105), [832, 1664, 2496, 3328]);
        assert_eq!(four(186), [832, 1664, 2496, 3328]);
        assert_eq!(four(187), [1280, 1280, 1280, 2560]);
        assert_eq!(four(634), [1280, 2560, 3840, 5120]);
        assert_eq!(four(635), [2304, 2304, 4608, 4608]);
        assert_eq!(four(1400), [2304, 4608, 6912, 9216]);
    }
}
