//! Elements of sets: as values, and as `ipset` reads and writes them.

use std::cmp::Reverse;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;

use super::header::{Family, Header, Type};
use super::words::{count_in, number_in, unknown_argument};
use super::{MAX_NAME, SetError, refused};
use crate::netfilter::rules::matches::icmp::IcmpType;
use crate::netfilter::rules::matches::ports::port;
use crate::netfilter::text::rule::{protocol, protocol_name};
use crate::wire::ip::{ICMP, SCTP, TCP, UDP};

/// Longest timeout in seconds (`IPSET_MAX_TIMEOUT`).
pub(super) const MAX_TIMEOUT: u64 = (u32::MAX / 1000 / 2) as u64;
/// Longest comment (`IPSET_MAX_COMMENT_SIZE`).
const MAX_COMMENT: usize = 255;
/// Most elements that one entry stands for.
const MAX_SPAN: u64 = 1 << 24;
/// UDP-Lite's protocol number.
pub(super) const UDPLITE: u8 = 136;

/// A protocol and its port; for ICMP type and code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ProtoPort {
    /// The protocol.
    pub proto: u8,
    /// The port, 0 for a protocol without.
    pub port: u16,
}

/// One element. Their order is that of `ipset list -sorted`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Element {
    /// An address.
    Ip(IpAddr),
    /// A network, host bits cleared; the longer prefix first.
    Net(IpAddr, Reverse<u8>),
    /// An address with a port.
    IpPort(IpAddr, ProtoPort),
    /// A port.
    Port(u16),
    /// A set.
    Set(Arc<str>),
}

impl Element {
    /// An address cut to `bits`.
    pub(super) fn ip(addr: IpAddr, bits: u8) -> Self {
        Self::Ip(cut(addr, bits))
    }

    /// A network around an address.
    pub(super) fn net(addr: IpAddr, bits: u8) -> Self {
        Self::Net(cut(addr, bits), Reverse(bits))
    }

    /// Whether it is the address 0, which hashes do not hold.
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Ip(addr) | Self::IpPort(addr, _) if addr.is_unspecified())
    }
}

fn cut(addr: IpAddr, bits: u8) -> IpAddr {
    // A length that does not fit the family cannot come from the text, which is checked.
    IpNet::new(addr, bits).map_or(addr, |net| net.network())
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => write!(f, "{addr}"),
            Self::Net(addr, Reverse(bits)) if *bits == Family::of(*addr).bits() => write!(f, "{addr}"),
            Self::Net(addr, Reverse(bits)) => write!(f, "{addr}/{bits}"),
            Self::IpPort(addr, port) => write!(f, "{addr},{port}"),
            Self::Port(port) => write!(f, "{port}"),
            Self::Set(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for ProtoPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", protocol_name(self.proto))?;
        let [kind, code] = self.port.to_be_bytes();
        match self.proto {
            ICMP => match IcmpType::name_of(kind, code) {
                Some(name) => f.write_str(name),
                None => write!(f, "{kind}/{code}"),
            },
            _ => write!(f, "{}", self.port),
        }
    }
}

/// Where a member is put into a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Before(Arc<str>),
    After(Arc<str>),
}

/// What the words after a set's name stand for: one element or many, and what comes with them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    span: Span,
    pub(super) timeout: Option<u32>,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) comment: Option<Arc<str>>,
    pub(super) nomatch: bool,
    pub(super) place: Option<Place>,
}

/// First and last address, IPv4 ones as numbers.
type Addrs = (IpAddr, IpAddr);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Span {
    /// Addresses, one of each `netmask` bits.
    Ips(Addrs, u8),
    Nets(Vec<(IpAddr, u8)>),
    IpPorts(Addrs, ProtoPort, u16),
    Ports(u16, u16),
    Member(Arc<str>),
}

