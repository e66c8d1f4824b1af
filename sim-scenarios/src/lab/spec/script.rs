//! A script of the TCP bench, as types (the README's "TCP bench (C)").

use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};

use indexmap::IndexMap;
use sim_core::engine::time::Duration;
use sim_core::netns::socket::PmtuDiscovery;
use sim_core::netns::socket::tcp::SocketOptions;

use super::common::read_seconds;
use super::object::{Node, Object, Place, SpecError};
use super::{read_compare, read_sysctl_values};
use crate::lab::decode::FLAGS;

/// The pod's address.
pub const POD: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 2);
/// The peer's address, where a connection names no other.
pub const PEER: Ipv4Addr = Ipv4Addr::new(10, 244, 2, 2);
/// The router between them.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 1);

/// A pod, and what a peer without a stack sends it.
#[derive(Clone, Debug)]
pub struct Script {
    /// MTU of the pod in bytes.
    pub mtu: u32,
    /// Sysctls of the pod, in order.
    pub sysctl: IndexMap<String, String>,
    /// Lines as for `ip -batch` in the pod.
    pub ip: Vec<String>,
    /// iptables-save text of the pod.
    pub rules: Option<String>,
    /// The ends of each connection, pod first.
    pub flows: IndexMap<String, (SocketAddr, SocketAddr)>,
    /// Keys left out when comparing.
    pub ignore: Vec<String>,
    /// What is done, in order.
    pub steps: Vec<ScriptStep>,
}

/// One step.
#[derive(Clone, Debug)]
pub struct ScriptStep {
    /// Where it stands in the file.
    pub place: Place,
    /// The name of what is done.
    pub name: String,
    /// What is done.
    pub call: Call,
    /// How long is waited.
    pub wait: Duration,
    /// Ends the waiting when the pod has sent so many segments.
    pub until: Option<usize>,
    /// What is done after the waiting.
    pub after: Option<Call>,
    /// Whether segments are told.
    pub events: bool,
}

/// What a step does. Sockets are named by the script.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the calls and their arguments are those of the socket API")]
pub enum Call {
    Listen { socket: String, port: u16, backlog: u32, options: Vec<SetOption> },
    Connect { socket: String, flow: String, options: Vec<SetOption>, reuse: bool },
    Accept { socket: String, listener: String },
    Send { socket: String, len: usize },
    Recv { socket: String, max: usize },
    Shutdown { socket: String, how: Shutdown },
    Close(String),
    Abort(String),
    SetOption(String, SetOption),
    Poll(String),
    TakeError(String),
    Info { socket: String, keys: Vec<String> },
    Segments(Vec<PeerSegment>),
    Icmp(PeerError),
    ShowSockets,
    Counters(Vec<String>),
    ChoosePorts { n: u16, bind: bool },
    Wait,
    Sysctl(IndexMap<String, String>),
    Ip(Vec<String>),
}

/// A socket option by the lab's name, and its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetOption {
    /// The name.
    pub name: String,
    /// The value.
    pub value: u32,
}

/// A segment of the peer; numbers are relative to the initial ones.
#[derive(Clone, Debug)]
pub struct PeerSegment {
    /// Of which connection.
    pub flow: String,
    /// The peer's initial sequence number, if it is another one from now on.
    pub isn: Option<u32>,
    /// Flags, letters of `FSRPAUEC`.
    pub flags: String,
    /// Offset from the peer's initial sequence number.
    pub seq: i64,
    /// Offset from the pod's; `None`: the field is zero.
    pub ack: Option<i64>,
    /// Window field.
    pub window: u16,
    /// Bytes of data.
    pub len: usize,
    /// Type of service.
    pub tos: u8,
    /// Whether the checksum is wrong.
    pub bad_checksum: bool,
    /// Options.
    pub options: PeerOptions,
}

/// Options of a peer's segment, in the order in which they are written.
#[derive(Clone, Debug, Default)]
pub struct PeerOptions {
    /// Maximum segment size.
    pub mss: Option<u16>,
    /// SACK permitted.
    pub sack_permitted: bool,
    /// TSval (1: the peer's clock) and TSecr (`None`: the pod's last TSval).
    pub timestamps: Option<(u32, Option<u32>)>,
    /// Window scale.
    pub window_scale: Option<u8>,
    /// Blocks as offsets from the pod's initial sequence number.
    pub sack: Vec<(i64, i64)>,
}

