//! Blocks of a pcapng file (draft-ietf-opsawg-pcapng, section 3.1), written into a buffer; little-endian on every machine.

/// Longest text of an option, in characters; of what is longer the rest is cut. An option holds 65,535 bytes.
const LONGEST_TEXT: usize = 4096;

/// Stands for a character that could do harm.
const REPLACEMENT: &str = "\u{fffd}";

/// A block being written. [`Self::end`] makes it whole.
pub(super) struct Block<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Block<'a> {
    /// Begins a block of this type at the end of `out`.
    pub(super) fn begin(out: &'a mut Vec<u8>, kind: u32) -> Self {
        let start = out.len();
        let mut block = Self { out, start };
        block.u32(kind);
        block.u32(0);
        block
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// A timestamp (section 4.3): the upper half first, on machines of either byte order.
    pub(super) fn timestamp(&mut self, value: u64) {
        self.u32((value >> 32) as u32);
        self.u32(value as u32);
    }

    /// Bytes, padded to four.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.pad();
    }

    /// An option (section 3.5).
    pub(super) fn option(&mut self, code: u16, value: &[u8]) {
        self.u16(code);
        self.u16(value.len() as u16);
        self.bytes(value);
    }

    /// An option with a text, or a record of a name resolution block: `head`, the text without what could do harm, `tail`.
    pub(super) fn text(&mut self, code: u16, head: &[u8], text: &str, tail: &[u8]) {
        self.u16(code);
        let length_at = self.out.len();
        self.u16(0);
        let from = self.out.len();
        self.out.extend_from_slice(head);
        let end = text.char_indices().nth(LONGEST_TEXT).map_or(text.len(), |(end, _)| end);
        for (i, harmless) in text[..end].split(|c| !is_harmless(c)).enumerate() {
            if i > 0 {
                self.out.extend_from_slice(REPLACEMENT.as_bytes());
            }
            self.out.extend_from_slice(harmless.as_bytes());
        }
        self.out.extend_from_slice(tail);
        let length = (self.out.len() - from) as u16;
        self.out[length_at..from].copy_from_slice(&length.to_le_bytes());
        self.pad();
    }

    /// Ends the options, or the records, and the block.
    pub(super) fn end(mut self) {
        self.u32(0);
        let length = (self.out.len() - self.start + 4) as u32;
        self.u32(length);
        self.out[self.start + 4..self.start + 8].copy_from_slice(&length.to_le_bytes());
    }

    fn pad(&mut self) {
        self.out.resize(self.start + (self.out.len() - self.start).next_multiple_of(4), 0);
    }
}

/// Whether a character shows itself and nothing else: neither moves a cursor (C0, C1; NUL would also end a name) nor turns
/// the direction of writing (CVE-2021-42574).
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}
