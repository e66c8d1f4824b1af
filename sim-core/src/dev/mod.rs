//! Devices: one kind, one file. Only their state; what a packet does there is in `walk`.

pub mod bridge;
pub mod eth;
pub mod loopback;
pub mod veth;
pub mod vxlan;

use crate::engine::arena::DevId;
use crate::engine::errno::Errno;
use crate::wire::eth::MacAddr;

use bridge::{Bridge, BridgePort};
use eth::Eth;
use veth::Veth;
use vxlan::Vxlan;

/// Longest device name (include/uapi/linux/if.h, `IFNAMSIZ` less the NUL).
pub const NAME_MAX: usize = 15;

/// What a device is. A new kind is one file and one variant.
#[derive(Clone, Debug)]
pub enum DevKind {
    /// `lo`
    Loopback,
    /// One end of a pair that leads into another netns (or the same).
    Veth(Veth),
    /// A learning bridge.
    Bridge(Bridge),
    /// A VXLAN tunnel endpoint.
    Vxlan(Vxlan),
    /// A network card on an underlay wire.
    Eth(Eth),
}

/// A device of a netns.
#[derive(Clone, Debug)]
pub struct Dev {
    /// Its ifindex.
    pub id: DevId,
    /// Its name, unique in the netns, at most [`NAME_MAX`] bytes.
    pub name: String,
    /// Its hardware address; zero for `lo`.
    pub mac: MacAddr,
    /// Largest IP packet in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// The bridge it is a port of.
    pub port: Option<BridgePort>,
    /// What it is.
    pub kind: DevKind,
}

impl Dev {
    /// Whether neighbours are resolved on it; not so on `lo` (`IFF_NOARP`).
    pub fn needs_arp(&self) -> bool {
        !matches!(self.kind, DevKind::Loopback)
    }

    /// Its bridge state, if it is a bridge.
    pub fn bridge(&self) -> Option<&Bridge> {
        if let DevKind::Bridge(b) = &self.kind { Some(b) } else { None }
    }

    /// Its bridge state to change, if it is a bridge.
    pub fn bridge_mut(&mut self) -> Option<&mut Bridge> {
        if let DevKind::Bridge(b) = &mut self.kind { Some(b) } else { None }
    }

    /// Its VXLAN state, if it is a VXLAN device.
    pub fn vxlan(&self) -> Option<&Vxlan> {
        if let DevKind::Vxlan(v) = &self.kind { Some(v) } else { None }
    }

    /// Its VXLAN state to change, if it is a VXLAN device.
    pub fn vxlan_mut(&mut self) -> Option<&mut Vxlan> {
        if let DevKind::Vxlan(v) = &mut self.kind { Some(v) } else { None }
    }
}

/// The devices of a netns. Ids count from 1 (`lo`) and are not reused.
#[derive(Clone, Debug)]
pub struct Devices(Vec<Option<Dev>>);

impl Default for Devices {
    /// Only `lo`, up, MTU 65536 (drivers/net/loopback.c; a real netns starts with it down).
    fn default() -> Self {
        Self(vec![None, Some(loopback::new())])
    }
}

impl Devices {
    /// `lo`
    pub const LO: DevId = DevId(1);

    /// Adds a device, down.
    ///
    /// # Errors
    /// `EEXIST` if the name is taken, `EINVAL` if it is empty, too long or holds `/` or blanks
    /// (net/core/dev.c, `dev_valid_name`).
    pub fn add(&mut self, name: &str, mac: MacAddr, mtu: u32, kind: DevKind) -> Result<DevId, Errno> {
        let bad = |c: char| c == '/' || c == ':' || c.is_whitespace();
        if name.is_empty() || name.len() > NAME_MAX || name == "." || name == ".." || name.contains(bad) {
            return Err(Errno::EINVAL);
        }
        if self.by_name(name).is_some() {
            return Err(Errno::EEXIST);
        }
        let id = DevId(self.0.len() as u32);
        self.0.push(Some(Dev { id, name: name.to_owned(), mac, mtu, up: false, port: None, kind }));
        Ok(id)
    }

    /// Removes a device.
    pub fn remove(&mut self, id: DevId) -> Option<Dev> {
        self.0.get_mut(id.index())?.take()
    }

    /// The device, if it is (still) there.
    pub fn get(&self, id: DevId) -> Option<&Dev> {
        self.0.get(id.index())?.as_ref()
    }

    /// The device to change.
    pub fn get_mut(&mut self, id: DevId) -> Option<&mut Dev> {
        self.0.get_mut(id.index())?.as_mut()
    }

    /// The device called `name`.
    pub fn by_name(&self, name: &str) -> Option<&Dev> {
        self.iter().find(|d| d.name == name)
    }

    /// All devices by id.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Dev> {
        self.0.iter().flatten()
    }

    /// The name of a device; empty if it is gone.
    pub fn name(&self, id: Option<DevId>) -> &str {
        id.and_then(|id| self.get(id)).map_or("", |d| d.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_short() {
        let mut devs = Devices::default();
        let add =
            |devs: &mut Devices, name: &str| devs.add(name, MacAddr::ZERO, 1500, DevKind::Bridge(Bridge::default()));
        assert_eq!(add(&mut devs, "cni0"), Ok(DevId(2)));
        assert_eq!(add(&mut devs, "cni0"), Err(Errno::EEXIST));
        assert_eq!(add(&mut devs, "lo"), Err(Errno::EEXIST));
        for bad in ["", "a/b", "a b", "sixteen-byte-nam", ".."] {
            assert_eq!(add(&mut devs, bad), Err(Errno::EINVAL), "{bad}");
        }
    }
}
