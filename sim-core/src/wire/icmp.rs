//! ICMP: the header by value, the message types of IPv4 (RFC 792; those of IPv6 are in [`super::icmpv6`]), and what a
//! message means in either family.

use std::net::{IpAddr, Ipv4Addr};

use super::checksum::Sum;
use super::icmpv6;
use super::ip::{Family, ICMPV6};

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
/// Reply to a request for an address mask; the highest type that Linux knows.
pub const ADDRESS_REPLY: u8 = 18;

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

/// Code of [`TIME_EXCEEDED`]: reassembly.
pub const EXC_FRAGTIME: u8 = 1;

/// Whether a message of this type quotes the packet it is about (include/linux/icmp.h, `icmp_is_err`;
/// net/ipv6/icmp.c, `icmpv6_is_err`). `proto` is the number of either ICMP.
pub const fn is_error(proto: u8, kind: u8) -> bool {
    match proto {
        ICMPV6 => kind < icmpv6::ECHO,
        _ => matches!(kind, DEST_UNREACH | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM),
    }
}

/// Whether no error may be sent about a message of this type: all of IPv4 are errors, or may be one, but for questions and
/// their answers (net/ipv4/icmp.c, `icmp_pointers`); not even those of routers are.
pub const fn may_be_error(proto: u8, kind: u8) -> bool {
    match proto {
        ICMPV6 => is_error(proto, kind),
        _ => !matches!(kind, ECHO_REPLY | ECHO | TIMESTAMP..=ADDRESS_REPLY),
    }
}

/// The type of an echo request.
pub const fn echo(family: Family) -> u8 {
    match family {
        Family::V4 => ECHO,
        Family::V6 => icmpv6::ECHO,
    }
}

/// The type of an echo reply.
pub const fn echo_reply(family: Family) -> u8 {
    match family {
        Family::V4 => ECHO_REPLY,
        Family::V6 => icmpv6::ECHO_REPLY,
    }
}

/// What an error of this host says. Type, code and second word depend on the family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// There is no route.
    NoRoute,
    /// A route says that the destination cannot be reached.
    RouteUnreachable,
    /// A route prohibits it.
    Prohibited,
    /// The neighbour does not answer.
    HostUnreachable,
    /// A link-local source would have to leave its link (IPv6).
    BeyondScope,
    /// Nobody listens on the port.
    PortUnreachable,
    /// Destination unreachable with this code.
    Unreachable(u8),
    /// Bigger than this MTU and must not be fragmented.
    TooBig(u32),
    /// The time to live is used up.
    TtlExceeded,
    /// Fragments are missing.
    ReassemblyTimeExceeded,
    /// A header says what cannot be, at this offset.
    ParameterProblem {
        /// Which kind of problem.
        code: u8,
        /// Offset from the IP header in bytes.
        pointer: u32,
    },
    /// A nearer router (IPv4).
    Redirect(Ipv4Addr),
}

impl Notice {
    /// Its numbers.
    pub fn header(self, family: Family) -> IcmpHeader {
        let [of_v4, of_v6] = self.numbers();
        let (kind, code, word) = match family {
            Family::V4 => of_v4,
            Family::V6 => of_v6,
        };
        IcmpHeader { kind, code, rest: word.to_be_bytes() }
    }

    /// Type, code and second word, of IPv4 and of IPv6. To IPv6 an unreachable route is no other than none
    /// (net/ipv6/route.c, `ip6_pkt_discard`).
    fn numbers(self) -> [(u8, u8, u32); 2] {
        let unreachable = |v4, v6| [(DEST_UNREACH, v4, 0), (icmpv6::DEST_UNREACH, v6, 0)];
        match self {
            Self::NoRoute => unreachable(NET_UNREACH, icmpv6::NO_ROUTE),
            Self::RouteUnreachable => unreachable(HOST_UNREACH, icmpv6::NO_ROUTE),
            Self::Prohibited => unreachable(PKT_FILTERED, icmpv6::ADM_PROHIBITED),
            Self::HostUnreachable => unreachable(HOST_UNREACH, icmpv6::ADDR_UNREACH),
            Self::BeyondScope => unreachable(HOST_UNREACH, icmpv6::BEYOND_SCOPE),
            Self::PortUnreachable => unreachable(PORT_UNREACH, icmpv6::PORT_UNREACH),
            Self::Unreachable(code) => unreachable(code, code),
            Self::TooBig(mtu) => [(DEST_UNREACH, FRAG_NEEDED, mtu & 0xffff), (icmpv6::TOO_BIG, 0, mtu)],
            Self::TtlExceeded => [(TIME_EXCEEDED, 0, 0), (icmpv6::TIME_EXCEEDED, 0, 0)],
            Self::ReassemblyTimeExceeded => {
                [(TIME_EXCEEDED, EXC_FRAGTIME, 0), (icmpv6::TIME_EXCEEDED, EXC_FRAGTIME, 0)]
            }
            Self::ParameterProblem { code, pointer } => {
                [(PARAMETER_PROBLEM, code, pointer << 24), (icmpv6::PARAMETER_PROBLEM, code, pointer)]
            }
            Self::Redirect(gateway) => [(REDIRECT, REDIRECT_HOST, gateway.to_bits()), (icmpv6::REDIRECT, 0, 0)],
        }
    }
}

/// Code of [`REDIRECT`]: for one host.
const REDIRECT_HOST: u8 = 1;

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

    /// Next-hop MTU of a "fragmentation needed" (RFC 1191 section 4) or "packet too big" (RFC 4443 3.2); `None` for
    /// other messages.
    pub fn too_big(&self, family: Family) -> Option<u32> {
        match (family, self.kind, self.code) {
            (Family::V4, DEST_UNREACH, FRAG_NEEDED) => Some(u32::from(self.seq())),
            (Family::V6, icmpv6::TOO_BIG, _) => Some(u32::from_be_bytes(self.rest)),
            _ => None,
        }
    }

    /// The message from `src` to `dst` with `body`, checksum set.
    pub fn to_bytes(self, (src, dst): (IpAddr, IpAddr), body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + body.len());
        out.extend([self.kind, self.code, 0, 0]);
        out.extend(self.rest);
        out.extend(body);
        let check = checksum(src, dst, &out);
        out[2..4].copy_from_slice(&check.to_be_bytes());
        out
    }
}

/// The checksum of a message whose own field is zero; over one that includes a right checksum it is 0. Only that of
/// IPv6 covers the addresses (RFC 4443 2.3).
pub fn checksum(src: IpAddr, dst: IpAddr, message: &[u8]) -> u16 {
    let sum = match Family::of(dst) {
        Family::V4 => Sum::default(),
        Family::V6 => Sum::default().pseudo(src, dst, ICMPV6, message.len()),
    };
    sum.bytes(message).finish()
}