impl Entry {
    /// Reads the words for a set like `header`.
    pub(super) fn read(words: &[String], header: &Header) -> Result<Self, SetError> {
        let Some((element, options)) = words.split_first() else {
            return Err(SetError::Usage("Missing second mandatory argument to command add".into()));
        };
        let span = Span::read(element, header)?;
        let (timeout, comment, place) = (None, None, None);
        let mut entry = Self { span, timeout, packets: 0, bytes: 0, comment, nomatch: false, place };
        let mut options = options.iter();
        let (mut counted, mut commented) = (false, false);
        while let Some(option) = options.next() {
            let mut value = || {
                let missing = || SetError::Usage(format!("Missing mandatory argument of option `{option}'"));
                options.next().ok_or_else(missing)
            };
            match option.as_str() {
                "timeout" => entry.timeout = Some(number_in(value()?, 0, MAX_TIMEOUT)? as u32),
                "packets" => (entry.packets, counted) = (count_in(value()?)?, true),
                "bytes" => (entry.bytes, counted) = (count_in(value()?)?, true),
                "comment" => (entry.comment, commented) = (comment_of(value()?)?, true),
                "nomatch" if matches!(header.kind, Type::HashNet) => entry.nomatch = true,
                "before" if header.kind.is_list() => entry.place = Some(Place::Before(name_of(value()?)?)),
                "after" if header.kind.is_list() => entry.place = Some(Place::After(name_of(value()?)?)),
                other => return Err(unknown_argument(other)),
            }
        }
        for (wanted, there, what) in [
            (
                entry.timeout.is_some(),
                header.timeout.is_some(),
                "Timeout cannot be used: set was created without timeout",
            ),
            (counted, header.counters, "Packet/byte counters cannot be used: set was created without counter"),
            (commented, header.comment, "Comment cannot be used: set was created without comment"),
        ] {
            if wanted && !there {
                return refused(format!("{what} support"));
            }
        }
        entry.check(header)?;
        Ok(entry)
    }

    fn check(&self, header: &Header) -> Result<(), SetError> {
        match &self.span {
            Span::Nets(nets) if nets.iter().any(|(_, bits)| *bits == 0) => {
                refused("The value of the CIDR parameter of the IP address is invalid")
            }
            Span::Ports(first, last) => match header.kind {
                Type::BitmapPort { first: from, last: to } if *first < from || *last > to => {
                    refused("Element is out of the range of the set")
                }
                _ => Ok(()),
            },
            Span::Ips((first, _), _) | Span::IpPorts((first, _), ..) if first.is_unspecified() => {
                refused("Null-valued element, cannot be stored in a hash type of set")
            }
            span if span.len() > MAX_SPAN => refused(format!("not supported: more than {MAX_SPAN} elements at once")),
            _ => Ok(()),
        }
    }

    /// The elements in the order in which they are added.
    pub(super) fn elements(&self) -> Box<dyn Iterator<Item = Element> + '_> {
        match &self.span {
            Span::Ips(addrs, bits) => {
                let step = 1 << u32::from(Family::of(addrs.0).bits() - bits).min(32);
                Box::new(each(*addrs, step).map(|addr| Element::ip(addr, *bits)))
            }
            Span::Nets(nets) => Box::new(nets.iter().map(|(addr, bits)| Element::net(*addr, *bits))),
            Span::IpPorts(addrs, first, last) => Box::new(each(*addrs, 1).flat_map(move |addr| {
                let ports = first.port..=*last;
                ports.map(move |port| Element::IpPort(addr, ProtoPort { port, ..*first }))
            })),
            Span::Ports(first, last) => Box::new((*first..=*last).map(Element::Port)),
            Span::Member(name) => Box::new(std::iter::once(Element::Set(name.clone()))),
        }
    }

    /// The set that is to be a member, in a list's entry.
    pub(super) fn member(&self) -> Option<&Arc<str>> {
        if let Span::Member(name) = &self.span { Some(name) } else { None }
    }

    /// As `ipset test` names it.
    pub(super) fn show(&self) -> String {
        self.elements().next().map_or_else(String::new, |element| element.to_string())
    }
}

