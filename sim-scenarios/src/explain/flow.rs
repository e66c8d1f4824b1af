//! Connections as their client's netns sees them: which packets belong together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::Serialize;
use sim_core::capture::layers::layers;
use sim_core::capture::{Direction, End, Seen};
use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::Instant;
use sim_core::engine::trail::DropReason;
use sim_core::wire::eth::ETH_LEN;
use sim_core::wire::icmp::is_error;
use sim_core::wire::icmpv6::{ECHO, ECHO_REPLY};
use sim_core::wire::ip::{Family, ICMPV6, IpHeader, SCTP, TCP, UDP};
use sim_core::wire::l4;
use sim_core::wire::packet::PacketId;
use sim_k8s::api::Protocol;
use sim_k8s::cloud::Plan;
use sim_k8s::dns::{outside_address, question, reply};
use sim_k8s::manifest::shown;

use super::call::{NoCall, Target, dns_name, key};
use crate::run::Run;

/// Connections that are remembered, and others that are told if none is found.
const REMEMBERED: usize = 100_000;
const OTHERS: usize = 64;
/// The port of name servers.
const DNS: u16 = 53;

/// Lookups of one resolution follow each other within this time, in ns.
const SAME_LOOKUP: u64 = 1_000_000;

/// A connection, or whatever a protocol without connections has in its place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Connection {
    /// When its first packet was seen, in ns of simulated time.
    pub begun_ns: u64,
    /// Client and server, as the client knows them.
    pub ends: String,
    /// Whose address the server's is, if it is somebody's at the run's end: `catalog.shop.svc`.
    pub server: Option<String>,
    /// Whether it asks a name server for the address that then would have been called.
    pub lookup: bool,
    /// Whether an answer came to the client that was no refusal; to a lookup, one with an address.
    pub answered: bool,
    #[serde(skip)]
    pub(super) proto: u8,
    #[serde(skip)]
    ended_ns: u64,
    #[serde(skip)]
    server_ip: IpAddr,
    #[serde(skip)]
    pub(super) client: NetnsId,
    #[serde(skip)]
    pub(super) packets: BTreeSet<PacketId>,
}

/// Which connections are looked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    clients: BTreeSet<NetnsId>,
    servers: BTreeSet<IpAddr>,
    port: Option<u16>,
    proto: Option<u8>,
    /// The name that is looked up, without a dot at its end; empty for an address.
    name: String,
}

/// Protocol, client and server.
type Tuple = (u8, IpAddr, Option<u16>, IpAddr, Option<u16>);

/// What is found while a run goes on.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    connections: BTreeMap<(NetnsId, Tuple), Connection>,
    /// What came to these clients: what they send in return is an answer.
    came: BTreeSet<(NetnsId, Tuple)>,
    /// Whom else these clients called.
    others: BTreeSet<(IpAddr, Option<u16>)>,
}

impl Wanted {
    /// Reads `FROM → TO:PORT`, in a run that is over.
    pub(super) fn read(text: &str, run: &Run) -> Result<Self, NoCall> {
        let parted = text.split_once('→').or_else(|| text.split_once("->"));
        let (from, to) = parted.ok_or_else(|| NoCall {
            what: format!("\"{}\" is no flow", shown(text)),
            help: "write \"namespace/pod -> host:port\"".into(),
        })?;
        let clients = clients(run, from.trim())?;
        let Target { host, port, protocol } = Target::read(to.trim());
        let namespace = from.trim().split_once('/').map_or("default", |(namespace, _)| namespace);
        let proto = protocol.map(|protocol| match protocol {
            Protocol::Tcp => TCP,
            Protocol::Udp => UDP,
            Protocol::Sctp => SCTP,
        });
        let name = if host.parse::<IpAddr>().is_ok() { String::new() } else { dns_name(host) };
        Ok(Self { clients, servers: addresses(run, host, namespace), port, proto, name })
    }

    /// All connections from this place, but for lookups.
    pub(super) fn all_of(client: NetnsId) -> Self {
        Self { clients: [client].into(), servers: BTreeSet::new(), port: None, proto: None, name: String::new() }
    }

    fn wants(&self, (proto, _, _, server, port): Tuple, frame: &[u8]) -> bool {
        (self.servers.is_empty() && asked(frame).is_none() || self.servers.contains(&server))
            && (self.port.is_none() || port == self.port)
            && self.proto.is_none_or(|wanted| wanted == proto)
    }

