//! TCPMSS: the MSS option of a SYN (net/netfilter/xt_TCPMSS.c, `tcpmss_mangle_packet`).

use crate::engine::mutant::Mutant;
use crate::netfilter::rules::targets::tcpmss::Mss;
use crate::netns::Netns;
use crate::netns::fib::FibKey;
use crate::walk::output::route_output;
use crate::walk::{After, HookWalk};
use crate::wire::ip::Family;
use crate::wire::l4::TcpHeader;
use crate::wire::{build, edit};

/// MSS of a SYN that announces none (RFC 1122 4.2.2.6, RFC 8200 8.3).
const fn default_mss(family: Family) -> u16 {
    match family {
        Family::V4 => 536,
        Family::V6 => 1220,
    }
}
/// TCP header without options.
const TCP_LEN: usize = 20;

/// Lowers the MSS to what `mss` says, or adds the option.
pub(super) fn clamp(ns: &Netns, walk: &mut HookWalk, mss: Mss) {
    let Some(limit) = limit(ns, walk, mss) else { return };
    let Some(ip) = walk.packet.ip() else { return };
    let from = usize::from(ip.header_len);
    let Some(tcp) = walk.packet.l3().get(from..).and_then(TcpHeader::read) else { return };
    let end = from + usize::from(tcp.header_len);
    let (Some(options), Some(data)) = (walk.packet.l3().get(from + 20..end), walk.packet.l3().get(end..)) else {
        return;
    };
    let mut options = options.to_vec();
    match find_mss(&options) {
        Some(at)
            if (u16::from_be_bytes([options[at], options[at + 1]]) > limit) != ns.planted.is(Mutant::MssRaised) =>
        {
            options[at..at + 2].copy_from_slice(&limit.to_be_bytes());
        }
        Some(_) => return,
        // A SYN with data or a full header is left alone.
        None if !data.is_empty() || tcp.header_len >= 60 => return,
        None => {
            let [a, b] = limit.min(default_mss(walk.family)).to_be_bytes();
            options.splice(0..0, [2, 4, a, b]);
        }
    }
    let segment = build::tcp_segment(&ip, tcp, &options, data);
    let mut rebuilt = walk.packet.l3()[..from].to_vec();
    rebuilt.extend(segment);
    edit::set_total_len(&mut rebuilt);
    walk.packet.replace_l3(&rebuilt);
}

/// Of both directions' routes the smaller MTU less the headers, or the fixed value.
fn limit(ns: &Netns, walk: &HookWalk, mss: Mss) -> Option<u16> {
    let Mss::ClampToPmtu = mss else {
        let Mss::Set(fixed) = mss else { return None };
        return Some(fixed);
    };
    let onward = match walk.after {
        After::ForwardDone(dst) | After::OutputDone(dst) | After::PostroutingDone(dst) => dst.mtu,
        _ => return None,
    };
    let back = route_output(ns, FibKey::to(walk.packet.ip()?.src)).map_or(u32::MAX, |(dst, _)| dst.mtu);
    Some(onward.min(back).saturating_sub((walk.family.header_len() + TCP_LEN) as u32) as u16)
}

/// Where the value of the MSS option stands.
fn find_mss(options: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < options.len() {
        match (options[at], options.get(at + 1)) {
            (0, _) => return None,
            (1, _) => at += 1,
            (2, Some(4)) if at + 4 <= options.len() => return Some(at + 2),
            (_, Some(len)) if *len >= 2 => at += usize::from(*len),
            _ => return None,
        }
    }
    None
}
