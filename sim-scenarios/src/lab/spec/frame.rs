//! Raw frames of a spec, as they are written there; [`crate::lab::forge`] makes bytes of them.

use std::net::IpAddr;

use sim_core::wire::eth::MacAddr;

use sim_core::wire::ip::DEFAULT_TTL;

use super::object::{Node, Object, SpecError};
use super::read_addr;
use crate::lab::cluster::Cluster;

/// One Ethernet frame.
#[derive(Clone, Debug)]
pub struct RawFrame {
    /// Source and destination hardware address.
    pub eth: [MacAddr; 2],
    /// What is in it.
    pub body: Body,
}

/// What a frame carries.
#[derive(Clone, Debug)]
pub enum Body {
    /// An ARP message.
    Arp(Arp),
    /// An IP packet.
    Ip(Box<Ip>),
}

/// An ARP message.
#[derive(Clone, Debug)]
pub struct Arp {
    /// Operation.
    pub op: u16,
    /// Sender hardware address.
    pub sha: MacAddr,
    /// Sender address.
    pub spa: IpAddr,
    /// Target hardware address.
    pub tha: MacAddr,
    /// Target address.
    pub tpa: IpAddr,
}

/// An IPv4 packet; fields that are `None` get the right value.
#[derive(Clone, Debug)]
pub struct Ip {
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
    /// TTL.
    pub ttl: u8,
    /// Identification.
    pub id: u16,
    /// Don't fragment.
    pub df: bool,
    /// More fragments.
    pub mf: bool,
    /// Offset of this fragment in bytes.
    pub off: u16,
    /// Type of service.
    pub tos: u8,
    /// Options, a multiple of four bytes.
    pub options: Vec<u8>,
    /// Total length, if it is to lie.
    pub len: Option<u16>,
    /// Whether the header checksum is wrong.
    pub bad_checksum: bool,
    /// Which bytes of the L4 part this fragment carries.
    pub cut: Option<[usize; 2]>,
    /// The L4 part.
    pub l4: L4,
    /// Data behind the L4 header; an inner frame is behind it.
    pub data: Vec<u8>,
    /// The frame inside a VXLAN packet.
    pub inner: Option<Box<RawFrame>>,
    /// Data and inner frame are cut or filled with dots to so many bytes.
    pub size: Option<usize>,
}

/// An L4 header.
#[derive(Clone, Debug)]
pub enum L4 {
    /// UDP.
    Udp(Udp),
    /// TCP.
    Tcp(Tcp),
    /// ICMP.
    Icmp(Icmp),
    /// None: the data is everything; the protocol number.
    None(u8),
}

/// How a checksum is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum L4Checksum {
    /// Right.
    #[default]
    Ok,
    /// Wrong.
    Bad,
    /// Zero (UDP: none).
    None,
}

/// A UDP header.
#[derive(Clone, Debug)]
pub struct Udp {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Its checksum.
    pub checksum: L4Checksum,
}

/// A TCP header without options.
#[derive(Clone, Debug)]
pub struct Tcp {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Flags, letters of `FSRPAUEC`.
    pub flags: String,
    /// Window.
    pub win: u16,
    /// Its checksum; `None` counts as right.
    pub checksum: L4Checksum,
}

/// An ICMP message.
#[derive(Clone, Debug)]
pub struct Icmp {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// The rest.
    pub body: IcmpBody,
    /// Its checksum; `None` counts as right.
    pub checksum: L4Checksum,
}

/// The rest of an ICMP message.
#[derive(Clone, Debug)]
pub enum IcmpBody {
    /// Identifier and sequence number; the packet's data follows.
    Echo {
        /// Identifier.
        id: u16,
        /// Sequence number.
        seq: u16,
    },
    /// The packet an error is about.
    Quote {
        /// The quoted packet.
        packet: Box<Ip>,
        /// How many bytes of it are quoted.
        len: usize,
        /// Next-hop MTU.
        mtu: u16,
    },
}

/// The identification of packets that name none.
const DEFAULT_ID: u16 = 0x1234;

/// How deep frames may stand in frames: real traffic has one level.
const DEEPEST: usize = 8;

