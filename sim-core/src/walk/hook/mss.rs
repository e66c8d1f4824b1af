//! TCPMSS: the MSS option of a SYN (net/netfilter/xt_TCPMSS.c, `tcpmss_mangle_packet`).

use crate::engine::mutant::Mutant;
use crate::netfilter::rules::targets::tcpmss::MssLimit;
use crate::netns::Netns;
use crate::netns::fib::FibKey;
use crate::walk::output::route_output;
use crate::walk::{After, HookWalk};
use crate::wire::ip::Family;
use crate::wire::l4::TcpHeader;
use crate::wire::packet::Packet;
use crate::wire::{checksum, edit};

/// MSS of a SYN that announces none (RFC 1122 4.2.2.6, RFC 8200 8.3).
const fn default_mss(family: Family) -> u16 {
    match family {
        Family::V4 => 536,
        Family::V6 => 1220,
    }
}
/// TCP header without options.
const TCP_LEN: usize = 20;
/// The longest TCP header.
const TCP_MAX_LEN: usize = 60;
/// Where length and flags, and the checksum stand in a TCP header.
const LENGTH_AT: usize = 12;
const CHECKSUM_AT: usize = 16;

/// Lowers the MSS to what `mss` says, or adds the option. The checksum is brought up to date and not computed anew: one that
/// is wrong stays wrong.
pub(super) fn clamp(ns: &Netns, walk: &mut HookWalk, mss: MssLimit) {
    let Some(limit) = limit(ns, walk, mss) else { return };
    let Some(from) = walk.packet.ip().map(|ip| usize::from(ip.header_len)) else { return };
    let Some(segment) = walk.packet.l3().get(from..) else { return };
    let Some(len) = TcpHeader::read(segment).map(|tcp| usize::from(tcp.header_len)) else { return };
    let Some(options) = segment.get(TCP_LEN..len) else { return };
    match find_mss(options) {
        Some(at) => {
            let (at, raised) = (TCP_LEN + at, ns.planted.is(Mutant::MssRaised));
            if (u16::from_be_bytes([segment[at], segment[at + 1]]) > limit) != raised {
                replace(&mut walk.packet.l3_mut()[from..], at, limit.to_be_bytes());
            }
        }
        // A SYN with data or a full header is left alone.
        None if segment.len() > len || len >= TCP_MAX_LEN => {}
        None => add(&mut walk.packet, from, limit.min(default_mss(walk.family))),
    }
}

/// Puts an MSS option first.
fn add(packet: &mut Packet, from: usize, mss: u16) {
    let (headers, options) = packet.l3().split_at(from + TCP_LEN);
    let [high, low] = mss.to_be_bytes();
    let option = [2, 4, high, low];
    let mut longer = [headers, &option, options].concat();
    let tcp = &mut longer[from..];
    let len = tcp.len() as u16;
    update_checksum(tcp, &(len - option.len() as u16).to_be_bytes(), &len.to_be_bytes());
    update_checksum(tcp, &[0; 4], &option);
    let words = tcp[LENGTH_AT] + (1 << 4);
    replace(tcp, LENGTH_AT, [words, tcp[LENGTH_AT + 1]]);
    edit::set_total_len(&mut longer);
    packet.replace_l3(&longer);
}

fn replace(tcp: &mut [u8], at: usize, new: [u8; 2]) {
    update_checksum(tcp, &[tcp[at], tcp[at + 1]], &new);
    tcp[at..at + 2].copy_from_slice(&new);
}

fn update_checksum(tcp: &mut [u8], old: &[u8], new: &[u8]) {
    let field = CHECKSUM_AT..CHECKSUM_AT + 2;
    let check = checksum::update(u16::from_be_bytes([tcp[CHECKSUM_AT], tcp[CHECKSUM_AT + 1]]), old, new);
    tcp[field].copy_from_slice(&check.to_be_bytes());
}

/// The fixed value, or of both directions' routes the smaller MTU less the headers, if that is less.
fn limit(ns: &Netns, walk: &HookWalk, mss: MssLimit) -> Option<u16> {
    if !mss.pmtu {
        return Some(mss.fixed);
    }
    let onward = match walk.after {
        After::ForwardDone(dst) | After::OutputDone(dst) | After::PostroutingDone(dst) => dst.mtu,
        _ => return None,
    };
    let back = route_output(ns, FibKey::to(walk.packet.ip()?.src)).map_or(u32::MAX, |(dst, _)| dst.mtu);
    let pmtu = onward.min(back).saturating_sub((walk.family.header_len() + TCP_LEN) as u32);
    Some(mss.fixed.min(pmtu as u16))
}

/// Where the value of the MSS option stands. The end of the options does not end the search (`optlen` of xt_TCPMSS.c).
fn find_mss(options: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at + 4 <= options.len() {
        match (options[at], options[at + 1]) {
            (2, 4) => return Some(at + 2),
            (0 | 1, _) | (_, 0) => at += 1,
            (_, len) => at += usize::from(len),
        }
    }
    None
}
