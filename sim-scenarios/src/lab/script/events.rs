//! What passed between pod and peer, as the lab writes it.

use std::net::SocketAddr;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sim_core::capture::Direction;
use sim_core::wire::eth::ETH_LEN;
use sim_core::wire::ip::{DEFAULT_TTL, ICMP, IpHeader, TCP};
use sim_core::wire::l4::{self, ACK, RST, SYN, TcpHeader};

use super::{NETNS, Runner};
use crate::lab::decode::FLAGS;

/// The peer's initial sequence number where a script names none.
pub(super) const PEER_ISN: u32 = 1_000_000;

/// One connection of a script, with what both sides have sent so far.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    /// The pod's end and the peer's.
    pub(super) ends: (SocketAddr, SocketAddr),
    /// Initial sequence numbers, once there was a SYN of the pod and any segment of the peer.
    pub(super) pod_isn: Option<u32>,
    pub(super) peer_isn: Option<u32>,
    /// The pod's last segment, from its IP header on.
    pub(super) last_sent: Bytes,
    /// The pod's last TSval.
    pub(super) pod_clock: u32,
    /// Every TSval of the peer.
    pub(super) peer_clock: Vec<u32>,
}

impl Flow {
    pub(super) fn new(ends: (SocketAddr, SocketAddr)) -> Self {
        let last_sent = Bytes::new();
        Self { ends, pod_isn: None, peer_isn: None, last_sent, pod_clock: 0, peer_clock: Vec::new() }
    }
}

impl Runner<'_> {
    /// Takes what passed the peer's device since the last call.
    pub(super) fn collect(&mut self) {
        let [_, peer] = NETNS;
        for hop in self.bench.drain_hops() {
            if self.bench.netns_name(hop.netns) != peer {
                continue;
            }
            let by_pod = hop.direction == Direction::In;
            let t = (hop.at.since(self.step_start).as_micros() + 500) / 1000;
            if let Some(event) = self.event(hop.frame.slice(ETH_LEN.min(hop.frame.len())..), by_pod, t) {
                self.sent += usize::from(by_pod);
                self.events.push(event);
            }
        }
    }

    /// One packet: `t` in milliseconds since the step began, `tx` for the pod's and `rx` for the peer's.
    fn event(&mut self, packet: Bytes, by_pod: bool, t: u64) -> Option<Value> {
        let ip = IpHeader::read(&packet)?;
        let l4 = packet.get(usize::from(ip.header_len)..ip.total_len as usize)?;
        let mut out = Map::new();
        out.insert("t".into(), t.into());
        out.insert("d".into(), if by_pod { "tx" } else { "rx" }.into());
        match ip.proto {
            ICMP => drop(out.insert("icmp".into(), json!(l4.get(..2)?))),
            TCP => {
                self.segment(&packet, &ip, l4, by_pod, &mut out)?;
                if by_pod {
                    out.extend(unusual(&ip, l4));
                }
            }
            proto => drop(out.insert("proto".into(), proto.into())),
        }
        Some(out.into())
    }

    fn segment(
        &mut self,
        packet: &Bytes,
        ip: &IpHeader,
        l4: &[u8],
        by_pod: bool,
        out: &mut Map<String, Value>,
    ) -> Option<()> {
        let header = TcpHeader::read(l4)?;
        let (src, dst) = ((ip.src, header.src).into(), (ip.dst, header.dst).into());
        let ends = if by_pod { (src, dst) } else { (dst, src) };
        let mut nobody = Flow::new(ends);
        let (name, flow) = match self.flows.iter_mut().find(|(_, flow)| flow.ends == ends) {
            Some((name, flow)) => (name.clone(), flow),
            None => (format!("{}>{}", header.src, header.dst), &mut nobody),
        };
        out.insert("c".into(), name.into());
        if by_pod {
            flow.last_sent = packet.clone();
            flow.pod_isn = Some(header.seq).filter(|_| header.has(SYN)).or(flow.pod_isn);
        }
        let (own, other) = if by_pod { (flow.pod_isn, flow.peer_isn) } else { (flow.peer_isn, flow.pod_isn) };
        let flags = FLAGS.iter().filter(|(bit, _)| header.has(*bit)).map(|(_, letter)| *letter);
        out.insert("fl".into(), flags.collect::<String>().into());
        // A RST that answers a segment without ACK has no number to begin with (RFC 9293 3.10.7.1).
        let unnumbered = header.has(RST) && header.seq == 0;
        out.insert("seq".into(), if unnumbered { 0.into() } else { relative(header.seq, own) });
        if header.has(ACK) {
            out.insert("ack".into(), relative(header.ack, other));
        }
        out.insert("win".into(), header.window.into());
        let header_len = usize::from(header.header_len);
        if l4.len() > header_len {
            out.insert("len".into(), (l4.len() - header_len).into());
        }
        if header_len > 20 {
            out.insert("opt".into(), options(l4.get(20..header_len)?, flow, by_pod, other).into());
        }
        Some(())
    }
}

