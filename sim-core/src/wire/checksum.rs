//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

use std::net::IpAddr;

/// A running one's-complement sum.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sum(u64);

impl Sum {
    /// Adds bytes; an odd last byte counts as if a zero followed.
    pub fn bytes(mut self, b: &[u8]) -> Self {
        let mut chunks = b.chunks_exact(4);
        for c in &mut chunks {
            self.0 += u64::from(u32::from_be_bytes([c[0], c[1], c[2], c[3]]));
        }
        let mut tail = [0u8; 4];
        let rest = chunks.remainder();
        tail[..rest.len()].copy_from_slice(rest);
        self.0 += u64::from(u32::from_be_bytes(tail));
        self
    }

    /// Adds one 16-bit word.
    pub fn word(mut self, w: u16) -> Self {
        self.0 += u64::from(w);
        self
    }

    /// Adds an address.
    pub fn addr(self, a: IpAddr) -> Self {
        match a {
            IpAddr::V4(a) => self.bytes(&a.octets()),
            IpAddr::V6(a) => self.bytes(&a.octets()),
        }
    }

    /// Adds the pseudo header of UDP, TCP and ICMPv6 (RFC 768, RFC 9293 3.1, RFC 8200 8.1).
    pub fn pseudo(self, src: IpAddr, dst: IpAddr, proto: u8, len: usize) -> Self {
        let len = len as u32;
        self.addr(src).addr(dst).word(u16::from(proto)).word((len >> 16) as u16).word(len as u16)
    }

    /// The folded sum, not complemented.
    pub fn fold(self) -> u16 {
        let mut s = self.0;
        while s >> 16 != 0 {
            s = (s & 0xffff) + (s >> 16);
        }
        s as u16
    }

    /// The checksum: the complement of the folded sum. Over data that includes a right checksum it is 0.
    pub fn finish(self) -> u16 {
        !self.fold()
    }
}

/// The checksum after a field changed from `old` to `new` (RFC 1624 eqn 3: HC' = ~(~HC + ~m + m')).
///
/// Both slices have the same, even length.
pub fn update(check: u16, old: &[u8], new: &[u8]) -> u16 {
    let mut sum = Sum::default().word(!check).bytes(new);
    for w in old.chunks(2) {
        sum = sum.word(!u16::from_be_bytes([w[0], *w.get(1).unwrap_or(&0)]));
    }
    sum.finish()
}

/// CRC-32C as SCTP has it (RFC 9260 6.8, appendix A; RFC 3309): over the whole packet, the field itself taken as 0.
fn sctp_checksum(l4: &[u8]) -> [u8; 4] {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let field = SCTP_FIELD..SCTP_FIELD + 4;
    let mut crc = u32::MAX;
    for (at, byte) in l4.iter().enumerate() {
        crc ^= if field.contains(&at) { 0 } else { u32::from(*byte) };
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
        }
    }
    (!crc).to_le_bytes()
}

/// Where SCTP's checksum stands in its header.
const SCTP_FIELD: usize = 8;

/// Whether the checksum of an SCTP packet is right.
pub fn sctp_checksum_ok(l4: &[u8]) -> bool {
    l4.get(SCTP_FIELD..SCTP_FIELD + 4).is_some_and(|field| field == sctp_checksum(l4))
}

/// Computes the checksum of an SCTP packet anew; a cut header is left alone.
pub fn set_sctp_checksum(l4: &mut [u8]) {
    let sum = sctp_checksum(l4);
    if let Some(field) = l4.get_mut(SCTP_FIELD..SCTP_FIELD + 4) {
        field.copy_from_slice(&sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The worked example of RFC 1071 section 3.
    #[test]
    fn the_rfc_example() {
        let sum = Sum::default().bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.fold(), 0xddf2);
    }

    proptest! {
        #[test]
        fn an_update_equals_a_recomputation(mut data in proptest::collection::vec(any::<u8>(), 12..40), new in any::<[u8; 4]>()) {
            data.truncate(data.len() & !1);
            data[0] = 1; // an all-zero sum has two representations
            let before = Sum::default().bytes(&data).finish();
            let old: [u8; 4] = data[4..8].try_into().unwrap();
            data[4..8].copy_from_slice(&new);
            prop_assert_eq!(update(before, &old, &new), Sum::default().bytes(&data).finish());
        }
    }

    #[test]
    fn the_checksum_of_sctp_is_crc_32c() {
        let mut packet = [1u8, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 13];
        assert!(!sctp_checksum_ok(&packet));
        set_sctp_checksum(&mut packet);
        assert!(sctp_checksum_ok(&packet));
        let mut short = [1u8; 9];
        set_sctp_checksum(&mut short);
        assert!(short == [1; 9] && !sctp_checksum_ok(&short));
    }
}
