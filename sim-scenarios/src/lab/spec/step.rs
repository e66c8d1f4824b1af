//! The steps of a spec: one operation each, and what is shown of it.

use std::net::IpAddr;

use indexmap::IndexMap;
use sim_core::engine::time::Duration;
use sim_core::netns::socket::PmtuDiscovery;
use sim_core::wire::eth::MacAddr;

use super::frame::{RawFrame, read_eth};
use super::object::{Node, Object, Place, SpecError};
use super::server::Server;
use super::{known_netns, read_addr, read_netns, read_sysctl_values};
use crate::lab::cluster::Cluster;

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where it stands in the file.
    pub place: Place,
    /// What is done.
    pub op: Op,
    /// The name of the operation.
    pub name: String,
    /// How it is waited for and what is shown.
    pub common: Common,
}

/// Keys that every step may carry.
#[derive(Clone, Debug)]
pub struct Common {
    /// Whether hops are shown.
    pub hops: bool,
    /// Only hops of these netns or `netns/dev`; `None`: all.
    pub hops_in: Option<Vec<String>>,
    /// Whether hops carry a time.
    pub times: bool,
    /// Whether hops carry the packet type the tap saw.
    pub pkttype: bool,
    /// Whether ARP hops are listed; `None`: as the spec says.
    pub show_arp: Option<bool>,
    /// Whose conntrack tables are listed; `None`: as the spec says.
    pub ct: Option<Wanted>,
    /// Whether conntrack timeouts are listed; `None`: as the spec says.
    pub timeouts: Option<bool>,
    /// Whether rule verdicts are listed, where the spec asks for them at all.
    pub trace: bool,
    /// For how long nothing must be seen before the step is over.
    pub quiet: Duration,
    /// How long the client waits; `None`: as the operation does by default.
    pub timeout: Option<Duration>,
}

/// Which netns something is shown of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// None.
    Nowhere,
    /// All nodes.
    Nodes,
    /// These.
    These(Vec<String>),
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Op {
    /// One datagram from a fresh socket; its answer is waited for.
    Udp {
        /// Who sends, to whom.
        client: Client,
        /// What.
        payload: Payload,
        /// Keeps the socket open until the cluster is quiet.
        keep: bool,
    },
    /// Several datagrams; nothing is waited for.
    ManyUdp(ManyUdp),
    /// Connect, send, read the echo, close.
    Tcp {
        /// Who connects, to whom.
        client: Client,
        /// What is sent.
        payload: Payload,
    },
    /// Opens a connection called `name`.
    TcpOpen {
        /// Its name in later steps.
        name: String,
        /// Who connects, to whom.
        client: Client,
    },
    /// Sends on a connection and reads the answer.
    TcpIo {
        /// The connection.
        name: String,
        /// What is sent.
        payload: Payload,
    },
    /// Closes a connection in both directions.
    TcpClose {
        /// The connection.
        name: String,
    },
    /// Closes a connection with linger 0: a RST.
    TcpAbort {
        /// The connection.
        name: String,
    },
    /// One raw TCP segment.
    TcpForge(Forge),
    /// One raw Ethernet frame.
    Frame {
        /// From which netns.
        netns: String,
        /// Out of which device.
        dev: String,
        /// What.
        frame: RawFrame,
    },
    /// ICMP echo.
    Ping(Ping),
    /// `iptables-restore`.
    Rules {
        /// Where.
        netns: String,
        /// iptables-save text.
        text: String,
    },
    /// Sets sysctls, then shows some.
    Sysctl {
        /// Where.
        netns: String,
        /// What is set.
        set: IndexMap<String, String>,
        /// What is shown.
        get: Option<Vec<String>>,
    },
    /// Lines as for `ip -batch`.
    IpLink {
        /// Where.
        netns: String,
        /// The lines.
        lines: Vec<String>,
    },
    /// A command of the usual tools.
    Exec {
        /// Where.
        netns: String,
        /// Its words.
        words: Vec<String>,
        /// Whether its output is shown.
        show: bool,
    },
    /// Starts a server.
    Server(Server),
    /// Stops the server of this key (`netns/proto/port`).
    Stop(String),
    /// Shows conntrack tables.
    Conntrack,
    /// Shows what a bridge has learned.
    Fdb {
        /// Where.
        netns: String,
        /// Which bridge; `None`: all devices.
        bridge: Option<String>,
        /// Whether permanent entries are shown.
        permanent: bool,
    },
    /// Shows neighbours.
    Neigh {
        /// Where.
        netns: String,
    },
    /// Flushes conntrack on every node and on the gateway.
    CtFlush,
    /// Counts distinct outer VXLAN source ports since the last such step.
    VxPorts {
        /// Shown as whether there are at least so many; `None`: the number.
        at_least: Option<u64>,
    },
    /// Waits.
    Sleep(Duration),
}

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

