//! The one door: the only way for an agent to change a netns, in the words of the tools people know.
//!
//! An operation is a value ([`Op`]); [`words`] reads it from a line as `ip -batch` and `bridge -batch` take
//! it. Each operation is one event of the world, all or nothing; what it may be refused with is an errno.
//! Rules come as iptables-restore text, each table's COMMIT one operation ([`super::rules`]).

mod addr;
mod bridge;
mod flow;
mod ipset;
mod link;
mod neigh;
mod route;
pub mod words;

use std::net::IpAddr;

use ipnet::IpNet;

use super::Netns;
use super::fib::{PolicyRule, RouteKind};
use super::neigh::Nud;
use crate::engine::errno::Errno;
use crate::engine::time::{Duration, Instant};
use crate::wire::eth::MacAddr;

pub use crate::netfilter::rules::TableName;
pub use flow::{Flow, Way};
pub use words::CommandError;

/// Name, address and MTU of a device to be made; what is left out gets the kernel's default.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewLink {
    /// Its name.
    pub name: String,
    /// Its hardware address; derived from netns and ifindex if `None` (the kernel draws one).
    pub mac: Option<MacAddr>,
    /// Its MTU; 1500, for VXLAN that of the lower device less 50.
    pub mtu: Option<u32>,
}

/// A device kind with what it needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NewKind {
    /// A bridge.
    Bridge,
    /// A pair; the other end is made in `netns`, or in the same one.
    Veth {
        /// The other end.
        peer: NewLink,
        /// The name of its netns.
        netns: Option<String>,
    },
    /// A VXLAN tunnel endpoint.
    Vxlan {
        /// Virtual network identifier.
        vni: u32,
        /// Source address of outer packets.
        local: Option<IpAddr>,
        /// Lower device.
        lower: Option<String>,
        /// UDP port.
        port: u16,
    },
}

/// What to change of a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LinkChange {
    /// Up or down.
    Up(bool),
    /// MTU in bytes.
    Mtu(u32),
    /// Hardware address.
    Address(MacAddr),
    /// Make it a port of this bridge, or of none.
    Master(Option<String>),
    /// `bridge link set … hairpin`.
    Hairpin(bool),
    /// `bridge link set … learning`.
    Learning(bool),
    /// `type bridge ageing_time`.
    AgeingTime(Duration),
}

/// How an entry is to be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Refused if there is one (`add`).
    Add,
    /// In place of the one there is (`replace`).
    Replace,
    /// Removes it (`del`).
    Del,
}

/// An address in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewAddr {
    /// The address with its prefix length.
    pub net: IpNet,
    /// Its broadcast address; [`Some`]`(None)` means "derive it" (`brd +`).
    pub broadcast: Option<Option<IpAddr>>,
    /// On which device.
    pub dev: String,
    /// Use it at once: nobody else is asked whether they have it (IPv6).
    pub nodad: bool,
}

/// A route in words: devices by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteWords {
    /// Destinations.
    pub dst: IpNet,
    /// What it does.
    pub kind: RouteKind,
    /// By which device.
    pub dev: Option<String>,
    /// By which next hop.
    pub via: Option<IpAddr>,
    /// Preferred source.
    pub src: Option<IpAddr>,
    /// Preference; smaller is better.
    pub metric: u32,
    /// Skip the check that the next hop is on a link.
    pub onlink: bool,
    /// MTU of the route.
    pub mtu: Option<u32>,
    /// MSS to announce.
    pub advmss: Option<u16>,
    /// Table number.
    pub table: u32,
}

/// One operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// `ip link add`
    LinkAdd(NewLink, NewKind),
    /// `ip link set`, `bridge link set`: changes in order.
    LinkSet(String, Vec<LinkChange>),
    /// `ip link del`
    LinkDel(String),
    /// `ip addr add|del`
    Addr(Mode, NewAddr),
    /// `ip route add|replace|del`
    Route(Mode, RouteWords),
    /// `ip rule add|del`; a device by name is resolved when read.
    Rule(Mode, PolicyRule, Option<String>),
    /// `ip neigh add|replace|del`
    Neigh {
        /// How.
        mode: Mode,
        /// Whose address.
        ip: IpAddr,
        /// Hardware address.
        mac: Option<MacAddr>,
        /// On which device.
        dev: String,
        /// State.
        state: Nud,
    },
    /// `bridge fdb add|replace|del`
    Fdb {
        /// How.
        mode: Mode,
        /// Whose address.
        mac: MacAddr,
        /// Port or VXLAN device.
        dev: String,
        /// Remote VTEP, for a VXLAN device.
        dst: Option<IpAddr>,
    },
}

impl Netns {
    /// Carries out an operation that concerns this netns alone.
    ///
    /// # Errors
    /// The errno the kernel would give; the netns is then unchanged.
    pub(crate) fn apply(&mut self, op: &Op, now: Instant) -> Result<(), Errno> {
        match op {
            Op::LinkAdd(new, kind) => self.link_add(new, kind).map(drop),
            Op::LinkSet(dev, changes) => changes.iter().try_for_each(|c| self.link_set(dev, c)),
            Op::LinkDel(dev) => {
                let dev = self.deletable(dev)?;
                self.remove_dev(dev);
                Ok(())
            }
            Op::Addr(mode, new) => self.addr_change(*mode, new),
            Op::Route(mode, route) => self.route_change(*mode, route),
            Op::Rule(mode, rule, iif) => self.rule_change(*mode, *rule, iif.as_deref()),
            Op::Neigh { mode, ip, mac, dev, state } => self.neigh_change(*mode, (*ip, *mac, *state), dev, now),
            Op::Fdb { mode, mac, dev, dst } => self.fdb_change(*mode, *mac, dev, *dst),
        }
    }
}