/// What of a pod's packet is not as usual.
fn unusual(ip: &IpHeader, l4: &[u8]) -> impl Iterator<Item = (String, Value)> {
    let fields = [
        (!ip.df, "df", json!(0)),
        (ip.id == 0, "id", json!(0)),
        (ip.ttl != DEFAULT_TTL, "ttl", json!(ip.ttl)),
        (ip.tos != 0, "tos", json!(ip.tos)),
        (!l4::checksum_ok(ip.src, ip.dst, TCP, l4), "ck", json!("bad")),
    ];
    fields.into_iter().filter(|(shown, ..)| *shown).map(|(_, key, value)| (key.to_owned(), value))
}

/// A sequence number as its distance from the initial one, if that is known.
fn relative(seq: u32, isn: Option<u32>) -> Value {
    isn.map_or(json!(seq), |isn| json!(seq.wrapping_sub(isn) as i32))
}

/// The options of a segment in words; SACK blocks are relative to `base`.
fn options(mut bytes: &[u8], flow: &mut Flow, by_pod: bool, base: Option<u32>) -> Vec<String> {
    let mut out = Vec::new();
    let be32 = |b: &[u8]| u32::from_be_bytes([b[0], b[1], b[2], b[3]]);
    while let [kind, rest @ ..] = bytes {
        if *kind < 2 {
            if *kind == 0 {
                break;
            }
            out.push("nop".to_owned());
            bytes = rest;
            continue;
        }
        let Some(len) = rest.first().map(|len| usize::from(*len)).filter(|len| (2..=bytes.len()).contains(len)) else {
            break;
        };
        let value = &bytes[2..len];
        bytes = &bytes[len..];
        match (kind, value) {
            (2, [high, low]) => out.push(format!("mss={}", u16::from_be_bytes([*high, *low]))),
            (3, [scale]) => out.push(format!("ws={scale}")),
            (4, []) => out.push("sackok".into()),
            (5, blocks) => {
                let at = |b: &[u8]| be32(b).wrapping_sub(base.unwrap_or(0)) as i32;
                out.extend(blocks.chunks_exact(8).map(|b| format!("sack {}-{}", at(b), at(&b[4..]))));
            }
            (8, times) if times.len() == 8 => out.push(match by_pod {
                true => {
                    flow.pod_clock = be32(times);
                    format!("ts ecr={}", echo(be32(&times[4..]), &flow.peer_clock))
                }
                false => "ts".into(),
            }),
            (kind, _) => out.push(format!("opt{kind}")),
        }
    }
    out
}

/// An echoed timestamp as which one of the peer's it is, counted from the last.
fn echo(value: u32, clock: &[u32]) -> String {
    match (value, clock.iter().position(|sent| *sent == value)) {
        (0, _) => "0".into(),
        _ if clock.last() == Some(&value) => "last".into(),
        (_, Some(at)) => format!("last-{}", clock.len() - 1 - at),
        _ => "?".into(),
    }
}
