//! Devices come, go and change (net/core/rtnetlink.c, net/bridge/br_if.c).

use std::net::IpAddr;

use super::{LinkChange, NewKind, NewLink};
use crate::dev::bridge::{Bridge, BridgePort};
use crate::dev::veth::Veth;
use crate::dev::vxlan::Vxlan;
use crate::dev::{DevKind, Devices};
use crate::engine::arena::{DevId, NetnsId};
use crate::engine::errno::Errno;
use crate::netns::Netns;
use crate::netns::fib::TABLE_LOCAL;
use crate::wire::eth::MacAddr;
use crate::wire::ip::Family;
use crate::wire::vxlan::overhead;

/// Smallest and largest MTU (include/uapi/linux/if_ether.h, `ETH_MIN_MTU`, `ETH_MAX_MTU`).
const MTU_RANGE: std::ops::RangeInclusive<u32> = 68..=65535;
/// Default MTU of Ethernet.
const MTU_DEFAULT: u32 = 1500;

impl Netns {
    /// Makes a device; of a veth pair with a peer elsewhere only this end, unconnected.
    pub(crate) fn link_add(&mut self, new: &NewLink, kind: &NewKind) -> Result<DevId, Errno> {
        let dev_kind = match kind {
            NewKind::Bridge => DevKind::Bridge(Bridge::default()),
            NewKind::Veth { .. } => DevKind::Veth(Veth { peer: None }),
            NewKind::Vxlan { vni, local, lower, port } => {
                let lower = lower.as_deref().map(|name| self.dev_id(name)).transpose()?;
                DevKind::Vxlan(Vxlan::new(*vni, *local, lower, *port))
            }
        };
        let id = self.add_dev(new, dev_kind)?;
        let own = self.devs.get(id).map(|d| d.mac);
        if let (Some(mac), Some(bridge)) = (own, self.devs.get_mut(id).and_then(|d| d.bridge_mut())) {
            bridge.insert_fixed(mac, None);
        }
        Ok(id)
    }

    /// Makes a device of any kind, with the kernel's defaults for what `new` leaves out.
    pub(crate) fn add_dev(&mut self, new: &NewLink, kind: DevKind) -> Result<DevId, Errno> {
        let lower_mtu = match &kind {
            DevKind::Vxlan(v) => self.lower_mtu(v),
            _ => None,
        };
        let mtu = new.mtu.unwrap_or(lower_mtu.unwrap_or(MTU_DEFAULT));
        if !MTU_RANGE.contains(&mtu) || lower_mtu.is_some_and(|limit| mtu > limit) {
            return Err(Errno::EINVAL);
        }
        if new.mac.is_some_and(|m| m.is_multicast() || m == MacAddr::ZERO) {
            return Err(Errno::EINVAL);
        }
        let id = self.devs.add(&new.name, MacAddr::ZERO, mtu, kind)?;
        let mac = new.mac.unwrap_or_else(|| derived_mac(self.id, id));
        if let Some(dev) = self.devs.get_mut(id) {
            dev.mac = mac;
        }
        let reachable_factor = 500 + self.streams.neigh.below(1000);
        self.sysctl.add_dev(id, reachable_factor);
        Ok(id)
    }

    /// Connects one end of a pair.
    pub(crate) fn connect_veth(&mut self, dev: DevId, peer: (NetnsId, DevId)) {
        if let Some(DevKind::Veth(v)) = self.devs.get_mut(dev).map(|d| &mut d.kind) {
            v.peer = Some(peer);
        }
    }

    pub(super) fn link_set(&mut self, name: &str, change: &LinkChange) -> Result<(), Errno> {
        let id = self.dev_id(name)?;
        match change {
            LinkChange::Up(up) => self.set_up(id, *up),
            LinkChange::Mtu(mtu) => return self.set_mtu(id, *mtu),
            LinkChange::Address(mac) => return self.set_mac(id, *mac),
            LinkChange::Master(Some(bridge)) => return self.set_master(id, bridge),
            LinkChange::Master(None) => self.leave_bridge(id),
            LinkChange::Hairpin(on) => self.port_mut(id)?.hairpin = *on,
            LinkChange::Learning(on) => match self.devs.get_mut(id).and_then(|d| d.vxlan_mut()) {
                Some(_) if *on => return Err(Errno::ENOTSUP),
                Some(_) => {}
                None => self.port_mut(id)?.learning = *on,
            },
            LinkChange::AgeingTime(time) => {
                self.devs.get_mut(id).and_then(|d| d.bridge_mut()).ok_or(Errno::ENOTSUP)?.ageing_time = *time;
            }
        }
        Ok(())
    }

    fn port_mut(&mut self, id: DevId) -> Result<&mut BridgePort, Errno> {
        self.devs.get_mut(id).and_then(|d| d.port.as_mut()).ok_or(Errno::EINVAL)
    }

    /// Up: the connected routes of its addresses come; down: all its routes and neighbours but the local ones go.
    fn set_up(&mut self, id: DevId, up: bool) {
        let Some(dev) = self.devs.get_mut(id) else { return };
        if std::mem::replace(&mut dev.up, up) == up {
            return;
        }
        if up {
            self.add_connected_routes(id);
            self.ipv6_up(id);
        } else {
            self.fib.remove_dev(id, |table, _| table != TABLE_LOCAL);
            self.ipv6_down(id);
            self.forget_neighs(id, |_| true);
            self.conntrack.masq_device_down(id);
        }
    }

