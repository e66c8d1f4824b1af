//! A conntrack table in the lab's canonical form, from the lines of `conntrack -L -o extended`.

use serde_json::{Map, Value, json};

use super::canon::dumps_sorted;
use super::cluster::VXLAN_PORT;

/// What of an entry is shown, and how.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Whether timeouts are shown.
    pub timeouts: bool,
    /// Ports shown as they are; others as their class. `None`: all are.
    pub known_ports: Option<&'a [u16]>,
    /// Identifiers of echo messages shown as they are; others as drawn. `None`: all are.
    pub known_echoes: Option<&'a [u16]>,
}

/// The table in canonical form: outer VXLAN entries summed per direction, all sorted by their text.
pub fn canonical(lines: &str, shown: Shown<'_>) -> Value {
    // How many outer VXLAN entries there are depends on a hash of the inner flows: they count as one a direction.
    let mut out: Vec<Value> = Vec::new();
    for entry in lines.lines().filter_map(|line| entry(line, shown)) {
        let same = |sum: &&mut Value| is_outer(&entry) && is_outer(sum) && ends(sum) == ends(&entry);
        match out.iter_mut().find(same) {
            Some(sum) => add(sum, &entry),
            None => out.push(entry),
        }
    }
    out.sort_by_cached_key(dumps_sorted);
    Value::Array(out)
}

fn is_outer(entry: &Value) -> bool {
    entry["orig"]["sp"] == "hash"
}

fn ends(entry: &Value) -> (&Value, &Value) {
    (&entry["orig"]["s"], &entry["orig"]["d"])
}

fn add(sum: &mut Value, entry: &Value) {
    for direction in ["orig", "reply"] {
        for counter in ["packets", "bytes"] {
            let both = [&sum[direction][counter], &entry[direction][counter]].map(Value::as_u64);
            if let [Some(a), Some(b)] = both {
                sum[direction][counter] = (a + b).into();
            }
        }
    }
    if let (Some(a), Some(b)) = (sum["timeout"].as_u64(), entry["timeout"].as_u64()) {
        sum["timeout"] = a.max(b).into();
    }
}

/// One line: family, its number, protocol, its number, then seconds left, state, both directions and marks.
fn entry(line: &str, shown: Shown<'_>) -> Option<Value> {
    let mut words = line.split_whitespace().skip(2);
    let mut out = Map::new();
    out.insert("p".into(), words.next()?.into());
    let mut words = words.skip(1).peekable();
    let left = words.next_if(|word| word.bytes().all(|b| b.is_ascii_digit()));
    if let Some(left) = left.filter(|_| shown.timeouts) {
        out.insert("timeout".into(), nominal(left.parse().ok()?).into());
    }
    if let Some(state) = words.next_if(|word| !word.contains('=') && !word.starts_with('[')) {
        out.insert("state".into(), state.into());
    }
    let mut directions: Vec<Map<String, Value>> = Vec::new();
    let mut status = Vec::new();
    for word in words {
        let Some((key, value)) = word.split_once('=') else {
            status.push(Value::from(word.trim_matches(['[', ']'])));
            continue;
        };
        if key == "src" {
            directions.push(Map::new());
        }
        match (key, directions.last_mut()) {
            ("src" | "dst", Some(direction)) => {
                direction.insert(key[..1].into(), value.into());
            }
            ("sport", Some(direction)) => {
                direction.insert("sp".into(), port(value.parse().ok()?, shown.known_ports));
            }
            ("dport", Some(direction)) => {
                direction.insert("dp".into(), port(value.parse().ok()?, shown.known_ports));
            }
            ("id", Some(direction)) => {
                direction.insert("id".into(), echo_id(value.parse().ok()?, shown.known_echoes));
            }
            ("type" | "code" | "packets" | "bytes", Some(direction)) => {
                direction.insert(key.into(), value.parse::<u64>().ok()?.into());
            }
            ("mark", _) if value == "0" => {}
            ("mark" | "zone" | "zone-orig" | "zone-reply", _) => {
                out.insert(key.into(), value.parse::<u64>().ok()?.into());
            }
            _ => {}
        }
    }
    let mut directions = directions.into_iter();
    let (mut orig, mut reply) = (directions.next()?, directions.next()?);
    if out["p"] == "udp" && orig.get("dp") == Some(&VXLAN_PORT.into()) {
        orig.insert("sp".into(), "hash".into());
        reply.insert("dp".into(), "hash".into());
    }
    out.insert("orig".into(), orig.into());
    out.insert("reply".into(), reply.into());
    out.insert("st".into(), status.into());
    Some(out.into())
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

/// The identifier of an echo message, or `drawn` where it is not among the `known` ones: SNAT with `--random` draws any.
pub(super) fn echo_id(id: u16, known: Option<&[u16]>) -> Value {
    if known.is_none_or(|known| known.contains(&id)) { id.into() } else { "drawn".into() }
}

/// The timeout that an entry counts down from: the nearest usual one not more than 4 s above.
fn nominal(left: u64) -> u64 {
    const USUAL: [u64; 8] = [5, 10, 30, 60, 120, 300, 600, 432_000];
    USUAL.into_iter().find(|&usual| usual.saturating_sub(4) <= left && left <= usual).unwrap_or(left)
}

#[cfg(test)]
mod tests;
