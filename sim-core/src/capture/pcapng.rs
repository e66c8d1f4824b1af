//! Hops as a pcapng file (draft-ietf-opsawg-pcapng): an interface for every device, nanoseconds.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{DataLink, Endianness, PcapError};

use super::{Direction, Hop};
use crate::engine::arena::{DevId, Map, NetnsId};
use crate::wire::packet::PacketType;

/// How many bytes of blocks are collected before they are written: a megabyte a call.
const WRITTEN_AT: usize = 1 << 20;
/// The longest name of an interface in characters; a longer one is cut. Options hold 65,535 bytes.
const LONGEST_NAME: usize = 255;

/// Writes hops to `W` in whole blocks only, so that what has been written so far is a right file.
///
/// Timestamps are simulated time counted from 1970. An interface is described just before its first frame.
/// What is still collected when a writer is dropped is lost: [`Self::flush`] it.
pub struct PcapNg<W: Write> {
    blocks: PcapNgWriter<Vec<u8>>,
    out: W,
    interfaces: Map<(NetnsId, DevId), u32>,
}

impl<W: Write> PcapNg<W> {
    /// Begins a file on `out`.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(out: W) -> io::Result<Self> {
        let section = SectionHeaderBlock {
            // The same bytes on every machine.
            endianness: Endianness::Little,
            options: vec![SectionHeaderOption::UserApplication(Cow::Borrowed("everyhop"))],
            ..SectionHeaderBlock::default()
        };
        let blocks = PcapNgWriter::with_section_header(Vec::with_capacity(WRITTEN_AT), section).map_err(io_error)?;
        let mut file = Self { blocks, out, interfaces: Map::default() };
        file.flush()?;
        Ok(file)
    }

    /// Adds one hop; `name` is asked once for every device, for example `n1/cni0` or `ns/pod/eth0`.
    ///
    /// # Errors
    /// What the output says when collected blocks are written.
    pub fn write(&mut self, hop: &Hop, name: impl FnOnce() -> String) -> io::Result<()> {
        let interface_id = match self.interfaces.get(&(hop.netns, hop.dev)) {
            Some(&id) => id,
            None => self.describe(hop, name())?,
        };
        let block = EnhancedPacketBlock {
            interface_id,
            timestamp: Duration::from_nanos(hop.at.as_nanos()),
            original_len: hop.frame.len() as u32,
            data: Cow::Borrowed(&hop.frame),
            options: vec![EnhancedPacketOption::Flags(flags(hop))],
        };
        self.blocks.write_pcapng_block(block).map_err(io_error)?;
        if self.blocks.get_ref().len() >= WRITTEN_AT { self.flush() } else { Ok(()) }
    }

    /// Writes what is collected.
    ///
    /// # Errors
    /// What the output says.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(self.blocks.get_ref())?;
        self.blocks.get_mut().clear();
        self.out.flush()
    }

    /// Flushes and gives the output back.
    ///
    /// # Errors
    /// What the output says.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.out)
    }

    fn describe(&mut self, hop: &Hop, name: String) -> io::Result<u32> {
        let name: String = name.chars().take(LONGEST_NAME).collect();
        let block = InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            snaplen: 0,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Owned(name)),
                // pcap-file writes nanoseconds, and a file that does not say so is read as microseconds.
                InterfaceDescriptionOption::IfTsResol(9),
            ],
        };
        self.blocks.write_pcapng_block(block).map_err(io_error)?;
        let id = self.interfaces.len() as u32;
        self.interfaces.insert((hop.netns, hop.dev), id);
        Ok(id)
    }
}

/// `epb_flags` (section 4.3.1): direction in bits 0 and 1, how it was received in bits 2 to 4.
fn flags(hop: &Hop) -> u32 {
    if hop.direction == Direction::Out {
        return 2;
    }
    let reception = match hop.pkt_type {
        PacketType::Host => 1,
        PacketType::Multicast => 2,
        PacketType::Broadcast => 3,
        PacketType::OtherHost => 4,
        PacketType::Outgoing => 0,
    };
    1 | reception << 2
}

fn io_error(e: PcapError) -> io::Error {
    match e {
        PcapError::IoError(e) => e,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests;