    /// What a VXLAN device's lower device leaves room for; `None` if it has no lower device.
    fn lower_mtu(&self, vxlan: &Vxlan) -> Option<u32> {
        let lower = vxlan.lower.and_then(|lower| self.devs.get(lower))?;
        Some(lower.mtu.saturating_sub(overhead(vxlan.local.map_or(Family::V4, Family::of))))
    }

    /// A VXLAN device is capped by its lower device when set; lowering that later changes nothing here.
    fn set_mtu(&mut self, id: DevId, mtu: u32) -> Result<(), Errno> {
        let dev = self.devs.get(id).ok_or(Errno::ENODEV)?;
        if dev.mtu == mtu {
            return Ok(());
        }
        let limit = dev.vxlan().and_then(|v| self.lower_mtu(v)).unwrap_or(*MTU_RANGE.end());
        if !(MTU_RANGE.contains(&mtu) || id == Devices::LO) || mtu > limit {
            return Err(Errno::EINVAL);
        }
        if let Some(dev) = self.devs.get_mut(id) {
            dev.mtu = mtu;
        }
        Ok(())
    }

    fn set_mac(&mut self, id: DevId, mac: MacAddr) -> Result<(), Errno> {
        if mac.is_multicast() || mac == MacAddr::ZERO {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let dev = self.devs.get_mut(id).ok_or(Errno::ENODEV)?;
        let old = std::mem::replace(&mut dev.mac, mac);
        if let Some(bridge) = dev.bridge_mut() {
            bridge.remove(old);
            bridge.insert_fixed(mac, None);
        }
        Ok(())
    }

    fn set_master(&mut self, id: DevId, bridge: &str) -> Result<(), Errno> {
        let bridge = self.dev_id(bridge)?;
        if self.devs.get(bridge).is_none_or(|d| d.bridge().is_none()) || id == Devices::LO || id == bridge {
            return Err(Errno::EINVAL);
        }
        if self.devs.get(id).is_some_and(|d| d.bridge().is_some()) {
            return Err(Errno::EINVAL);
        }
        self.leave_bridge(id);
        let port = BridgePort { bridge, hairpin: false, learning: true };
        let mac = self.devs.get_mut(id).map(|d| {
            d.port = Some(port);
            d.mac
        });
        if let (Some(b), Some(mac)) = (self.devs.get_mut(bridge).and_then(|d| d.bridge_mut()), mac) {
            b.ports.insert(0, id);
            b.insert_fixed(mac, None);
        }
        Ok(())
    }

    fn leave_bridge(&mut self, id: DevId) {
        let Some(port) = self.devs.get_mut(id).and_then(|d| d.port.take()) else { return };
        let mac = self.devs.get(id).map(|d| d.mac);
        if let Some(bridge) = self.devs.get_mut(port.bridge).and_then(|d| d.bridge_mut()) {
            bridge.remove_port(id);
            mac.map(|mac| bridge.remove(mac));
        }
    }

    /// The neighbours of a device go (net/core/neighbour.c, `neigh_flush_dev`): what waited for them is dropped.
    pub(super) fn forget_neighs(&mut self, id: DevId, of: impl Fn(IpAddr) -> bool) {
        for packet in self.neighs.remove_dev(id, of) {
            self.conntrack.release(&packet);
            self.purged.push((id, packet));
        }
    }

    /// The device called `name`, if it may be deleted.
    pub(crate) fn deletable(&self, name: &str) -> Result<DevId, Errno> {
        self.dev_id(name).and_then(|id| if id == Devices::LO { Err(Errno::ENOTSUP) } else { Ok(id) })
    }

    /// Removes a device with its addresses, routes and neighbours, its ports if it is a bridge; of a veth the other end's
    /// place is returned.
    pub(crate) fn remove_dev(&mut self, id: DevId) -> Option<(NetnsId, DevId)> {
        self.set_up(id, false);
        self.forget_neighs(id, |_| true);
        self.leave_bridge(id);
        let ports = self.devs.get(id).and_then(|d| d.bridge()).map_or_else(Vec::new, |bridge| bridge.ports.clone());
        ports.into_iter().for_each(|port| self.leave_bridge(port));
        let nets: Vec<_> = self.addrs.of(id).map(|a| a.net).collect();
        for net in nets {
            self.addrs.remove(id, net);
        }
        self.fib.remove_dev(id, |_, _| true);
        self.sysctl.remove_dev(id);
        match self.devs.remove(id)?.kind {
            DevKind::Veth(v) => v.peer,
            _ => None,
        }
    }

    /// The device called `name`.
    pub(crate) fn dev_id(&self, name: &str) -> Result<DevId, Errno> {
        self.devs.by_name(name).map(|d| d.id).ok_or(Errno::ENODEV)
    }
}

/// A locally administered address from netns and ifindex.
fn derived_mac(netns: NetnsId, dev: DevId) -> MacAddr {
    let [_, a, b, c] = netns.0.to_be_bytes();
    let [.., d, e] = dev.0.to_be_bytes();
    MacAddr([0x02, a, b, c, d, e])
}
