//! What rules see of a packet, and what they may change.

use std::net::IpAddr;

use super::targets::ct::CtTemplate;
use super::targets::tcpmss::MssLimit;
use crate::engine::mutant::Planted;
use crate::engine::rng::Stream;
use crate::engine::time::Instant;
use crate::netfilter::conntrack::{Conntrack, Dir, Entry};
use crate::netfilter::ipset::IpSets;
use crate::netfilter::ipset::ask::Subject;
use crate::wire::eth::MacAddr;
use crate::wire::ext;
use crate::wire::ip::{Family, IpHeader};
use crate::wire::packet::{CtInfo, CtRef, Packet, PacketType};

/// What conntrack says about a packet (the states of `--ctstate`, without SNAT and DNAT, which are status bits).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CtState {
    /// Nothing can be said: no entry, and not exempted.
    #[default]
    Invalid,
    /// The packet starts a connection.
    New,
    /// It belongs to a connection, in either direction.
    Established,
    /// It is about a connection (ICMP error) or expected by one.
    Related,
    /// It was exempted from tracking.
    Untracked,
}

/// What conntrack knows about a packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct CtFacts<'a> {
    /// Its relation to a connection.
    pub state: CtState,
    /// The connection, and the direction the packet travels in; `None` if the packet is INVALID or UNTRACKED.
    pub flow: Option<(&'a Entry, Dir)>,
    /// The connection's mark; CONNMARK changes it, and the caller stores it back if there is a connection.
    pub mark: u32,
}

impl<'a> CtFacts<'a> {
    /// What `ct` knows about `packet`.
    pub fn of(ct: &'a Conntrack, packet: &Packet) -> Self {
        let Some((_, info, entry)) = ct.of(packet) else {
            let state = if packet.ct == CtRef::Untracked { CtState::Untracked } else { CtState::Invalid };
            return Self { state, ..Self::default() };
        };
        let state = match info {
            CtInfo::New => CtState::New,
            CtInfo::Established | CtInfo::EstablishedReply => CtState::Established,
            CtInfo::Related | CtInfo::RelatedReply => CtState::Related,
        };
        Self { state, flow: Some((entry, Dir::of(info))), mark: entry.mark }
    }
}

/// What the FIB says about an address (`RTN_*`, include/uapi/linux/rtnetlink.h).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddrType {
    /// 0.0.0.0.
    Unspec,
    /// Reached by a gateway or on a link.
    Unicast,
    /// One of this netns' own.
    Local,
    /// Of everyone on a link.
    Broadcast,
    /// Of one of several hosts.
    Anycast,
    /// Of a group.
    Multicast,
    /// Dropped silently.
    Blackhole,
    /// Refused as unreachable.
    Unreachable,
    /// Refused as prohibited.
    Prohibit,
}

/// A packet's way back, to be looked up.
#[derive(Clone, Copy, Debug)]
pub struct ReversePath<'a> {
    /// The packet's source.
    pub src: IpAddr,
    /// The packet's destination.
    pub dst: IpAddr,
    /// The device it came in by.
    pub dev: &'a str,
    /// The mark that takes part; 0 for none.
    pub mark: u32,
    /// Whether any device will do.
    pub loose: bool,
    /// Whether a source that is this host's own will do.
    pub accept_local: bool,
}

/// What rules may ask of the FIB of a netns.
pub trait FibFacts {
    /// The type of `addr` (`inet_addr_type`), or with `dev` only as seen on that device (`inet_dev_addr_type`).
    fn addr_type(&self, addr: IpAddr, dev: Option<&str>) -> AddrType;
    /// Whether an answer would leave by the device the packet came in by (`rpfilter_lookup_reverse`).
    fn reverses(&self, path: &ReversePath<'_>) -> bool;
}

/// One packet at one hook.
pub struct RulePacket<'a> {
    /// Its IP header; TTL and DSCP change it, and the caller edits the packet.
    pub ip: IpHeader,
    /// The packet, from its IP header.
    pub l3: &'a [u8],
    /// What follows the headers, as conntrack and most extensions see it ([`IpHeader::behind_headers`]), of the protocol that
    /// `ip` says. `None` where one of them is not there.
    pub l4: Option<&'a [u8]>,
    /// The upper layer as nft sees it: its protocol and its bytes. `None` where the headers before are cut short.
    pub upper: Option<(u8, &'a [u8])>,
    /// The device it came in by; empty if none.
    pub in_dev: &'a str,
    /// The device it leaves by; empty if none.
    pub out_dev: &'a str,
    /// The bridge port it came in by; empty if it is not bridged.
    pub physin: &'a str,
    /// The bridge port it leaves by; empty if it is not bridged or that is not known yet.
    pub physout: &'a str,
    /// To whom its frame was addressed.
    pub pkt_type: PacketType,
    /// The source hardware address it came with; `None` for what this host sends.
    pub mac: Option<MacAddr>,
    /// What conntrack knows.
    pub ct: CtFacts<'a>,
    /// All connections.
    pub conntrack: &'a Conntrack,
    /// What the FIB knows.
    pub fib: &'a dyn FibFacts,
    /// The sets of the netns, which count and which SET changes.
    pub sets: &'a mut IpSets,
    /// Simulated time.
    pub now: Instant,
    /// Where `statistic --mode random` draws.
    pub rng: &'a mut Stream,
    /// The mistake that is made, to test tests.
    pub planted: Planted,
    /// Changed by MARK and CONNMARK: `skb->mark`. The caller stores it back.
    pub mark: u32,
    /// Set by TRACE: `skb->nf_trace`. The caller stores it back, and asks later tables with it.
    pub traced: bool,
    /// Set by CT: how conntrack shall treat the packet, which it has not seen yet.
    pub template: Option<CtTemplate>,
    /// Set by TCPMSS: the caller edits the SYN's MSS option.
    pub mss: Option<MssLimit>,
}

/// The upper layer of a packet as nft sees it (`nft_set_pktinfo_ipv4`, `nft_set_pktinfo_ipv6`).
pub(crate) fn upper<'a>(ip: &IpHeader, l3: &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (at, proto) = match ip.family() {
        Family::V4 => (usize::from(ip.header_len), ip.proto),
        Family::V6 => ext::find_upper(l3)?,
    };
    Some((proto, l3.get(at..).unwrap_or(&[])))
}

impl<'a> RulePacket<'a> {
    /// The sets, and what they see of the packet.
    pub(crate) fn with_sets(&mut self) -> (&mut IpSets, Subject<'a>) {
        let (ip, l4, now) = (&self.ip, self.l4.unwrap_or(&[]), self.now);
        let later_fragment = ip.frag_offset != 0;
        let len = u64::from(ip.total_len);
        let subject = Subject { src: ip.src, dst: ip.dst, proto: ip.proto, later_fragment, l4, len, now };
        (self.sets, subject)
    }
}