/// A forged segment: sequence numbers are relative to what its sender would send next.
#[derive(Clone, Debug)]
pub struct Forge {
    /// Whose segment it pretends to be.
    pub of: Forged,
    /// Source and destination hardware address.
    pub eth: [MacAddr; 2],
    /// Flags, letters of `FSRPAUEC`.
    pub flags: String,
    /// Offset of the sequence number.
    pub seq: i64,
    /// Offset of the acknowledgment number.
    pub ack: i64,
    /// Window; `None`: the one last seen.
    pub win: Option<u16>,
    /// Data.
    pub data: String,
}

/// Whose segment is forged.
#[derive(Clone, Debug)]
pub enum Forged {
    /// The client's side of a named connection.
    Connection(String),
    /// Any flow's.
    Flow {
        /// Sent from this netns.
        netns: String,
        /// Source.
        src: (IpAddr, u16),
        /// Destination.
        dst: (IpAddr, u16),
    },
}

/// Operations of the second series (the lab's README, "Second part").
const SECOND_SERIES: &[&str] = &["ipset", "nft", "rules6", "conntrack_d", "burst", "sets", "ctfill", "ctstat"];

impl Step {
    pub(super) fn read(node: Node<'_>, cluster: &Cluster) -> Result<Self, SpecError> {
        let mut o = node.object()?;
        let place = o.place();
        let op = o.need("op")?;
        let name: String = op.read()?;
        if SECOND_SERIES.contains(&name.as_str()) {
            return Err(op.error(format!("not supported yet: op {name}")));
        }
        let (op, show_arp) = match name.as_str() {
            // A frame's `arp` is the ARP message it carries, where it is not the word "show".
            "frame" => read_frame(&mut o, cluster)?,
            _ => {
                let show = o.optional::<String>("arp")?.map(|a| a == "show");
                let read = read_op(&name, &mut o, cluster)?;
                (read.ok_or_else(|| op.error(format!("unknown op {name:?}")).help(format!("known: {KNOWN}")))?, show)
            }
        };
        let common = Common::read(&mut o, show_arp, cluster)?;
        o.end()?;
        Ok(Self { place, op, name, common })
    }
}

impl Common {
    fn read(o: &mut Object<'_>, show_arp: Option<bool>, cluster: &Cluster) -> Result<Self, SpecError> {
        Ok(Self {
            hops: o.or("hops", true)?,
            hops_in: o.optional("hops_in")?,
            times: o.or("times", false)?,
            pkttype: o.or("pkttype", false)?,
            show_arp,
            ct: Wanted::read(o.take("ct"), cluster)?,
            timeouts: o.optional("timeouts")?,
            trace: o.or("trace", true)?,
            quiet: read_seconds(o, "quiet")?.unwrap_or(Duration::from_millis(40)),
            timeout: read_seconds(o, "timeout")?,
        })
    }
}

impl Wanted {
    /// `false`, `true` or a list of netns.
    pub(super) fn read(node: Option<Node<'_>>, cluster: &Cluster) -> Result<Option<Self>, SpecError> {
        let Some(node) = node else { return Ok(None) };
        Ok(Some(match node.read::<bool>() {
            Ok(true) => Self::Nodes,
            Ok(false) => Self::Nowhere,
            Err(_) => {
                let names = node.list()?.into_iter().map(|n| known_netns(n.read()?, &n, cluster));
                Self::These(names.collect::<Result<_, _>>()?)
            }
        }))
    }
}

const KNOWN: &str = "udp, many_udp, tcp, tcp_open, tcp_io, tcp_close, tcp_abort, tcp_forge, frame, ping, rules, \
                     sysctl, iplink, exec, server, stop, conntrack, fdb, neigh, ctflush, vxports, sleep";