    /// Whether a frame looks up the name, be it with a domain of the search list behind it.
    fn looks_up(&self, frame: &[u8]) -> bool {
        let Some(asked) = asked(frame) else { return false };
        let rest = asked.strip_prefix(&self.name).filter(|_| !self.name.is_empty());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// The netns of a place, or of all pods that ever had the name, or were of a workload of that name.
fn clients(run: &Run, name: &str) -> Result<BTreeSet<NetnsId>, NoCall> {
    let cluster = run.cluster();
    if matches!(name, "outside" | "world") {
        return Ok([cluster.world_netns].into());
    }
    let node = cluster.nodes.iter().find(|node| node.name == name).map(|node| node.netns);
    let key = key(name, "default");
    let pods = cluster.pods.iter().filter(|pod| pod.key == key || pod.workload.key == key).map(|pod| pod.netns);
    let found: BTreeSet<NetnsId> = node.into_iter().chain(pods).collect();
    if found.is_empty() {
        let mut pods: Vec<String> = cluster.pods.iter().map(|pod| pod.key.to_string()).collect();
        pods.dedup();
        pods.truncate(40);
        let help = format!("there were: outside, {}", pods.join(", "));
        return Err(NoCall { what: format!("there never was a pod {}", shown(&key.to_string())), help });
    }
    Ok(found)
}

/// All addresses that something was ever called by.
fn addresses(run: &Run, host: &str, namespace: &str) -> BTreeSet<IpAddr> {
    if let Ok(ip) = host.parse() {
        return [ip].into();
    }
    let cluster = run.cluster();
    let dotted: Vec<&str> = host.split('.').collect();
    let service = match dotted.as_slice() {
        [_] => key(host, namespace),
        [name, namespace] | [name, namespace, "svc", ..] => key(name, namespace),
        _ => key(host, ""),
    };
    let mut found: BTreeSet<IpAddr> =
        Family::ALL.into_iter().filter_map(|family| outside_address(host, Plan::of(family).names)).collect();
    if let Some(service) = cluster.service(&service) {
        found.extend(service.cluster_ips.iter().copied().chain(service.external_ips));
        if service.cluster_ips.is_empty() {
            found.extend(service.ports.iter().flat_map(|port| &port.endpoints).map(|endpoint| endpoint.ip()));
        }
    }
    let pod = key(host, namespace);
    found.extend(cluster.pods.iter().filter(|other| other.key == pod).flat_map(|pod| pod.ips.clone()));
    found.extend(
        cluster
            .nodes
            .iter()
            .filter(|node| node.name == host)
            .flat_map(|node| [node.ips.clone(), node.public_ips.clone()].concat()),
    );
    // A host nobody has is nobody's address, not everybody's.
    if found.is_empty() { [IpAddr::from([0, 0, 0, 0])].into() } else { found }
}

impl Found {
    /// Whom these clients called and nobody asked about, by name where they have one.
    pub(super) fn others(&self, run: &Run) -> Vec<String> {
        let names = run.names();
        let shown = |(ip, port): &(IpAddr, Option<u16>)| match (names.get(ip), port) {
            (Some(name), Some(port)) => format!("{name}:{port}"),
            (Some(name), None) => name.clone(),
            (None, port) => End { ip: *ip, port: *port }.to_string(),
        };
        self.others.iter().map(shown).collect()
    }

    /// Takes note of what the taps saw.
    pub(super) fn see(&mut self, seen: &[Seen], wanted: &Wanted) {
        for seen in seen.iter().filter(|seen| wanted.clients.contains(&seen.tap().0) && !is_for_another(seen)) {
            let Some((tuple, about, reset)) = tuple(seen.frame()) else { continue };
            let outgoing = !matches!(seen, Seen::Hop(hop) if hop.direction == Direction::In);
            if outgoing && !about {
                self.sent(seen, tuple, wanted);
            } else if !about && self.came.len() < REMEMBERED {
                self.came.insert((seen.tap().0, tuple));
            }
            // An ICMP error is about a packet of the client's.
            let incoming = if about { tuple } else { turned(tuple) };
            if let Some(connection) = self.connections.get_mut(&(seen.tap().0, incoming)) {
                connection.see(seen);
                connection.answered |= !outgoing && !about && !reset && connection.is_answered_by(seen.frame());
            }
        }
    }

    fn sent(&mut self, seen: &Seen, tuple: Tuple, wanted: &Wanted) {
        let key = (seen.tap().0, tuple);
        if let Some(connection) = self.connections.get_mut(&key) {
            return connection.see(seen);
        }
        // What answers a connection begins none.
        if self.came.contains(&(seen.tap().0, turned(tuple))) {
            return;
        }
        let (proto, client, client_port, server, port) = tuple;
        let [from, to] = [End { ip: client, port: client_port }, End { ip: server, port }];
        let called = wanted.wants(tuple, seen.frame());
        let lookup = !called && wanted.looks_up(seen.frame());
        if !called && !lookup {
            if self.others.len() < OTHERS {
                self.others.insert((server, port));
            }
            return;
        }
        if self.connections.len() < REMEMBERED {
            let begun_ns = at(seen);
            let connection = Connection {
                begun_ns,
                ended_ns: begun_ns,
                ends: format!("{from} → {to}"),
                server: None,
                proto,
                server_ip: server,
                lookup,
                answered: false,
                client: seen.tap().0,
                packets: [seen.packet()].into(),
            };
            self.connections.insert(key, connection);
        }
    }

    /// The connections, and lookups that gave no address, in the order in which they began.
    pub(super) fn connections(self, run: &Run) -> Vec<Connection> {
        let names = run.names();
        let mut found: Vec<Connection> = self.connections.into_values().collect();
        found.sort_by_key(|connection| (connection.begun_ns, connection.packets.first().copied()));
        found.dedup_by(|next, before| before.goes_on_with(next));
        found.retain(|connection| !connection.lookup || !connection.answered);
        for connection in &mut found {
            connection.server = names.get(&connection.server_ip).cloned();
        }
        found
    }
}

impl Connection {
    /// When it began.
    pub fn begun(&self) -> Instant {
        Instant::from_nanos(self.begun_ns)
    }

    fn see(&mut self, seen: &Seen) {
        self.packets.insert(seen.packet());
        self.ended_ns = at(seen);
    }

    /// Whether what came is what was asked for: of a lookup, an address.
    fn is_answered_by(&self, frame: &[u8]) -> bool {
        !self.lookup || datagram(frame).and_then(reply).is_some_and(|reply| reply.status == "NOERROR")
    }

    /// Takes in the next lookup if both are of one resolution: that of the next name of a search list.
    fn goes_on_with(&mut self, next: &Self) -> bool {
        let lookups = self.lookup && next.lookup;
        let same = lookups && self.client == next.client && next.begun_ns <= self.ended_ns + SAME_LOOKUP;
        if same {
            self.ended_ns = self.ended_ns.max(next.ended_ns);
            self.packets.extend(&next.packets);
            self.answered |= next.answered;
        }
        same
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ends, server, lookup, .. } = self;
        let what = if *lookup { "lookup " } else { "" };
        write!(f, "{what}{ends}")?;
        server.iter().try_for_each(|server| write!(f, " ({server})"))
    }
}

/// Whether it is a copy of a flooded frame, or of one for a group, that is nobody's there.
pub(super) fn is_for_another(seen: &Seen) -> bool {
    let for_group = |frame: &[u8]| layers(frame).first().is_some_and(|layer| layer.eth.dst.is_multicast());
    match seen {
        Seen::Loss(loss) if loss.place.reason == DropReason::IpInvalidDest => for_group(&loss.frame),
        Seen::Loss(loss) => loss.place.reason == DropReason::OtherHost,
        Seen::Hop(_) => false,
    }
}

/// When it was seen, in ns.
fn at(seen: &Seen) -> u64 {
    match seen {
        Seen::Hop(hop) => hop.at.as_nanos(),
        Seen::Loss(loss) => loss.at.as_nanos(),
    }
}

fn turned((proto, a, a_port, b, b_port): Tuple) -> Tuple {
    (proto, b, b_port, a, a_port)
}

/// Protocol and ends of a frame's packet, or of the packet that an ICMP error is about; which of the two; and whether it
/// resets a connection.
fn tuple(frame: &[u8]) -> Option<(Tuple, bool, bool)> {
    let l3 = frame.get(ETH_LEN..)?;
    let ip = IpHeader::read(l3)?;
    let l4 = l3.get(usize::from(ip.header_len)..)?;
    if ip.proto == ip.family().icmp() && is_error(ip.proto, *l4.first()?) {
        let about = l4.get(8..)?;
        let ip = IpHeader::read(about)?;
        let l4 = about.get(usize::from(ip.header_len)..)?;
        return Some((of(&ip, l4), true, false));
    }
    // Neighbours and routers belong to no connection.
    if ip.proto == ICMPV6 && !matches!(*l4.first()?, ECHO | ECHO_REPLY) {
        return None;
    }
    let [src, dst] = ends(frame)?;
    Some(((ip.proto, src.ip, src.port, dst.ip, dst.port), false, l4::resets(ip.proto, l4)))
}

fn of(ip: &IpHeader, l4: &[u8]) -> Tuple {
    let ports = l4::ports(ip.proto, l4);
    (ip.proto, ip.src, ports.map(|ports| ports.0), ip.dst, ports.map(|ports| ports.1))
}

/// Both ends of a frame's packet.
pub(super) fn ends(frame: &[u8]) -> Option<[End; 2]> {
    layers(frame).first()?.ends
}

/// The protocol of a frame's packet.
pub(super) fn protocol(frame: &[u8]) -> Option<u8> {
    tuple(frame).map(|((proto, ..), ..)| proto)
}

/// Whether a frame ends a connection by force.
pub(super) fn resets(frame: &[u8]) -> bool {
    tuple(frame).is_some_and(|(_, _, reset)| reset)
}

/// Whether a frame is sent to or by a name server.
pub(super) fn is_dns(frame: &[u8]) -> bool {
    ends(frame).is_some_and(|ends| ends.iter().any(|end| end.port == Some(DNS)))
}

/// The name that a frame asks a name server for.
fn asked(frame: &[u8]) -> Option<String> {
    datagram(frame).filter(|_| is_dns(frame)).and_then(question)
}

/// What a UDP datagram holds.
pub(super) fn datagram(frame: &[u8]) -> Option<&[u8]> {
    let l3 = frame.get(ETH_LEN..)?;
    let ip = IpHeader::read(l3).filter(|ip| ip.proto == UDP)?;
    l3.get(usize::from(ip.header_len) + 8..)
}
