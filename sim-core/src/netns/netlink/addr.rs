//! Addresses come and go, their routes with them (net/ipv4/devinet.c; net/ipv4/fib_frontend.c, `fib_add_ifaddr`;
//! net/ipv6/addrconf.c).

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use super::{Mode, NewAddr};
use crate::dev::Devices;
use crate::engine::arena::DevId;
use crate::engine::errno::Errno;
use crate::netns::Netns;
use crate::netns::addr::{Addr, Dad, Scope};
use crate::netns::fib::{METRIC_KERNEL, Route, RouteKind, TABLE_LOCAL, TABLE_MAIN, local_route};
use crate::wire::nd;

impl Netns {
    pub(super) fn addr_change(&mut self, mode: Mode, new: &NewAddr) -> Result<(), Errno> {
        let dev = self.dev_id(&new.dev)?;
        if mode == Mode::Del {
            return self.addr_del(dev, new.net);
        }
        let ip = new.net.addr();
        if ip.is_multicast() || ip.is_unspecified() {
            return Err(Errno::EINVAL);
        }
        if ip.is_ipv6() && self.sysctl.ipv6(dev).disable_ipv6 != 0 {
            return Err(Errno::EACCES);
        }
        let broadcast = new.broadcast.map(|b| b.unwrap_or_else(|| new.net.broadcast()));
        let dad = self.dad_of(dev, ip, new.nodad);
        if !self.addrs.insert(Addr { dev, net: new.net, broadcast, scope: scope_of(ip), dad }) {
            return if mode == Mode::Replace { Ok(()) } else { Err(Errno::EEXIST) };
        }
        if dad == Dad::Done {
            self.addr_usable(dev, ip);
        }
        if self.devs.get(dev).is_some_and(|d| d.up) {
            self.add_connected_routes(dev);
            // The address brings a group (`addrconf_join_solict`).
            if ip.is_ipv6() && dev != Devices::LO && !self.listening.contains(&dev) {
                self.listening.push(dev);
            }
        }
        Ok(())
    }

    /// An address is ours from now on (`addrconf_dad_completed`).
    pub(crate) fn addr_usable(&mut self, dev: DevId, ip: IpAddr) {
        self.fib.insert(TABLE_LOCAL, local_route(ip, dev));
    }

    /// Whether a new address must wait until nobody else has it (`addrconf_dad_begin`).
    fn dad_of(&mut self, dev: DevId, ip: IpAddr, nodad: bool) -> Dad {
        let probes = self.sysctl.dad_probes(dev);
        let (IpAddr::V6(ip), false, 1..) = (ip, nodad || dev == Devices::LO, probes) else { return Dad::Done };
        self.tentative.push((dev, ip));
        Dad::Tentative { probes, nonce: None }
    }

    fn addr_del(&mut self, dev: DevId, net: IpNet) -> Result<(), Errno> {
        self.addrs.remove(dev, net).ok_or(Errno::EADDRNOTAVAIL)?;
        let ip = net.addr();
        if !self.addrs.contains(ip) {
            self.fib.remove(TABLE_LOCAL, IpNet::from(ip), |r| r.dev == Some(dev) && r.kind == RouteKind::Local);
        }
        if !self.addrs.of(dev).any(|a| a.net.trunc() == net.trunc()) {
            let kernels = |r: &Route| r.src == Some(ip) || r.metric == METRIC_KERNEL;
            self.fib.remove(TABLE_MAIN, net.trunc(), |r| r.dev == Some(dev) && kernels(r));
            self.fib.remove(TABLE_LOCAL, IpNet::from(net.broadcast()), |r| r.dev == Some(dev));
            let anycast = |r: &Route| r.dev == Some(dev) && r.kind == RouteKind::Anycast;
            self.fib.remove(TABLE_LOCAL, IpNet::from(net.network()), anycast);
        }
        Ok(())
    }

    /// The routes that the addresses of a device bring when it is up.
    pub(super) fn add_connected_routes(&mut self, dev: DevId) {
        let addrs: Vec<Addr> = self.addrs.of(dev).copied().collect();
        for addr in addrs {
            match addr.net {
                IpNet::V4(_) => self.add_subnet(&addr),
                IpNet::V6(_) => self.add_prefix(&addr),
            }
        }
    }

