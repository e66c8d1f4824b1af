//! Frames in the lab's canonical form.
//!
//! Fields appear in the lab's order. What differs from run to run is shown as what it stands for: IP ids
//! as letters by first appearance in the step, TCP sequence numbers relative to the connection's ISNs,
//! unknown ports as their class, a VXLAN source port as `hash`, a hardware address as `netns/dev`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

mod ip6;

use serde_json::{Map, Value};
use sim_core::wire::checksum::Sum;
use sim_core::wire::eth::{ETH_LEN, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, MacAddr};
use sim_core::wire::ip::{ICMP, SCTP, TCP, UDP};
use sim_core::wire::l4::{ACK, RST, SYN};
use sim_core::wire::{arp, icmp};

use super::cluster::{HASHED_PORTS, VXLAN_PORT};
use super::conntrack::{echo_id, port};
use super::spec::Spec;

/// The letters of the TCP flags, bit 0 first.
pub(super) const FLAGS: [(u8, char); 8] =
    [(1, 'F'), (2, 'S'), (4, 'R'), (8, 'P'), (16, 'A'), (32, 'U'), (64, 'E'), (128, 'C')];

type Fields = Map<String, Value>;

/// Turns frames into canonical JSON; remembers ids within a step and ISNs within a run.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    spec: &'a Spec,
    ids: BTreeMap<u32, String>,
    /// Flow labels of IPv6.
    flows: BTreeMap<u32, String>,
    /// Identifications of IPv6 fragments.
    fragments: BTreeMap<u32, String>,
    isns: Vec<(char, u32)>,
    /// Set while forged segments are about: their SYNs are no new connections.
    pub forging: bool,
    /// Outer VXLAN source ports seen.
    pub vxlan_ports: BTreeSet<u16>,
}

/// Addresses a checksum covers, and what is known about the packet around an L4 header.
#[derive(Clone, Copy)]
struct Around {
    src: IpAddr,
    dst: IpAddr,
    /// Neither a fragment nor cut off.
    whole: bool,
    /// Inside an ICMP error.
    quoted: bool,
}

impl<'a> Decoder<'a> {
    /// A decoder that has seen nothing.
    pub fn new(spec: &'a Spec) -> Self {
        let [ids, flows, fragments] = [(); 3].map(|()| BTreeMap::new());
        Self { spec, ids, flows, fragments, isns: Vec::new(), forging: false, vxlan_ports: BTreeSet::new() }
    }

    /// A new step begins: ids are named anew.
    pub fn new_step(&mut self) {
        self.ids.clear();
        self.flows.clear();
        self.fragments.clear();
    }

    /// A frame from its Ethernet header on.
    pub fn frame(&mut self, b: &[u8]) -> Fields {
        let mut out = Fields::new();
        if b.len() < ETH_LEN {
            out.insert("short".into(), b.len().into());
            return out;
        }
        out.insert("eth".into(), Value::Array(vec![self.mac(&b[6..12]), self.mac(&b[..6])]));
        match be16(b, 12) {
            ETHERTYPE_ARP => {
                out.insert("arp".into(), self.arp(&b[ETH_LEN..]).into());
            }
            ETHERTYPE_IPV4 => self.ip(&b[ETH_LEN..], &mut out, false),
            ETHERTYPE_IPV6 => self.ip6(&b[ETH_LEN..], &mut out, false),
            other => {
                out.insert("type".into(), format!("{other:#06x}").into());
            }
        }
        out
    }

    /// A port, or its class where the spec does not name it.
    pub fn port(&self, value: u16) -> Value {
        port(value, self.spec.known_ports.as_deref())
    }

    /// The identifier of an echo message, or that it was drawn.
    fn echo_id(&self, id: u16) -> Value {
        echo_id(id, self.spec.known_echoes.as_deref())
    }

    fn mac(&self, b: &[u8]) -> Value {
        let mac = MacAddr(std::array::from_fn(|i| b[i]));
        self.spec.cluster.mac_name(mac).into()
    }

