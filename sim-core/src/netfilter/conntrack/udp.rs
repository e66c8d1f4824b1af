//! UDP (net/netfilter/nf_conntrack_proto_udp.c).

use super::track::{Segment, Tracked};
use super::{ConntrackConfig, Entry, Proto, Status};
use crate::engine::time::Duration;
use crate::netfilter::hooks::Hook;
use crate::wire::ip::UDP;
use crate::wire::l4::checksum_ok;

/// A flow with answers is a stream once it has lasted this long.
const STREAM_AFTER: Duration = Duration::from_secs(2);

/// Judges a datagram and updates its flow (`nf_conntrack_udp_packet`).
pub(super) fn track(entry: &mut Entry, segment: &Segment, config: &ConntrackConfig) -> Tracked {
    if !is_sound(segment, config.checksum) {
        return Tracked::Invalid;
    }
    let now = segment.now;
    if !entry.is_confirmed() {
        entry.proto = Proto::Udp { stream_after: now + STREAM_AFTER };
    }
    let is_stream = entry.status.has(Status::SEEN_REPLY)
        && matches!(entry.proto, Proto::Udp { stream_after } if now > stream_after);
    entry.refresh(now, if is_stream { config.udp_timeout_stream } else { config.udp_timeout });
    entry.count(segment.dir(), segment.len);
    if is_stream && !entry.status.has(Status::NAT_CLASH) {
        entry.status |= Status::ASSURED;
    }
    Tracked::Valid
}

/// Whether the sum of all that is in the packet is kept with it ([`Packet::summed`](crate::wire::packet::Packet::summed);
/// `nf_ip6_checksum`, `__skb_checksum_complete`).
pub(super) fn sums_up(segment: &Segment, config: &ConntrackConfig) -> bool {
    let datagram = segment.ip.src.is_ipv6() && segment.ip.proto == UDP;
    datagram && config.checksum && segment.hook == Hook::Prerouting
}

/// Whether header, length and checksum are right (`udp_error`).
fn is_sound(segment: &Segment, checksum: bool) -> bool {
    let l4 = segment.l4;
    if l4.len() < 8 {
        return false;
    }
    let len = usize::from(u16::from_be_bytes([l4[4], l4[5]]));
    // One that is left out is no matter of conntrack, be it IPv6.
    let check = checksum && segment.hook == Hook::Prerouting && l4[6..8] != [0, 0];
    (8..=l4.len()).contains(&len) && (!check || checksum_ok(segment.ip.src, segment.ip.dst, UDP, l4))
}
