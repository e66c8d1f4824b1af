//! What the taps saw, and its way into a pcapng file.
//!
//! A tap sees a frame where the kernel's packet sockets see it: on its way out of a device
//! (net/core/dev.c, `dev_queue_xmit_nit`) and on its way in (`__netif_receive_skb_core`).

pub mod pcapng;

use bytes::Bytes;

use crate::engine::arena::{DevId, NetnsId};
use crate::engine::time::Instant;
use crate::engine::trail::DropPlace;
use crate::wire::packet::{PacketId, PacketType};

/// Which way a frame passed a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Direction {
    /// Received by the device.
    In,
    /// Sent by the device.
    Out,
}

/// One frame at one device.
#[derive(Clone, Debug)]
pub struct Hop {
    /// When.
    pub at: Instant,
    /// Order stamp: a frame handed from one netns to another bears the stamp of the hand-over, as
    /// the kernel's timestamps do; ties in `at` are broken by it where hops of several netns are merged.
    pub stamp: u64,
    /// In which netns.
    pub netns: NetnsId,
    /// At which device.
    pub dev: DevId,
    /// Which way.
    pub direction: Direction,
    /// To whom the frame was addressed, as the device saw it.
    pub pkt_type: PacketType,
    /// Which packet.
    pub packet: PacketId,
    /// The kernel would not have computed the L4 checksum yet (`lo` never does): the bytes have the right one all the same.
    pub csum_pending: bool,
    /// The bytes, from the Ethernet header on.
    pub frame: Bytes,
}

/// One packet that was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loss {
    /// When.
    pub at: Instant,
    /// Which packet.
    pub packet: PacketId,
    /// Where and why.
    pub place: DropPlace,
}
