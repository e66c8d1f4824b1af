//! The edits (net/netfilter/nf_nat_proto.c).

use super::{Manip, is_changed};
use crate::netfilter::conntrack::tuple::has_icmp_id;
use crate::netfilter::conntrack::{Dir, Entry, L4, Status, Tuple, Verdict};
use crate::wire::edit::{self, End};
use crate::wire::icmp::{REDIRECT, checksum};
use crate::wire::icmpv6;
use crate::wire::ip::{Family, IpHeader};
use crate::wire::packet::Packet;

/// Length of an ICMP header.
const ICMP_LEN: usize = 8;

/// Gives one end of a packet the values of `target` (`nf_nat_ipv4_manip_pkt`, `nf_nat_ipv6_manip_pkt`); whether that was possible.
pub(super) fn apply(bytes: &mut [u8], target: &Tuple, manip: Manip) -> bool {
    let Some(ip) = IpHeader::read(bytes) else { return false };
    let l4 = &bytes[usize::from(ip.header_len)..];
    let (end, addr) = match manip {
        Manip::Src => (End::Src, target.src),
        Manip::Dst => (End::Dst, target.dst),
    };
    match target.l4 {
        L4::Ports { src, dst } => {
            if l4.len() < 8 {
                return false;
            }
            edit::set_port(bytes, end, if manip == Manip::Src { src } else { dst });
        }
        L4::Icmp { id, .. } => {
            if l4.len() < ICMP_LEN {
                return false;
            }
            if has_icmp_id(ip.proto, l4[0]) {
                edit::set_icmp_id(bytes, id);
            }
        }
        L4::Generic => {}
    }
    edit::set_addr(bytes, end, addr);
    true
}

/// Translates an ICMP error about a flow (`nf_nat_icmp_reply_translation`): the quoted packet back to what its
/// sender knows, and the error's own end, as if it came from where the sender believes to talk to.
pub(super) fn error(packet: &mut Packet, entry: &Entry, dir: Dir, manip: Manip) -> Verdict {
    let Some(ip) = packet.ip() else { return Verdict::Drop };
    let from = usize::from(ip.header_len);
    let Some(icmp) = packet.l3().get(from..).filter(|b| b.len() >= ICMP_LEN + ip.family().header_len()) else {
        return Verdict::Drop;
    };
    if checksum(ip.src, ip.dst, icmp) != 0 {
        return Verdict::Drop;
    }
    let redirects = if ip.family() == Family::V4 { REDIRECT } else { icmpv6::REDIRECT };
    if icmp[0] == redirects && !may_redirect(entry) {
        return Verdict::Drop;
    }
    if !is_changed(entry, dir, manip) {
        return Verdict::Accept;
    }
    let theirs = entry.tuple(dir.opposite());
    let quoted = &mut packet.l3_mut()[from + ICMP_LEN..];
    if !apply(quoted, theirs, manip.other()) {
        return Verdict::Drop;
    }
    let outer = theirs.inverse();
    match manip {
        Manip::Src => edit::set_addr(packet.l3_mut(), End::Src, outer.src),
        Manip::Dst => edit::set_addr(packet.l3_mut(), End::Dst, outer.dst),
    }
    edit::refresh_icmp_checksum(packet.l3_mut());
    Verdict::Accept
}

/// A redirect is only for flows that are known not to be translated.
fn may_redirect(entry: &Entry) -> bool {
    entry.status.has(Status::SRC_NAT_DONE | Status::DST_NAT_DONE)
        && !entry.status.has_any(Status::SRC_NAT | Status::DST_NAT)
}
