//! The hops of one step, in the lab's order and form.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};
use sim_core::capture::{Direction, Hop};
use sim_core::engine::time::Instant;
use sim_core::wire::edit;
use sim_core::wire::eth::{ETH_LEN, ETHERTYPE_ARP, ETHERTYPE_IPV6, EthHeader};
use sim_core::wire::ext::{HOP_BY_HOP, IPV6_LEN};
use sim_core::wire::ip::Family;
use sim_core::wire::packet::PacketType;

use super::decode::Decoder;
use super::spec::Common;

/// One order for the hops of all netns: those of one netns stay as its tap saw them, several netns are
/// merged by stamp, and of equal stamps the netns made first goes first.
pub fn in_order(hops: Vec<Hop>) -> Vec<Hop> {
    let mut latest = BTreeMap::new();
    let mut stamped: Vec<_> = hops
        .into_iter()
        .map(|hop| {
            let stamp = latest.entry(hop.netns).or_insert((hop.at, hop.stamp));
            *stamp = (*stamp).max((hop.at, hop.stamp));
            (*stamp, hop.netns, hop)
        })
        .collect();
    stamped.sort_by_key(|(stamp, netns, _)| (*stamp, *netns));
    stamped.into_iter().map(|(_, _, hop)| hop).collect()
}

/// Hops in canonical form. Those that `step` does not ask for are decoded all the same: letters for IP
/// ids are given out in the order of all of them.
pub fn canonical(
    hops: &[Hop],
    names: &dyn Fn(&Hop) -> (String, String),
    step: &Common,
    (show_arp, show_nd): (bool, bool),
    decoder: &mut Decoder<'_>,
) -> Vec<Value> {
    let mut out = Vec::new();
    let mut first = None;
    for hop in hops {
        if ethertype(hop) == Some(ETHERTYPE_ARP) && !show_arp {
            continue;
        }
        let frame = decoder.frame(&as_tapped(hop));
        let inner = frame.get("inner").and_then(Value::as_object);
        if !show_arp && inner.is_some_and(|inner| inner.contains_key("arp")) {
            continue;
        }
        if !show_nd && (is_nd(&frame) || inner.is_some_and(is_nd)) {
            continue;
        }
        let (netns, dev) = names(hop);
        let only = step.hops_in.as_ref();
        if only.is_some_and(|only| !only.contains(&netns) && !only.contains(&format!("{netns}/{dev}"))) {
            continue;
        }
        let mut shown = Map::new();
        shown.insert("n".into(), netns.into());
        shown.insert("if".into(), dev.into());
        shown.insert("d".into(), if hop.direction == Direction::Out { "out" } else { "in" }.into());
        if step.times {
            let start = *first.get_or_insert(hop.at);
            shown.insert("t".into(), half_seconds(hop.at, start));
        }
        if step.pkttype {
            shown.insert("pkt".into(), packet_type(hop).into());
        }
        if hop.csum_pending {
            shown.insert("csum_pending".into(), true.into());
        }
        shown.extend(frame);
        out.push(shown.into());
    }
    out
}

/// Whether multicast listeners talk (RFC 3810), which Linux does when it likes: they are never shown.
pub fn is_listeners_talk(hop: &Hop) -> bool {
    let next_header = hop.frame.get(ETH_LEN + 6);
    let kind = hop.frame.get(ETH_LEN + IPV6_LEN + 8);
    ethertype(hop) == Some(ETHERTYPE_IPV6) && next_header == Some(&HOP_BY_HOP) && matches!(kind, Some(130..=132 | 143))
}

fn is_nd(frame: &Map<String, Value>) -> bool {
    frame.get("icmp6").is_some_and(|message| message.get("nd").is_some())
}

/// The bytes as the kernel's tap has them: a checksum that is not computed yet is not there.
fn as_tapped(hop: &Hop) -> Cow<'_, [u8]> {
    if !hop.csum_pending || ethertype(hop).and_then(Family::of_ethertype).is_none() {
        return Cow::Borrowed(&hop.frame);
    }
    let mut bytes = hop.frame.to_vec();
    edit::leave_checksum_partial(&mut bytes[ETH_LEN..]);
    Cow::Owned(bytes)
}

/// The time from `start` to `at` in seconds, to the nearest half.
pub(super) fn half_seconds(at: Instant, start: Instant) -> Value {
    let halves = (at.since(start).as_millis() + 250) / 500;
    Number::from_f64(halves as f64 / 2.0).map_or(Value::Null, Value::Number)
}

fn ethertype(hop: &Hop) -> Option<u16> {
    EthHeader::read(&hop.frame).map(|eth| eth.ethertype)
}

/// The packet type as packet(7) names it; what leaves is always outgoing.
fn packet_type(hop: &Hop) -> &'static str {
    match (hop.direction, hop.pkt_type) {
        (Direction::Out, _) | (_, PacketType::Outgoing) => "outgoing",
        (_, PacketType::Host | PacketType::Loopback) => "host",
        (_, PacketType::Broadcast) => "broadcast",
        (_, PacketType::Multicast) => "multicast",
        (_, PacketType::OtherHost) => "otherhost",
    }
}
