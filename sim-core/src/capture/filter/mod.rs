//! Which frames a capture keeps: expressions as pcap-filter(7) has them, and a few words of our own.
//!
//! | | |
//! | --- | --- |
//! | `[tcp\|udp\|sctp] [src\|dst] host A`, `net A/N`, `port P`, `portrange P-Q` | addresses and ports; `host` may be left out |
//! | `ether [src\|dst] host M` | hardware addresses |
//! | `ip` `ip6` `arp` `icmp` `tcp` `udp` `sctp` `vxlan [VNI]` | protocols |
//! | `less N` `greater N` `inbound` `outbound` `broadcast` `multicast` | length, direction, kind of address |
//! | `netns NAME` `dev NAME` | where; `*` stands for any letters |
//! | `packet ID` `dropped` | one packet wherever it is; what was dropped |
//! | `not` `and` `or` `!` `&&` `\|\|` `( )` | as there: `not` binds most, `and` and `or` alike, from the left |
//!
//! Further words for things with addresses are given by whoever reads an expression. Like Wireshark's display filters and
//! unlike BPF, every test looks into VXLAN packets, too, and is true if it is for the outer or for the inner headers.

mod parse;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::layers::{Layer, layers};
use super::{Direction, End, Names, Seen};
use crate::wire::eth::MacAddr;

/// A filter.
#[derive(Clone, Debug)]
pub struct Filter {
    root: Expr,
    named: Vec<Named>,
}

/// What is wrong with an expression.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct FilterError {
    /// Where, in bytes from 1.
    pub column: usize,
    /// What.
    pub message: String,
}

