//! The option list of a TCP header (RFC 9293 3.2), read as Linux reads it.

const END: u8 = 0;
/// One byte of padding.
pub const NOP: u8 = 1;
/// Maximum segment size.
pub const MSS: u8 = 2;
/// Window scale (RFC 7323).
pub const WINDOW_SCALE: u8 = 3;
/// SACK permitted (RFC 2018).
pub const SACK_PERMITTED: u8 = 4;
/// Selective acknowledgments (RFC 2018).
pub const SACK: u8 = 5;
/// Timestamps (RFC 7323).
pub const TIMESTAMPS: u8 = 8;
/// The largest shift of a window scale; more is read as this (RFC 7323 2.3).
pub const MAX_SCALE: u8 = 14;

/// Kind and value of each option, up to the end of the list or the first whose length cannot be
/// (net/ipv4/tcp_input.c, `tcp_parse_options`; net/netfilter/nf_conntrack_proto_tcp.c, `tcp_options`).
pub fn each(options: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = options;
    std::iter::from_fn(move || {
        while let Some((&NOP, after)) = rest.split_first() {
            rest = after;
        }
        let (&kind, after) = rest.split_first()?;
        let len = usize::from(*after.first()?);
        if kind == END || len < 2 || len > rest.len() {
            return None;
        }
        let value = &rest[2..len];
        rest = &rest[len..];
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_ends_at_the_end_or_at_what_cannot_be() {
        let read = |bytes: &[u8]| each(bytes).map(|(kind, value)| (kind, value.len())).collect::<Vec<_>>();
        assert_eq!(read(&[NOP, NOP, SACK_PERMITTED, 2, MSS, 4, 5, 130, END, MSS, 4, 1, 1]), [(4, 0), (2, 2)]);
        assert_eq!(read(&[MSS, 4, 5, 130, WINDOW_SCALE, 1, 7]), [(2, 2)], "a length below 2");
        assert_eq!(read(&[MSS, 4, 5]), [], "longer than what is there");
        assert_eq!(read(&[NOP, MSS]), []);
    }
}
