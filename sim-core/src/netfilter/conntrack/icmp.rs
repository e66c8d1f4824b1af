//! ICMP of both families (net/netfilter/nf_conntrack_proto_icmp.c, nf_conntrack_proto_icmpv6.c).

use super::track::{Segment, Tracked};
use super::tuple::is_icmp_query;
use super::{ConntrackConfig, Entry, L4};
use crate::netfilter::hooks::Hook;
use crate::wire::icmp::{IcmpHeader, checksum, is_error};
use crate::wire::icmpv6;
use crate::wire::ip::{ICMP, ICMPV6};

/// The highest type of IPv4 the kernel knows (`NR_ICMP_TYPES`).
const HIGHEST_TYPE: u8 = 18;

/// What kind of message it is.
pub(super) enum Message<'a> {
    /// A query or its answer: a flow of its own.
    Query,
    /// An error about the packet whose beginning it quotes.
    Error(&'a [u8]),
    /// Between neighbours of one link: no flow at all.
    Link,
    /// Cut, of unknown type or with a bad checksum.
    Broken,
}

/// Looks at the header (`nf_conntrack_icmpv4_error`, `nf_conntrack_icmpv6_error`).
pub(super) fn classify<'a>(segment: &Segment<'a>, check: bool) -> Message<'a> {
    let Some(header) = IcmpHeader::read(segment.l4) else { return Message::Broken };
    let (ip, check) = (&segment.ip, check && segment.hook == Hook::Prerouting);
    let unknown = ip.proto == ICMP && header.kind > HIGHEST_TYPE;
    if unknown || (check && checksum(ip.src, ip.dst, segment.l4) != 0) {
        return Message::Broken;
    }
    match header.kind {
        kind if is_error(ip.proto, kind) => Message::Error(&segment.l4[8..]),
        icmpv6::MLD_QUERY..=icmpv6::NEIGH_ADVERT | icmpv6::MLD2_REPORT if ip.proto == ICMPV6 => Message::Link,
        _ => Message::Query,
    }
}

/// Judges a query or an answer and updates its flow (`nf_conntrack_icmp_packet`,
/// `nf_conntrack_icmpv6_packet`). Neither tracks what the other family carries.
pub(super) fn track(entry: &mut Entry, segment: &Segment, config: &ConntrackConfig) -> Tracked {
    let proto = entry.orig.proto;
    let query = matches!(entry.orig.l4, L4::Icmp { kind, .. } if is_icmp_query(proto, kind));
    if !query || proto != segment.ip.family().icmp() {
        return Tracked::Invalid;
    }
    let lifetime = if proto == ICMPV6 { config.icmpv6_timeout } else { config.icmp_timeout };
    entry.refresh(segment.now, lifetime);
    entry.count(segment.dir(), segment.len);
    Tracked::Valid
}
