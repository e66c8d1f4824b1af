//! Connections as their client's netns sees them: which packets belong together.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;
use sim_core::capture::layers::layers;
use sim_core::capture::{Direction, End, Seen};
use sim_core::engine::arena::NetnsId;
use sim_core::engine::time::Instant;
use sim_core::wire::eth::ETH_LEN;
use sim_core::wire::icmp::is_error;
use sim_core::wire::ip::{Family, IpHeader, TCP, UDP};
use sim_core::wire::l4::{self, RST, TcpHeader};
use sim_core::wire::packet::PacketId;
use sim_k8s::cloud::Plan;
use sim_k8s::dns::outside_address;
use sim_k8s::manifest::shown;

use super::call::{NoCall, host_and_port, key};
use crate::run::Run;

/// Connections that are remembered, and others that are told if none is found.
const REMEMBERED: usize = 100_000;
const OTHERS: usize = 64;
/// The port of name servers.
const DNS: u16 = 53;

/// A connection, or whatever a protocol without connections has in its place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Connection {
    /// When its first packet was seen, in ns of simulated time.
    pub begun_ns: u64,
    /// Client and server, as the client knows them.
    pub ends: String,
    /// Whether an answer came to the client that was no refusal.
    pub answered: bool,
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
    pub(super) others: BTreeSet<String>,
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
        let (host, port) = host_and_port(to.trim());
        let namespace = from.trim().split_once('/').map_or("default", |(namespace, _)| namespace);
        Ok(Self { clients, servers: addresses(run, host, namespace), port })
    }

    /// All connections from this place, but for lookups.
    pub(super) fn all_of(client: NetnsId) -> Self {
        Self { clients: [client].into(), servers: BTreeSet::new(), port: None }
    }

    fn wants(&self, (proto, _, _, server, port): Tuple) -> bool {
        let lookup = proto == UDP && port == Some(DNS);
        (self.servers.is_empty() && !lookup || self.servers.contains(&server))
            && (self.port.is_none() || port == self.port)
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
    /// Takes note of what the taps saw.
    pub(super) fn see(&mut self, seen: &[Seen], wanted: &Wanted) {
        for seen in seen.iter().filter(|seen| wanted.clients.contains(&seen.tap().0)) {
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
                connection.packets.insert(seen.packet());
                connection.answered |= !outgoing && !about && !reset;
            }
        }
    }

    fn sent(&mut self, seen: &Seen, tuple: Tuple, wanted: &Wanted) {
        let key = (seen.tap().0, tuple);
        if let Some(connection) = self.connections.get_mut(&key) {
            connection.packets.insert(seen.packet());
            return;
        }
        // What answers a connection begins none.
        if self.came.contains(&(seen.tap().0, turned(tuple))) {
            return;
        }
        let (_, client, client_port, server, port) = tuple;
        let [from, to] = [End { ip: client, port: client_port }, End { ip: server, port }];
        if !wanted.wants(tuple) {
            if self.others.len() < OTHERS {
                self.others.insert(to.to_string());
            }
            return;
        }
        if self.connections.len() < REMEMBERED {
            let begun = match seen {
                Seen::Hop(hop) => hop.at,
                Seen::Loss(loss) => loss.at,
            };
            let connection = Connection {
                begun_ns: begun.as_nanos(),
                ends: format!("{from} → {to}"),
                answered: false,
                client: seen.tap().0,
                packets: [seen.packet()].into(),
            };
            self.connections.insert(key, connection);
        }
    }

    /// The connections, in the order in which they began.
    pub(super) fn connections(self) -> Vec<Connection> {
        let mut found: Vec<Connection> = self.connections.into_values().collect();
        found.sort_by_key(|connection| (connection.begun_ns, connection.packets.first().copied()));
        found
    }
}

impl Connection {
    /// When it began.
    pub fn begun(&self) -> Instant {
        Instant::from_nanos(self.begun_ns)
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
    let [src, dst] = ends(frame)?;
    let reset = ip.proto == TCP && TcpHeader::read(l4).is_some_and(|tcp| tcp.has(RST));
    Some(((ip.proto, src.ip, src.port, dst.ip, dst.port), false, reset))
}

fn of(ip: &IpHeader, l4: &[u8]) -> Tuple {
    let ports = matches!(ip.proto, TCP | UDP).then(|| l4::ports(ip.proto, l4)).flatten();
    (ip.proto, ip.src, ports.map(|ports| ports.0), ip.dst, ports.map(|ports| ports.1))
}

/// Both ends of a frame's packet.
pub(super) fn ends(frame: &[u8]) -> Option<[End; 2]> {
    layers(frame).first()?.ends
}

/// Whether a frame ends a connection by force.
pub(super) fn resets(frame: &[u8]) -> bool {
    tuple(frame).is_some_and(|(_, _, reset)| reset)
}

/// Whether a frame is sent to or by a name server.
pub(super) fn is_dns(frame: &[u8]) -> bool {
    ends(frame).is_some_and(|ends| ends.iter().any(|end| end.port == Some(DNS)))
}