/// An ICMP error that quotes the pod's last segment.
#[derive(Clone, Debug)]
pub struct PeerError {
    /// Of which connection.
    pub flow: String,
    /// Who sends it.
    pub from: IpAddr,
    /// Type and code.
    pub kind: (u8, u8),
    /// MTU field.
    pub mtu: u16,
    /// Quoted sequence number as an offset from the pod's initial one, if not the last segment's.
    pub seq: Option<i64>,
}

/// The most bytes one call writes or reads.
const LARGEST_CALL: usize = 16 << 20;
/// The most data that fits a segment with the longest header.
const LARGEST_SEGMENT: usize = 65_535 - 80;

impl Script {
    pub(super) fn read(mut o: Object<'_>) -> Result<Self, SpecError> {
        for note in ["name", "about", "backends"] {
            o.take(note);
        }
        let mut sysctl = o.take("sysctl").map(|n| read_sysctl_values(&n)).transpose()?.unwrap_or_default();
        sysctl.insert("net.ipv4.tcp_congestion_control".into(), o.or("cc", "cubic".to_owned())?);
        let mut flows = IndexMap::new();
        for (name, node) in o.need("conns")?.object()?.entries() {
            let mut ends = node.object()?;
            let pod = (POD, ends.read("pod")?).into();
            let peer = (ends.or("ip", PEER)?, ends.read("peer")?).into();
            ends.end()?;
            flows.insert(name, (pod, peer));
        }
        let script = Self {
            mtu: o.or("mtu", 1450)?,
            sysctl,
            ip: o.or("ip", Vec::new())?,
            rules: o.optional("rules")?,
            ignore: read_compare(&mut o)?,
            steps: o
                .need("script")?
                .list()?
                .into_iter()
                .map(|n| ScriptStep::read(n, &flows))
                .collect::<Result<_, _>>()?,
            flows,
        };
        o.end()?;
        Ok(script)
    }
}

/// The connections a script may name.
type Flows = IndexMap<String, (SocketAddr, SocketAddr)>;

impl ScriptStep {
    fn read(node: Node<'_>, flows: &Flows) -> Result<Self, SpecError> {
        let mut o = node.object()?;
        let (place, name): (_, String) = (o.place(), o.read("do")?);
        let call = Call::read(&name, &mut o, flows)?;
        let after = match o.take("after") {
            None => None,
            Some(node) => {
                let mut after = node.object()?;
                let name: String = after.read("do")?;
                let call = Call::read(&name, &mut after, flows)?;
                after.end()?;
                Some(call)
            }
        };
        let wait = read_seconds(&mut o, "for")?.unwrap_or(Duration::from_millis(30));
        let step = Self { place, name, call, wait, until: o.optional("until")?, after, events: o.or("ev", true)? };
        o.end()?;
        Ok(step)
    }
}

impl Call {
    /// The socket that must be there already.
    pub fn uses(&self) -> Option<&str> {
        match self {
            Self::Accept { listener: name, .. }
            | Self::Send { socket: name, .. }
            | Self::Recv { socket: name, .. }
            | Self::Shutdown { socket: name, .. }
            | Self::Close(name)
            | Self::Abort(name)
            | Self::SetOption(name, _)
            | Self::Poll(name)
            | Self::TakeError(name)
            | Self::Info { socket: name, .. } => Some(name),
            _ => None,
        }
    }

