//! A VXLAN tunnel endpoint, VTEP (drivers/net/vxlan/vxlan_core.c), as flannel sets it up: one VNI, unicast
//! remotes by FDB entry, no learning.

use std::net::IpAddr;

use crate::engine::arena::{DevId, Map};
use crate::wire::eth::MacAddr;
use crate::wire::ip::Family;

/// flannel's and the old Linux default UDP port.
pub const DEFAULT_PORT: u16 = 8472;

/// A VXLAN device.
#[derive(Clone, Debug)]
pub struct Vxlan {
    /// Virtual network identifier, 24 bits.
    pub vni: u32,
    /// Source address of outer packets; chosen by the route if `None`.
    pub local: Option<IpAddr>,
    /// Device outer packets leave by, if bound to one.
    pub lower: Option<DevId>,
    /// UDP destination port, and the port listened on.
    pub port: u16,
    fdb: Map<MacAddr, IpAddr>,
}

impl Vxlan {
    /// A VTEP without any remote.
    pub fn new(vni: u32, local: Option<IpAddr>, lower: Option<DevId>, port: u16) -> Self {
        Self { vni, local, lower, port, fdb: Map::default() }
    }

    /// The family of its outer packets: it listens for no other (`vxlan_sock_add`).
    pub fn family(&self) -> Family {
        self.local.map_or(Family::V4, Family::of)
    }

    /// Where frames for `mac` are sent; the all-zero entry is the default.
    pub fn remote(&self, mac: MacAddr) -> Option<IpAddr> {
        self.fdb.get(&mac).or_else(|| self.fdb.get(&MacAddr::ZERO)).copied()
    }

    /// Adds or replaces an FDB entry.
    pub fn insert(&mut self, mac: MacAddr, remote: IpAddr) {
        self.fdb.insert(mac, remote);
    }

    /// Removes an FDB entry.
    pub fn remove(&mut self, mac: MacAddr) -> Option<IpAddr> {
        self.fdb.remove(&mac)
    }

    /// All FDB entries by address.
    pub fn entries(&self) -> Vec<(MacAddr, IpAddr)> {
        let mut all: Vec<_> = self.fdb.iter().map(|(m, r)| (*m, *r)).collect();
        all.sort();
        all
    }
}
