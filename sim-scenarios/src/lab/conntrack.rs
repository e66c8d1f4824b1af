//! Conntrack entries in the lab's canonical form.

use std::net::IpAddr;

use serde_json::{Map, Value, json};
use sim_core::wire::ip::UDP;

use super::canon::dumps_sorted;
use super::cluster::VXLAN_PORT;

/// A conntrack entry, as `conntrack -L -o extended` tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// L4 protocol number.
    pub proto: u8,
    /// Its name as conntrack-tools print it (`udp`, `unknown`).
    pub proto_name: String,
    /// Seconds left, rounded down.
    pub timeout_secs: u32,
    /// The state of protocols that have one (`ESTABLISHED`).
    pub state: Option<String>,
    /// Packets of the original direction.
    pub orig: Half,
    /// Packets of the reply direction.
    pub reply: Half,
    /// Not answered yet.
    pub unreplied: bool,
    /// Not to be dropped early.
    pub assured: bool,
    /// The connection mark.
    pub mark: u32,
}

/// One direction of an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Half {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// The L4 part of the tuple.
    pub l4: HalfL4,
    /// Packets seen (`nf_conntrack_acct`).
    pub packets: u64,
    /// Their IP lengths.
    pub bytes: u64,
}

/// The L4 part of a tuple.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HalfL4 {
    /// Source and destination port.
    Ports(u16, u16),
    /// Type, code and identifier.
    Icmp(u8, u8, u16),
    /// Protocols without either.
    None,
}

/// What of an entry is shown, and how.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Whether timeouts are shown.
    pub timeouts: bool,
    /// Ports shown as they are; others as their class. `None`: all are.
    pub known_ports: Option<&'a [u16]>,
}

/// The table in canonical form: outer VXLAN entries summed per direction, all sorted by their text.
pub fn canonical(entries: &[Entry], shown: Shown<'_>) -> Value {
    let mut out: Vec<Value> = Vec::new();
    // How many outer VXLAN entries there are depends on a hash of the inner flows: they count as one a direction.
    let mut outer: Vec<Entry> = Vec::new();
    for entry in entries {
        if !is_outer(entry) {
            out.push(one(entry, shown));
            continue;
        }
        match outer.iter_mut().find(|sum| (sum.orig.src, sum.orig.dst) == (entry.orig.src, entry.orig.dst)) {
            Some(sum) => add(sum, entry),
            None => outer.push(entry.clone()),
        }
    }
    out.extend(outer.iter().map(|entry| one(entry, shown)));
    out.sort_by_cached_key(dumps_sorted);
    Value::Array(out)
}

fn is_outer(entry: &Entry) -> bool {
    entry.proto == UDP && matches!(entry.orig.l4, HalfL4::Ports(_, VXLAN_PORT))
}

fn add(sum: &mut Entry, entry: &Entry) {
    for (sum, half) in [(&mut sum.orig, &entry.orig), (&mut sum.reply, &entry.reply)] {
        sum.packets += half.packets;
        sum.bytes += half.bytes;
    }
    sum.timeout_secs = sum.timeout_secs.max(entry.timeout_secs);
}

fn one(entry: &Entry, shown: Shown<'_>) -> Value {
    let mut out = Map::new();
    out.insert("p".into(), entry.proto_name.clone().into());
    if shown.timeouts {
        out.insert("timeout".into(), nominal(entry.timeout_secs).into());
    }
    if let Some(state) = &entry.state {
        out.insert("state".into(), state.clone().into());
    }
    if entry.mark != 0 {
        out.insert("mark".into(), entry.mark.into());
    }
    let (mut orig, mut reply) = (half(&entry.orig, shown), half(&entry.reply, shown));
    if is_outer(entry) {
        orig.insert("sp".into(), "hash".into());
        reply.insert("dp".into(), "hash".into());
    }
    out.insert("orig".into(), orig.into());
    out.insert("reply".into(), reply.into());
    let flags = [(entry.unreplied, "UNREPLIED"), (entry.assured, "ASSURED")];
    out.insert("st".into(), flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect());
    out.into()
}

fn half(half: &Half, shown: Shown<'_>) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("s".into(), half.src.to_string().into());
    out.insert("d".into(), half.dst.to_string().into());
    match half.l4 {
        HalfL4::Ports(src, dst) => {
            out.insert("sp".into(), port(src, shown.known_ports));
            out.insert("dp".into(), port(dst, shown.known_ports));
        }
        HalfL4::Icmp(kind, code, id) => {
            out.insert("type".into(), kind.into());
            out.insert("code".into(), code.into());
            out.insert("id".into(), id.into());
        }
        HalfL4::None => {}
    }
    out.insert("packets".into(), half.packets.into());
    out.insert("bytes".into(), half.bytes.into());
    out
}

/// A port, or its class where it is not among the `known` ones: SNAT keeps a port's class
/// (net/netfilter/nf_nat_core.c, `nf_nat_l4proto_unique_tuple`) and picks the port at random.
pub(super) fn port(port: u16, known: Option<&[u16]>) -> Value {
    match known {
        Some(known) if !known.contains(&port) && port != VXLAN_PORT => json!(match port {
            1..=511 => "1-511",
            0 | 512..=1023 => "512-1023",
            _ => "1024-65535",
        }),
        _ => port.into(),
    }
}

/// The timeout that an entry counts down from: the nearest usual one not more than 4 s above.
fn nominal(left: u32) -> u32 {
    const USUAL: [u32; 8] = [5, 10, 30, 60, 120, 300, 600, 432_000];
    USUAL.into_iter().find(|&usual| usual.saturating_sub(4) <= left && left <= usual).unwrap_or(left)
}

#[cfg(test)]
mod tests;
