//! What rules may ask of the FIB: the kinds of addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::dev::Devices;
use crate::netfilter::rules::{AddrType, AddrTypes};
use crate::netns::fib::{Fib, FibKey, RouteKind, TABLE_LOCAL, is_limited_broadcast, is_zeronet};
use crate::wire::ip::Family;

/// Kinds of addresses according to the table `local` (`inet_dev_addr_type`).
pub(super) struct Addresses<'a> {
    pub fib: &'a Fib,
    pub devs: &'a Devices,
}

impl AddrTypes for Addresses<'_> {
    fn addr_type(&self, addr: IpAddr, dev: Option<&str>) -> AddrType {
        if addr == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
            return AddrType::Unspec;
        }
        if addr.is_unspecified() || is_zeronet(addr) || is_limited_broadcast(addr) {
            return AddrType::Broadcast;
        }
        if addr.is_multicast() {
            return AddrType::Multicast;
        }
        let Some(route) = self.fib.lookup_in(TABLE_LOCAL, &FibKey::to(addr)) else { return AddrType::Unicast };
        if dev.is_some_and(|name| self.devs.name(route.dev) != name) {
            return AddrType::Unicast;
        }
        match route.kind {
            RouteKind::Unicast => AddrType::Unicast,
            RouteKind::Local => AddrType::Local,
            RouteKind::Broadcast => AddrType::Broadcast,
            RouteKind::Anycast => AddrType::Anycast,
            RouteKind::Multicast => AddrType::Multicast,
            RouteKind::Blackhole => AddrType::Blackhole,
            RouteKind::Unreachable => AddrType::Unreachable,
            RouteKind::Prohibit => AddrType::Prohibit,
        }
    }
}

/// Where REDIRECT sends packets of this host.
pub(super) const fn localhost(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    }
}
