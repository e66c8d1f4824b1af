//! The walks of chosen packets, drawn: one for each way in which calls failed, for each place where packets were lost, for each
//! kind of call that came through, and those that were asked for.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use sim_core::capture::{Direction, Hop, Loss, Seen};
use sim_core::engine::time::{Duration, Instant};
use sim_core::engine::trail::{DropPlace, DropReason};
use sim_core::wire::eth::ETH_LEN;
use sim_core::wire::ip::{Family, IpHeader, TCP, UDP};
use sim_core::wire::l4::{self, ACK, RST, SYN, TcpHeader};
use sim_core::wire::packet::PacketId;
use sim_k8s::cloud::Plan;

use super::html::{Html, Tag, tag};
use super::{Page, left_out};
use crate::explain::{PacketWalk, Walk, is_arp};
use crate::report::where_failed;
use crate::run::{Place, Run};
use crate::workload::Reason;

/// Packets of each kind of call that came through of which the one with most to see is drawn.
const CANDIDATES: usize = 8;
/// Ways in which calls failed, and places where packets were lost, that are followed; and of each drawn.
const FOLLOWED: usize = 64;
const DRAWN: usize = 6;
/// Nobody waits longer for the answer to a call.
const PATIENCE: Duration = Duration::from_secs(120);
/// Frames of one packet that are kept at most: a flooded one has many.
const FRAMES: usize = 400;
/// DNS's port.
const DOMAIN: u16 = 53;

/// What a call goes to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Service,
    Pod,
    Dns,
    In,
    Out,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Service, Self::Pod, Self::Dns, Self::In, Self::Out];

    const fn words(self) -> &'static str {
        match self {
            Self::Service => "A call of a Service",
            Self::Pod => "A call of a pod by its own address",
            Self::Dns => "A question to the cluster's DNS",
            Self::In => "A call from outside",
            Self::Out => "A call to the world outside",
        }
    }
}

/// Packets that are followed.
#[derive(Clone, Debug, Default)]
pub(super) struct Walks {
    /// Those that were asked for.
    wanted: BTreeSet<PacketId>,
    /// Calls on their way, by the caller's end.
    calls: BTreeMap<SocketAddr, Begun>,
    /// Calls that were answered.
    answered: BTreeMap<Kind, Vec<PacketId>>,
    /// Calls that failed, of each edge the first that failed like that.
    failed: BTreeMap<(usize, Reason, Option<Place>), Begun>,
    /// How many ends of calls of each edge have been looked at.
    ends: Vec<usize>,
    losses: BTreeMap<DropPlace, PacketId>,
    followed: BTreeMap<PacketId, Followed>,
    /// What was seen last, for the beginning of packets that are found to be lost.
    recent: Vec<Seen>,
    /// The highest packet id that was seen.
    pub(super) last: u64,
}

/// A call.
#[derive(Clone, Copy, Debug)]
struct Begun {
    at: Instant,
    kind: Kind,
    first: PacketId,
    /// What reset it.
    reset: Option<PacketId>,
}

#[derive(Clone, Debug, Default)]
struct Followed {
    seen: Vec<Seen>,
    walk: Option<PacketWalk>,
}

impl Walks {
    pub(super) fn new(wanted: &[u64]) -> Self {
        Self { wanted: wanted.iter().map(|id| PacketId(*id)).collect(), ..Self::default() }
    }

    /// Those that were asked for and never seen.
    pub(super) fn missing(&self) -> Option<u64> {
        self.wanted.iter().find(|id| !self.followed.contains_key(id)).map(|id| id.0)
    }

    /// Takes note of what the taps saw.
    pub(super) fn see(&mut self, seen: Vec<Seen>, run: &Run) {
        let services: BTreeSet<IpAddr> =
            run.cluster().services().iter().flat_map(|service| service.cluster_ips.clone()).collect();
        let mut grown = BTreeSet::new();
        for (index, this) in seen.iter().enumerate() {
            let packet = this.packet();
            self.last = self.last.max(packet.0);
            match this {
                Seen::Hop(hop) if run.began().is_some_and(|began| hop.at >= began) => self.call(hop, &services, run),
                Seen::Hop(_) => {}
                Seen::Loss(loss) => self.lost(loss, &seen[..index]),
            }
            if self.wanted.contains(&packet) {
                self.followed.entry(packet).or_default();
            }
            if let Some(followed) = self.followed.get_mut(&packet).filter(|followed| followed.seen.len() < FRAMES) {
                followed.seen.push(this.clone());
                grown.insert(packet);
            }
        }
        // Now, while names are what they were when it was seen.
        for packet in grown {
            if let Some(followed) = self.followed.get_mut(&packet) {
                followed.walk = Some(PacketWalk::of(packet, &followed.seen, run));
            }
        }
        self.recent = seen;
        self.end_calls(run);
    }

