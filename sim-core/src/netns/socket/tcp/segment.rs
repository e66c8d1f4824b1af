//! A TCP segment by value, and what TCP tells the IP layer about one that leaves.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::options::Options;
use crate::engine::arena::SocketId;
use crate::wire::l4::{ACK, FIN, RST, SYN, TcpHeader};

/// One TCP segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Source address and port.
    pub src: SocketAddr,
    /// Destination address and port.
    pub dst: SocketAddr,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number; meaningless without the ACK flag.
    pub ack: u32,
    /// Flags ([`crate::wire::l4::FIN`] …).
    pub flags: u8,
    /// Window field, not scaled.
    pub window: u16,
    /// Type of service of one that came; of one to be sent what the segment itself wants there: [`ECN`], of a RST what it
    /// answers but for that (`tcp_v4_send_reset`).
    pub tos: u8,
    /// Options.
    pub options: Options,
    /// The data.
    pub payload: Bytes,
}

impl Segment {
    /// Reads a segment from its IP addresses and L4 bytes; `None` if the header is cut or its length impossible.
    ///
    /// The checksum is the caller's business ([`crate::wire::l4::checksum_ok`]), and so is what the IP header says of
    /// congestion.
    pub fn parse(src: IpAddr, dst: IpAddr, l4: &[u8]) -> Option<Self> {
        let header = TcpHeader::read(l4)?;
        let options = l4.get(20..usize::from(header.header_len))?;
        Some(Self {
            src: SocketAddr::new(src, header.src),
            dst: SocketAddr::new(dst, header.dst),
            seq: header.seq,
            ack: header.ack,
            flags: header.flags,
            window: header.window,
            tos: 0,
            options: Options::parse(options, header.has(SYN)),
            payload: Bytes::copy_from_slice(l4.get(usize::from(header.header_len)..)?),
        })
    }

    /// The fixed header, for [`crate::wire::build::tcp`] together with [`Options::to_bytes`].
    pub fn header(&self) -> TcpHeader {
        TcpHeader {
            src: self.src.port(),
            dst: self.dst.port(),
            seq: self.seq,
            ack: self.ack,
            flags: self.flags,
            window: self.window,
            header_len: 0,
        }
    }

    /// Whether all of `flags` are set.
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// The sequence number after the segment: data, SYN and FIN count.
    pub fn end(&self) -> u32 {
        let flags = u32::from(self.has(SYN)) + u32::from(self.has(FIN));
        self.seq.wrapping_add(self.payload.len() as u32).wrapping_add(flags)
    }

    /// The RST that answers this segment where it fits no connection; `None` for a RST.
    ///
    /// RFC 9293 3.5.2; net/ipv4/tcp_ipv4.c, `tcp_v4_send_reset`.
    pub(super) fn reset(&self) -> Option<Self> {
        if self.has(RST) {
            return None;
        }
        let (seq, ack, flags) = if self.has(ACK) { (self.ack, 0, RST) } else { (0, self.end(), RST | ACK) };
        let (window, options, payload) = (0, Options::default(), Bytes::new());
        Some(Self { src: self.dst, dst: self.src, seq, ack, flags, window, tos: self.tos & !ECN, options, payload })
    }
}

/// The bits of the type of service that are for congestion (RFC 3168 5).
pub const ECN: u8 = 3;

/// A segment to be sent, with what the IP header needs to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutSegment {
    /// The socket it belongs to; `None` for what answers in no socket's name (a request's SYN-ACK, RST, TIME-WAIT).
    pub socket: Option<SocketId>,
    /// The segment.
    pub segment: Segment,
    /// Don't Fragment.
    pub df: bool,
    /// The IP id is zero (fact 51: SYN-ACK of a listener, RST and ACK of no full socket).
    pub id_zero: bool,
    /// Time to live or hop limit, where the socket set one.
    pub ttl: Option<u8>,
    /// Type of service or traffic class.
    pub tos: u8,
    /// The flow hash; 0 is none.
    pub tx_hash: u32,
}

impl OutSegment {
    /// A segment sent in no socket's name.
    pub(super) fn socketless(segment: Segment) -> Self {
        Self { socket: None, segment, df: true, id_zero: true, ttl: None, tos: 0, tx_hash: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segment(flags: u8, payload: &'static [u8]) -> Segment {
        let (src, dst) = ("10.0.0.1:1000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let payload = Bytes::from_static(payload);
        Segment { src, dst, seq: 5, ack: 77, flags, window: 9, tos: 0, options: Options::default(), payload }
    }

    /// Fact 88, golden tcp_rst_closed_port.
    #[test]
    fn a_rst_takes_its_numbers_from_what_it_answers() {
        let to_ack = segment(ACK, b"ten bytes!").reset().unwrap();
        assert_eq!((to_ack.seq, to_ack.flags), (77, RST));
        let to_syn = segment(SYN, b"abc").reset().unwrap();
        assert_eq!((to_syn.seq, to_syn.ack, to_syn.flags), (0, 9, RST | ACK));
        assert_eq!(segment(RST | ACK, b"").reset(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            Segment::parse([1, 2, 3, 4].into(), [5, 6, 7, 8].into(), &bytes);
        }
    }
}
