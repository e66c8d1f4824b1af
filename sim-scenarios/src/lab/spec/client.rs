//! Clients of a spec: their sockets and what they send.

use std::net::IpAddr;

use sim_core::engine::time::Duration;
use sim_core::netns::socket::PmtuDiscovery;

use super::common::read_seconds;
use super::object::{Object, SpecError};
use super::server::Proto;
use super::{read_addr, read_netns};
use crate::lab::cluster::Cluster;

/// A client's socket.
#[derive(Clone, Debug)]
pub struct Client {
    /// In which netns.
    pub netns: String,
    /// Source address; unspecified lets the route choose.
    pub src: Option<IpAddr>,
    /// Source port.
    pub sport: u16,
    /// Destination address.
    pub dst: IpAddr,
    /// Destination port.
    pub dport: u16,
    /// TTL, if not the default.
    pub ttl: Option<u8>,
    /// Type of service, if not 0.
    pub tos: Option<u8>,
    /// What the socket does about the path MTU, if not the default.
    pub pmtu: Option<PmtuDiscovery>,
}

/// What is sent: text, cut or filled with dots to a size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payload(pub Vec<u8>);

/// Several datagrams at once.
#[derive(Clone, Debug)]
pub struct ManyUdp {
    /// In which netns.
    pub netns: String,
    /// How many.
    pub n: u16,
    /// Source port of the first.
    pub sport: u16,
    /// Destination address.
    pub dst: IpAddr,
    /// Destination port.
    pub dport: u16,
    /// Whether all have one source port; else it counts up.
    pub same: bool,
    /// Whether all leave from one socket.
    pub one_socket: bool,
    /// What each carries.
    pub payload: Payload,
}

/// Short flows from successive source ports.
#[derive(Clone, Debug)]
pub struct Sets {
    /// Over which protocol.
    pub proto: Proto,
    /// The first of the clients.
    pub client: Client,
    /// How many.
    pub n: u16,
    /// What each sends.
    pub payload: Payload,
    /// Asks whether all source ports that servers saw lie between these.
    pub ports: Option<(u16, u16)>,
    /// Asks whether all source ports that servers saw are the clients' own.
    pub ports_kept: bool,
    /// Shows how often each answer came.
    pub count: bool,
}

/// ICMP echo requests.
#[derive(Clone, Debug)]
pub struct Ping {
    /// In which netns.
    pub netns: String,
    /// Destination.
    pub dst: IpAddr,
    /// Source address; `None` lets the route choose.
    pub src: Option<IpAddr>,
    /// Bytes of data.
    pub size: u16,
    /// Identifier.
    pub id: u16,
    /// How many.
    pub count: u16,
    /// Wait between two.
    pub gap: Option<Duration>,
    /// TTL, if not the default.
    pub ttl: Option<u8>,
    /// Type of service, if not 0.
    pub tos: Option<u8>,
    /// What the socket does about the path MTU, if not the default.
    pub pmtu: Option<PmtuDiscovery>,
}

impl Client {
    pub(super) fn read(o: &mut Object<'_>, cluster: &Cluster) -> Result<Self, SpecError> {
        Ok(Self {
            netns: read_netns(o, "ns", cluster)?,
            src: o.take("src").map(|n| read_addr(&n, cluster)).transpose()?,
            sport: o.read("sport")?,
            dst: read_addr(&o.need("dst")?, cluster)?,
            dport: o.read("dport")?,
            ttl: o.optional("ttl")?,
            tos: o.optional("tos")?,
            pmtu: read_pmtu(o)?,
        })
    }
}

impl Payload {
    /// `data` ("hello"), and if `size` is given and not 0 cut or filled with dots to it.
    pub(super) fn read(o: &mut Object<'_>) -> Result<Self, SpecError> {
        let mut bytes = o.or("data", "hello".to_owned())?.into_bytes();
        match o.optional::<u16>("size")? {
            None | Some(0) => {}
            Some(size) => bytes.resize(usize::from(size), b'.'),
        }
        Ok(Self(bytes))
    }
}

impl ManyUdp {
    pub(super) fn read(o: &mut Object<'_>, cluster: &Cluster) -> Result<Self, SpecError> {
        Ok(Self {
            netns: read_netns(o, "ns", cluster)?,
            n: o.read("n")?,
            sport: o.read("sport")?,
            dst: read_addr(&o.need("dst")?, cluster)?,
            dport: o.read("dport")?,
            same: o.or("same", false)?,
            one_socket: o.or("one_socket", false)?,
            payload: Payload::read(o)?,
        })
    }
}

impl Sets {
    pub(super) fn read(o: &mut Object<'_>, cluster: &Cluster) -> Result<Self, SpecError> {
        Ok(Self {
            proto: o.read("proto")?,
            client: Client::read(o, cluster)?,
            n: o.read("n")?,
            payload: Payload::read(o)?,
            ports: o.optional("ports")?,
            ports_kept: o.or("ports_kept", false)?,
            count: o.or("count", false)?,
        })
    }
}

impl Ping {
    pub(super) fn read(o: &mut Object<'_>, cluster: &Cluster) -> Result<Self, SpecError> {
        Ok(Self {
            netns: read_netns(o, "ns", cluster)?,
            dst: read_addr(&o.need("dst")?, cluster)?,
            src: o.take("src").map(|n| read_addr(&n, cluster)).transpose()?,
            size: o.or("size", 8)?,
            id: o.or("id", 77)?,
            count: o.or("count", 1)?,
            gap: read_seconds(o, "gap")?,
            ttl: o.optional("ttl")?,
            tos: o.optional("tos")?,
            pmtu: read_pmtu(o)?,
        })
    }
}

/// What a socket does about the path MTU (ip(7), `IP_MTU_DISCOVER`).
fn read_pmtu(o: &mut Object<'_>) -> Result<Option<PmtuDiscovery>, SpecError> {
    let Some(node) = o.take("pmtu") else { return Ok(None) };
    Ok(Some(match node.read::<String>()?.as_str() {
        "dont" => PmtuDiscovery::Dont,
        "want" => PmtuDiscovery::Want,
        "do" => PmtuDiscovery::Do,
        "probe" => PmtuDiscovery::Probe,
        other => return Err(node.error(format!("{other:?} is none of dont, want, do, probe"))),
    }))
}