impl RawFrame {
    /// Reads the members that say what is in a frame; `arp` was taken out by the caller.
    pub(super) fn read(o: &mut Object<'_>, arp: Option<Node<'_>>, cluster: &Cluster) -> Result<Self, SpecError> {
        Self::read_at(o, arp, cluster, 0)
    }

    fn read_at(o: &mut Object<'_>, arp: Option<Node<'_>>, cluster: &Cluster, depth: usize) -> Result<Self, SpecError> {
        o.refuse_unsupported(&["ip6", "icmp6", "nd"])?;
        let eth = read_eth(o, cluster)?;
        let body = match arp {
            Some(node) => Body::Arp(Arp::read(node.object()?, cluster)?),
            None => Body::Ip(Box::new(Ip::read(o, cluster, depth)?)),
        };
        Ok(Self { eth, body })
    }
}

impl Arp {
    fn read(mut o: Object<'_>, cluster: &Cluster) -> Result<Self, SpecError> {
        let arp = Self {
            op: o.read("op")?,
            sha: read_mac(&o.need("sha")?, cluster)?,
            spa: read_addr(&o.need("spa")?, cluster)?,
            tha: o.take("tha").map_or(Ok(MacAddr::ZERO), |n| read_mac(&n, cluster))?,
            tpa: read_addr(&o.need("tpa")?, cluster)?,
        };
        o.end()?;
        Ok(arp)
    }
}

impl Ip {
    /// A whole packet with the lab's defaults.
    pub fn new(src: IpAddr, dst: IpAddr, l4: L4, data: Vec<u8>) -> Self {
        Self {
            src,
            dst,
            ttl: DEFAULT_TTL,
            id: DEFAULT_ID,
            df: false,
            mf: false,
            off: 0,
            tos: 0,
            options: Vec::new(),
            len: None,
            bad_checksum: false,
            cut: None,
            l4,
            data,
            inner: None,
            size: None,
        }
    }

    /// Reads `ip` and its siblings `udp`, `tcp`, `icmp`, `data`, `hex`, `size`, `inner`.
    fn read(o: &mut Object<'_>, cluster: &Cluster, depth: usize) -> Result<Self, SpecError> {
        if depth > DEEPEST {
            return Err(o.error(format!("more than {DEEPEST} packets inside each other")));
        }
        let mut ip = o.need("ip")?.object()?;
        let proto = ip.or("p", 253)?;
        let packet = Self {
            src: read_addr(&ip.need("s")?, cluster)?,
            dst: read_addr(&ip.need("d")?, cluster)?,
            ttl: ip.or("ttl", DEFAULT_TTL)?,
            id: ip.or("id", DEFAULT_ID)?,
            df: read_flag(&mut ip, "df")?,
            mf: read_flag(&mut ip, "mf")?,
            off: ip.or("off", 0)?,
            tos: ip.or("tos", 0)?,
            options: read_options(&mut ip)?,
            len: ip.optional("len")?,
            bad_checksum: ip.or("ck", L4Checksum::Ok)? == L4Checksum::Bad,
            cut: ip.optional("cut")?,
            l4: read_l4(o, cluster, proto, depth)?,
            data: read_data(o)?,
            inner: match o.take("inner") {
                Some(node) => Some(Box::new(read_inner(node, cluster, depth + 1)?)),
                None => None,
            },
            size: o.optional::<u16>("size")?.filter(|&n| n > 0).map(usize::from),
        };
        ip.end()?;
        Ok(packet)
    }
}

fn read_inner(node: Node<'_>, cluster: &Cluster, depth: usize) -> Result<RawFrame, SpecError> {
    let mut o = node.object()?;
    let arp = o.take("arp");
    let frame = RawFrame::read_at(&mut o, arp, cluster, depth)?;
    o.end()?;
    Ok(frame)
}