/// A name in which `*` stands for any letters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern written so.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether a name fits.
    pub fn fits(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something with addresses that is asked for by name.
#[derive(Clone, Debug)]
pub struct Named {
    /// What it is, by one of the words given to [`Filter::parse`].
    pub kind: String,
    /// What it is called.
    pub name: Pattern,
    ends: BTreeSet<(IpAddr, Option<u16>)>,
    found: bool,
}

#[derive(Clone, Debug)]
enum Expr {
    Test(Test),
    Not(Box<Expr>),
    /// From the left, without precedence.
    Chain(Box<Expr>, Vec<(Joint, Expr)>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Joint {
    And,
    Or,
}

/// Which of two ends must fit (`src`, `dst`, `src or dst`, `src and dst`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Which {
    Source,
    Destination,
    Either,
    Both,
}

impl Which {
    fn of<T: Copy>(self, ends: [T; 2], fits: impl Fn(T) -> bool) -> bool {
        match self {
            Self::Source => fits(ends[0]),
            Self::Destination => fits(ends[1]),
            Self::Either => ends.into_iter().any(fits),
            Self::Both => ends.into_iter().all(fits),
        }
    }
}

#[derive(Clone, Debug)]
enum Test {
    /// EtherType.
    Ether(u16),
    /// IP protocol.
    Proto(u8),
    Vxlan(Option<u32>),
    Net(Option<u8>, Which, IpNet),
    Ports(Option<u8>, Which, u16, u16),
    Mac(Which, MacAddr),
    /// Something of [`Filter::named`].
    Named(Which, usize),
    Netns(Pattern),
    Dev(Pattern),
    Packet(u64),
    Dropped,
    Passing(Direction),
    /// At most, at least so many bytes.
    Less(usize),
    Greater(usize),
    Broadcast,
    Multicast,
}

impl Filter {
    /// Reads an expression. `kinds` are words that, followed by a name, stand for addresses; see [`Self::resolve`].
    ///
    /// # Errors
    /// The first thing that is not understood, with its column.
    pub fn parse(text: &str, kinds: &[&str]) -> Result<Self, FilterError> {
        parse::parse(text, kinds)
    }

    /// Asks for the addresses (and ports; `None` for all) of everything that is named. Names come and go: to be called again
    /// from time to time. What was once found is kept.
    pub fn resolve(&mut self, lookup: impl Fn(&str, &Pattern) -> Vec<End>) {
        for named in &mut self.named {
            named.ends.extend(lookup(&named.kind, &named.name).into_iter().map(|end| (end.ip, end.port)));
            named.found |= !named.ends.is_empty();
        }
    }

    /// What was named and never found.
    pub fn not_found(&self) -> impl Iterator<Item = &Named> {
        self.named.iter().filter(|named| !named.found)
    }

    /// Whether the capture keeps it.
    pub fn accepts(&self, seen: &Seen, names: &dyn Names) -> bool {
        let layers = layers(seen.frame());
        self.holds(&self.root, &Asked { seen, names, layers: layers.as_slice() })
    }

    fn holds(&self, expr: &Expr, asked: &Asked<'_>) -> bool {
        match expr {
            Expr::Test(test) => self.test(test, asked),
            Expr::Not(expr) => !self.holds(expr, asked),
            Expr::Chain(first, rest) => {
                rest.iter().fold(self.holds(first, asked), |so_far, (joint, expr)| match joint {
                    Joint::And => so_far && self.holds(expr, asked),
                    Joint::Or => so_far || self.holds(expr, asked),
                })
            }
        }
    }

    fn test(&self, test: &Test, asked: &Asked<'_>) -> bool {
        let (netns, dev) = asked.seen.tap();
        let any = |fits: &dyn Fn(&Layer) -> bool| asked.layers.iter().any(fits);
        match test {
            Test::Ether(ethertype) => any(&|layer| layer.eth.ethertype == *ethertype),
            Test::Proto(proto) => any(&|layer| layer.proto == Some(*proto)),
            Test::Vxlan(vni) => any(&|layer| layer.vni.is_some_and(|found| vni.is_none_or(|vni| vni == found))),
            Test::Net(proto, which, net) => any(&|layer| {
                let ends = layer.ends.filter(|_| layer.is(*proto));
                ends.is_some_and(|ends| which.of(ends, |end| net.contains(&end.ip)))
            }),
            Test::Ports(proto, which, low, high) => any(&|layer| {
                let ends = layer.ends.filter(|_| layer.is(*proto));
                let fits = |end: End| end.port.is_some_and(|port| (*low..=*high).contains(&port));
                ends.is_some_and(|ends| which.of(ends, fits))
            }),
            Test::Mac(which, mac) => any(&|layer| which.of([layer.eth.src, layer.eth.dst], |found| found == *mac)),
            Test::Named(which, index) => {
                let known = &self.named[*index].ends;
                let fits = |end: End| known.contains(&(end.ip, end.port)) || known.contains(&(end.ip, None));
                any(&|layer| layer.ends.is_some_and(|ends| which.of(ends, fits)))
            }
            Test::Netns(name) => name.fits(asked.names.netns_name(netns)),
            Test::Dev(name) => dev.is_some_and(|dev| {
                let dev = asked.names.dev_name(netns, dev);
                name.fits(dev) || name.fits(&format!("{}/{dev}", asked.names.netns_name(netns)))
            }),
            Test::Packet(id) => asked.seen.packet().0 == *id,
            Test::Dropped => matches!(asked.seen, Seen::Loss(_)),
            Test::Passing(direction) => matches!(asked.seen, Seen::Hop(hop) if hop.direction == *direction),
            Test::Less(bytes) => asked.seen.frame().len() <= *bytes,
            Test::Greater(bytes) => asked.seen.frame().len() >= *bytes,
            Test::Broadcast => any(&|layer| layer.eth.dst == MacAddr::BROADCAST),
            Test::Multicast => any(&|layer| layer.eth.dst.is_multicast()),
        }
    }
}

/// What is asked about.
struct Asked<'a> {
    seen: &'a Seen,
    names: &'a dyn Names,
    layers: &'a [Layer],
}

#[cfg(test)]
mod tests;
