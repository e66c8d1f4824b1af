//! The matches: one file each, and one line here.

use std::fmt;

use super::packet::RulePacket;
use super::rule::Selector;
use super::state::{MatchMemory, RecentLists};
use super::table::TableName;
use crate::netfilter::hooks::Hook;
use crate::netfilter::text::{Given, TextError};
use crate::wire::ip::Family;
use hashlimit::HashTables;

pub mod addrtype;
pub mod comment;
pub mod connlimit;
pub mod connmark;
pub mod conntrack;
pub mod dscp;
pub mod dst;
pub mod eui64;
pub mod frag;
pub mod hashlimit;
pub mod hbh;
pub mod hl;
pub mod icmp;
pub mod icmp6;
pub mod iprange;
pub mod ipv6header;
pub mod length;
pub mod limit;
pub mod mac;
pub mod mark;
pub mod mh;
pub mod multiport;
pub mod opts;
pub mod physdev;
pub mod pkttype;
pub mod ports;
mod rate;
pub mod recent;
pub mod rpfilter;
pub mod rt;
pub mod sctp;
pub mod set;
pub mod state;
pub mod statistic;
pub mod tcp;
pub mod ttl;
pub mod udp;

/// What a match is asked with.
pub(crate) struct Question<'q, 'a> {
    pub(crate) packet: &'q mut RulePacket<'a>,
    /// What this match of this rule remembers.
    pub(crate) memory: &'q mut MatchMemory,
    /// The recent lists of the netns.
    pub(crate) recent: &'q mut RecentLists,
    /// The hashlimit tables of the netns.
    pub(crate) hashlimits: &'q mut HashTables,
}

/// What a match says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// The packet fits.
    Yes,
    /// It does not.
    No,
    /// The packet is so broken that it is dropped at once (`xt_action_param.hotdrop`).
    Hotdrop,
}

impl From<bool> for Answer {
    fn from(fits: bool) -> Self {
        if fits { Self::Yes } else { Self::No }
    }
}

/// What a match file supplies: its name, its options, its meaning. Printing is its `Display`, each option
/// with a blank before it, in the order iptables-save writes them.
pub(crate) trait Kind: Default + fmt::Display {
    /// The name after `-m`.
    const NAME: &'static str;
    /// Whose rules alone may use it; `None`: those of both.
    const FAMILY: Option<Family> = None;
    /// The tables it can be used in (`xt_match.table`, and what `checkentry` asks); empty is all of them.
    const TABLES: &'static [TableName] = &[];
    /// What it is in rules of a family before any of its options.
    fn of(_: Family) -> Self {
        Self::default()
    }
    /// Why it can only be used in some rules; `Ok` if it can be used in this one.
    fn check(&self, _selector: &Selector, _hooks: &[Hook]) -> Result<(), String> {
        Ok(())
    }
    /// Takes the option if it is one of its own.
    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError>;
    /// After the last option: what is missing.
    fn finish(&mut self) -> Result<(), String> {
        Ok(())
    }
    /// Asks the packet.
    fn asks(&self, question: &mut Question<'_, '_>) -> Answer;
    /// Whether conntrack must run for it.
    const NEEDS_CONNTRACK: bool = false;
    /// What it remembers between packets, at first.
    fn memory(&self) -> MatchMemory {
        MatchMemory::None
    }
}

macro_rules! register {
    ($($(#[$doc:meta])* $kind:ident($file:ident),)*) => {
        /// A match: a further condition of a rule.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Match { $($(#[$doc])* $kind($file::$kind),)* }

        impl Match {
            /// The names of all matches.
            pub const NAMES: &'static [&'static str] = &[$($file::$kind::NAME),*];

            /// The name after `-m`.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$kind(_) => $file::$kind::NAME,)* }
            }

            /// The match called `name` in rules of a family, before any of its options.
            pub(crate) fn named(name: &str, family: Family) -> Option<Self> {
                $(if name == $file::$kind::NAME && $file::$kind::FAMILY.is_none_or(|only| only == family) {
                    return Some(Self::$kind($file::$kind::of(family)));
                })*
                None
            }

            /// Whether conntrack must run for it.
            pub fn needs_conntrack(&self) -> bool {
                match self { $(Self::$kind(_) => $file::$kind::NEEDS_CONNTRACK,)* }
            }

            /// The tables it can be used in; empty is all of them.
            pub(crate) fn tables(&self) -> &'static [TableName] {
                match self { $(Self::$kind(_) => $file::$kind::TABLES,)* }
            }

            pub(crate) fn check(&self, selector: &Selector, hooks: &[Hook]) -> Result<(), String> {
                match self { $(Self::$kind(m) => m.check(selector, hooks),)* }
            }

            pub(crate) fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
                match self { $(Self::$kind(m) => m.option(given),)* }
            }

            pub(crate) fn finish(&mut self) -> Result<(), String> {
                match self { $(Self::$kind(m) => m.finish(),)* }
            }

            pub(crate) fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
                match self { $(Self::$kind(m) => m.asks(question),)* }
            }

            pub(crate) fn memory(&self) -> MatchMemory {
                match self { $(Self::$kind(m) => m.memory(),)* }
            }
        }

        impl fmt::Display for Match {
            /// As iptables-save writes it after the selector: `-m tcp --dport 80`.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$kind(m) => write!(f, "-m {}{m}", $file::$kind::NAME),)* }
            }
        }
    };
}

