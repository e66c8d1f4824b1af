//! SCTP packets: a common header, then chunks (RFC 9260 section 3).

use super::checksum::set_sctp_checksum;

/// Bytes of the common header.
pub const HEADER: usize = 12;
/// Bytes of a chunk's header, a parameter's and an error cause's.
pub const CHUNK_HEADER: usize = 4;

/// Chunk type DATA.
pub const DATA: u8 = 0;
/// Chunk type INIT.
pub const INIT: u8 = 1;
/// Chunk type INIT ACK.
pub const INIT_ACK: u8 = 2;
/// Chunk type SACK.
pub const SACK: u8 = 3;
/// Chunk type HEARTBEAT.
pub const HEARTBEAT: u8 = 4;
/// Chunk type HEARTBEAT ACK.
pub const HEARTBEAT_ACK: u8 = 5;
/// Chunk type ABORT.
pub const ABORT: u8 = 6;
/// Chunk type SHUTDOWN.
pub const SHUTDOWN: u8 = 7;
/// Chunk type SHUTDOWN ACK.
pub const SHUTDOWN_ACK: u8 = 8;
/// Chunk type ERROR.
pub const ERROR: u8 = 9;
/// Chunk type COOKIE ECHO.
pub const COOKIE_ECHO: u8 = 10;
/// Chunk type COOKIE ACK.
pub const COOKIE_ACK: u8 = 11;
/// Chunk type SHUTDOWN COMPLETE.
pub const SHUTDOWN_COMPLETE: u8 = 14;

/// What the RFC calls a type of chunk.
pub const fn chunk_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        DATA => "DATA",
        INIT => "INIT",
        INIT_ACK => "INIT ACK",
        SACK => "SACK",
        HEARTBEAT => "HEARTBEAT",
        HEARTBEAT_ACK => "HEARTBEAT ACK",
        ABORT => "ABORT",
        SHUTDOWN => "SHUTDOWN",
        SHUTDOWN_ACK => "SHUTDOWN ACK",
        ERROR => "ERROR",
        COOKIE_ECHO => "COOKIE ECHO",
        COOKIE_ACK => "COOKIE ACK",
        SHUTDOWN_COMPLETE => "SHUTDOWN COMPLETE",
        _ => return None,
    })
}

/// The flag of ABORT and SHUTDOWN COMPLETE that says the tag is the receiver's own (RFC 9260 8.5.1).
pub const FLAG_T: u8 = 1;

/// The common header by value; its checksum is set when the packet is built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SctpHeader {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Verification tag.
    pub tag: u32,
}

impl SctpHeader {
    /// Reads the header at the start of `l4`; `None` if it is cut. The checksum is the caller's business
    /// ([`super::checksum::sctp_checksum_ok`]).
    pub fn read(l4: &[u8]) -> Option<Self> {
        let h: &[u8; HEADER] = l4.first_chunk()?;
        let port = |at: usize| u16::from_be_bytes([h[at], h[at + 1]]);
        Some(Self { src: port(0), dst: port(2), tag: be32(&h[4..]) })
    }

    /// A whole packet: the header, then `chunks` as they stand, checksum set.
    pub fn packet(&self, chunks: &[u8]) -> Vec<u8> {
        let mut l4 = Vec::with_capacity(HEADER + chunks.len());
        l4.extend(self.src.to_be_bytes());
        l4.extend(self.dst.to_be_bytes());
        l4.extend(self.tag.to_be_bytes());
        l4.extend([0; 4]);
        l4.extend(chunks);
        set_sctp_checksum(&mut l4);
        l4
    }
}

/// One chunk; parameters and error causes have the same form, their type being two bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunk<'a> {
    /// Its type, for example [`INIT`].
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// What follows its header, without padding.
    pub value: &'a [u8],
}

impl Chunk<'_> {
    /// Appends the chunk, padded to four bytes. The value has at most 65 531 bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend([self.kind, self.flags]);
        out.extend(((CHUNK_HEADER + self.value.len()) as u16).to_be_bytes());
        out.extend(self.value);
        out.resize(out.len().next_multiple_of(4), 0);
    }

    /// The chunk's bytes, padded.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(CHUNK_HEADER + self.value.len() + 3);
        self.write(&mut out);
        out
    }
}

/// The chunks that follow a common header, or what else has their form. A length that cannot be ends the walk: what stands
/// there is told as its remaining bytes.
#[derive(Clone, Debug)]
pub struct Chunks<'a>(&'a [u8]);

impl<'a> Chunks<'a> {
    /// The chunks in `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<Chunk<'a>, &'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.0);
        if bytes.is_empty() {
            return None;
        }
        let Some(&[kind, flags, high, low]) = bytes.first_chunk() else { return Some(Err(bytes)) };
        let len = usize::from(u16::from_be_bytes([high, low]));
        let Some(value) = bytes.get(CHUNK_HEADER..len) else { return Some(Err(bytes)) };
        // The last one may come without its padding (`sctp_inq_pop`).
        self.0 = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(Chunk { kind, flags, value }))
    }
}

/// The number in the first four bytes; 0 if there are fewer.
pub fn be32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |b| u32::from_be_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::checksum::sctp_checksum_ok;
    use proptest::prelude::*;

    #[test]
    fn a_chunk_whose_length_cannot_be_ends_the_packet() {
        let good = Chunk { kind: COOKIE_ACK, flags: 0, value: b"" };
        for odd in [&[DATA, 0, 0, 3][..], &[DATA, 0, 0, 9, 1], &[DATA, 0]] {
            let bytes = [good.to_bytes(), odd.to_vec()].concat();
            assert_eq!(Chunks::new(&bytes).collect::<Vec<_>>(), [Ok(good), Err(odd)]);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            SctpHeader::read(&bytes);
            prop_assert!(Chunks::new(&bytes).count() <= bytes.len());
        }

        #[test]
        fn what_is_written_is_read(values in proptest::collection::vec(
            (any::<u8>(), any::<u8>(), proptest::collection::vec(any::<u8>(), 0..20)), 0..5)) {
            let chunks: Vec<_> = values.iter().map(|(kind, flags, value)| Chunk { kind: *kind, flags: *flags, value }).collect();
            let bytes: Vec<u8> = chunks.iter().flat_map(Chunk::to_bytes).collect();
            let header = SctpHeader { src: 1, dst: 2, tag: 3 };
            let packet = header.packet(&bytes);
            prop_assert!(sctp_checksum_ok(&packet));
            prop_assert_eq!(SctpHeader::read(&packet), Some(header));
            prop_assert!(Chunks::new(&packet[HEADER..]).eq(chunks.into_iter().map(Ok)));
        }
    }
}