    fn arp(&self, b: &[u8]) -> Fields {
        let mut out = Fields::new();
        if b.len() < 28 {
            out.insert("short".into(), b.len().into());
            return out;
        }
        let (sender, target) = (addr(b, 14).to_string(), addr(b, 24).to_string());
        let op = be16(b, 6);
        if op == arp::REQUEST {
            out.insert("op".into(), "who-has".into());
            out.insert("tell".into(), sender.into());
            out.insert("ask".into(), target.into());
            out.insert("sha".into(), self.mac(&b[8..14]));
        } else {
            out.insert("op".into(), if op == arp::REPLY { "is-at".into() } else { op.into() });
            out.insert("ip".into(), sender.into());
            out.insert("mac".into(), self.mac(&b[8..14]));
            out.insert("to".into(), target.into());
        }
        out
    }

    /// An IPv4 packet; puts `ip` and what follows it into `out`.
    fn ip(&mut self, b: &[u8], out: &mut Fields, quoted: bool) {
        let mut ip = Fields::new();
        if b.len() < 20 {
            ip.insert("short".into(), b.len().into());
            out.insert("ip".into(), ip.into());
            return;
        }
        let (header_len, total_len, flags) = (usize::from(b[0] & 15) * 4, usize::from(be16(b, 2)), be16(b, 6));
        let (src, dst, proto) = (addr(b, 12), addr(b, 16), b[9]);
        ip.insert("s".into(), src.to_string().into());
        ip.insert("d".into(), dst.to_string().into());
        ip.insert("ttl".into(), b[8].into());
        ip.insert("len".into(), total_len.into());
        ip.insert("id".into(), self.ip_id(be16(b, 4)));
        for (set, key) in [(flags & 0x4000 != 0, "df"), (flags & 0x2000 != 0, "mf")] {
            if set {
                ip.insert(key.into(), 1.into());
            }
        }
        let offset = u64::from(flags & 0x1fff) * 8;
        if offset != 0 {
            ip.insert("off".into(), offset.into());
        }
        if b[1] != 0 {
            ip.insert("tos".into(), b[1].into());
        }
        if header_len > 20 {
            ip.insert("opt".into(), hex(cut(b, 20, header_len)).into());
        }
        ip.insert("ck".into(), right_or_bad(Sum::default().bytes(cut(b, 0, header_len))));
        ip.insert("p".into(), protocol(proto));
        let rest = cut(b, header_len, if total_len <= b.len() { total_len } else { b.len() });
        if offset != 0 {
            ip.insert("data".into(), rest.len().into());
        }
        out.insert("ip".into(), ip.into());
        let whole = flags & 0x3fff == 0 && total_len <= b.len();
        let around = Around { src: src.into(), dst: dst.into(), whole, quoted };
        match proto {
            _ if offset != 0 => {}
            UDP if rest.len() >= 8 => self.udp(rest, around, out),
            TCP if rest.len() >= 8 => self.tcp(rest, around, out),
            ICMP if rest.len() >= 8 => self.icmp(rest, around, out),
            _ => {}
        }
    }

    fn ip_id(&mut self, id: u16) -> Value {
        if id == 0 || self.spec.keep_ids.contains(&id) {
            return id.into();
        }
        letter(&mut self.ids, u32::from(id))
    }

