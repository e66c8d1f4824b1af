//! What rules may ask of the FIB: the kinds of addresses, and the way back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::dev::Devices;
use crate::engine::arena::DevId;
use crate::netfilter::rules::{AddrType, FibFacts, ReversePath};
use crate::netns::fib::{Fib, FibKey, Route, RouteKind, TABLE_LOCAL, is_limited_broadcast, is_zeronet};
use crate::wire::ip::Family;
use crate::wire::packet::{Packet, PacketType};

/// To whom a packet was addressed. What came back from a group had no frame: its IP address says it (`xt_pkttype`).
pub(super) fn addressed(packet: &Packet, to: IpAddr) -> PacketType {
    match packet.pkt_type {
        PacketType::Loopback if to.is_multicast() => PacketType::Multicast,
        PacketType::Loopback => PacketType::Broadcast,
        pkt_type => pkt_type,
    }
}

/// The FIB of a netns.
pub(super) struct NetnsFib<'a> {
    pub fib: &'a Fib,
    pub devs: &'a Devices,
}

impl FibFacts for NetnsFib<'_> {
    /// According to the table `local`.
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
        let Some(route) = self.fib.lookup_in(TABLE_LOCAL, &FibKey::to(addr)) else {
            if addr.is_ipv4() {
                return AddrType::Unicast;
            }
            let dead = |kind| matches!(kind, RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit);
            let oif = dev.and_then(|name| self.devs.by_name(name)).map(|dev| dev.id);
            let route = self.fib.lookup(&FibKey { oif, ..FibKey::to(addr) });
            // IPv6 asks all tables whether there is a way (`match_lookup_rt6`).
            return match route {
                Some(route) if !dead(route.kind) => AddrType::Unicast,
                _ => AddrType::Unreachable,
            };
        };
        if dev.is_some_and(|name| self.devs.name(route.dev) != name) {
            return AddrType::Unicast;
        }
        match route.kind {
            RouteKind::Unicast | RouteKind::Throw => AddrType::Unicast,
            RouteKind::Local => AddrType::Local,
            RouteKind::Broadcast => AddrType::Broadcast,
            RouteKind::Anycast => AddrType::Anycast,
            RouteKind::Multicast => AddrType::Multicast,
            RouteKind::Blackhole => AddrType::Blackhole,
            RouteKind::Unreachable => AddrType::Unreachable,
            RouteKind::Prohibit => AddrType::Prohibit,
        }
    }

    fn reverses(&self, path: &ReversePath<'_>) -> bool {
        let Some(dev) = self.devs.by_name(path.dev).map(|dev| dev.id) else { return false };
        let nobody = path.src.is_unspecified();
        let to_all = path.dst.is_multicast() || is_limited_broadcast(path.dst) || is_zeronet(path.dst);
        if dev == Devices::LO || (nobody && (path.src.is_ipv6() || to_all)) {
            return true;
        }
        let key = FibKey {
            dst: path.src,
            src: (!to_all).then_some(path.dst),
            mark: path.mark,
            iif: Some(Devices::LO),
            oif: None,
        };
        self.way_back(&key, dev, path.loose).is_some_and(|route| match route.kind {
            RouteKind::Unicast => path.loose || route.dev == Some(dev),
            // IPv6 asks no device of its own addresses, whose routes lead to it.
            RouteKind::Local => path.accept_local && (path.loose || key.dst.is_ipv6() || route.dev == Some(dev)),
            _ => false,
        })
    }
}

impl NetnsFib<'_> {
    /// The route an answer would take. IPv6 prefers the device it came by among routes to one network, and for a
    /// link-local source takes no other (net/ipv6/route.c, `rt6_device_match`).
    fn way_back(&self, key: &FibKey, dev: DevId, loose: bool) -> Option<&Route> {
        let by_dev = || self.fib.lookup(&FibKey { oif: Some(dev), ..*key });
        match key.dst {
            IpAddr::V6(src) if src.is_unicast_link_local() => by_dev(),
            IpAddr::V6(_) if !loose => {
                let best = self.fib.lookup(key)?;
                Some(by_dev().filter(|route| route.dst == best.dst).unwrap_or(best))
            }
            _ => self.fib.lookup(key),
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