    /// The subnet of an IPv4 address, and the broadcast address of that.
    fn add_subnet(&mut self, a: &Addr) {
        let (ip, len) = (a.net.addr(), a.net.prefix_len());
        if len == a.net.max_prefix_len() {
            return;
        }
        let base = Route { kind: RouteKind::Unicast, dst: a.net.trunc(), scope: Scope::Link, ..local_route(ip, a.dev) };
        if ip.is_loopback() {
            self.fib.insert(TABLE_LOCAL, Route { kind: RouteKind::Local, scope: Scope::Host, ..base });
        } else {
            self.fib.insert(TABLE_MAIN, base);
        }
        if len < 31 {
            let dst = IpNet::from(a.broadcast.unwrap_or_else(|| a.net.broadcast()));
            self.fib.insert(TABLE_LOCAL, Route { kind: RouteKind::Broadcast, dst, ..base });
        }
    }

    /// The prefix of an IPv6 address (`addrconf_prefix_route`), the groups of its device (`addrconf_add_mroute`), and
    /// for a router the anycast address of the prefix (`addrconf_join_anycast`).
    fn add_prefix(&mut self, a: &Addr) {
        // That of `lo` comes without one (`init_loopback`).
        if a.net.addr().is_loopback() {
            return;
        }
        let own = local_route(a.net.addr(), a.dev);
        let base = Route { scope: Scope::Link, src: None, metric: METRIC_KERNEL, ..own };
        self.fib.insert(TABLE_MAIN, Route { kind: RouteKind::Unicast, dst: a.net.trunc(), ..base });
        if a.dev == Devices::LO {
            return;
        }
        let groups = IpNet::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).into(), 8);
        self.fib.insert(TABLE_LOCAL, Route { kind: RouteKind::Multicast, dst: groups, ..base });
        if self.sysctl.ipv6(a.dev).forwarding != 0 && a.net.prefix_len() < 127 {
            let dst = IpNet::from(a.net.network());
            self.fib.insert(TABLE_LOCAL, Route { kind: RouteKind::Anycast, dst, src: None, ..own });
        }
    }

    /// Lets a device that is up have the addresses of IPv6 that come by themselves (`addrconf_notify`, `NETDEV_UP`).
    pub(super) fn ipv6_up(&mut self, dev: DevId) {
        let conf = self.sysctl.ipv6(dev);
        let Some(device) = self.devs.get(dev).filter(|d| d.up && conf.disable_ipv6 == 0) else { return };
        let (ip, len) = if dev == Devices::LO {
            (Ipv6Addr::LOCALHOST, 128)
        } else if conf.addr_gen_mode == 0 {
            (nd::link_local(device.mac), 64)
        } else {
            return;
        };
        if self.addrs.of(dev).any(|a| a.net.addr() == ip) {
            return;
        }
        let new =
            NewAddr { net: IpNet::new_assert(ip.into(), len), broadcast: None, dev: device.name.clone(), nodad: false };
        // It is refused only if it is there.
        let _ = self.addr_change(Mode::Add, &new);
    }

    /// A device loses IPv6: it went down, or it was switched off (`addrconf_ifdown`).
    pub(super) fn ipv6_down(&mut self, dev: DevId) {
        let nets: Vec<IpNet> = self.addrs.of(dev).map(|a| a.net).filter(|net| net.addr().is_ipv6()).collect();
        for net in nets {
            self.addrs.remove(dev, net);
        }
        self.fib.remove_dev(dev, |_, route| matches!(route.dst, IpNet::V6(_)));
        self.forget_neighs(dev, |ip| ip.is_ipv6());
    }

    /// Follows a change of `net.ipv6.conf.*`.
    pub(crate) fn follow_ipv6_conf(&mut self) {
        let devs: Vec<(DevId, bool)> = self.devs.iter().map(|d| (d.id, d.up)).collect();
        for (dev, up) in devs {
            let conf = self.sysctl.ipv6(dev);
            if conf.disable_ipv6 != 0 {
                self.ipv6_down(dev);
                continue;
            }
            self.ipv6_up(dev);
            if conf.forwarding == 0 {
                self.fib.remove_dev(dev, |_, route| route.kind == RouteKind::Anycast);
            }
            if up {
                self.add_connected_routes(dev);
            }
        }
    }

    /// 127.0.0.1/8 on `lo`, which is there once `lo` is up.
    pub(crate) fn add_loopback_address(&mut self) {
        let net = IpNet::new_assert(IpAddr::from([127, 0, 0, 1]), 8);
        let new = NewAddr { net, broadcast: None, dev: "lo".into(), nodad: true };
        let done = self.addr_change(Mode::Add, &new);
        assert!(done.is_ok() && self.devs.get(Devices::LO).is_some_and(|d| d.up), "a new netns takes 127.0.0.1/8");
    }
}

/// How far an address reaches.
fn scope_of(ip: IpAddr) -> Scope {
    match ip {
        ip if ip.is_loopback() => Scope::Host,
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Scope::Link,
        _ => Scope::Universe,
    }
}
