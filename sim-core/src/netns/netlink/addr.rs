//! Addresses come and go, their routes with them (net/ipv4/devinet.c; net/ipv4/fib_frontend.c, `fib_add_ifaddr`).

use std::net::IpAddr;

use ipnet::IpNet;

use super::Mode;
use crate::dev::Devices;
use crate::engine::arena::DevId;
use crate::engine::errno::Errno;
use crate::netns::Netns;
use crate::netns::addr::{Addr, Scope};
use crate::netns::fib::{Route, RouteKind, TABLE_LOCAL, TABLE_MAIN, local_route};

impl Netns {
    pub(super) fn addr_change(
        &mut self,
        mode: Mode,
        net: IpNet,
        broadcast: Option<Option<IpAddr>>,
        dev: &str,
    ) -> Result<(), Errno> {
        let dev = self.dev_id(dev)?;
        if mode == Mode::Del {
            return self.addr_del(dev, net);
        }
        let ip = net.addr();
        if ip.is_multicast() || ip.is_unspecified() {
            return Err(Errno::EINVAL);
        }
        let scope = if ip.is_loopback() { Scope::Host } else { Scope::Universe };
        let broadcast = broadcast.map(|b| b.unwrap_or_else(|| net.broadcast()));
        if !self.addrs.insert(Addr { dev, net, broadcast, scope }) {
            return if mode == Mode::Replace { Ok(()) } else { Err(Errno::EEXIST) };
        }
        self.fib.insert(TABLE_LOCAL, local_route(ip, dev));
        if self.devs.get(dev).is_some_and(|d| d.up) {
            self.add_connected_routes(dev);
        }
        Ok(())
    }

    fn addr_del(&mut self, dev: DevId, net: IpNet) -> Result<(), Errno> {
        self.addrs.remove(dev, net).ok_or(Errno::EADDRNOTAVAIL)?;
        let ip = net.addr();
        if !self.addrs.contains(ip) {
            self.fib.remove(TABLE_LOCAL, IpNet::from(ip), |r| r.dev == Some(dev));
        }
        if !self.addrs.of(dev).any(|a| a.net.trunc() == net.trunc()) {
            self.fib.remove(TABLE_MAIN, net.trunc(), |r| r.dev == Some(dev) && r.src == Some(ip));
            self.fib.remove(TABLE_LOCAL, IpNet::from(net.broadcast()), |r| r.dev == Some(dev));
        }
        Ok(())
    }

    /// The routes an address brings when its device is up: its subnet, and the broadcast address of that.
    pub(super) fn add_connected_routes(&mut self, dev: DevId) {
        let addrs: Vec<Addr> = self.addrs.of(dev).copied().collect();
        for a in addrs {
            let (ip, len) = (a.net.addr(), a.net.prefix_len());
            if len == a.net.max_prefix_len() {
                continue;
            }
            let base =
                Route { kind: RouteKind::Unicast, dst: a.net.trunc(), scope: Scope::Link, ..local_route(ip, dev) };
            if ip.is_loopback() {
                self.fib.insert(TABLE_LOCAL, Route { kind: RouteKind::Local, scope: Scope::Host, ..base });
            } else {
                self.fib.insert(TABLE_MAIN, base);
            }
            if matches!(ip, IpAddr::V4(_)) && len < 31 {
                let dst = IpNet::from(a.broadcast.unwrap_or_else(|| a.net.broadcast()));
                self.fib.insert(TABLE_LOCAL, Route { kind: RouteKind::Broadcast, dst, ..base });
            }
        }
    }

    /// 127.0.0.1/8 on `lo`, which is there once `lo` is up.
    pub(crate) fn add_loopback_address(&mut self) {
        let net = IpNet::new_assert(IpAddr::from([127, 0, 0, 1]), 8);
        let done = self.addr_change(Mode::Add, net, None, "lo");
        assert!(done.is_ok() && self.devs.get(Devices::LO).is_some_and(|d| d.up), "a new netns takes 127.0.0.1/8");
    }
}