register! {
    /// What kind of address it is.
    AddrType(addrtype),
    /// A remark.
    Comment(comment),
    /// The connection's mark.
    Connmark(connmark),
    /// How many connections there are.
    Connlimit(connlimit),
    /// What conntrack knows.
    Conntrack(conntrack),
    /// The differentiated services code point.
    Dscp(dscp),
    /// The destination options.
    Dst(dst),
    /// Whether source address and hardware address belong together.
    Eui64(eui64),
    /// What the fragment header says.
    Frag(frag),
    /// So many per time of each kind.
    Hashlimit(hashlimit),
    /// The hop-by-hop options.
    Hbh(hbh),
    /// The hop limit.
    Hl(hl),
    /// ICMP type and code.
    Icmp(icmp),
    /// ICMPv6 type and code.
    Icmp6(icmp6),
    /// Which headers a packet of IPv6 has.
    Ipv6Header(ipv6header),
    /// Ranges of addresses.
    Iprange(iprange),
    /// The packet's length.
    Length(length),
    /// So many per time.
    Limit(limit),
    /// The source hardware address.
    Mac(mac),
    /// The packet's mark.
    Mark(mark),
    /// Messages of mobile IPv6.
    Mh(mh),
    /// Several ports.
    Multiport(multiport),
    /// Bridge ports.
    Physdev(physdev),
    /// To whom the frame was addressed.
    Pkttype(pkttype),
    /// Who was here lately.
    Recent(recent),
    /// Whether the way back is the way it came.
    Rpfilter(rpfilter),
    /// The routing header.
    Rt(rt),
    /// SCTP ports.
    Sctp(sctp),
    /// Whether it is in a set.
    Set(set),
    /// The older spelling of `conntrack --ctstate`.
    State(state),
    /// A share of the packets.
    Statistic(statistic),
    /// TCP ports, flags and options.
    Tcp(tcp),
    /// The time to live.
    Ttl(ttl),
    /// UDP ports.
    Udp(udp),
}

/// The match that `-p proto` brings along when one of its options is used without `-m` (libxtables `find_proto`).
pub(crate) fn implied_by(proto: u8, family: Family) -> Option<Match> {
    use crate::wire::ip::{ICMP, ICMPV6, MOBILITY, SCTP, TCP, UDP};
    let name = match proto {
        TCP => tcp::Tcp::NAME,
        UDP => udp::Udp::NAME,
        SCTP => sctp::Sctp::NAME,
        ICMP => icmp::Icmp::NAME,
        ICMPV6 => icmp6::Icmp6::NAME,
        MOBILITY => mh::Mh::NAME,
        _ => return None,
    };
    Match::named(name, family)
}

/// The answer of matches that ask for the ports of one protocol.
pub(crate) fn needs_proto(selector: &Selector, protos: &[u8], spelled: &str) -> Result<(), String> {
    match selector.only_proto() {
        Some(proto) if protos.contains(&proto) => Ok(()),
        _ => Err(format!("it needs {spelled} in the same rule")),
    }
}

impl Question<'_, '_> {
    /// Bytes of the L4 header as nft's payload expressions load them: those of a later fragment are not there, nor is
    /// what was cut (net/netfilter/nft_payload.c). A rule that asks for them does not fit.
    pub(crate) fn l4_bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let (_, upper) = self.packet.upper.filter(|_| self.packet.ip.frag_offset == 0)?;
        upper.get(at..at + N)?.try_into().ok()
    }

    /// The bytes of the upper layer, at least `least`.
    ///
    /// # Errors
    /// Hotdrop for a cut header.
    pub(crate) fn upper(&self, least: usize) -> Result<&[u8], Answer> {
        let (_, bytes) = self.packet.upper.ok_or(Answer::Hotdrop)?;
        Some(bytes).filter(|bytes| bytes.len() >= least).ok_or(Answer::Hotdrop)
    }

    /// Source and destination port of a packet whose L4 header has at least `header` bytes; else the answer:
    /// no for a later fragment, hotdrop for a cut header.
    pub(crate) fn ports(&self, header: usize) -> Result<(u16, u16), Answer> {
        if self.packet.ip.frag_offset != 0 {
            return Err(Answer::No);
        }
        let b = self.upper(header)?;
        Ok((u16::from_be_bytes([b[0], b[1]]), u16::from_be_bytes([b[2], b[3]])))
    }
}
