//! Addresses of devices and the choice of a source address (net/ipv4/devinet.c; net/ipv6/addrconf.c).

mod rfc6724;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::engine::arena::DevId;
use crate::wire::ip::Family;

/// How far an address or a next hop reaches (include/uapi/linux/rtnetlink.h, `RT_SCOPE_*`); smaller reaches farther.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Scope {
    /// Everywhere.
    Universe,
    /// On this link.
    Link,
    /// In this host.
    Host,
}

/// An address of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addr {
    /// The device.
    pub dev: DevId,
    /// The address with its prefix length.
    pub net: IpNet,
    /// The broadcast address, if one was given.
    pub broadcast: Option<IpAddr>,
    /// How far it reaches: host for 127/8 and ::1, link for fe80::/10, else universe.
    pub scope: Scope,
    /// Whether it may be used.
    pub dad: Dad,
}

/// How far the search for duplicates of an address has come (RFC 4862 5.4). IPv4 has no such search.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dad {
    /// It is ours.
    #[default]
    Done,
    /// It is not used yet: so many questions are still to be asked, the last with this nonce.
    Tentative {
        /// Questions to come.
        probes: u32,
        /// By which the last one is known again.
        nonce: Option<[u8; 6]>,
    },
    /// Another node has it.
    Failed,
}

impl Addr {
    /// Whether packets may be sent from it and questions for it answered.
    pub fn is_usable(&self) -> bool {
        self.dad == Dad::Done
    }
}

/// The addresses of a netns, in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct Addrs(Vec<Addr>);

impl Addrs {
    /// Adds an address; `false` if the device has it already.
    pub fn insert(&mut self, addr: Addr) -> bool {
        if self.0.iter().any(|a| a.dev == addr.dev && a.net == addr.net) {
            return false;
        }
        self.0.push(addr);
        true
    }

    /// Removes an address.
    pub fn remove(&mut self, dev: DevId, net: IpNet) -> Option<Addr> {
        let at = self.0.iter().position(|a| a.dev == dev && a.net == net)?;
        Some(self.0.remove(at))
    }

    /// All addresses.
    pub fn iter(&self) -> impl Iterator<Item = &Addr> {
        self.0.iter()
    }

    /// The addresses of a device.
    pub fn of(&self, dev: DevId) -> impl Iterator<Item = &Addr> {
        self.0.iter().filter(move |a| a.dev == dev)
    }

    /// Whether `ip` is an address of some device (net/ipv4/devinet.c, `inet_lookup_ifaddr_rcu`).
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|a| a.net.addr() == ip)
    }

    /// The address `ip` of a device, to change it.
    pub fn get_mut(&mut self, dev: DevId, ip: IpAddr) -> Option<&mut Addr> {
        self.0.iter_mut().find(|a| a.dev == dev && a.net.addr() == ip)
    }

    /// Whether a device has the address `ip` and may use it.
    pub fn is_usable_on(&self, dev: DevId, ip: IpAddr) -> bool {
        self.of(dev).any(|a| a.net.addr() == ip && a.is_usable())
    }

    /// The link-local address of a device (`ipv6_get_lladdr`).
    pub fn link_local(&self, dev: DevId) -> Option<IpAddr> {
        let of_link = |a: &&Addr| a.scope == Scope::Link && a.net.addr().is_ipv6() && a.is_usable();
        self.of(dev).find(of_link).map(|a| a.net.addr())
    }

    /// The source address for sending by `dev`, with the next hop `via` if there is one, to `dst`. IPv4 chooses by the
    /// neighbour, IPv6 by the destination.
    pub fn source(&self, dev: DevId, via: Option<IpAddr>, dst: IpAddr, scope: Scope) -> Option<IpAddr> {
        match Family::of(dst) {
            Family::V4 => self.select(dev, via, scope),
            Family::V6 => rfc6724::select(&self.0, dev, dst),
        }
    }

    /// The IPv4 source address for sending by `dev` to a neighbour `to` (`inet_select_addr`): the first address of
    /// the device whose subnet holds `to`, else the device's first, else any device's first, of scope `scope` or wider.
    fn select(&self, dev: DevId, to: Option<IpAddr>, scope: Scope) -> Option<IpAddr> {
        let fits = |a: &&Addr| a.scope <= scope && a.net.addr().is_ipv4();
        let on_dev = || self.of(dev).filter(fits);
        let near = to.and_then(|to| on_dev().find(|a| a.net.contains(&to)));
        let any = || self.0.iter().filter(fits).find(|a| a.scope != Scope::Link);
        near.or_else(|| on_dev().next()).or_else(any).map(|a| a.net.addr())
    }
}