fn read_l4(o: &mut Object<'_>, cluster: &Cluster, proto: u8, depth: usize) -> Result<L4, SpecError> {
    if let Some(node) = o.take("udp") {
        let mut u = node.object()?;
        let udp = Udp { src: u.read("s")?, dst: u.read("d")?, checksum: u.or("ck", L4Checksum::Ok)? };
        u.end()?;
        return Ok(L4::Udp(udp));
    }
    if let Some(node) = o.take("tcp") {
        let mut t = node.object()?;
        let tcp = Tcp {
            src: t.read("s")?,
            dst: t.read("d")?,
            seq: t.read("seq")?,
            ack: t.or("ack", 0)?,
            flags: t.read("fl")?,
            win: t.or("win", 64240)?,
            checksum: t.or("ck", L4Checksum::Ok)?,
        };
        t.end()?;
        return Ok(L4::Tcp(tcp));
    }
    if let Some(node) = o.take("icmp") {
        return Icmp::read(node.object()?, cluster, depth).map(L4::Icmp);
    }
    Ok(L4::None(proto))
}

impl Icmp {
    fn read(mut o: Object<'_>, cluster: &Cluster, depth: usize) -> Result<Self, SpecError> {
        let body = match o.take("quote") {
            Some(node) => {
                let mut quote = node.object()?;
                let packet = Box::new(Ip::read(&mut quote, cluster, depth + 1)?);
                quote.end()?;
                IcmpBody::Quote { packet, len: o.or("quote_len", 28)?, mtu: o.or("mtu", 0)? }
            }
            None => IcmpBody::Echo { id: o.or("id", 1)?, seq: o.or("seq", 1)? },
        };
        let icmp = Self { kind: o.read("type")?, code: o.read("code")?, body, checksum: o.or("ck", L4Checksum::Ok)? };
        o.end()?;
        Ok(icmp)
    }
}

/// `[source, destination]`, each `netns/dev`, `bcast` or digits.
pub(super) fn read_eth(o: &mut Object<'_>, cluster: &Cluster) -> Result<[MacAddr; 2], SpecError> {
    let node = o.need("eth")?;
    match node.list()?.as_slice() {
        [src, dst] => Ok([read_mac(src, cluster)?, read_mac(dst, cluster)?]),
        _ => Err(node.error("\"eth\" is a source and a destination address")),
    }
}

fn read_mac(node: &Node<'_>, cluster: &Cluster) -> Result<MacAddr, SpecError> {
    let text: String = node.read()?;
    if text == "bcast" {
        return Ok(MacAddr::BROADCAST);
    }
    let known = cluster.mac(&text).or_else(|| text.parse().ok());
    known.ok_or_else(|| {
        node.error(format!("{text:?} is not a hardware address"))
            .help("netns/dev of the cluster, bcast, or six hex bytes")
    })
}

/// `1`, `0`, `true` or `false`.
fn read_flag(o: &mut Object<'_>, key: &'static str) -> Result<bool, SpecError> {
    let Some(node) = o.take(key) else { return Ok(false) };
    node.read::<bool>().or_else(|_| node.read::<u8>().map(|n| n != 0))
}

fn read_data(o: &mut Object<'_>) -> Result<Vec<u8>, SpecError> {
    match o.take("hex") {
        Some(node) => {
            o.take("data");
            read_hex(&node)
        }
        None => Ok(o.or("data", String::new())?.into_bytes()),
    }
}

fn read_options(o: &mut Object<'_>) -> Result<Vec<u8>, SpecError> {
    let Some(node) = o.take("opt") else { return Ok(Vec::new()) };
    let options = read_hex(&node)?;
    if options.len() > 40 || options.len() % 4 != 0 {
        return Err(node.error("IP options are at most 40 bytes, a multiple of four (RFC 791 section 3.1)"));
    }
    Ok(options)
}

fn read_hex(node: &Node<'_>) -> Result<Vec<u8>, SpecError> {
    let text: String = node.read()?;
    let digits: Option<Vec<u8>> =
        text.chars().filter(|c| !c.is_ascii_whitespace()).map(|c| Some(c.to_digit(16)? as u8)).collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => Ok(digits.chunks_exact(2).map(|d| d[0] << 4 | d[1]).collect()),
        _ => Err(node.error("not hex bytes")),
    }
}
