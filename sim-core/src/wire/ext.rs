//! The extension headers of IPv6 (RFC 8200 section 4): where they end, what they say of fragments, and how a
//! fragment header is put in and taken out.

use super::checksum::Sum;

/// Hop-by-hop options (RFC 8200 4.3).
pub const HOP_BY_HOP: u8 = 0;
/// Routing header (RFC 8200 4.4).
pub const ROUTING: u8 = 43;
/// Fragment header (RFC 8200 4.5).
pub const FRAGMENT: u8 = 44;
/// Authentication header (RFC 4302).
pub const AUTH: u8 = 51;
/// Nothing follows (RFC 8200 4.7).
pub const NO_NEXT: u8 = 59;
/// Destination options (RFC 8200 4.6).
pub const DESTINATION: u8 = 60;

/// Length of the IPv6 header itself.
pub const IPV6_LEN: usize = 40;
/// Where the IPv6 header says what follows it.
pub const NEXT_HEADER_AT: usize = 6;
/// Where the addresses stand in an IPv6 header.
const ADDRESSES_AT: usize = 8;
/// Length of a fragment header.
pub const FRAGMENT_LEN: usize = 8;

/// Whether a next header value names an extension header (net/ipv6/exthdrs_core.c, `ipv6_ext_hdr`).
pub const fn is_extension(number: u8) -> bool {
    matches!(number, HOP_BY_HOP | ROUTING | FRAGMENT | AUTH | NO_NEXT | DESTINATION)
}

/// One header of a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extension {
    /// Its number.
    pub kind: u8,
    /// Where it begins, counted from the IPv6 header.
    pub at: usize,
    /// Its length in bytes.
    pub len: usize,
    /// The number of what follows it.
    pub next: u8,
    /// Where its own number stands.
    pub named_at: usize,
}

/// The length in bytes of a header of this number whose second byte is `said`.
pub const fn length(number: u8, said: u8) -> usize {
    match number {
        FRAGMENT => FRAGMENT_LEN,
        AUTH => (said as usize + 2) * 4,
        _ => (said as usize + 1) * 8,
    }
}

/// The extension headers of a packet, up to the first that is no such header, is cut, or whose rest is another fragment.
/// A packet of IPv4 has none.
pub fn each(packet: &[u8]) -> impl Iterator<Item = Extension> + '_ {
    let is_v6 = packet.len() >= IPV6_LEN && packet[0] >> 4 == 6;
    let mut number = if is_v6 { packet[6] } else { NO_NEXT };
    let (mut at, mut named_at) = (IPV6_LEN, 6);
    std::iter::from_fn(move || {
        if !is_extension(number) || number == NO_NEXT {
            return None;
        }
        let head = packet.get(at..at + 8)?;
        let len = length(number, head[1]);
        packet.get(at..at + len)?;
        let this = Extension { kind: number, at, len, next: head[0], named_at };
        let later_fragment = number == FRAGMENT && u16::from_be_bytes([head[2], head[3]]) & !7 != 0;
        // What a later fragment begins with is no header, whatever its number.
        (number, named_at) = (if later_fragment { NO_NEXT } else { head[0] }, at);
        at += len;
        Some(this)
    })
}

/// Where the chain ends that begins at `at` with a header of this number, and what stands there; the last header may reach
/// beyond the packet. `None` where nothing follows, or a header is not there at all (`ipv6_skip_exthdr`).
pub fn skip(packet: &[u8], mut at: usize, mut number: u8) -> Option<(usize, u8)> {
    while is_extension(number) {
        let head = packet.get(at..at + 2).filter(|_| number != NO_NEXT)?;
        let len = match number {
            FRAGMENT if fragment_offset(packet, at)? != 0 => break,
            FRAGMENT => FRAGMENT_LEN,
            AUTH => (usize::from(head[1]) + 2) * 4,
            _ => (usize::from(head[1]) + 1) * 8,
        };
        (at, number) = (at + len, head[0]);
    }
    Some((at, number))
}

/// Where the chain ends to the rules of nft, and what stands there: an authentication header is an end, and so is "nothing
/// follows"; the last header before may reach beyond the packet. `None` where a header is not there at all
/// (`ipv6_find_hdr` as `nft_set_pktinfo_ipv6` asks it).
pub fn find_upper(packet: &[u8]) -> Option<(usize, u8)> {
    let (mut at, mut number) = (IPV6_LEN, *packet.get(NEXT_HEADER_AT)?);
    while is_extension(number) && number != NO_NEXT {
        let head = packet.get(at..at + if matches!(number, ROUTING | FRAGMENT) { 4 } else { 2 })?;
        if number == AUTH {
            break;
        }
        if number == FRAGMENT && u16::from_be_bytes([head[2], head[3]]) & !7 != 0 {
            return Some((at + FRAGMENT_LEN, head[0])).filter(|_| !is_extension(head[0]) || head[0] == NO_NEXT);
        }
        at += if number == FRAGMENT { FRAGMENT_LEN } else { (usize::from(head[1]) + 1) * 8 };
        number = head[0];
    }
    Some((at, number))
}

/// Where the first header of this number is, if there is one; `None` if it or one before it is cut (`ipv6_find_hdr`).
pub fn find(packet: &[u8], wanted: u8) -> Option<Option<usize>> {
    let (mut at, mut number) = (IPV6_LEN, *packet.get(NEXT_HEADER_AT)?);
    while is_extension(number) && number != NO_NEXT {
        let head = packet.get(at..at + if matches!(number, ROUTING | FRAGMENT) { 4 } else { 2 })?;
        if number == wanted {
            return Some(Some(at));
        }
        // What a later fragment begins with is no header.
        if number == FRAGMENT && u16::from_be_bytes([head[2], head[3]]) & !7 != 0 {
            break;
        }
        (at, number) = (at + length(number, head[1]), head[0]);
    }
    Some(None)
}

