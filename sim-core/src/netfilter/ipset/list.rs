//! Sets as `ipset list` and `ipset save` print them.

use std::fmt::Write as _;

use super::element::Element;
use super::header::{Family, Header, Type};
use super::set::{Extras, IpSet};
use super::words::Form;
use crate::engine::time::Instant;

/// Writes one set.
pub(super) fn set(name: &str, set: &IpSet, form: Form, references: usize, now: Instant, out: &mut Vec<String>) {
    let header = header(&set.header);
    match form {
        Form::Names => out.push(name.to_owned()),
        Form::Save => {
            out.push(format!("create {name} {} {header}", set.header.kind.name()));
            out.extend(members(set, now).map(|member| format!("add {name} {member}")));
        }
        Form::Plain | Form::Terse => {
            out.push(format!("Name: {name}"));
            out.push(format!("Type: {}", set.header.kind.name()));
            out.push(format!("Revision: {}", revision(set.header.kind)));
            out.push(format!("Header: {header}"));
            out.push(format!("References: {references}"));
            out.push(format!("Number of entries: {}", set.elements.len()));
            if form == Form::Plain {
                out.push("Members:".into());
                out.extend(members(set, now));
            }
        }
    }
}

/// Those of ipset 7.17 on Linux 6.18.
const fn revision(kind: Type) -> u8 {
    match kind {
        Type::HashIp { .. } => 6,
        Type::HashNet | Type::HashIpPort => 7,
        Type::BitmapPort { .. } | Type::ListSet { .. } => 3,
    }
}

/// In the order of `ipset`'s own table of arguments.
fn header(h: &Header) -> String {
    let mut out = match h.kind {
        Type::BitmapPort { first, last } => format!("range {first}-{last}"),
        Type::ListSet { size } => format!("size {size}"),
        _ => {
            let family = if h.family == Some(Family::Inet6) { "inet6" } else { "inet" };
            format!("family {family} hashsize {} maxelem {}", h.hashsize, h.maxelem)
        }
    };
    // Writing to a string never fails.
    let mut add = |text: std::fmt::Arguments<'_>| out.write_fmt(text).expect("a string takes all text");
    if let Type::HashIp { netmask } = h.kind
        && h.family.is_some_and(|family| family.bits() != netmask)
    {
        add(format_args!(" netmask {netmask}"));
    }
    if let Some(timeout) = h.timeout {
        add(format_args!(" timeout {timeout}"));
    }
    for (word, on) in [("counters", h.counters), ("comment", h.comment), ("forceadd", h.forceadd)] {
        if on {
            add(format_args!(" {word}"));
        }
    }
    if h.kind.is_hash() {
        add(format_args!(" bucketsize {} initval {:#010x}", h.bucketsize, h.initval));
    }
    out
}

fn members(set: &IpSet, now: Instant) -> impl Iterator<Item = String> {
    let ordered = set.order.iter().filter_map(|name| set.elements.get_key_value(&Element::Set(name.clone())));
    let mut others: Vec<_> = set.elements.iter().filter(|(e, _)| !matches!(e, Element::Set(_))).collect();
    // Protocols by the length of their names: `ipset` compares them as it compares numbers.
    others.sort_by_key(|(element, _)| match element {
        Element::IpPort(addr, port) => {
            let name = port.to_string();
            (Some(*addr), name.find(':'), name.split(':').next().map(str::to_owned), Some(port.port))
        }
        _ => (None, None, None, None),
    });
    ordered
        .chain(others)
        .map(|(element, extras)| member(element, extras, &set.header, now))
        .collect::<Vec<_>>()
        .into_iter()
}

fn member(element: &Element, extras: &Extras, header: &Header, now: Instant) -> String {
    let mut out = element.to_string();
    if extras.nomatch {
        out.push_str(" nomatch");
    }
    if header.timeout.is_some() {
        // `ip_set_timeout_get`: the last second is shown as 1.
        let left = extras.expires.map_or(0, |at| (at.since(now).as_millis() / 1000).max(1));
        out.push_str(&format!(" timeout {left}"));
    }
    if header.counters {
        out.push_str(&format!(" packets {} bytes {}", extras.packets, extras.bytes));
    }
    if let Some(comment) = &extras.comment {
        out.push_str(&format!(" comment \"{comment}\""));
    }
    out
}