    fn read(name: &str, o: &mut Object<'_>, flows: &Flows) -> Result<Self, SpecError> {
        let socket = |o: &mut Object<'_>| o.read::<String>("s");
        Ok(match name {
            "listen" => Self::Listen {
                socket: socket(o)?,
                port: o.read("port")?,
                backlog: o.or("backlog", 8)?,
                options: read_options(o)?,
            },
            "connect" => Self::Connect {
                socket: socket(o)?,
                flow: read_flow(o, flows)?,
                options: read_options(o)?,
                reuse: o.or("reuse", 1u8)? != 0,
            },
            "accept" => Self::Accept { socket: socket(o)?, listener: o.read("of")? },
            "send" => {
                // 2 is MSG_EOR, which a byte stream has no use for; 1 would be urgent data.
                if o.or("oob", 0u8)? == 1 {
                    return Err(o.error("not supported: urgent data"));
                }
                Self::Send { socket: socket(o)?, len: read_len(o, "n", None, LARGEST_CALL)? }
            }
            "recv" => Self::Recv { socket: socket(o)?, max: read_len(o, "n", Some(1 << 20), LARGEST_CALL)? },
            "shutdown" => {
                let how = o.or("how", "wr".to_owned())?;
                let how = match how.as_str() {
                    "rd" => Shutdown::Read,
                    "wr" => Shutdown::Write,
                    "rdwr" => Shutdown::Both,
                    _ => return Err(o.error(format!("{how:?} is none of rd, wr, rdwr"))),
                };
                Self::Shutdown { socket: socket(o)?, how }
            }
            "close" => Self::Close(socket(o)?),
            "abort" => Self::Abort(socket(o)?),
            "opt" => {
                let (socket, node) = (socket(o)?, o.need("name")?);
                Self::SetOption(socket, SetOption::read(node.read()?, o.read("value")?, &node)?)
            }
            "poll" => Self::Poll(socket(o)?),
            "error" => Self::TakeError(socket(o)?),
            "info" => {
                let usual = ["rto", "snd_mss", "unacked", "cwnd", "ssthresh"].map(str::to_owned);
                Self::Info { socket: socket(o)?, keys: o.or("keys", usual.to_vec())? }
            }
            "seg" => Self::Segments(match o.take("list") {
                Some(list) => list.list()?.into_iter().map(|n| PeerSegment::of(n, flows)).collect::<Result<_, _>>()?,
                None => vec![PeerSegment::read(o, flows)?],
            }),
            "icmp" => Self::Icmp(PeerError::read(o, flows)?),
            "ss" => Self::ShowSockets,
            "stat" => Self::Counters(o.read("keys")?),
            "ephemeral" => Self::ChoosePorts { n: o.read("n")?, bind: o.or("bind", 0u8)? != 0 },
            "wait" => Self::Wait,
            "sysctl" => Self::Sysctl(read_sysctl_values(&o.need("set")?)?),
            "ip" => Self::Ip(o.read("lines")?),
            _ => return Err(o.error(format!("unknown call {name:?}")).help(format!("known: {KNOWN}"))),
        })
    }
}

const KNOWN: &str = "listen, connect, accept, send, recv, shutdown, close, abort, opt, poll, error, info, seg, icmp, ss, \
                     stat, ephemeral, wait, sysctl, ip";

/// Refuses the member `key` with any value but `usual`: the lab knows others.
fn refuse<T>(o: &mut Object<'_>, key: &'static str, usual: T) -> Result<(), SpecError>
where
    T: serde::de::DeserializeOwned + PartialEq,
{
    match o.take(key) {
        Some(node) if node.read::<T>()? != usual => Err(node.error(format!("not supported yet: this value of {key}"))),
        _ => Ok(()),
    }
}

fn read_len(o: &mut Object<'_>, key: &'static str, usual: Option<usize>, most: usize) -> Result<usize, SpecError> {
    let len = match usual {
        Some(usual) => o.or(key, usual)?,
        None => o.read(key)?,
    };
    if len > most { Err(o.error(format!("\"{key}\" is at most {most} bytes"))) } else { Ok(len) }
}

fn read_flow(o: &mut Object<'_>, flows: &Flows) -> Result<String, SpecError> {
    let node = o.need("c")?;
    let name: String = node.read()?;
    let known: Vec<&str> = flows.keys().map(String::as_str).collect();
    let error = || node.error(format!("no connection is called {name:?}")).help(format!("known: {}", known.join(", ")));
    if flows.contains_key(&name) { Ok(name) } else { Err(error()) }
}

fn read_options(o: &mut Object<'_>) -> Result<Vec<SetOption>, SpecError> {
    let Some(node) = o.take("opt") else { return Ok(Vec::new()) };
    node.object()?.entries().into_iter().map(|(name, node)| SetOption::read(name, node.read()?, &node)).collect()
}