/// The addresses of a range, `step` apart; of IPv6 only the first.
fn each((first, last): Addrs, step: u64) -> impl Iterator<Item = IpAddr> {
    let (from, to) = match (first, last) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u64::from(u32::from(a)), u64::from(u32::from(b))),
        _ => (0, 0),
    };
    let addr = move |n: u64| if first.is_ipv4() { IpAddr::V4(Ipv4Addr::from(n as u32)) } else { first };
    (from..=to).step_by(usize::try_from(step).unwrap_or(usize::MAX)).map(addr)
}

impl Span {
    fn len(&self) -> u64 {
        let addrs = |(first, last): &Addrs| match (first, last) {
            (IpAddr::V4(a), IpAddr::V4(b)) => u64::from(u32::from(*b)) - u64::from(u32::from(*a)) + 1,
            _ => 1,
        };
        match self {
            Self::Ips(range, bits) => addrs(range) >> (32 - (*bits).min(32)),
            Self::IpPorts(range, first, last) => addrs(range) * u64::from(last - first.port + 1),
            _ => 1,
        }
    }

    fn read(text: &str, header: &Header) -> Result<Self, SetError> {
        let family = header.family.unwrap_or(Family::Inet);
        let kind = header.kind.name();
        let parts: Vec<&str> = text.split(',').collect();
        match (header.kind, &parts[..]) {
            (Type::ListSet { .. }, _) => Ok(Self::Member(name_of(text)?)),
            (Type::HashIpPort, [addr, port]) => {
                let (first, last) = ports_of(port)?;
                Ok(Self::IpPorts(addrs_of(addr, family)?, first, last))
            }
            (Type::HashIpPort, [_]) => refused(format!("Syntax error: Second element is missing from {text}.")),
            (Type::HashIpPort, _) => {
                refused(format!("Syntax error: Two elem separators in {text}, but settype {kind} supports one."))
            }
            (_, [_, _, ..]) => {
                refused(format!("Syntax error: Elem separator in {text}, but settype {kind} supports none."))
            }
            (Type::HashIp { netmask }, _) => Ok(Self::Ips(addrs_of(text, family)?, netmask)),
            (Type::HashNet, _) => Ok(Self::Nets(nets_of(text, family)?)),
            (Type::BitmapPort { .. }, _) => {
                let (first, last) = port_range(text)?;
                Ok(Self::Ports(first, last))
            }
        }
    }
}

fn name_of(text: &str) -> Result<Arc<str>, SetError> {
    match text.len() {
        0..=MAX_NAME => Ok(text.into()),
        _ => refused(format!("Syntax error: setname '{text}' is longer than {MAX_NAME} characters")),
    }
}

fn comment_of(text: &str) -> Result<Option<Arc<str>>, SetError> {
    match text {
        _ if text.contains('"') => refused("Syntax error: \" character is not permitted in comments"),
        _ if text.len() > MAX_COMMENT => {
            refused(format!("Syntax error: Comment is longer than the maximum allowed {MAX_COMMENT} characters"))
        }
        _ => Ok(Some(text.into()).filter(|_| !text.is_empty())),
    }
}

fn addr_of(text: &str, family: Family) -> Result<IpAddr, SetError> {
    let addr = match family {
        Family::Inet => text.parse().map(IpAddr::V4),
        Family::Inet6 => text.parse().map(IpAddr::V6),
    };
    let named = if family == Family::Inet { "IPv4" } else { "IPv6" };
    addr.or_else(|_| refused(format!("Syntax error: cannot parse {text}: resolving to {named} address failed")))
}

/// One address, and the prefix length behind it if there is any.
fn addr_and_bits(text: &str, family: Family) -> Result<(IpAddr, Option<u8>), SetError> {
    let Some((addr, bits)) = text.split_once('/') else { return Ok((addr_of(text, family)?, None)) };
    let bits = number_in(bits, 0, u64::from(family.bits()))?;
    Ok((addr_of(addr, family)?, Some(bits as u8)))
}

