//! TCP options: read as Linux reads them, written in Linux's order.

use crate::wire::tcp_option::{self, MAX_SCALE, MSS, NOP, SACK, SACK_PERMITTED, TIMESTAMPS, WINDOW_SCALE};

/// The timestamps option (RFC 7323 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timestamps {
    /// TSval: the sender's clock, in milliseconds.
    pub value: u32,
    /// TSecr: the value of the other side that is echoed; 0 in a SYN.
    pub echo: u32,
}

/// A range of sequence numbers `start..end` that arrived (RFC 2018).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SackBlock {
    /// First sequence number of the range.
    pub start: u32,
    /// The number after the last of the range.
    pub end: u32,
}

/// Up to four SACK blocks, in their order on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SackBlocks {
    blocks: [SackBlock; 4],
    len: u8,
}

impl SackBlocks {
    /// Appends a block; a fifth one is left out, as there is no room for it in a header.
    pub fn push(&mut self, block: SackBlock) {
        if let Some(slot) = self.blocks.get_mut(usize::from(self.len)) {
            *slot = block;
            self.len += 1;
        }
    }

    /// The blocks.
    pub fn as_slice(&self) -> &[SackBlock] {
        &self.blocks[..usize::from(self.len)]
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The options of one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Maximum segment size, in a SYN.
    pub mss: Option<u16>,
    /// Window scale, in a SYN; more than 14 is read as 14 (RFC 7323 2.3).
    pub window_scale: Option<u8>,
    /// SACK permitted, in a SYN.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// Selective acknowledgments.
    pub sack: SackBlocks,
}

/// Bytes a header has for options.
pub(super) const SPACE: usize = 40;
/// Bytes of timestamps with their padding.
pub(super) const TIMESTAMPS_ALIGNED: u32 = 12;

impl Options {
    /// Reads the option bytes of a header; `syn` tells whether the segment has the SYN flag.
    ///
    /// Unknown options are skipped; at a length that cannot be, reading ends with what was found so
    /// far (net/ipv4/tcp_input.c, `tcp_parse_options`).
    pub fn parse(bytes: &[u8], syn: bool) -> Self {
        let mut options = Self::default();
        tcp_option::each(bytes).for_each(|(kind, value)| options.read(kind, value, syn));
        options
    }

    fn read(&mut self, kind: u8, value: &[u8], syn: bool) {
        match (kind, value) {
            (MSS, [a, b]) if syn => self.mss = Some(u16::from_be_bytes([*a, *b])).filter(|mss| *mss != 0),
            (WINDOW_SCALE, [n]) if syn => self.window_scale = Some((*n).min(MAX_SCALE)),
            (SACK_PERMITTED, []) if syn => self.sack_permitted = true,
            (TIMESTAMPS, v) if v.len() == 8 => {
                self.timestamps = Some(Timestamps { value: be32(v), echo: be32(&v[4..]) });
            }
            (SACK, v) if !v.is_empty() && v.len() % 8 == 0 => {
                self.sack = SackBlocks::default();
                for block in v.chunks_exact(8) {
                    self.sack.push(SackBlock { start: be32(block), end: be32(&block[4..]) });
                }
            }
            _ => {}
        }
    }

    /// How many bytes they take in the header of a segment that is no SYN.
    pub(super) fn data_len(&self) -> u32 {
        let timestamps = if self.timestamps.is_some() { TIMESTAMPS_ALIGNED } else { 0 };
        let blocks = 8 * self.sack.as_slice().len() as u32;
        timestamps + if blocks > 0 { 4 + blocks } else { 0 }
    }

    /// The option bytes in Linux's order, a multiple of four (net/ipv4/tcp_output.c, `tcp_options_write`).
    ///
    /// SACK blocks for which there is no room are left out.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SPACE);
        if let Some(mss) = self.mss {
            out.extend([MSS, 4]);
            out.extend(mss.to_be_bytes());
        }
        if let Some(ts) = self.timestamps {
            out.extend(if self.sack_permitted { [SACK_PERMITTED, 2] } else { [NOP, NOP] });
            out.extend([TIMESTAMPS, 10]);
            out.extend(ts.value.to_be_bytes());
            out.extend(ts.echo.to_be_bytes());
        } else if self.sack_permitted {
            out.extend([NOP, NOP, SACK_PERMITTED, 2]);
        }
        if let Some(scale) = self.window_scale {
            out.extend([NOP, WINDOW_SCALE, 3, scale]);
        }
        let room = (SPACE - out.len()).saturating_sub(4) / 8;
        let blocks = &self.sack.as_slice()[..usize::from(self.sack.len).min(room)];
        if !blocks.is_empty() {
            out.extend([NOP, NOP, SACK, 2 + 8 * blocks.len() as u8]);
            for b in blocks {
                out.extend(b.start.to_be_bytes());
                out.extend(b.end.to_be_bytes());
            }
        }
        out
    }
}

fn be32(b: &[u8]) -> u32 {
    u32::from_be_bytes([b[0], b[1], b[2], b[3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Fact 85, goldens tcp_window_scale and tcp_timestamps.
    #[test]
    fn the_order_of_options_is_linux_s() {
        let syn = Options { mss: Some(1410), window_scale: Some(7), sack_permitted: true, ..Options::default() };
        assert_eq!(syn.to_bytes(), [2, 4, 5, 130, 1, 1, 4, 2, 1, 3, 3, 7]);
        let with_ts = Options { timestamps: Some(Timestamps { value: 1, echo: 2 }), ..syn };
        assert_eq!(with_ts.to_bytes(), [2, 4, 5, 130, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7]);
    }

    #[test]
    fn timestamps_leave_room_for_three_blocks() {
        let mut o = Options { timestamps: Some(Timestamps::default()), ..Options::default() };
        (0..5).for_each(|n| o.sack.push(SackBlock { start: n, end: n + 1 }));
        assert_eq!(o.sack.as_slice().len(), 4);
        assert_eq!(Options::parse(&o.to_bytes(), false).sack.as_slice().len(), 3);
    }

    #[test]
    fn a_scale_of_15_is_read_as_14_and_only_in_a_syn() {
        assert_eq!(Options::parse(&[3, 3, 15], true).window_scale, Some(14));
        assert_eq!(Options::parse(&[3, 3, 15], false), Options::default());
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..60), syn: bool) {
            Options::parse(&bytes, syn);
        }

        #[test]
        fn what_is_written_is_read_back(mss in proptest::option::of(1u16..), scale in proptest::option::of(0u8..15), sack_permitted: bool,
                                        ts in proptest::option::of((any::<u32>(), any::<u32>()))) {
            let timestamps = ts.map(|(value, echo)| Timestamps { value, echo });
            // With timestamps the SACK-permitted option takes the place of their padding.
            let o = Options { mss, window_scale: scale, sack_permitted, timestamps, sack: SackBlocks::default() };
            prop_assert_eq!(Options::parse(&o.to_bytes(), true), o);
        }
    }
}
