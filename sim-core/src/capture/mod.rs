//! What the taps saw and what was decided in between, and its way into a pcapng file.
//!
//! A tap sees a frame where the kernel's packet sockets see it: on its way out of a device
//! (net/core/dev.c, `dev_queue_xmit_nit`) and on its way in (`__netif_receive_skb_core`). What is decided about a packet
//! between two taps goes with the frame that shows it, as values; text is made of it only when a file is written.

pub mod decision;
pub mod filter;
pub mod layers;
pub mod pcapng;
mod words;

use bytes::Bytes;

use crate::engine::arena::{DevId, NetnsId};
use crate::engine::time::Instant;
use crate::engine::trail::DropPlace;
use crate::wire::eth::MacAddr;
use crate::wire::packet::{PacketId, PacketType};

pub use decision::{Asked, Decision, End, Ruled, Translated};
pub use filter::{Filter, FilterError};

/// Which way a frame passed a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Direction {
    /// Received by the device.
    In,
    /// Sent by the device.
    Out,
}

/// What a capture consists of, in the order in which it happened.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A frame passed a device.
    Hop(Hop),
    /// A packet was dropped.
    Loss(Loss),
}

impl Seen {
    /// Where it was seen: at a device, or (a packet that was dropped before it reached one) in a netns.
    pub fn tap(&self) -> (NetnsId, Option<DevId>) {
        match self {
            Self::Hop(hop) => (hop.netns, Some(hop.dev)),
            Self::Loss(loss) => (loss.place.netns, loss.place.dev),
        }
    }

    /// Which packet it was.
    pub fn packet(&self) -> PacketId {
        match self {
            Self::Hop(hop) => hop.packet,
            Self::Loss(loss) => loss.packet,
        }
    }

    /// What was decided since the packet's last tap.
    pub fn decisions(&self) -> &[Decision] {
        match self {
            Self::Hop(hop) => &hop.decisions,
            Self::Loss(loss) => &loss.decisions,
        }
    }

    /// The bytes, from the Ethernet header on.
    pub fn frame(&self) -> &Bytes {
        match self {
            Self::Hop(hop) => &hop.frame,
            Self::Loss(loss) => &loss.frame,
        }
    }
}

/// One frame at one device.
#[derive(Clone, Debug)]
pub struct Hop {
    /// When.
    pub at: Instant,
    /// In which event of the run, counted from 0.
    pub event: u64,
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
    /// Which packet. Copies and fragments of a packet share its id.
    pub packet: PacketId,
    /// The kernel would not have computed the L4 checksum yet (`lo` never does): the bytes have the right one all the same.
    pub csum_pending: bool,
    /// The bytes, from the Ethernet header on.
    pub frame: Bytes,
    /// What was decided about the packet since its last tap, and, if the packet was delivered here, what was decided until
    /// then. Of a packet's copies and fragments the first has them.
    pub decisions: Vec<Decision>,
}

/// One packet that was dropped.
#[derive(Clone, Debug)]
pub struct Loss {
    /// When.
    pub at: Instant,
    /// In which event of the run, counted from 0.
    pub event: u64,
    /// Which packet.
    pub packet: PacketId,
    /// Where and why.
    pub place: DropPlace,
    /// The bytes as they were when it was dropped. A packet that had no Ethernet header at that moment is shown with the one
    /// it came with, one that never had any with zero addresses.
    pub frame: Bytes,
    /// What was decided about it since its last tap.
    pub decisions: Vec<Decision>,
}

/// A device as a capture describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tap {
    /// Its name, with that of its netns: `n1/cni0`.
    pub name: String,
    /// What it is and where it leads.
    pub description: String,
    /// Its hardware address, if it has one.
    pub mac: Option<MacAddr>,
}

/// What ids are called. Asked when a file is written, once for every interface.
pub trait Names {
    /// A device; without one, the netns itself: there packets are shown that were dropped before they reached a device.
    fn tap(&self, netns: NetnsId, dev: Option<DevId>) -> Tap;

    /// A netns' name.
    fn netns_name(&self, netns: NetnsId) -> &str;

    /// A device's name in its netns; empty if it is gone.
    fn dev_name(&self, netns: NetnsId, dev: DevId) -> &str;
}
