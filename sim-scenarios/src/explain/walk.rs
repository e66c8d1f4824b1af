//! A walk as values: which frames of which packets passed which devices, and what was decided in between.

use serde::Serialize;
use sim_core::capture::layers::{Layer, layers};
use sim_core::capture::{Decision, Direction, Names, Seen};
use sim_core::engine::arena::{DevId, NetnsId};
use sim_core::wire::arp::{Arp, REQUEST};
use sim_core::wire::eth::{ETH_LEN, ETHERTYPE_ARP};
use sim_core::wire::icmpv6;
use sim_core::wire::ip::{ICMP, ICMPV6, IpHeader, SCTP, TCP, UDP};
use sim_core::wire::l4::{ACK, FIN, PSH, RST, SYN, TcpHeader};
use sim_core::wire::packet::PacketId;
use sim_core::wire::sctp::{Chunks, HEADER, chunk_name};

use crate::run::Run;

/// The walk of one packet or of several that belong together.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Walk {
    /// What it shows, for people: `default/client → web.default.svc:80`.
    pub title: String,
    /// The packets, in the order in which they were first seen.
    pub packets: Vec<PacketWalk>,
}

/// The walk of one packet. Copies and fragments of it are in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PacketWalk {
    /// Its id, as `frame.packet_id` of a capture has it.
    pub id: u64,
    /// What kind of packet it is: `TCP SYN`.
    pub what: String,
    /// Whose addresses it bore at first: source and destination, by name where they have one; `None` if it has none.
    pub names: Option<[String; 2]>,
    /// Where it was seen, in that order.
    pub frames: Vec<Frame>,
}

/// A frame at a device, or where it was lost.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Frame {
    /// When, in ns of simulated time.
    pub at_ns: u64,
    /// In which event of the run.
    pub event: u64,
    /// In which netns, by name.
    pub netns: String,
    /// At which device; `None` for what was lost before it reached one.
    pub dev: Option<String>,
    /// What happened there.
    pub way: Way,
    /// Its addresses, and those of the frame inside.
    pub ends: String,
    /// Which frame of this packet it came of, as an index; `None` for the first.
    pub after: Option<usize>,
    /// What was decided since the frame before, in words.
    pub decided: Vec<String>,
    /// Why and at which stage it was lost, if it was: `NETFILTER_DROP at FORWARD`.
    pub lost: Option<String>,
}

/// Which way a frame passed a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// Received by it.
    In,
    /// Sent by it.
    Out,
    /// It got no further.
    Lost,
}

impl Walk {
    /// The walk of these packets, as far as it is in `seen`.
    pub fn of(title: impl Into<String>, packets: &[PacketId], seen: &[Seen], run: &Run) -> Self {
        let packets = packets.iter().map(|packet| PacketWalk::of(*packet, seen, run)).collect();
        Self { title: title.into(), packets }
    }
}

impl PacketWalk {
    /// The walk of one packet, as far as it is in `seen`.
    pub fn of(packet: PacketId, seen: &[Seen], run: &Run) -> Self {
        let seen: Vec<&Seen> = seen.iter().filter(|seen| seen.packet() == packet).collect();
        let first = seen.first().map_or(&[][..], |seen| seen.frame());
        let frames = (0..seen.len()).map(|index| frame(&seen, index, run)).collect();
        Self { id: packet.0, what: what(first), names: names(first, run), frames }
    }

    /// Why and where it was lost last, unless a copy of it got further.
    pub fn loss(&self) -> Option<&Frame> {
        self.frames.last().filter(|frame| frame.way == Way::Lost)
    }
}

impl Frame {
    /// Where it was, as captures call it: `n1/cni0`.
    pub fn place(&self) -> String {
        self.dev.as_ref().map_or_else(|| self.netns.clone(), |dev| format!("{}/{dev}", self.netns))
    }
}

