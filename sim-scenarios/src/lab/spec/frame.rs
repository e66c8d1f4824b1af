//! Raw frames of a spec, as they are written there; [`crate::lab::forge`] makes bytes of them.

mod ip6;

use std::net::IpAddr;

use sim_core::wire::eth::MacAddr;
use sim_core::wire::ext::Fragment;
use sim_core::wire::ip::{DEFAULT_TTL, Family};

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

/// An IP packet; fields that are `None` get the right value.
#[derive(Clone, Debug)]
pub struct Ip {
    /// Source.
    pub src: IpAddr,
    /// Destination, of the same family.
    pub dst: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// Length with the header, if it is to lie.
    pub len: Option<u16>,
    /// What only a header of its family has.
    pub header: Header,
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

/// The part of an IP header that only its family has.
#[derive(Clone, Debug)]
pub enum Header {
    /// Of IPv4.
    V4(Single),
    /// Of IPv6.
    V6(Chain),
}

/// What only IPv4 has: one header that says all.
#[derive(Clone, Debug)]
pub struct Single {
    /// Identification.
    pub id: u16,
    /// Don't fragment.
    pub df: bool,
    /// More fragments.
    pub mf: bool,
    /// Offset of this fragment in bytes.
    pub off: u16,
    /// Options, a multiple of four bytes.
    pub options: Vec<u8>,
    /// Whether the header checksum is wrong.
    pub bad_checksum: bool,
}

/// What only IPv6 has: a chain of headers.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// Flow label.
    pub flow: u32,
    /// Extension headers.
    pub ext: Vec<Ext>,
}

/// An extension header of IPv6.
#[derive(Clone, Debug)]
pub enum Ext {
    /// Any but a fragment header.
    Any {
        /// Its number.
        kind: u8,
        /// What follows its length.
        body: Vec<u8>,
    },
    /// A fragment header.
    Fragment(Fragment),
}

/// An L4 header.
#[derive(Clone, Debug)]
pub enum L4 {
    /// UDP.
    Udp(Udp),
    /// TCP.
    Tcp(Tcp),
    /// ICMP of the packet's family.
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
    /// The rest of its header: identifier and sequence number, MTU, flags.
    pub rest: [u8; 4],
    /// The packet an error is about, and how many bytes of it are quoted; of other messages the packet's data follows.
    pub quote: Option<(Box<Ip>, usize)>,
    /// Its checksum; `None` counts as right.
    pub checksum: L4Checksum,
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
        let eth = read_eth(o, cluster)?;
        let body = match arp {
            Some(node) => Body::Arp(Arp::read(node.object()?, cluster)?),
            None if o.has("ip6") => Body::Ip(Box::new(Ip::read6(o, cluster, depth)?)),
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
            spa: read_addr_of(&mut o, "spa", Family::V4, cluster)?,
            tha: o.take("tha").map_or(Ok(MacAddr::ZERO), |n| read_mac(&n, cluster))?,
            tpa: read_addr_of(&mut o, "tpa", Family::V4, cluster)?,
        };
        o.end()?;
        Ok(arp)
    }
}

impl Ip {
    /// A whole packet with the lab's defaults.
    pub fn new(src: IpAddr, dst: IpAddr, l4: L4, data: Vec<u8>) -> Self {
        let v4 = Single { id: DEFAULT_ID, df: false, mf: false, off: 0, options: Vec::new(), bad_checksum: false };
        Self {
            src,
            dst,
            ttl: DEFAULT_TTL,
            tos: 0,
            len: None,
            header: if dst.is_ipv4() { Header::V4(v4) } else { Header::V6(Chain::default()) },
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
        let header = Single {
            id: ip.or("id", DEFAULT_ID)?,
            df: read_flag(&mut ip, "df")?,
            mf: read_flag(&mut ip, "mf")?,
            off: ip.or("off", 0)?,
            options: read_options(&mut ip)?,
            bad_checksum: ip.or("ck", L4Checksum::Ok)? == L4Checksum::Bad,
        };
        let packet = Self {
            src: read_addr_of(&mut ip, "s", Family::V4, cluster)?,
            dst: read_addr_of(&mut ip, "d", Family::V4, cluster)?,
            ttl: ip.or("ttl", DEFAULT_TTL)?,
            tos: ip.or("tos", 0)?,
            len: ip.optional("len")?,
            header: Header::V4(header),
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
        let (rest, quote) = match o.take("quote") {
            Some(node) => {
                let mut quote = node.object()?;
                let packet = Box::new(Ip::read(&mut quote, cluster, depth + 1)?);
                quote.end()?;
                let rest = match o.has("gw").then(|| read_addr_of(&mut o, "gw", Family::V4, cluster)).transpose()? {
                    Some(IpAddr::V4(gateway)) => gateway.octets(),
                    _ => halves(0, o.or("mtu", 0)?),
                };
                (rest, Some((packet, o.or("quote_len", 28)?)))
            }
            None => (halves(o.or("id", 1)?, o.or("seq", 1)?), None),
        };
        let checksum = o.or("ck", L4Checksum::Ok)?;
        let icmp = Self { kind: o.read("type")?, code: o.read("code")?, rest, quote, checksum };
        o.end()?;
        Ok(icmp)
    }
}

/// A pod's name or an address, of this family.
fn read_addr_of(o: &mut Object<'_>, key: &'static str, family: Family, cluster: &Cluster) -> Result<IpAddr, SpecError> {
    let node = o.need(key)?;
    let addr = read_addr(&node, cluster)?;
    if Family::of(addr) == family {
        Ok(addr)
    } else {
        Err(node.error(format!("{addr} is an address of the other family")))
    }
}

/// Two numbers of two bytes.
const fn halves(first: u16, second: u16) -> [u8; 4] {
    ((first as u32) << 16 | second as u32).to_be_bytes()
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
