//! The steps of a spec: one operation each, and what is shown of it.

use std::net::IpAddr;

use indexmap::IndexMap;
use sim_core::engine::time::Duration;
use sim_core::wire::eth::MacAddr;
use sim_core::wire::ip::Family;

use super::client::{Client, ManyUdp, Payload, Ping, Sets};
use super::common::{Common, read_seconds};
use super::frame::{RawFrame, read_eth};
use super::object::{Node, Object, Place, SpecError};
use super::server::Server;
use super::{read_addr, read_netns, read_sysctl_values};
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
    /// Datagrams from one socket as fast as it can; nothing is waited for.
    Burst {
        /// Who sends, to whom.
        client: Client,
        /// How many.
        n: u16,
        /// What each carries.
        payload: Payload,
    },
    /// Short flows from successive source ports; what is shown is what the answers and servers differ in.
    Sets(Sets),
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
    /// `iptables-restore` or `ip6tables-restore`.
    Rules {
        /// Where.
        netns: String,
        /// Which of the two.
        family: Family,
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
    /// A command of `ipset`.
    Ipset {
        /// Where.
        netns: String,
        /// Its words.
        words: Vec<String>,
        /// Whether its output is shown.
        show: bool,
    },
    /// Makes conntrack entries of flows that no packet belongs to.
    CtFill {
        /// Where.
        netns: String,
        /// How many entries there are then.
        n: u32,
        /// Whether none of them may be evicted.
        assured: bool,
    },
    /// Shows how full the conntrack table is and what it has dropped.
    CtStat {
        /// Where.
        netns: String,
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
        /// Of which family.
        family: Family,
    },
    /// Flushes conntrack on every node and on the gateway.
    CtFlush,
    /// `conntrack -D`.
    CtDelete {
        /// Where.
        netns: String,
        /// Which entries: its options.
        options: Vec<String>,
    },
    /// Counts distinct outer VXLAN source ports since the last such step.
    VxPorts {
        /// Shown as whether there are at least so many; `None`: the number.
        at_least: Option<u64>,
    },
    /// Waits.
    Sleep(Duration),
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
const SECOND_SERIES: &[&str] = &["nft"];

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

const KNOWN: &str = "udp, many_udp, burst, sets, tcp, tcp_open, tcp_io, tcp_close, tcp_abort, tcp_forge, frame, ping, rules, rules6, \
                     sysctl, iplink, exec, ipset, server, stop, conntrack, fdb, neigh, ctflush, conntrack_d, ctfill, ctstat, vxports, sleep";

fn read_op(name: &str, o: &mut Object<'_>, cluster: &Cluster) -> Result<Option<Op>, SpecError> {
    Ok(Some(match name {
        "udp" => Op::Udp { client: Client::read(o, cluster)?, payload: Payload::read(o)?, keep: o.or("keep", false)? },
        "many_udp" => Op::ManyUdp(ManyUdp::read(o, cluster)?),
        "burst" => Op::Burst { client: Client::read(o, cluster)?, n: o.read("n")?, payload: Payload::read(o)? },
        "sets" => Op::Sets(Sets::read(o, cluster)?),
        "tcp" => Op::Tcp { client: Client::read(o, cluster)?, payload: Payload::read(o)? },
        "tcp_open" => Op::TcpOpen { name: o.read("name")?, client: Client::read(o, cluster)? },
        "tcp_io" => Op::TcpIo { name: o.read("name")?, payload: Payload::read(o)? },
        "tcp_close" => Op::TcpClose { name: o.read("name")? },
        "tcp_abort" => Op::TcpAbort { name: o.read("name")? },
        "tcp_forge" => Op::TcpForge(Forge::read(o, cluster)?),
        "ping" => Op::Ping(Ping::read(o, cluster)?),
        "rules" | "rules6" => Op::Rules {
            netns: read_netns(o, "ns", cluster)?,
            family: if name == "rules6" { Family::V6 } else { Family::V4 },
            text: o.read("text")?,
        },
        "sysctl" => Op::Sysctl {
            netns: read_netns(o, "ns", cluster)?,
            set: o.take("set").map(|n| read_sysctl_values(&n)).transpose()?.unwrap_or_default(),
            get: o.optional("get")?,
        },
        "iplink" => Op::IpLink { netns: read_netns(o, "ns", cluster)?, lines: o.read("lines")? },
        "exec" => Op::Exec { netns: read_netns(o, "ns", cluster)?, words: read_words(o)?, show: o.or("out", false)? },
        "ipset" => Op::Ipset { netns: read_netns(o, "ns", cluster)?, words: o.read("cmd")?, show: o.or("out", false)? },
        "ctfill" => {
            Op::CtFill { netns: read_netns(o, "ns", cluster)?, n: o.read("n")?, assured: o.or("assured", false)? }
        }
        "ctstat" => Op::CtStat { netns: read_netns(o, "ns", cluster)? },
        "server" => Op::Server(Server::read(o.need("server")?, cluster)?),
        "stop" => Op::Stop(o.read("server")?),
        "conntrack" => Op::Conntrack,
        "fdb" => Op::Fdb {
            netns: read_netns(o, "ns", cluster)?,
            bridge: o.optional("br")?,
            permanent: o.or("permanent", false)?,
        },
        "neigh" => Op::Neigh {
            netns: read_netns(o, "ns", cluster)?,
            family: if o.or("v6", false)? { Family::V6 } else { Family::V4 },
        },
        "ctflush" => Op::CtFlush,
        "conntrack_d" => Op::CtDelete { netns: read_netns(o, "ns", cluster)?, options: o.read("args")? },
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