impl SetOption {
    fn read(name: String, value: u32, node: &Node<'_>) -> Result<Self, SpecError> {
        let option = Self { name, value };
        let known = option.name == "quickack" || option.apply(&mut SocketOptions::default());
        if known { Ok(option) } else { Err(node.error(format!("not supported yet: option {}", option.name))) }
    }

    /// Sets it among `options`; false if it is none of those that last.
    pub fn apply(&self, options: &mut SocketOptions) -> bool {
        let (on, seconds) = (self.value != 0, Some(Duration::from_secs(u64::from(self.value))));
        // Zero asks for the default.
        let unless_zero = Some(self.value).filter(|value| *value != 0);
        match self.name.as_str() {
            "nodelay" => options.nodelay = on,
            "cork" => options.cork = on,
            "keepalive" => options.keepalive = on,
            "keepidle" => options.keepidle = seconds,
            "keepintvl" => options.keepintvl = seconds,
            "keepcnt" => options.keepcnt = Some(self.value),
            "defer_accept" => options.defer_accept = seconds,
            "linger2" => options.linger2 = seconds.filter(|_| on),
            "user_timeout" => options.user_timeout = unless_zero.map(|ms| Duration::from_millis(u64::from(ms))),
            "syncnt" => options.syncnt = Some(self.value),
            "maxseg" => options.maxseg = unless_zero.map(|mss| mss as u16),
            "rcvbuf" => options.rcvbuf = Some(self.value),
            "sndbuf" => options.sndbuf = Some(self.value),
            "recverr" => options.recverr = on,
            "ttl" => options.ttl = Some(self.value as u8),
            "tos" => options.tos = self.value as u8,
            "notsent_lowat" => options.notsent_lowat = unless_zero,
            "mtu_discover" => {
                options.pmtu = match self.value {
                    0 => PmtuDiscovery::Dont,
                    1 => PmtuDiscovery::Want,
                    2 => PmtuDiscovery::Do,
                    3 => PmtuDiscovery::Probe,
                    _ => return false,
                }
            }
            // Every socket of the lab has it.
            "reuseaddr" => {}
            _ => return false,
        }
        true
    }
}

impl PeerSegment {
    fn of(node: Node<'_>, flows: &Flows) -> Result<Self, SpecError> {
        let mut o = node.object()?;
        let segment = Self::read(&mut o, flows)?;
        o.end()?;
        Ok(segment)
    }

    fn read(o: &mut Object<'_>, flows: &Flows) -> Result<Self, SpecError> {
        let node = o.need("fl")?;
        let flags: String = node.read()?;
        if !flags.chars().all(|c| FLAGS.iter().any(|(_, letter)| *letter == c)) {
            return Err(node.error("flags are letters of FSRPAUEC"));
        }
        refuse(o, "urg", 0)?;
        Ok(Self {
            flow: read_flow(o, flows)?,
            isn: o.optional("isn")?,
            flags,
            seq: o.or("seq", 0)?,
            ack: o.optional("ack")?,
            window: o.or("win", 65_535)?,
            len: read_len(o, "len", Some(0), LARGEST_SEGMENT)?,
            tos: o.or("tos", 0)?,
            bad_checksum: o.optional::<String>("ck")?.is_some_and(|ck| ck == "bad"),
            options: o.take("opt").map(|n| PeerOptions::read(n.object()?)).transpose()?.unwrap_or_default(),
        })
    }
}

impl PeerOptions {
    fn read(mut o: Object<'_>) -> Result<Self, SpecError> {
        let echo = o.optional("ecr")?;
        let options = Self {
            mss: o.optional("mss")?,
            sack_permitted: o.take("sackok").is_some(),
            timestamps: o.optional("ts")?.map(|value| (value, echo)),
            window_scale: o.optional("ws")?,
            sack: o.or("sack", Vec::new())?,
        };
        if options.sack.len() > 4 {
            return Err(o.error("a header has room for 4 SACK blocks"));
        }
        o.end()?;
        Ok(options)
    }
}

impl PeerError {
    fn read(o: &mut Object<'_>, flows: &Flows) -> Result<Self, SpecError> {
        Ok(Self {
            flow: read_flow(o, flows)?,
            from: o.or("from", ROUTER)?.into(),
            kind: (o.read("type")?, o.read("code")?),
            mtu: o.or("mtu", 0)?,
            seq: o.optional("seq")?,
        })
    }
}
