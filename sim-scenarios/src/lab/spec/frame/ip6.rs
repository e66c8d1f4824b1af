//! Raw IPv6 packets of a spec, in the words of the lab's second part.

use std::net::IpAddr;

use sim_core::wire::ext::{DESTINATION, FRAGMENT_LEN, Fragment, HOP_BY_HOP, ROUTING};
use sim_core::wire::icmpv6::{NEIGH_ADVERT, NEIGH_SOLICIT, REDIRECT};
use sim_core::wire::ip::{DEFAULT_TTL, Family};
use sim_core::wire::nd::{HOP_LIMIT, REDIRECTED};

use super::{
    Chain, DEEPEST, Ext, Header, Icmp, Ip, L4, L4Checksum, halves, read_addr_of, read_data, read_hex, read_l4, read_mac,
};
use crate::lab::cluster::Cluster;
use crate::lab::forge;
use crate::lab::spec::object::{Node, Object, SpecError};

/// The identification of fragments that name none.
const DEFAULT_ID: u32 = 0x1234;

/// The length of a quotation that is not cut.
const WHOLE: usize = usize::MAX;

impl Ip {
    /// Reads `ip6` and its siblings `udp`, `tcp`, `icmp6`, `nd`, `data`, `hex`, `size`.
    pub(super) fn read6(o: &mut Object<'_>, cluster: &Cluster, depth: usize) -> Result<Self, SpecError> {
        if depth > DEEPEST {
            return Err(o.error(format!("more than {DEEPEST} packets inside each other")));
        }
        let mut ip = o.need("ip6")?.object()?;
        let proto = ip.or("p", 253)?;
        let discovery = o.take("nd").map(|node| read_discovery(node, cluster, depth)).transpose()?;
        let message = o.take("icmp6").map(|node| read_message(node, cluster, depth)).transpose()?;
        let default_ttl = if discovery.is_some() { HOP_LIMIT } else { DEFAULT_TTL };
        let (l4, data) = match (discovery, message) {
            (Some((message, body)), _) => (L4::Icmp(message), body),
            (None, Some(message)) => (L4::Icmp(message), read_data(o)?),
            (None, None) => (read_l4(o, cluster, proto, depth)?, read_data(o)?),
        };
        let packet = Self {
            src: read_addr_of(&mut ip, "s", Family::V6, cluster)?,
            dst: read_addr_of(&mut ip, "d", Family::V6, cluster)?,
            ttl: ip.or("hl", default_ttl)?,
            tos: ip.or("tc", 0)?,
            len: ip.optional("len")?,
            header: Header::V6(Chain { flow: ip.or("flow", 0)?, ext: read_chain(&mut ip)? }),
            cut: ip.optional("cut")?,
            l4,
            data,
            inner: None,
            size: o.optional::<u16>("size")?.filter(|&n| n > 0).map(usize::from),
        };
        ip.end()?;
        Ok(packet)
    }
}

fn read_chain(ip: &mut Object<'_>) -> Result<Vec<Ext>, SpecError> {
    let Some(node) = ip.take("ext") else { return Ok(Vec::new()) };
    node.list()?.into_iter().map(read_extension).collect()
}

/// One header: `{"hbh": HEX}`, `{"rt": HEX}`, `{"dst": HEX}` or `{"frag": {...}}`.
fn read_extension(node: Node<'_>) -> Result<Ext, SpecError> {
    let mut o = node.object()?;
    let mut found = None;
    for (name, kind) in [("hbh", HOP_BY_HOP), ("rt", ROUTING), ("dst", DESTINATION)] {
        if let Some(node) = o.take(name) {
            let body = read_hex(&node)?;
            if body.is_empty() || !(body.len() + 2).is_multiple_of(FRAGMENT_LEN) {
                return Err(node.error("with its two first bytes a header is a multiple of eight (RFC 8200 section 4)"));
            }
            found = Some(Ext::Any { kind, body });
        }
    }
    if let Some(node) = o.take("frag") {
        let mut fragment = node.object()?;
        let (offset, more): (u16, u8) = (fragment.or("off", 0)?, fragment.or("mf", 0)?);
        found = Some(Ext::Fragment(Fragment { offset, more: more != 0, id: fragment.or("id", DEFAULT_ID)? }));
        fragment.end()?;
    }
    let none = o.error("an extension header is one of hbh, rt, dst, frag");
    o.end()?;
    found.ok_or(none)
}

/// An ICMPv6 message but those of neighbour discovery; an MTU takes the place of identifier and sequence number.
fn read_message(node: Node<'_>, cluster: &Cluster, depth: usize) -> Result<Icmp, SpecError> {
    let mut o = node.object()?;
    let (id, seq) = (o.or("id", 77)?, o.or("seq", 1)?);
    let rest = o.optional::<u32>("mtu")?.map_or(halves(id, seq), u32::to_be_bytes);
    let quote = match o.take("quote") {
        Some(node) => {
            let mut quote = node.object()?;
            let packet = Ip::read6(&mut quote, cluster, depth + 1)?;
            quote.end()?;
            Some((Box::new(packet), o.or("quote_len", WHOLE)?))
        }
        None => None,
    };
    let checksum = o.or("ck", L4Checksum::Ok)?;
    let message = Icmp { kind: o.read("type")?, code: o.read("code")?, rest, quote, checksum };
    o.end()?;
    Ok(message)
}

/// A message of neighbour discovery: its header, and what follows.
fn read_discovery(node: Node<'_>, cluster: &Cluster, depth: usize) -> Result<(Icmp, Vec<u8>), SpecError> {
    let mut o = node.object()?;
    let op = o.need("op")?;
    let kind = match op.read::<String>()?.as_str() {
        "ns" => NEIGH_SOLICIT,
        "na" => NEIGH_ADVERT,
        "redirect" => REDIRECT,
        other => return Err(op.error(format!("{other:?} is none of ns, na, redirect"))),
    };
    let letters: String = o.or("fl", String::new())?;
    let flags = [('R', 0x80), ('S', 0x40), ('O', 0x20)];
    let set: u8 = flags.iter().filter(|(letter, _)| letters.contains(*letter)).map(|(_, bit)| bit).sum();
    let mut body = read_octets(&mut o, "target", cluster)?;
    if kind == REDIRECT {
        body.extend(read_octets(&mut o, "dst", cluster)?);
    }
    for (name, number) in [("sll", 1), ("tll", 2)] {
        if let Some(node) = o.take(name) {
            body.extend([number, 1]);
            body.extend(read_mac(&node, cluster)?.0);
        }
    }
    if let Some(node) = o.take("quote") {
        let mut quote = node.object()?;
        let mut packet = forge::ip(&Ip::read6(&mut quote, cluster, depth + 1)?);
        quote.end()?;
        packet.resize(packet.len().next_multiple_of(8), 0);
        body.extend([REDIRECTED, (packet.len() / 8 + 1) as u8, 0, 0, 0, 0, 0, 0]);
        body.extend(packet);
    }
    o.end()?;
    Ok((Icmp { kind, code: 0, rest: [set, 0, 0, 0], quote: None, checksum: L4Checksum::Ok }, body))
}

fn read_octets(o: &mut Object<'_>, key: &'static str, cluster: &Cluster) -> Result<Vec<u8>, SpecError> {
    Ok(match read_addr_of(o, key, Family::V6, cluster)? {
        IpAddr::V6(addr) => addr.octets().to_vec(),
        IpAddr::V4(_) => Vec::new(),
    })
}