    fn udp(&mut self, p: &[u8], around: Around, out: &mut Fields) {
        let (src, dst, len) = (be16(p, 0), be16(p, 2), be16(p, 4));
        let vxlan = dst == VXLAN_PORT;
        let mut udp = Fields::new();
        let hashed = vxlan && HASHED_PORTS.contains(&src);
        udp.insert(
            "s".into(),
            if hashed {
                "hash".into()
            } else if vxlan {
                src.into()
            } else {
                self.port(src)
            },
        );
        udp.insert("d".into(), self.port(dst));
        udp.insert("len".into(), len.into());
        if be16(p, 6) == 0 {
            udp.insert("ck".into(), "none".into());
        } else if around.whole {
            let sum = Sum::default().pseudo(around.src, around.dst, UDP, usize::from(len));
            udp.insert("ck".into(), right_or_bad(sum.bytes(cut(p, 0, usize::from(len)))));
        }
        let inside = vxlan && around.whole && !around.quoted && p.len() >= 16;
        if !inside && !around.quoted {
            insert_data(&mut udp, cut(p, 8, usize::from(len)));
        }
        if !inside && around.quoted {
            udp.insert("have".into(), p.len().into());
        }
        out.insert("udp".into(), udp.into());
        if inside {
            self.vxlan_ports.insert(src);
            out.insert("vxlan".into(), vxlan_header(p).into());
            let inner = self.frame(&p[16..]);
            out.insert("inner".into(), inner.into());
        }
    }

    fn tcp(&mut self, p: &[u8], around: Around, out: &mut Fields) {
        let (src, dst, seq) = (be16(p, 0), be16(p, 2), be32(p, 4));
        let mut tcp = Fields::new();
        tcp.insert("s".into(), self.port(src));
        tcp.insert("d".into(), self.port(dst));
        if p.len() < 20 {
            tcp.insert("seq".into(), self.relative(seq));
            tcp.insert("have".into(), p.len().into());
            out.insert("tcp".into(), tcp.into());
            return;
        }
        let (header_len, flags, window) = (usize::from(p[12] >> 4) * 4, p[13], be16(p, 14));
        if flags & SYN != 0 && !around.quoted && !self.forging {
            self.note_isn(seq, flags & ACK != 0);
        }
        tcp.insert(
            "fl".into(),
            FLAGS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, c)| *c).collect::<String>().into(),
        );
        tcp.insert("seq".into(), self.relative(seq));
        if flags & ACK != 0 {
            tcp.insert("ack".into(), self.relative(be32(p, 8)));
        }
        // Windows of an established connection depend on the machine's buffer limits.
        if flags & (SYN | RST) != 0 || window == 0 {
            tcp.insert("win".into(), window.into());
        }
        if header_len > 20 {
            tcp.insert("opt".into(), options(cut(p, 20, header_len)));
        }
        if !around.quoted {
            insert_data(&mut tcp, cut(p, header_len, p.len()));
        }
        if around.whole {
            let sum = Sum::default().pseudo(around.src, around.dst, TCP, p.len());
            tcp.insert("ck".into(), right_or_bad(sum.bytes(p)));
        }
        if around.quoted {
            tcp.insert("have".into(), p.len().into());
        }
        out.insert("tcp".into(), tcp.into());
    }

    fn note_isn(&mut self, seq: u32, from_server: bool) {
        if self.isns.iter().any(|&(_, isn)| isn == seq) {
            return;
        }
        if !from_server && !self.spec.many_conns {
            self.isns.clear();
        }
        self.isns.push((if from_server { 's' } else { 'c' }, seq));
    }

    /// A sequence number relative to the nearest known ISN, if one is within 4 MiB.
    fn relative(&self, value: u32) -> Value {
        let near = self.isns.iter().map(|&(side, isn)| (side, value.wrapping_sub(isn).cast_signed()));
        match near.filter(|(_, d)| d.unsigned_abs() < 1 << 22).min_by_key(|(_, d)| d.unsigned_abs()) {
            Some((side, 0)) => side.to_string().into(),
            Some((side, d)) => format!("{side}{d:+}").into(),
            None => if value == 0 { "0" } else { "?" }.into(),
        }
    }

    fn icmp(&mut self, p: &[u8], around: Around, out: &mut Fields) {
        let (kind, code) = (p[0], p[1]);
        let mut message = Fields::new();
        message.insert("type".into(), kind.into());
        message.insert("code".into(), code.into());
        if matches!(kind, icmp::ECHO | icmp::ECHO_REPLY) {
            message.insert("id".into(), self.echo_id(be16(p, 4)));
            message.insert("seq".into(), be16(p, 6).into());
            message.insert("data".into(), (p.len() - 8).into());
        } else if (kind, code) == (icmp::DEST_UNREACH, icmp::FRAG_NEEDED) {
            message.insert("mtu".into(), be16(p, 6).into());
        }
        if around.whole {
            message.insert("ck".into(), right_or_bad(Sum::default().bytes(p)));
        }
        let quotes = icmp::is_error(ICMP, kind) && kind != icmp::SOURCE_QUENCH;
        if quotes && !around.quoted {
            message.insert("quote_len".into(), (p.len() - 8).into());
            if kind == icmp::REDIRECT {
                message.insert("gw".into(), addr(p, 4).to_string().into());
            }
            let mut quote = Fields::new();
            self.ip(&p[8..], &mut quote, true);
            message.insert("quote".into(), quote.into());
        }
        out.insert("icmp".into(), message.into());
    }
}

