//! What a capture calls the devices of a world.

use std::net::IpAddr;

use super::World;
use crate::capture::{Names, Tap};
use crate::dev::{Dev, DevKind};
use crate::engine::arena::{DevId, NetnsId};
use crate::wire::eth::MacAddr;

impl Names for World {
    fn tap(&self, netns: NetnsId, dev: Option<DevId>) -> Tap {
        let of = self.netns_name(netns);
        let Some(dev) = dev else {
            let description = "packets dropped before they reached a device".into();
            return Tap { name: of.to_owned(), description, mac: None };
        };
        let name = format!("{of}/{}", self.dev_name(netns, dev));
        match self.find_netns(netns).and_then(|ns| ns.devs.get(dev)) {
            Some(dev) => {
                let mac = Some(dev.mac).filter(|mac| *mac != MacAddr::ZERO);
                Tap { name, description: self.description(netns, dev), mac }
            }
            None => Tap { name, description: "gone when this was written".into(), mac: None },
        }
    }

    fn netns_name(&self, netns: NetnsId) -> &str {
        Self::netns_name(self, netns)
    }

    fn dev_name(&self, netns: NetnsId, dev: DevId) -> &str {
        Self::dev_name(self, netns, dev)
    }
}

impl World {
    /// Every address with the names of its netns and device.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, &str, IpAddr)> {
        self.all_netns()
            .flat_map(|ns| ns.addrs.iter().map(move |a| (ns.name.as_str(), ns.dev_name(a.dev), a.net.addr())))
    }

    /// The other end of a veth or of a wire; `None` for devices that have none, or are gone.
    pub fn peer(&self, netns: NetnsId, dev: DevId) -> Option<(NetnsId, DevId)> {
        match &self.find_netns(netns)?.devs.get(dev)?.kind {
            DevKind::Veth(veth) => veth.peer,
            DevKind::Eth(eth) => Some(self.links.get(eth.link.index())?.far_end(eth.end)),
            _ => None,
        }
    }

    fn description(&self, netns: NetnsId, dev: &Dev) -> String {
        let peer = |kind: &str, alone: &str| match self.peer(netns, dev.id) {
            Some((netns, dev)) => format!("{kind} to {}/{}", self.netns_name(netns), self.dev_name(netns, dev)),
            None => alone.to_owned(),
        };
        let kind = match &dev.kind {
            DevKind::Loopback => "loopback".into(),
            DevKind::Bridge(_) => "bridge".into(),
            DevKind::Vxlan(vxlan) => format!("vxlan, VNI {}, UDP port {}", vxlan.vni, vxlan.port),
            DevKind::Veth(_) => peer("veth", "veth"),
            DevKind::Eth(_) => peer("wire", "network card"),
        };
        let port = dev.port.map(|port| format!(", port of {}", self.dev_name(netns, port.bridge))).unwrap_or_default();
        format!("{kind}{port}, MTU {}", dev.mtu)
    }
}
