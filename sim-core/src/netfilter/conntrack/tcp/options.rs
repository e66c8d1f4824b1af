//! The TCP options that window tracking needs (RFC 7323, RFC 2018).

use crate::wire::tcp_option::{MAX_SCALE, SACK, SACK_PERMITTED, WINDOW_SCALE, each};

/// What a SYN says (`tcp_options`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct SynOptions {
    /// Shift of the sender's window fields.
    pub(super) scale: Option<u8>,
    pub(super) sack_permitted: bool,
}

impl SynOptions {
    pub(super) fn read(options: &[u8]) -> Self {
        let mut read = Self::default();
        for (kind, value) in each(options) {
            match (kind, value) {
                (WINDOW_SCALE, &[scale]) => read.scale = Some(scale.min(MAX_SCALE)),
                (SACK_PERMITTED, &[]) => read.sack_permitted = true,
                _ => {}
            }
        }
        read
    }
}

/// The highest right edge of a SACK block, or `ack` if none is above it (`tcp_sack`).
pub(super) fn highest_sack(options: &[u8], ack: u32) -> u32 {
    let Some((_, blocks)) = each(options).find(|(kind, v)| *kind == SACK && !v.is_empty() && v.len() % 8 == 0) else {
        return ack;
    };
    blocks.chunks_exact(8).fold(ack, |highest, b| {
        let right = u32::from_be_bytes([b[4], b[5], b[6], b[7]]);
        if super::after(right, highest) { right } else { highest }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_linux_syn_is_understood() {
        let options = [2, 4, 5, 130, 1, 1, 4, 2, 1, 3, 3, 15];
        assert_eq!(SynOptions::read(&options), SynOptions { scale: Some(14), sack_permitted: true });
    }

    #[test]
    fn the_highest_sack_edge_wins_even_across_the_wrap() {
        let mut options = vec![1, 1, 5, 18];
        for edge in [0xffff_ff00u32, 0xffff_ff80, 0x10, 0x20] {
            options.extend(edge.to_be_bytes());
        }
        assert_eq!(highest_sack(&options, 0xffff_ff00), 0x20);
        assert_eq!(highest_sack(&options, 0x30), 0x30);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..44), ack in any::<u32>()) {
            SynOptions::read(&bytes);
            highest_sack(&bytes, ack);
        }
    }
}