    /// Keeps of the calls that have ended those that may be drawn, and forgets the others.
    fn end_calls(&mut self, run: &Run) {
        self.ends.resize(run.edges().len(), 0);
        for (edge, looked_at) in run.edges().iter().zip(0..) {
            let ends = &edge.tally.ends;
            for end in &ends[std::mem::replace(&mut self.ends[looked_at], ends.len())..] {
                let Some(call) = end.client.and_then(|client| self.calls.remove(&client)) else { continue };
                match end.outcome {
                    Ok(_) => self.answered(call),
                    Err((reason, place)) => self.failed((looked_at, reason, place), call),
                }
            }
        }
        let now = run.world().now();
        let late: Vec<SocketAddr> =
            self.calls.iter().filter(|(_, call)| now.since(call.at) > PATIENCE).map(|(client, _)| *client).collect();
        for client in late {
            if let Some(call) = self.calls.remove(&client) {
                self.forget(call);
            }
        }
    }

    fn answered(&mut self, call: Begun) {
        let answered = self.answered.entry(call.kind).or_default();
        if answered.len() < CANDIDATES {
            answered.push(call.first);
        } else {
            self.forget(call);
        }
    }

    fn failed(&mut self, failure: (usize, Reason, Option<Place>), call: Begun) {
        if self.failed.len() < FOLLOWED && !self.failed.contains_key(&failure) {
            self.failed.insert(failure, call);
        } else {
            self.forget(call);
        }
    }

    fn forget(&mut self, call: Begun) {
        for packet in [Some(call.first), call.reset].into_iter().flatten() {
            if !self.wanted.contains(&packet) && !self.losses.values().any(|lost| *lost == packet) {
                self.followed.remove(&packet);
            }
        }
    }

    /// Follows the first packet of a call, and what resets it.
    fn call(&mut self, hop: &Hop, services: &BTreeSet<IpAddr>, run: &Run) {
        if hop.direction == Direction::In || self.followed.contains_key(&hop.packet) {
            return;
        }
        let Some(sent) = Sent::read(&hop.frame) else { return };
        if sent.resets {
            if let Some(call) = self.calls.get_mut(&sent.to).filter(|call| call.reset.is_none()) {
                call.reset = Some(hop.packet);
                self.followed.entry(hop.packet).or_default();
            }
        } else if sent.from.port() == DOMAIN && self.calls.get(&sent.to).is_some_and(|call| call.kind == Kind::Dns) {
            let question = self.calls.remove(&sent.to);
            question.into_iter().for_each(|question| self.answered(question));
        } else if let Some(kind) = kind(&sent, hop, services, run) {
            let begun = Begun { at: hop.at, kind, first: hop.packet, reset: None };
            // One whose caller tries again is the same call.
            if let Entry::Vacant(call) = self.calls.entry(sent.from) {
                call.insert(begun);
                self.followed.entry(hop.packet).or_default();
            }
        }
    }

    /// Follows the first packet that is lost at a place.
    fn lost(&mut self, loss: &Loss, before: &[Seen]) {
        let new = !self.losses.contains_key(&loss.place) && self.losses.len() < FOLLOWED;
        if !new || loss.place.reason == DropReason::OtherHost || is_arp(&loss.frame) {
            return;
        }
        self.losses.insert(loss.place, loss.packet);
        self.followed.entry(loss.packet).or_insert_with(|| {
            let all = self.recent.iter().chain(before);
            Followed { seen: all.filter(|seen| seen.packet() == loss.packet).cloned().collect(), walk: None }
        });
    }

    fn walk(&self, packet: PacketId) -> Option<&PacketWalk> {
        self.followed.get(&packet)?.walk.as_ref()
    }
}

/// What of a frame tells whether it has to do with a call.
struct Sent {
    from: SocketAddr,
    to: SocketAddr,
    tcp: bool,
    begins: bool,
    resets: bool,
}

impl Sent {
    fn read(frame: &[u8]) -> Option<Self> {
        let l3 = frame.get(ETH_LEN..)?;
        let ip = IpHeader::read(l3)?;
        let l4 = l3.get(usize::from(ip.header_len)..)?;
        let (src, dst) = l4::ports(ip.proto, l4)?;
        let tcp = TcpHeader::read(l4).filter(|_| ip.proto == TCP);
        Some(Self {
            from: SocketAddr::new(ip.src, src),
            to: SocketAddr::new(ip.dst, dst),
            tcp: tcp.is_some(),
            begins: tcp.as_ref().map_or(ip.proto == UDP, |tcp| tcp.has(SYN) && !tcp.has(ACK)),
            resets: tcp.is_some_and(|tcp| tcp.has(RST)),
        })
    }
}

