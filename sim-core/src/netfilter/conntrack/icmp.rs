//! ICMP (net/netfilter/nf_conntrack_proto_icmp.c).

use super::track::{Segment, Tracked};
use super::tuple::is_icmp_query;
use super::{ConntrackConfig, Entry, L4};
use crate::netfilter::hooks::Hook;
use crate::wire::checksum::Sum;
use crate::wire::icmp::{IcmpHeader, is_error};

/// The highest type the kernel knows (`NR_ICMP_TYPES`).
const HIGHEST_TYPE: u8 = 18;

/// What kind of message it is.
pub(super) enum Message<'a> {
    /// A query or its answer: a flow of its own.
    Query,
    /// An error about the packet whose beginning it quotes.
    Error(&'a [u8]),
    /// Cut, of unknown type or with a bad checksum.
    Broken,
}

/// Looks at the header (`nf_conntrack_icmpv4_error`).
pub(super) fn classify<'a>(segment: &Segment<'a>, checksum: bool) -> Message<'a> {
    let Some(header) = IcmpHeader::read(segment.l4) else { return Message::Broken };
    let check = checksum && segment.hook == Hook::Prerouting;
    if header.kind > HIGHEST_TYPE || (check && Sum::default().bytes(segment.l4).finish() != 0) {
        return Message::Broken;
    }
    if is_error(header.kind) { Message::Error(&segment.l4[8..]) } else { Message::Query }
}

/// Judges a query or an answer and updates its flow (`nf_conntrack_icmp_packet`).
pub(super) fn track(entry: &mut Entry, segment: &Segment, config: &ConntrackConfig) -> Tracked {
    if !matches!(entry.orig.l4, L4::Icmp { kind, .. } if is_icmp_query(kind)) {
        return Tracked::Invalid;
    }
    entry.refresh(segment.now, config.icmp_timeout);
    entry.count(segment.dir(), segment.len);
    Tracked::Valid
}