fn read_op(name: &str, o: &mut Object<'_>, cluster: &Cluster) -> Result<Option<Op>, SpecError> {
    Ok(Some(match name {
        "udp" => Op::Udp { client: Client::read(o, cluster)?, payload: Payload::read(o)?, keep: o.or("keep", false)? },
        "many_udp" => Op::ManyUdp(ManyUdp::read(o, cluster)?),
        "tcp" => Op::Tcp { client: Client::read(o, cluster)?, payload: Payload::read(o)? },
        "tcp_open" => Op::TcpOpen { name: o.read("name")?, client: Client::read(o, cluster)? },
        "tcp_io" => Op::TcpIo { name: o.read("name")?, payload: Payload::read(o)? },
        "tcp_close" => Op::TcpClose { name: o.read("name")? },
        "tcp_abort" => Op::TcpAbort { name: o.read("name")? },
        "tcp_forge" => Op::TcpForge(Forge::read(o, cluster)?),
        "ping" => Op::Ping(Ping::read(o, cluster)?),
        "rules" => Op::Rules { netns: read_netns(o, "ns", cluster)?, text: o.read("text")? },
        "sysctl" => Op::Sysctl {
            netns: read_netns(o, "ns", cluster)?,
            set: o.take("set").map(|n| read_sysctl_values(&n)).transpose()?.unwrap_or_default(),
            get: o.optional("get")?,
        },
        "iplink" => Op::IpLink { netns: read_netns(o, "ns", cluster)?, lines: o.read("lines")? },
        "exec" => Op::Exec { netns: read_netns(o, "ns", cluster)?, words: read_words(o)?, show: o.or("out", false)? },
        "server" => Op::Server(Server::read(o.need("server")?, cluster)?),
        "stop" => Op::Stop(o.read("server")?),
        "conntrack" => Op::Conntrack,
        "fdb" => Op::Fdb {
            netns: read_netns(o, "ns", cluster)?,
            bridge: o.optional("br")?,
            permanent: o.or("permanent", false)?,
        },
        "neigh" => Op::Neigh { netns: read_netns(o, "ns", cluster)? },
        "ctflush" => Op::CtFlush,
        "vxports" => Op::VxPorts { at_least: o.optional("at_least")? },
        "sleep" => Op::Sleep(read_seconds(o, "s")?.ok_or_else(|| o.error("\"s\" is missing"))?),
        _ => return Ok(None),
    }))
}

fn read_frame(o: &mut Object<'_>, cluster: &Cluster) -> Result<(Op, Option<bool>), SpecError> {
    let arp = o.take("arp");
    let shown = arp.filter(Node::is_string).map(|n| n.read::<String>()).transpose()?.map(|a| a == "show");
    let op = Op::Frame {
        netns: read_netns(o, "ns", cluster)?,
        dev: o.or("if", "eth0".to_owned())?,
        frame: RawFrame::read(o, arp.filter(Node::is_object), cluster)?,
    };
    Ok((op, shown))
}

fn read_words(o: &mut Object<'_>) -> Result<Vec<String>, SpecError> {
    let node = o.need("cmd")?;
    let words: Vec<String> = node.read()?;
    if words.is_empty() { Err(node.error("a command without a word")) } else { Ok(words) }
}

impl Client {
    fn read(o: &mut Object<'_>, cluster: &Cluster) -> Result<Self, SpecError> {
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
    fn read(o: &mut Object<'_>) -> Result<Self, SpecError> {
        let mut bytes = o.or("data", "hello".to_owned())?.into_bytes();
        match o.optional::<u16>("size")? {
            None | Some(0) => {}
            Some(size) => bytes.resize(usize::from(size), b'.'),
        }
        Ok(Self(bytes))
    }
}

impl ManyUdp {
    fn read(o: &mut Object<'_>, cluster: &Cluster) -> Result<Self, SpecError> {
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

impl Ping {
    fn read(o: &mut Object<'_>, cluster: &Cluster) -> Result<Self, SpecError> {
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

impl Forge {
    fn read(o: &mut Object<'_>, cluster: &Cluster) -> Result<Self, SpecError> {
        let of = match o.optional("name")? {
            Some(name) => Forged::Connection(name),
            None => Forged::Flow {
                netns: read_netns(o, "ns", cluster)?,
                src: (read_addr(&o.need("src")?, cluster)?, o.read("sport")?),
                dst: (read_addr(&o.need("dst")?, cluster)?, o.read("dport")?),
            },
        };
        Ok(Self {
            of,
            eth: read_eth(o, cluster)?,
            flags: o.or("flags", "A".to_owned())?,
            seq: o.or("seq", 0)?,
            ack: o.or("ack", 0)?,
            win: o.optional("win")?,
            data: o.or("data", String::new())?,
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

/// The longest wait a spec may ask for: longer than any timeout of conntrack (five days).
const LONGEST: f64 = 7.0 * 86_400.0;

/// The member `key`, a number of seconds, to the microsecond.
pub(super) fn read_seconds(o: &mut Object<'_>, key: &'static str) -> Result<Option<Duration>, SpecError> {
    let Some(node) = o.take(key) else { return Ok(None) };
    let seconds: f64 = node.read()?;
    if !(0.0..=LONGEST).contains(&seconds) {
        return Err(node.error(format!("{seconds} is not a wait: from 0 to {LONGEST} seconds")));
    }
    Ok(Some(Duration::from_micros((seconds * 1e6).round() as u64)))
}
