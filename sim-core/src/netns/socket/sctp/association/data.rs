//! DATA chunks by value, and their numbers (RFC 9260 3.3.1).

use bytes::Bytes;

use crate::wire::sctp::{Chunk, DATA, be32};

/// Flag: the last fragment of a message.
pub(super) const END: u8 = 1;
/// Flag: the first fragment of a message.
pub(super) const BEGIN: u8 = 2;
/// Flag: its message is for no place in its stream.
pub(super) const UNORDERED: u8 = 4;
/// Flag: the sender wants to be answered at once (RFC 7053).
pub(super) const IMMEDIATE: u8 = 8;

/// Bytes of TSN, stream, sequence number and payload protocol, before the data.
const FIXED: usize = 12;
/// Bytes of a DATA chunk before its data.
pub(super) const DATA_HEADER: usize = 16;

/// A DATA chunk without its TSN.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct DataChunk {
    pub(super) flags: u8,
    pub(super) stream: u16,
    /// The number of its message in the stream.
    pub(super) ssn: u16,
    /// What the data is, for those who use it; we say 0.
    pub(super) protocol: u32,
    pub(super) data: Bytes,
}

impl DataChunk {
    /// Reads the chunk and its TSN; `None` if it is cut.
    pub(super) fn read(chunk: &Chunk<'_>) -> Option<(u32, Self)> {
        let (fixed, data) = chunk.value.split_at_checked(FIXED)?;
        let short = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let (stream, ssn, protocol) = (short(4), short(6), be32(&fixed[8..]));
        let data = Bytes::copy_from_slice(data);
        Some((be32(fixed), Self { flags: chunk.flags, stream, ssn, protocol, data }))
    }

    /// The chunk's bytes with its TSN, padded.
    pub(super) fn write(&self, tsn: u32, out: &mut Vec<u8>) {
        let mut value = Vec::with_capacity(FIXED + self.data.len());
        value.extend(tsn.to_be_bytes());
        value.extend(self.stream.to_be_bytes());
        value.extend(self.ssn.to_be_bytes());
        value.extend(self.protocol.to_be_bytes());
        value.extend(&self.data);
        Chunk { kind: DATA, flags: self.flags, value: &value }.write(out);
    }

    /// Its bytes in a packet.
    pub(super) fn wire_len(&self) -> usize {
        DATA_HEADER + self.data.len().next_multiple_of(4)
    }

    pub(super) const fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A TSN that does not wrap: the one with these last 32 bits that is nearest to `near`.
pub(super) fn unwrap(tsn: u32, near: u64) -> u64 {
    let distance = tsn.wrapping_sub(near as u32) as i32;
    near.saturating_add_signed(i64::from(distance))
}
