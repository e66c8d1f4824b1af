//! What names a flow: the tuple, its direction and the zone it is looked up in.

use std::net::IpAddr;

use crate::wire::icmp::{self, IcmpHeader};
use crate::wire::icmpv6;
use crate::wire::ip::{ICMP, ICMPV6, IpHeader, SCTP, TCP, UDP};
use crate::wire::l4;
use crate::wire::packet::CtInfo;

/// Direction of a packet relative to the one that created its entry (`enum ip_conntrack_dir`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dir {
    /// As the first packet.
    Orig,
    /// Against it.
    Reply,
}

impl Dir {
    /// The direction a packet travels in (`CTINFO2DIR`).
    pub const fn of(info: CtInfo) -> Self {
        if info.is_reply() { Self::Reply } else { Self::Orig }
    }

    /// The other direction.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Orig => Self::Reply,
            Self::Reply => Self::Orig,
        }
    }
}

/// The part of a tuple that belongs to the L4 protocol (`union nf_conntrack_man_proto`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum L4 {
    /// UDP, TCP and SCTP.
    Ports {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
    },
    /// A query or answer of ICMP.
    Icmp {
        /// Message type.
        kind: u8,
        /// Message code.
        code: u8,
        /// Identifier, the same in both directions.
        id: u16,
    },
    /// A protocol whose header is not looked into.
    Generic,
}

/// One direction of a flow (`struct nf_conntrack_tuple`). The address family is that of the addresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tuple {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// L4 protocol number.
    pub proto: u8,
    /// Ports or what stands for them.
    pub l4: L4,
}

impl Tuple {
    /// The tuple of a packet that begins with its IP header.
    ///
    /// `None` for a later fragment, and if the header or the bytes that name the flow are cut.
    pub fn of(l3: &[u8]) -> Option<Self> {
        let ip = IpHeader::read(l3)?;
        Self::of_parts(&ip, l3.get(usize::from(ip.header_len)..)?)
    }

    /// The tuple of a packet with this header, which `l4` follows (`nf_ct_get_tuplepr`); `None` as in [`Self::of`].
    pub fn of_parts(ip: &IpHeader, l4: &[u8]) -> Option<Self> {
        if ip.frag_offset != 0 {
            return None;
        }
        let l4 = match ip.proto {
            TCP | UDP | SCTP => l4::ports(ip.proto, l4).map(|(src, dst)| L4::Ports { src, dst })?,
            ICMP | ICMPV6 => {
                let h = IcmpHeader::read(l4)?;
                L4::Icmp { kind: h.kind, code: h.code, id: h.id() }
            }
            _ => L4::Generic,
        };
        Some(Self { src: ip.src, dst: ip.dst, proto: ip.proto, l4 })
    }

    /// The tuple an answer has (`nf_ct_invert_tuple`); `None` for an ICMP message without an answer.
    pub fn invert(&self) -> Option<Self> {
        let l4 = match self.l4 {
            L4::Ports { src, dst } => L4::Ports { src: dst, dst: src },
            L4::Icmp { kind, code, id } => L4::Icmp { kind: icmp_counterpart(self.proto, kind)?, code, id },
            L4::Generic => L4::Generic,
        };
        Some(Self { src: self.dst, dst: self.src, proto: self.proto, l4 })
    }

    /// The inverse of a tuple that is part of an entry, which therefore has one.
    pub(crate) fn inverse(&self) -> Self {
        let Some(inverse) = self.invert() else { unreachable!("an entry was made for {self:?}") };
        inverse
    }

    /// Source port or ICMP identifier; 0 for other protocols.
    pub fn src_key(&self) -> u16 {
        match self.l4 {
            L4::Ports { src, .. } => src,
            L4::Icmp { id, .. } => id,
            L4::Generic => 0,
        }
    }

    /// Destination port; the identifier for ICMP, 0 for other protocols.
    pub fn dst_key(&self) -> u16 {
        match self.l4 {
            L4::Ports { dst, .. } => dst,
            L4::Icmp { id, .. } => id,
            L4::Generic => 0,
        }
    }
}

/// ICMP information request and reply, address mask request and reply (RFC 792, RFC 950), still tracked.
const INFO_REQUEST: u8 = 15;
const INFO_REPLY: u8 = 16;
const ADDRESS_REQUEST: u8 = 17;
const ADDRESS_REPLY: u8 = 18;

/// The type that answers `kind`, or that it answers (net/netfilter/nf_conntrack_proto_icmp.c and
/// nf_conntrack_proto_icmpv6.c, `invmap`).
const fn icmp_counterpart(proto: u8, kind: u8) -> Option<u8> {
    Some(match (proto, kind) {
        (ICMPV6, icmpv6::ECHO) => icmpv6::ECHO_REPLY,
        (ICMPV6, icmpv6::ECHO_REPLY) => icmpv6::ECHO,
        (ICMPV6, icmpv6::NI_QUERY) => icmpv6::NI_REPLY,
        (ICMPV6, icmpv6::NI_REPLY) => icmpv6::NI_QUERY,
        (ICMP, icmp::ECHO) => icmp::ECHO_REPLY,
        (ICMP, icmp::ECHO_REPLY) => icmp::ECHO,
        (ICMP, icmp::TIMESTAMP) => icmp::TIMESTAMP_REPLY,
        (ICMP, icmp::TIMESTAMP_REPLY) => icmp::TIMESTAMP,
        (ICMP, INFO_REQUEST) => INFO_REPLY,
        (ICMP, INFO_REPLY) => INFO_REQUEST,
        (ICMP, ADDRESS_REQUEST) => ADDRESS_REPLY,
        (ICMP, ADDRESS_REPLY) => ADDRESS_REQUEST,
        _ => return None,
    })
}

/// Whether an ICMP message of this type asks for an answer; only such create an entry (`valid_new`).
pub(super) const fn is_icmp_query(proto: u8, kind: u8) -> bool {
    match proto {
        ICMPV6 => matches!(kind, icmpv6::ECHO | icmpv6::NI_QUERY),
        _ => matches!(kind, icmp::ECHO | icmp::TIMESTAMP | INFO_REQUEST | ADDRESS_REQUEST),
    }
}

/// Whether an ICMP message of this type carries an identifier.
pub(crate) const fn has_icmp_id(proto: u8, kind: u8) -> bool {
    icmp_counterpart(proto, kind).is_some()
}

/// Which directions of a flow a zone's number counts for (`CT --zone`, `--zone-orig`, `--zone-reply`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ZoneDir {
    /// Both.
    #[default]
    Both,
    /// Only that of the first packet.
    Orig,
    /// Only that of the answers.
    Reply,
}

/// A conntrack zone: equal tuples in different zones are different flows (`struct nf_conntrack_zone`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Zone {
    /// The number; 0 is the default zone.
    pub id: u16,
    /// The directions it counts for.
    pub dir: ZoneDir,
}

impl Zone {
    /// The number used for one direction: 0 where the zone does not count (`nf_ct_zone_id`).
    pub const fn id(self, dir: Dir) -> u16 {
        match (self.dir, dir) {
            (ZoneDir::Both, _) | (ZoneDir::Orig, Dir::Orig) | (ZoneDir::Reply, Dir::Reply) => self.id,
            _ => 0,
        }
    }
}
