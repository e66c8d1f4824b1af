//! A capture as a pcapng file (draft-ietf-opsawg-pcapng): an interface for every device, nanoseconds, names, comments.
//!
//! Here only bytes are made: every call adds whole blocks to a buffer of the caller, who writes and clears it.

mod block;

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use super::{Decision, Direction, Hop, Loss, Names, Seen, Tap};
use crate::engine::arena::{DevId, Map, NetnsId};
use crate::engine::time::Instant;
use crate::engine::trail::DropCounters;
use crate::wire::packet::PacketType;
use block::Block;

/// What the file says about its maker.
const APPLICATION: &str = concat!("everyhop ", env!("CARGO_PKG_VERSION"));

// Block types (section 4; section header, interface description, name resolution, interface statistics, enhanced packet).
const SHB: u32 = 0x0a0d_0d0a;
const IDB: u32 = 1;
const NRB: u32 = 4;
const ISB: u32 = 5;
const EPB: u32 = 6;
/// `opt_comment`, in every block.
const COMMENT: u16 = 1;
/// LINKTYPE_ETHERNET.
const ETHERNET: u16 = 1;
/// `TC_ACT_SHOT` (include/uapi/linux/pkt_cls.h): the verdict of a packet that was dropped, in the one dialect of `epb_verdict`
/// that Wireshark shows by name.
const TC_ACT_SHOT: u64 = 2;

/// The state of a file being written. Timestamps are simulated time counted from 1970. An interface is described just before
/// its first frame.
#[derive(Clone, Debug)]
pub struct PcapNg {
    taps: Vec<(NetnsId, Option<DevId>)>,
    ids: Map<(NetnsId, Option<DevId>), u32>,
    snaplen: u32,
    /// A comment in the making.
    text: String,
}

impl PcapNg {
    /// Begins a file. Of every frame at most `snaplen` bytes are kept, of 0 all; `comment` is shown as the file's.
    pub fn begin(snaplen: u32, comment: &str, out: &mut Vec<u8>) -> Self {
        let mut block = Block::begin(out, SHB);
        block.u32(0x1a2b_3c4d);
        block.u16(1);
        block.u16(0);
        // The length of the section is not known yet.
        block.u32(u32::MAX);
        block.u32(u32::MAX);
        block.text(COMMENT, &[], comment, &[]);
        block.text(4, &[], APPLICATION, &[]);
        block.end();
        Self { taps: Vec::new(), ids: Map::default(), snaplen, text: String::new() }
    }

