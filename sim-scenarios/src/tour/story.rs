//! A packet's walk in words.

use std::fmt::Write;

use sim_core::capture::layers::{Layer, layers};
use sim_core::capture::{Direction, Names, Seen};
use sim_core::engine::arena::NetnsId;
use sim_core::wire::arp::{Arp, REQUEST};
use sim_core::wire::eth::{ETH_LEN, ETHERTYPE_ARP};
use sim_core::wire::ip::{ICMP, IpHeader, TCP, UDP};
use sim_core::wire::l4::{ACK, FIN, PSH, RST, SYN, TcpHeader};
use sim_core::wire::packet::PacketId;
use sim_core::world::World;

use crate::run::Run;

/// Whether it is an ARP message.
pub(super) fn is_arp(seen: &Seen) -> bool {
    layers(seen.frame()).first().is_some_and(|layer| layer.eth.ethertype == ETHERTYPE_ARP)
}

/// Where it was seen, as captures call it.
pub(super) fn place(seen: &Seen, world: &World) -> String {
    let (netns, dev) = seen.tap();
    world.tap(netns, dev).name
}

/// The walk of one packet: a line for each frame, with its addresses where they changed, and under it what was decided
/// since the frame before.
pub(super) fn walk(packet: PacketId, seen: &[Seen], run: &Run) -> String {
    let mut out = String::new();
    let mut before = String::new();
    for seen in seen.iter().filter(|seen| seen.packet() == packet) {
        let frame = seen.frame();
        let ends = ends(frame);
        if before.is_empty() {
            writeln!(out, "{}  {ends}{}", what(frame), whose(frame, run)).expect("a string takes all text");
        }
        let shown = if ends == before { "" } else { &ends };
        let way = match seen {
            Seen::Hop(hop) if hop.direction == Direction::In => "in",
            Seen::Hop(_) => "out",
            Seen::Loss(_) => "✗",
        };
        let line = format!("  {:<26} {way:<3}  {shown}", place(seen, run.world()));
        writeln!(out, "{}", line.trim_end()).expect("a string takes all text");
        decided(&mut out, seen, run.world());
        before = ends;
    }
    out + "\n"
}

fn decided(out: &mut String, seen: &Seen, world: &World) {
    let netns: NetnsId = seen.tap().0;
    for decision in seen.decisions() {
        writeln!(out, "      {}", decision.words(netns, world)).expect("a string takes all text");
    }
    if let Seen::Loss(loss) = seen {
        let place = &loss.place;
        writeln!(out, "      dropped: {} at {}", place.reason.name(), place.stage).expect("a string takes all text");
    }
}

/// The ends of a frame, those of the frame inside too.
fn ends(frame: &[u8]) -> String {
    let shown = |layer: &Layer| {
        layer
            .ends
            .map_or_else(|| format!("{} → {}", layer.eth.src, layer.eth.dst), |[src, dst]| format!("{src} → {dst}"))
    };
    match layers(frame).as_slice() {
        [outer, inner] => format!("{} (VNI {}: {})", shown(outer), outer.vni.unwrap_or_default(), shown(inner)),
        [outer, ..] => shown(outer),
        [] => String::new(),
    }
}

/// What kind of packet it is: `TCP SYN`, `ICMP echo request`.
fn what(frame: &[u8]) -> String {
    let l3 = frame.get(ETH_LEN..).unwrap_or(&[]);
    let Some(ip) = IpHeader::read(l3) else {
        return match Arp::read(l3) {
            Some(arp) if arp.op == REQUEST => format!("ARP who has {}?", arp.tpa),
            Some(arp) => format!("ARP {} is at {}", arp.spa, arp.sha),
            None => "frame".into(),
        };
    };
    let l4 = l3.get(usize::from(ip.header_len)..).unwrap_or(&[]);
    match (ip.proto, TcpHeader::read(l4), l4) {
        (TCP, Some(tcp), _) => {
            let flags = [(SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (PSH, "PSH"), (ACK, "ACK")];
            let set: Vec<_> = flags.into_iter().filter(|(flag, _)| tcp.has(*flag)).map(|(_, name)| name).collect();
            format!("TCP {}", set.join(" "))
        }
        (UDP, ..) => "UDP".into(),
        (ICMP, _, [0, ..]) => "ICMP echo reply".into(),
        (ICMP, _, [8, ..]) => "ICMP echo request".into(),
        (ICMP, _, [3, 3, ..]) => "ICMP port unreachable".into(),
        (ICMP, _, [kind, code, ..]) => format!("ICMP type {kind} code {code}"),
        _ => format!("IP protocol {}", ip.proto),
    }
}

/// Whose addresses they are, by name.
fn whose(frame: &[u8], run: &Run) -> String {
    let names = run.names();
    let ends = layers(frame).first().and_then(|layer| layer.ends);
    let known = ends.map(|ends| ends.map(|end| names.get(&end.ip).cloned().unwrap_or_else(|| end.ip.to_string())));
    known.map_or_else(String::new, |[src, dst]| format!("   {src} → {dst}"))
}