/// What a fragment header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment {
    /// Offset of this fragment in bytes.
    pub offset: u16,
    /// More fragments follow.
    pub more: bool,
    /// Identification.
    pub id: u32,
}

/// The offset in bytes that the fragment header at `at` says: its second half may be missing.
fn fragment_offset(packet: &[u8], at: usize) -> Option<u16> {
    let offset = packet.get(at + 2..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*offset) & !7)
}

/// Reads the fragment header at `at`.
pub fn fragment_at(packet: &[u8], at: usize) -> Option<Fragment> {
    let h: &[u8; FRAGMENT_LEN] = packet.get(at..at + FRAGMENT_LEN)?.try_into().ok()?;
    let word = u16::from_be_bytes([h[2], h[3]]);
    Some(Fragment { offset: word & !7, more: word & 1 != 0, id: u32::from_be_bytes([h[4], h[5], h[6], h[7]]) })
}

/// The fragment header of a packet, if it has one.
pub fn fragment(packet: &[u8]) -> Option<Extension> {
    each(packet).find(|extension| extension.kind == FRAGMENT)
}

/// Where a fragment header would stand: behind what every fragment repeats, which is the IPv6 header, hop-by-hop
/// options, routing headers, and all destination options but those behind a routing header (net/ipv6/output_core.c,
/// `ip6_find_1stfragopt`). With the place of the number that names what stands there now.
pub fn fragment_place(packet: &[u8]) -> (usize, usize) {
    let mut place = (IPV6_LEN, 6);
    let mut routed = false;
    for extension in each(packet) {
        match extension.kind {
            ROUTING => routed = true,
            HOP_BY_HOP => {}
            DESTINATION if !routed => {}
            _ => break,
        }
        place = (extension.at + extension.len, extension.at);
    }
    place
}

/// The bytes of the fragment header of a packet whose first header there is `next`.
pub fn fragment_bytes(next: u8, fragment: Fragment) -> [u8; FRAGMENT_LEN] {
    let [a, b] = (fragment.offset & !7 | u16::from(fragment.more)).to_be_bytes();
    let [c, d, e, f] = fragment.id.to_be_bytes();
    [next, 0, a, b, c, d, e, f]
}

/// The sum of what an IPv6 header has before its addresses: traffic class and hop limit are in it.
pub fn changeable_sum(packet: &[u8]) -> u16 {
    Sum::default().bytes(packet.get(..ADDRESSES_AT).unwrap_or(packet)).fold()
}

/// Sets the payload length of an IPv6 packet to what follows its header.
pub fn set_payload_len(packet: &mut [u8]) {
    let len = packet.len().saturating_sub(IPV6_LEN).min(usize::from(u16::MAX)) as u16;
    if let Some(field) = packet.get_mut(4..6) {
        field.copy_from_slice(&len.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An IPv6 header with this chain behind it.
    fn packet(first: u8, chain: &[&[u8]]) -> Vec<u8> {
        let mut b = vec![0u8; IPV6_LEN];
        (b[0], b[6], b[7]) = (0x60, first, 64);
        chain.iter().for_each(|part| b.extend_from_slice(part));
        set_payload_len(&mut b);
        b
    }

    #[test]
    fn the_chain_ends_at_the_upper_protocol() {
        let options = [FRAGMENT, 0, 1, 4, 0, 0, 0, 0];
        let fragment = fragment_bytes(17, Fragment { offset: 0, more: true, id: 7 });
        let p = packet(HOP_BY_HOP, &[&options, &fragment, b"payload!"]);
        let kinds: Vec<_> = each(&p).map(|e| (e.kind, e.at, e.next)).collect();
        assert_eq!(kinds, [(HOP_BY_HOP, 40, FRAGMENT), (FRAGMENT, 48, 17)]);
        assert_eq!(fragment_at(&p, 48), Some(Fragment { offset: 0, more: true, id: 7 }));
        assert_eq!(fragment_place(&p), (48, 40));
    }

    #[test]
    fn the_rest_of_a_later_fragment_is_no_header() {
        let fragment = fragment_bytes(DESTINATION, Fragment { offset: 8, more: false, id: 7 });
        let p = packet(FRAGMENT, &[&fragment, &[17, 0, 1, 4, 0, 0, 0, 0]]);
        assert_eq!(each(&p).count(), 1);
    }

    #[test]
    fn destination_options_stand_before_the_fragment_header_unless_behind_a_routing_header() {
        let options = |next| [next, 0, 1, 4, 0, 0, 0, 0];
        assert_eq!(fragment_place(&packet(DESTINATION, &[&options(17), b"udp....."])), (48, 40));
        let routed = packet(DESTINATION, &[&options(ROUTING), &options(17), b"udp....."]);
        assert_eq!(fragment_place(&routed), (56, 48));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(first in 0u8..70, rest in proptest::collection::vec(any::<u8>(), 0..80)) {
            let p = packet(first, &[&rest]);
            prop_assert!(each(&p).all(|e| e.at + e.len <= p.len()));
            prop_assert!(fragment_place(&p).0 <= p.len());
        }
    }
}