    /// Says whose an address is (name resolution block). Readers that go through the file once show a name from here on.
    pub fn names<'n>(&self, names: impl IntoIterator<Item = (IpAddr, &'n str)>, out: &mut Vec<u8>) {
        let mut block = Block::begin(out, NRB);
        for (ip, name) in names {
            match ip {
                IpAddr::V4(ip) => block.text(1, &ip.octets(), name, &[0]),
                IpAddr::V6(ip) => block.text(2, &ip.octets(), name, &[0]),
            }
        }
        block.end();
    }

    /// Adds what was seen.
    pub fn write(&mut self, seen: &Seen, names: &dyn Names, out: &mut Vec<u8>) {
        match seen {
            Seen::Hop(hop) => self.hop(hop, names, out),
            Seen::Loss(loss) => self.loss(loss, names, out),
        }
    }

    fn hop(&mut self, hop: &Hop, names: &dyn Names, out: &mut Vec<u8>) {
        let tap = self.tap(hop.netns, Some(hop.dev), names, out);
        let mut block = packet(tap, hop.at, (&hop.frame, self.snaplen), out);
        block.option(2, &flags(hop).to_le_bytes());
        block.option(5, &hop.packet.0.to_le_bytes());
        self.decided(&hop.decisions, (hop.netns, names), &mut block);
        if !hop.decisions.is_empty() {
            self.comment(&mut block, format_args!("event {}", hop.event));
        }
        block.end();
    }

    /// The packet as it was when it was dropped, at the device it came by.
    fn loss(&mut self, loss: &Loss, names: &dyn Names, out: &mut Vec<u8>) {
        let place = &loss.place;
        let tap = self.tap(place.netns, place.dev, names, out);
        let mut block = packet(tap, loss.at, (&loss.frame, self.snaplen), out);
        block.option(5, &loss.packet.0.to_le_bytes());
        let mut verdict = [1; 9];
        verdict[1..].copy_from_slice(&TC_ACT_SHOT.to_le_bytes());
        block.option(7, &verdict);
        self.decided(&loss.decisions, (place.netns, names), &mut block);
        self.comment(&mut block, format_args!("dropped: {} at {}", place.reason.name(), place.stage));
        self.comment(&mut block, format_args!("event {}", loss.event));
        block.end();
    }

    fn decided(&mut self, decisions: &[Decision], (netns, names): (NetnsId, &dyn Names), block: &mut Block<'_>) {
        for decision in decisions {
            self.text.clear();
            decision.write_words(netns, names, &mut self.text);
            block.text(COMMENT, &[], &self.text, &[]);
        }
    }

    fn comment(&mut self, block: &mut Block<'_>, text: fmt::Arguments<'_>) {
        self.text.clear();
        self.text.write_fmt(text).expect("a string takes all text");
        block.text(COMMENT, &[], &self.text, &[]);
    }

    /// Says how many packets were dropped at each device, and why (interface statistics blocks). Comes last.
    pub fn statistics(&self, end: Instant, drops: &DropCounters, out: &mut Vec<u8>) {
        for (id, (netns, dev)) in self.taps.iter().enumerate() {
            let here = || drops.iter().filter(|(place, _)| (place.netns, place.dev) == (*netns, *dev));
            let dropped: u64 = here().map(|(_, n)| n).sum();
            let mut block = Block::begin(out, ISB);
            block.u32(id as u32);
            block.timestamp(end.as_nanos());
            for (place, n) in here() {
                let text = format!("{n} × {} at {}", place.reason.name(), place.stage);
                block.text(COMMENT, &[], &text, &[]);
            }
            block.option(5, &dropped.to_le_bytes());
            block.end();
        }
    }

    /// The interface's number; it is described if it is new.
    fn tap(&mut self, netns: NetnsId, dev: Option<DevId>, names: &dyn Names, out: &mut Vec<u8>) -> u32 {
        let key = (netns, dev);
        if let Some(&id) = self.ids.get(&key) {
            return id;
        }
        let id = self.taps.len() as u32;
        self.taps.push(key);
        self.ids.insert(key, id);
        let Tap { name, description, mac } = names.tap(netns, dev);
        let mut block = Block::begin(out, IDB);
        block.u16(ETHERNET);
        block.u16(0);
        block.u32(self.snaplen);
        block.text(2, &[], &name, &[]);
        block.text(3, &[], &description, &[]);
        if let Some(mac) = mac {
            block.option(6, &mac.0);
        }
        // Nanoseconds.
        block.option(9, &[9]);
        block.end();
        id
    }
}

/// Begins the block of a frame, of which `snaplen` bytes are kept.
fn packet<'o>(tap: u32, at: Instant, (frame, snaplen): (&[u8], u32), out: &'o mut Vec<u8>) -> Block<'o> {
    let kept = if snaplen == 0 { frame.len() } else { frame.len().min(snaplen as usize) };
    let mut block = Block::begin(out, EPB);
    block.u32(tap);
    block.timestamp(at.as_nanos());
    block.u32(kept as u32);
    block.u32(frame.len() as u32);
    block.bytes(&frame[..kept]);
    block
}

/// `epb_flags` (section 4.3.1): direction in bits 0 and 1, how it was received in bits 2 to 4.
fn flags(hop: &Hop) -> u32 {
    if hop.direction == Direction::Out {
        return 2;
    }
    let reception = match hop.pkt_type {
        PacketType::Host | PacketType::Loopback => 1,
        PacketType::Multicast => 2,
        PacketType::Broadcast => 3,
        PacketType::OtherHost => 4,
        PacketType::Outgoing => 0,
    };
    1 | reception << 2
}

#[cfg(test)]
mod tests;