fn frame(seen: &[&Seen], index: usize, run: &Run) -> Frame {
    let world = run.world();
    let this = seen[index];
    let (netns, dev) = this.tap();
    let (at, event, way, lost) = match this {
        Seen::Hop(hop) if hop.direction == Direction::In => (hop.at, hop.event, Way::In, None),
        Seen::Hop(hop) => (hop.at, hop.event, Way::Out, None),
        Seen::Loss(loss) => {
            let lost = format!("{} at {}", loss.place.reason.name(), loss.place.stage);
            (loss.at, loss.event, Way::Lost, Some(lost))
        }
    };
    Frame {
        at_ns: at.as_nanos(),
        event,
        netns: world.netns_name(netns).to_owned(),
        dev: dev.map(|dev| Names::dev_name(world, netns, dev).to_owned()),
        way,
        ends: ends(this.frame()),
        after: came_of(&seen[..index], (netns, dev), way, run),
        decided: this.decisions().iter().filter(is_told).map(|decision| decision.words(netns, world)).collect(),
        lost,
    }
}

/// What a table looked at on its way is told elsewhere; here only what it decided.
fn is_told(decision: &&Decision) -> bool {
    !matches!(decision, Decision::Asked(_))
}

/// Of the frames before, the one that this one came of: what was received comes from the other end of its wire, all else
/// from the same netns.
fn came_of(before: &[&Seen], (netns, dev): (NetnsId, Option<DevId>), way: Way, run: &Run) -> Option<usize> {
    let sender = dev.and_then(|dev| run.world().peer(netns, dev)).map(|(netns, dev)| (netns, Some(dev)));
    let sent = |seen: &&Seen| matches!(seen, Seen::Hop(hop) if hop.direction == Direction::Out);
    let from_peer = || before.iter().rposition(|seen| sent(seen) && Some(seen.tap()) == sender);
    let here = || before.iter().rposition(|seen| seen.tap().0 == netns);
    let found = if way == Way::In { from_peer().or_else(here) } else { here().or_else(from_peer) };
    found.or_else(|| before.len().checked_sub(1))
}

/// Whether a frame is an ARP message.
pub(crate) fn is_arp(frame: &[u8]) -> bool {
    layers(frame).first().is_some_and(|layer| layer.eth.ethertype == ETHERTYPE_ARP)
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
        (SCTP, ..) => format!("SCTP {}", chunks(l4)),
        (ICMP, _, [kind, code, ..]) => match (*kind, *code) {
            (0, _) => "ICMP echo reply".into(),
            (8, _) => "ICMP echo request".into(),
            (3, 3) => "ICMP port unreachable".into(),
            (kind, code) => format!("ICMP type {kind} code {code}"),
        },
        (ICMPV6, _, [kind, code, ..]) => match (*kind, *code) {
            (icmpv6::ECHO, _) => "ICMPv6 echo request".into(),
            (icmpv6::ECHO_REPLY, _) => "ICMPv6 echo reply".into(),
            (icmpv6::NEIGH_SOLICIT, _) => "ICMPv6 neighbour solicitation".into(),
            (icmpv6::NEIGH_ADVERT, _) => "ICMPv6 neighbour advertisement".into(),
            (icmpv6::TOO_BIG, _) => "ICMPv6 packet too big".into(),
            (icmpv6::DEST_UNREACH, icmpv6::PORT_UNREACH) => "ICMPv6 port unreachable".into(),
            (kind, code) => format!("ICMPv6 type {kind} code {code}"),
        },
        _ => format!("IP protocol {}", ip.proto),
    }
}

/// The chunks of an SCTP packet: `SACK, DATA`.
fn chunks(l4: &[u8]) -> String {
    let chunks = Chunks::new(l4.get(HEADER..).unwrap_or(&[])).map_while(Result::ok);
    let names: Vec<_> =
        chunks.map(|c| chunk_name(c.kind).map_or_else(|| format!("chunk {}", c.kind), str::to_owned)).collect();
    names.join(", ")
}

/// Whose addresses they are, by name.
fn names(frame: &[u8], run: &Run) -> Option<[String; 2]> {
    let ends = layers(frame).first().and_then(|layer| layer.ends)?;
    let names = run.names();
    Some(ends.map(|end| names.get(&end.ip).cloned().unwrap_or_else(|| end.ip.to_string())))
}
