//! Addresses of devices and the choice of a source address (net/ipv4/devinet.c).

use std::net::IpAddr;

use ipnet::IpNet;

use crate::engine::arena::DevId;

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
    /// How far it reaches: host for 127/8, else universe.
    pub scope: Scope,
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

    /// The source address for sending by `dev` to a neighbour `to` (`inet_select_addr`): the first address of
    /// the device whose subnet holds `to`, else the device's first, else any device's first, of scope `scope` or wider.
    pub fn select(&self, dev: DevId, to: Option<IpAddr>, scope: Scope) -> Option<IpAddr> {
        let fits = |a: &&Addr| a.scope <= scope;
        let on_dev = || self.of(dev).filter(fits);
        let near = to.and_then(|to| on_dev().find(|a| a.net.contains(&to)));
        let any = || self.0.iter().find(|a| a.scope <= scope && a.scope != Scope::Link);
        near.or_else(|| on_dev().next()).or_else(any).map(|a| a.net.addr())
    }
}