/// The letter of a number, in the order in which numbers are first seen.
fn letter(names: &mut BTreeMap<u32, String>, number: u32) -> Value {
    let n = names.len();
    let name = names.entry(number).or_insert_with(|| {
        let letter = char::from(b'A' + (n % 26) as u8);
        if n < 26 { letter.to_string() } else { format!("{letter}{}", n / 26) }
    });
    name.clone().into()
}

fn vxlan_header(p: &[u8]) -> Fields {
    let (flags, vni) = (be32(p, 8), be32(p, 12));
    let mut out = Fields::new();
    out.insert("flags".into(), format!("{:#04x}", flags >> 24).into());
    out.insert("rsvd".into(), (flags & 0xff_ffff).into());
    out.insert("vni".into(), (vni >> 8).into());
    out.insert("rsvd2".into(), (vni & 0xff).into());
    out
}

/// The names of TCP options; their values are shown where they do not depend on the machine.
fn options(mut b: &[u8]) -> Value {
    let mut out = Vec::new();
    while let [kind, rest @ ..] = b {
        let len = match (*kind, rest.first()) {
            (0, _) | (_, None) => break,
            (1, _) => {
                b = rest;
                continue;
            }
            (_, Some(&len)) if len < 2 => break,
            (_, Some(&len)) => usize::from(len),
        };
        let value = cut(b, 2, len);
        out.push(match kind {
            2 => format!("mss={}", value.iter().fold(0u64, |n, &byte| n << 8 | u64::from(byte))).into(),
            3 => "ws".into(),
            4 => "sackok".into(),
            5 => "sack".into(),
            8 => "ts".into(),
            other => format!("opt{other}").into(),
        });
        b = cut(b, len, b.len());
    }
    Value::Array(out)
}

fn insert_data(out: &mut Fields, data: &[u8]) {
    if let Some(shown) = shown_data(data) {
        out.insert("data".into(), shown);
    }
}

/// Data as text if it is short and printable, else its length; `None` if there is none.
pub fn shown_data(data: &[u8]) -> Option<Value> {
    if data.is_empty() {
        return None;
    }
    let text = std::str::from_utf8(data).ok().filter(|t| t.len() <= 40 && t.bytes().all(|c| (32..127).contains(&c)));
    Some(text.map_or_else(|| data.len().into(), Value::from))
}

fn protocol(proto: u8) -> Value {
    match proto {
        ICMP => "icmp".into(),
        TCP => "tcp".into(),
        UDP => "udp".into(),
        SCTP => "sctp".into(),
        other => other.into(),
    }
}

/// What a checksum says whose own field is among the summed bytes.
fn right_or_bad(sum: Sum) -> Value {
    if sum.finish() == 0 { "ok".into() } else { "bad".into() }
}

fn hex(b: &[u8]) -> String {
    b.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `b[from..to]`, as much of it as there is.
fn cut(b: &[u8], from: usize, to: usize) -> &[u8] {
    let to = to.min(b.len());
    &b[from.min(to)..to]
}

fn be16(b: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([b[at], b[at + 1]])
}

fn be32(b: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

fn addr(b: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(b[at], b[at + 1], b[at + 2], b[at + 3])
}
