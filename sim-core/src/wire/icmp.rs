//! ICMP (RFC 792): message types and the header by value.

use super::checksum::Sum;

/// Echo reply.
pub const ECHO_REPLY: u8 = 0;
/// Destination unreachable.
pub const DEST_UNREACH: u8 = 3;
/// Source quench (obsolete).
pub const SOURCE_QUENCH: u8 = 4;
/// Redirect.
pub const REDIRECT: u8 = 5;
/// Echo request.
pub const ECHO: u8 = 8;
/// Time exceeded.
pub const TIME_EXCEEDED: u8 = 11;
/// Parameter problem.
pub const PARAMETER_PROBLEM: u8 = 12;
/// Timestamp request.
pub const TIMESTAMP: u8 = 13;
/// Timestamp reply.
pub const TIMESTAMP_REPLY: u8 = 14;

/// Code of [`DEST_UNREACH`]: no route.
pub const NET_UNREACH: u8 = 0;
/// Code of [`DEST_UNREACH`]: the host does not answer.
pub const HOST_UNREACH: u8 = 1;
/// Code of [`DEST_UNREACH`]: protocol not spoken.
pub const PROT_UNREACH: u8 = 2;
/// Code of [`DEST_UNREACH`]: nobody listens on the port.
pub const PORT_UNREACH: u8 = 3;
/// Code of [`DEST_UNREACH`]: too big and fragmentation forbidden.
pub const FRAG_NEEDED: u8 = 4;
/// Code of [`DEST_UNREACH`]: administratively prohibited.
pub const PKT_FILTERED: u8 = 13;

/// Whether a message of this type quotes the packet it is about (include/linux/icmp.h, `icmp_is_err`).
pub const fn is_error(kind: u8) -> bool {
    matches!(kind, DEST_UNREACH | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM)
}

/// The eight bytes of an ICMP header by value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IcmpHeader {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// The second word: identifier and sequence number, next-hop MTU, gateway …
    pub rest: [u8; 4],
}

impl IcmpHeader {
    /// Reads the header at the start of `l4`; `None` if it is cut.
    pub fn read(l4: &[u8]) -> Option<Self> {
        let h = l4.get(..8)?;
        Some(Self { kind: h[0], code: h[1], rest: [h[4], h[5], h[6], h[7]] })
    }

    /// Identifier of an echo or timestamp message.
    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.rest[0], self.rest[1]])
    }

    /// Sequence number of an echo or timestamp message.
    pub fn seq(&self) -> u16 {
        u16::from_be_bytes([self.rest[2], self.rest[3]])
    }

    /// Next-hop MTU of a "fragmentation needed" (RFC 1191 section 4).
    pub fn mtu(&self) -> u16 {
        self.seq()
    }

    /// The message with `body`, checksum set.
    pub fn to_bytes(self, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + body.len());
        out.extend([self.kind, self.code, 0, 0]);
        out.extend(self.rest);
        out.extend(body);
        let check = Sum::default().bytes(&out).finish();
        out[2..4].copy_from_slice(&check.to_be_bytes());
        out
    }
}