/// Addresses as one, as a network or as a range; of IPv6 only as one.
fn addrs_of(text: &str, family: Family) -> Result<Addrs, SetError> {
    if family == Family::Inet6 {
        let plain = !text.contains(['/', '-']);
        let supplied = || SetError::Refused(format!("Syntax error: plain IP address must be supplied: {text}"));
        let addr = addr_of(plain.then_some(text).ok_or_else(supplied)?, family)?;
        return Ok((addr, addr));
    }
    if let Some((first, last)) = text.split_once('-') {
        let (first, last) = (addr_of(first, family)?, addr_of(last, family)?);
        return Ok((first.min(last), first.max(last)));
    }
    let (addr, bits) = addr_and_bits(text, family)?;
    let net = IpNet::new(addr, bits.unwrap_or(family.bits())).unwrap_or_else(|_| addr.into());
    Ok((net.network(), net.broadcast()))
}

/// One network, or those that make up a range, each as long as can be (`ip_set_range_to_cidr`).
fn nets_of(text: &str, family: Family) -> Result<Vec<(IpAddr, u8)>, SetError> {
    let range = if family == Family::Inet { text.split_once('-') } else { None };
    let Some((first, last)) = range else {
        if text.contains('-') {
            return refused(format!("Syntax error: IP address or IP/cidr must be specified: {text}"));
        }
        let (addr, bits) = addr_and_bits(text, family)?;
        return Ok(vec![(addr, bits.unwrap_or(family.bits()))]);
    };
    let (first, last) = (addr_of(first, family)?, addr_of(last, family)?);
    let (IpAddr::V4(mut at), IpAddr::V4(last)) = (first.min(last), first.max(last)) else { return Ok(Vec::new()) };
    let mut nets = Vec::new();
    loop {
        let fits = |bits: &u8| ipnet::Ipv4Net::new(at, *bits).is_ok_and(|n| n.network() == at && n.broadcast() <= last);
        let bits = (1..=32).find(fits).unwrap_or(32);
        nets.push((at.into(), bits));
        let end = u32::from(at) | (u32::MAX.checked_shr(u32::from(bits)).unwrap_or(0));
        match end.checked_add(1).map(Ipv4Addr::from).filter(|next| *next <= last) {
            Some(next) => at = next,
            None => return Ok(nets),
        }
    }
}

/// `[PROTO:]PORT[-PORT]`; TCP unless another protocol is named.
fn ports_of(text: &str) -> Result<(ProtoPort, u16), SetError> {
    let (proto, ports) = match text.split_once(':') {
        None => (TCP, text),
        Some((proto, ports)) => {
            let cannot = |_| SetError::Refused(format!("Syntax error: cannot parse '{proto}' as a protocol"));
            (protocol(proto).map_err(cannot)?, ports)
        }
    };
    match proto {
        TCP | UDP | SCTP | UDPLITE => {
            let (first, last) = port_range(ports)?;
            Ok((ProtoPort { proto, port: first }, last))
        }
        ICMP => {
            let code = IcmpType::code_of(ports);
            let Some((kind, code)) = code else {
                return refused(format!("Cannot parse {ports} as an ICMP type/code."));
            };
            let port = u16::from_be_bytes([kind, code]);
            Ok((ProtoPort { proto, port }, port))
        }
        _ if ports == "0" => Ok((ProtoPort { proto, port: 0 }, 0)),
        _ => {
            let name = protocol_name(proto);
            refused(format!("Syntax error: Protocol {name} can be used with pseudo port value 0 only."))
        }
    }
}

fn port_range(text: &str) -> Result<(u16, u16), SetError> {
    let one = |text: &str| match number_in(text, 0, u64::from(u16::MAX)) {
        Ok(number) => Ok(number as u16),
        Err(error) => port(text).map_err(|_| error),
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (one(first)?, one(last)?),
        None => (one(text)?, one(text)?),
    };
    Ok((first.min(last), first.max(last)))
}
