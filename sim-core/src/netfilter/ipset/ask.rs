//! How a rule asks a set about a packet.

use std::net::IpAddr;

use super::element::{ProtoPort, UDPLITE};
use super::header::Type;
use crate::engine::time::Instant;
use crate::wire::ip::{ICMP, SCTP, TCP, UDP};

/// Which sides of a packet a rule asks for: `src` or `dst` for each dimension, the first one in bit 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sides {
    src: u8,
    dimension: u8,
}

impl Sides {
    /// Most sides of a rule (`IPSET_DIM_MAX`).
    const MAX: usize = 6;

    /// Reads `src,dst`.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut sides = Self::default();
        for (at, word) in text.split(',').enumerate() {
            if at >= Self::MAX {
                return Err("Can't be more src/dst options than 6.".into());
            }
            let src = match word {
                "src" => 1,
                "dst" => 0,
                _ => return Err("You must specify (the comma separated list of) 'src' or 'dst'.".into()),
            };
            sides.src |= src << at;
            sides.dimension += 1;
        }
        Ok(sides)
    }

    pub(crate) const fn dimension(self) -> u8 {
        self.dimension
    }

    const fn is_src(self, dimension: u8) -> bool {
        self.src >> dimension & 1 == 1
    }
}

impl std::fmt::Display for Sides {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<_> = (0..self.dimension).map(|d| if self.is_src(d) { "src" } else { "dst" }).collect();
        f.write_str(&words.join(","))
    }
}

/// What a set sees of a packet.
pub(crate) struct Subject<'a> {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) proto: u8,
    /// Whether it is a later fragment, in which no ports are.
    pub(crate) later_fragment: bool,
    pub(crate) l4: &'a [u8],
    /// Length of the whole packet.
    pub(crate) len: u64,
    pub(crate) now: Instant,
}

impl Subject<'_> {
    pub(super) fn addr(&self, sides: Sides) -> IpAddr {
        if sides.is_src(0) { self.src } else { self.dst }
    }

    /// Protocol and port, or ICMP type and code (`ip_set_get_ip4_port`); `None` if they should be there and are not.
    pub(super) fn port(&self, sides: Sides, dimension: u8) -> Option<ProtoPort> {
        let proto = self.proto;
        let with_port = matches!(proto, TCP | UDP | SCTP | UDPLITE | ICMP);
        if self.later_fragment && with_port {
            return None;
        }
        let at = match proto {
            ICMP => 0,
            _ if with_port && sides.is_src(dimension) => 0,
            _ if with_port => 2,
            _ => return Some(ProtoPort { proto, port: 0 }),
        };
        let bytes = self.l4.get(at..at + 2)?;
        Some(ProtoPort { proto, port: u16::from_be_bytes([bytes[0], bytes[1]]) })
    }
}

/// A condition on a counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Count {
    /// The same, or with true not.
    Eq(u64, bool),
    /// Less.
    Lt(u64),
    /// More.
    Gt(u64),
}

impl Count {
    pub(super) const fn holds(self, value: u64) -> bool {
        match self {
            Self::Eq(wanted, not) => (value == wanted) != not,
            Self::Lt(bound) => value < bound,
            Self::Gt(bound) => value > bound,
        }
    }
}

/// How a rule asks a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asking {
    /// `--return-nomatch`: exceptions fit, and nothing else.
    pub nomatch: bool,
    /// Elements count (not so with `! --update-counters`).
    pub count: bool,
    /// Elements of a list's members count (not so with `! --update-subcounters`).
    pub count_members: bool,
    /// Condition on an element's packets.
    pub packets: Option<Count>,
    /// Condition on an element's bytes.
    pub bytes: Option<Count>,
}

impl Default for Asking {
    fn default() -> Self {
        Self { nomatch: false, count: true, count_members: true, packets: None, bytes: None }
    }
}

impl Asking {
    /// Whether an exception is what is asked for.
    pub(super) const fn nomatch_wanted(self, kind: Type) -> bool {
        self.nomatch && matches!(kind, Type::HashNet)
    }
}
