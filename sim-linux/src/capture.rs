//! A packet ring per netns: every frame at every device, copied at the tap.
//!
//! A plain packet socket is not enough: what it queues shares its bytes with the packet, and what the kernel rewrites in
//! place later (addresses of a bridged DNAT, a fragment's TTL) would show up in earlier hops. The ring copies
//! (net/packet/af_packet.c, `tpacket_rcv`).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bytes::Bytes;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt};
use sim_core::capture::{Direction, Hop};
use sim_core::engine::arena::{DevId, NetnsId};
use sim_core::wire::packet::{PacketId, PacketType};
use vm_memory::{Bytes as _, FileOffset, MmapRegion, VolatileMemory as _, VolatileSlice};

use crate::clock::Stamps;
use crate::options::{PacketRxRing, PacketVersion};

/// Bytes of one slot: the ring's own header and the longest frame that can be captured.
const SLOT: usize = 4096;
/// Slots of a ring: that many frames may come between two looks at it.
const SLOTS: usize = 512;
/// Bytes the kernel allocates in one piece.
const BLOCK: usize = 1 << 16;

/// Offsets in `struct tpacket2_hdr` (include/uapi/linux/if_packet.h), and of the `struct sockaddr_ll` behind it.
mod at {
    pub(super) const STATUS: usize = 0;
    pub(super) const LEN: usize = 4;
    pub(super) const CAPTURED: usize = 8;
    pub(super) const MAC: usize = 12;
    pub(super) const SECONDS: usize = 16;
    pub(super) const NANOS: usize = 20;
    pub(super) const LINK: usize = 32;
    pub(super) const LINK_DEV: usize = LINK + 4;
    pub(super) const LINK_TYPE: usize = LINK + 10;
}

/// The ring of one netns.
pub(crate) struct Ring {
    socket: OwnedFd,
    memory: MmapRegion<()>,
    next: usize,
}

impl Ring {
    /// Captures every device of the netns the thread is in, those to come included.
    pub(crate) fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
        // Received packets are stamped on arrival only while somebody on the machine asks for it: ask, so that the order
        // does not depend on others.
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        setsockopt(&socket, PacketVersion, &(libc::tpacket_versions::TPACKET_V2 as i32))?;
        let ring = libc::tpacket_req {
            tp_block_size: BLOCK as u32,
            tp_block_nr: (SLOT * SLOTS / BLOCK) as u32,
            tp_frame_size: SLOT as u32,
            tp_frame_nr: SLOTS as u32,
        };
        setsockopt(&socket, PacketRxRing, &ring)?;
        let file = FileOffset::new(File::from(socket.try_clone()?), 0);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let memory = MmapRegion::build(Some(file), SLOT * SLOTS, access, libc::MAP_SHARED).map_err(io::Error::other)?;
        Ok(Self { socket, memory, next: 0 })
    }

    /// Takes the frames that came since the last call, in order, as hops of `netns`.
    ///
    /// # Errors
    /// Frames were lost: more than the ring holds came at once, or one that is too long.
    pub(crate) fn drain(&mut self, netns: NetnsId, stamps: Stamps, hops: &mut Vec<Hop>) -> io::Result<()> {
        let memory = self.memory.as_volatile_slice();
        loop {
            let slot = memory.subslice(self.next * SLOT, SLOT).map_err(io::Error::other)?;
            let status = u32_at(&slot, at::STATUS)?;
            if status & libc::TP_STATUS_USER == 0 {
                return Ok(());
            }
            hops.push(hop(&slot, netns, stamps)?);
            slot.write_obj(libc::TP_STATUS_KERNEL, at::STATUS).map_err(io::Error::other)?;
            self.next = (self.next + 1) % SLOTS;
            if status & libc::TP_STATUS_LOSING != 0 {
                return Err(io::Error::other(format!("frames were lost: more than {SLOTS} came at once")));
            }
        }
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn hop(slot: &VolatileSlice<'_>, netns: NetnsId, stamps: Stamps) -> io::Result<Hop> {
    let (len, captured) = (u32_at(slot, at::LEN)?, u32_at(slot, at::CAPTURED)?);
    if captured < len {
        return Err(io::Error::other(format!("a frame of {len} bytes is longer than can be captured, {captured}")));
    }
    let mac: u16 = slot.read_obj(at::MAC).map_err(io::Error::other)?;
    let mut frame = vec![0; captured as usize];
    slot.read_slice(&mut frame, usize::from(mac)).map_err(io::Error::other)?;
    let kind: u8 = slot.read_obj(at::LINK_TYPE).map_err(io::Error::other)?;
    let pkt_type = match kind {
        libc::PACKET_BROADCAST => PacketType::Broadcast,
        libc::PACKET_MULTICAST => PacketType::Multicast,
        libc::PACKET_OTHERHOST => PacketType::OtherHost,
        libc::PACKET_OUTGOING => PacketType::Outgoing,
        _ => PacketType::Host,
    };
    Ok(Hop {
        at: stamps.moment(u32_at(slot, at::SECONDS)?, u32_at(slot, at::NANOS)?),
        event: 0,
        stamp: 0,
        netns,
        dev: DevId(u32_at(slot, at::LINK_DEV)?),
        direction: if pkt_type == PacketType::Outgoing { Direction::Out } else { Direction::In },
        pkt_type,
        packet: PacketId(0),
        csum_pending: u32_at(slot, at::STATUS)? & libc::TP_STATUS_CSUMNOTREADY != 0,
        frame: Bytes::from(frame),
        decisions: Vec::new(),
    })
}

fn u32_at(slot: &VolatileSlice<'_>, offset: usize) -> io::Result<u32> {
    slot.read_obj(offset).map_err(io::Error::other)
}
