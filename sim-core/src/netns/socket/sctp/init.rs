//! What both ends tell each other first: the body of INIT and INIT ACK (RFC 9260 3.3.2, 3.3.3).

use std::net::IpAddr;

use super::config::{IN_STREAMS, OUT_STREAMS};
use crate::netns::socket::RMEM_DEFAULT;
use crate::wire::sctp::{CHUNK_HEADER, be32};

/// Parameter types (RFC 9260 3.3.2.1, 3.3.3.1).
const IPV4_ADDRESS: u16 = 5;
const IPV6_ADDRESS: u16 = 6;
const STATE_COOKIE: u16 = 7;
const UNRECOGNIZED: u16 = 8;
const COOKIE_PRESERVATIVE: u16 = 9;
const SUPPORTED_ADDRESSES: u16 = 12;
/// Bytes before the parameters.
const FIXED: usize = 16;
/// Bytes of parameters that are told of as not understood: the answer has to fit into a packet.
const TOLD_MAX: usize = 512;

/// The receive window that is offered first: half the buffer (net/sctp/associola.c, `sctp_association_init`).
pub(super) const RWND: u32 = RMEM_DEFAULT as u32 / 2;

/// One end's beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Beginning {
    /// The tag that packets to it bear.
    pub(super) tag: u32,
    /// Its receive window.
    pub(super) rwnd: u32,
    /// How many streams it wants to send.
    pub(super) out_streams: u16,
    /// How many it takes.
    pub(super) in_streams: u16,
    /// The number of its first DATA chunk.
    pub(super) tsn: u32,
}

/// An INIT or INIT ACK as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Init<'a> {
    pub(super) peer: Beginning,
    /// The state cookie of an INIT ACK.
    pub(super) cookie: Option<&'a [u8]>,
    /// Parameters that want to be told of as not understood, with their headers.
    pub(super) unrecognized: Vec<&'a [u8]>,
}

impl Beginning {
    /// Ours, with a tag and a first TSN that were drawn.
    pub(super) const fn own(tag: u32, tsn: u32) -> Self {
        Self { tag, rwnd: RWND, out_streams: OUT_STREAMS, in_streams: IN_STREAMS, tsn }
    }

    fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED);
        out.extend(self.tag.to_be_bytes());
        out.extend(self.rwnd.to_be_bytes());
        out.extend(self.out_streams.to_be_bytes());
        out.extend(self.in_streams.to_be_bytes());
        out.extend(self.tsn.to_be_bytes());
        out
    }

    /// The value of our INIT from `local` (`sctp_make_init`): a socket of IPv6 takes both families.
    pub(super) fn init(self, local: IpAddr) -> Vec<u8> {
        let mut out = self.to_bytes();
        let families: &[u8] = match local {
            IpAddr::V4(_) => &[0, IPV4_ADDRESS as u8],
            IpAddr::V6(_) => &[0, IPV6_ADDRESS as u8, 0, IPV4_ADDRESS as u8],
        };
        parameter(&mut out, SUPPORTED_ADDRESSES, families);
        out
    }

    /// The value of our INIT ACK (`sctp_make_init_ack`).
    pub(super) fn init_ack(self, cookie: &[u8], unrecognized: &[&[u8]]) -> Vec<u8> {
        let mut out = self.to_bytes();
        parameter(&mut out, STATE_COOKIE, cookie);
        for told in unrecognized {
            parameter(&mut out, UNRECOGNIZED, told);
        }
        out
    }

    /// Whether an association can begin so (`sctp_verify_init`).
    pub(super) const fn is_possible(self) -> bool {
        self.tag != 0 && self.out_streams != 0 && self.in_streams != 0
    }
}

impl<'a> Init<'a> {
    /// Reads the value of an INIT or INIT ACK; `None` if it is cut or a parameter has a length that cannot be.
    pub(super) fn read(value: &'a [u8]) -> Option<Self> {
        let (fixed, mut rest) = value.split_at_checked(FIXED)?;
        let short = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let peer = Beginning {
            tag: be32(fixed),
            rwnd: be32(&fixed[4..]),
            out_streams: short(8),
            in_streams: short(10),
            tsn: be32(&fixed[12..]),
        };
        let mut init = Self { peer, cookie: None, unrecognized: Vec::new() };
        while !rest.is_empty() {
            let header: &[u8; CHUNK_HEADER] = rest.first_chunk()?;
            let kind = u16::from_be_bytes([header[0], header[1]]);
            let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let whole = rest.get(..len).filter(|whole| whole.len() >= CHUNK_HEADER)?;
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
            if !init.take(kind, whole) {
                break;
            }
        }
        Some(init)
    }

    /// Takes one parameter; whether to go on. Of unknown ones the first two bits say that, and whether the peer wants to
    /// hear of it (RFC 9260 3.2.1; `sctp_process_unk_param`).
    fn take(&mut self, kind: u16, whole: &'a [u8]) -> bool {
        match kind {
            STATE_COOKIE => self.cookie = whole.get(CHUNK_HEADER..),
            IPV4_ADDRESS | IPV6_ADDRESS | UNRECOGNIZED | COOKIE_PRESERVATIVE | SUPPORTED_ADDRESSES => {}
            unknown => {
                let told: usize = self.unrecognized.iter().map(|told| told.len()).sum();
                if unknown & 0x4000 != 0 && told + whole.len() <= TOLD_MAX {
                    self.unrecognized.push(whole);
                }
                return unknown & 0x8000 != 0;
            }
        }
        true
    }
}

/// Appends a parameter or an error cause. The one before is padded; the padding of the last is the chunk's, and does not
/// count in its length (RFC 9260 3.2; `sctp_addto_chunk`).
pub(super) fn parameter(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(kind.to_be_bytes());
    out.extend(((CHUNK_HEADER + value.len()) as u16).to_be_bytes());
    out.extend(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_unknown_parameter_says_by_its_number_what_to_do_with_it() {
        let mut value = Beginning::own(7, 9).init("10.0.0.1".parse().unwrap());
        for kind in [0x8001, 0xc001, 0x4001, 0xc002] {
            parameter(&mut value, kind, b"x");
        }
        let init = Init::read(&value).unwrap();
        let told: Vec<_> = init.unrecognized.iter().map(|p| u16::from_be_bytes([p[0], p[1]])).collect();
        assert_eq!(told, [0xc001, 0x4001], "the last is not looked at any more");
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(value in proptest::collection::vec(any::<u8>(), 0..60)) {
            Init::read(&value);
        }

        #[test]
        fn what_is_written_is_read(tag in 1u32.., tsn: u32, cookie in proptest::collection::vec(any::<u8>(), 0..50)) {
            let own = Beginning::own(tag, tsn);
            let value = own.init_ack(&cookie, &[]);
            let read = Init::read(&value).unwrap();
            prop_assert_eq!((read.peer, read.cookie), (own, Some(&cookie[..])));
        }
    }
}