/// What kind of call a packet begins where it is sent; `None` if it begins none, or was sent elsewhere.
fn kind(sent: &Sent, hop: &Hop, services: &BTreeSet<IpAddr>, run: &Run) -> Option<Kind> {
    let (cluster, from, to) = (run.cluster(), sent.from.ip(), sent.to.ip());
    // The netns may be gone by now.
    run.world().find_netns(hop.netns)?;
    if !sent.begins || run.world().address_of(hop.netns, from).is_none() {
        return None;
    }
    let is_pod = |ip: &IpAddr| run.config().cluster.pod_networks.iter().any(|net| net.contains(ip));
    let outside = Plan::of(Family::of(to)).names.contains(&to);
    if services.contains(&to) {
        Some(if sent.to.port() == DOMAIN { Kind::Dns } else { Kind::Service })
    } else if hop.netns == cluster.world_netns {
        cluster.world_ips.contains(&from).then_some(Kind::In)
    } else if outside {
        Some(Kind::Out)
    } else {
        // A datagram from pod to pod may be an answer.
        (sent.tcp && is_pod(&to) && is_pod(&from)).then_some(Kind::Pod)
    }
}

/// The section; empty if there is nothing to draw.
pub(super) fn section(page: &Page<'_>) -> Html {
    let walks = &page.recording.walks;
    let wanted = walks.wanted.iter().map(|packet| ("Asked for".to_owned(), vec![*packet]));
    let failed = walks.failed.iter().take(DRAWN).map(|((_, reason, place), call)| {
        let place = place.map(|place| format!(", {}", where_failed(page.run.world(), place))).unwrap_or_default();
        (format!("A call that failed: {reason}{place}"), [Some(call.first), call.reset].into_iter().flatten().collect())
    });
    let losses = losses(page);
    let lost = losses.iter().take(DRAWN).map(|(place, packet)| (place.reason.meaning().to_owned(), vec![*packet]));
    let came =
        Kind::ALL.into_iter().filter_map(|kind| Some((kind.words().to_owned(), vec![came_through(walks, kind)?])));
    let mut drawn = BTreeSet::new();
    let chosen = wanted.chain(failed).chain(lost).chain(came).filter(|(_, packets)| drawn.insert(packets[0]));
    let figures = chosen.filter_map(|(why, packets)| {
        let packets: Vec<PacketWalk> = packets.into_iter().filter_map(|packet| walks.walk(packet).cloned()).collect();
        figure(&why, packets)
    });
    let failures = left_out(walks.failed.len(), DRAWN, "more ways in which calls failed");
    let losses = left_out(losses.len(), DRAWN, "more places where packets were lost");
    figures.chain(failures).chain(losses).collect()
}

/// Of the packets of a kind that came through the one with most to see.
fn came_through(walks: &Walks, kind: Kind) -> Option<PacketId> {
    let frames =
        |packet: PacketId| walks.walk(packet).filter(|walk| walk.loss().is_none()).map(|walk| walk.frames.len());
    let candidates = walks.answered.get(&kind)?.iter().filter_map(|packet| Some((frames(*packet)?, Reverse(packet.0))));
    candidates.max().map(|(_, Reverse(packet))| PacketId(packet))
}

/// Places where packets were lost: first those where calls failed, then those where most were.
fn losses(page: &Page<'_>) -> Vec<(DropPlace, PacketId)> {
    let failures = page.run.edges().iter().flat_map(|edge| edge.tally.failures.keys());
    let failed: BTreeSet<DropPlace> = failures
        .filter_map(|(_, place)| if let Some(Place::Dropped(place)) = place { Some(*place) } else { None })
        .collect();
    let counts: BTreeMap<&DropPlace, u64> = page.run.world().drops().iter().collect();
    let mut losses: Vec<_> = page.recording.walks.losses.iter().map(|(place, packet)| (*place, *packet)).collect();
    let count = |place: &DropPlace| counts.get(place).copied().unwrap_or(0);
    losses.sort_by_key(|(place, _)| (!failed.contains(place), Reverse(count(place)), *place));
    losses
}

fn figure(why: &str, packets: Vec<PacketWalk>) -> Option<Tag> {
    let first = packets.first()?;
    let ends = first.names.as_ref().map_or(String::new(), |[from, to]| format!(": {from} → {to}"));
    let name = format!("{}{ends}, packet {}", first.what, first.id);
    let summary = tag("summary").put(tag("b").text(why)).text(format_args!(" {name}"));
    let walk = Walk { title: name, packets };
    let drawing = tag("div").class("drawing").attr("tabindex", 0).put(Html::drawn(&walk));
    Some(tag("details").class("walked").put(summary).put(drawing))
}
