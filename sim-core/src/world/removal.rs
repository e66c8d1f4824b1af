//! What goes: devices, and whole netns (`ip link del`, `ip netns del`).

use std::collections::BTreeMap;

use super::World;
use crate::engine::arena::{DevId, NetnsId};
use crate::engine::errno::Errno;
use crate::engine::time::Instant;
use crate::engine::trail::{DropPlace, DropReason};
use crate::netns::Netns;

/// Recorded as the kind of a removal's event.
const REMOVED: u8 = 8;

/// What is gone was called so: captures and reports speak of it afterwards.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    netns: BTreeMap<NetnsId, String>,
    devs: BTreeMap<(NetnsId, DevId), String>,
}

impl World {
    /// `ip netns del` of a netns that no process is in: it ends at once. Its devices go, of each veth the other end
    /// too, and leave their bridges and FDBs. Its sockets die without a word (no FIN, no RST: net/core/net_namespace.c,
    /// `cleanup_net`, runs when the last device is gone). Packets that wait in it are dropped and counted, and so is
    /// whatever still arrives for it; its timers do nothing. Its id is never used again, its name may be.
    ///
    /// A process holds its netns: whoever kills it closes its sockets first, which the other ends hear.
    ///
    /// # Errors
    /// `ENOENT` if it was removed before.
    pub fn remove_netns(&mut self, id: NetnsId) -> Result<(), Errno> {
        let netns = self.netns_mut(id)?;
        let name = netns.name.clone();
        let devs: Vec<DevId> = netns.devs.iter().map(|dev| dev.id).collect();
        self.record(REMOVED, &[u64::from(id.0)], name.as_bytes());
        devs.into_iter().for_each(|dev| self.remove_dev(id, dev));
        let now = self.now();
        for lost in self.netns_mut(id)?.frags.expire(Instant::NEVER) {
            let place = DropPlace { netns: id, dev: lost.dev, stage: "defrag", reason: DropReason::QueuePurge };
            self.out.lose(now, lost.first.as_ref(), place);
        }
        self.by_name.remove(&name);
        self.netns[id.index()] = None;
        self.gone.netns.insert(id, name);
        Ok(())
    }

    /// Removes a device, and of a veth the other end.
    pub(super) fn remove_dev(&mut self, netns: NetnsId, dev: DevId) {
        let mut next = Some((netns, dev));
        while let Some((netns, dev)) = next.take() {
            let name = self.dev_name(netns, dev).to_owned();
            let removed = self.walk(netns, |ns, _| ns.devs.get(dev).is_some().then(|| ns.remove_dev(dev)));
            if let Ok(Some(peer)) = removed {
                self.gone.devs.insert((netns, dev), name);
                next = peer;
            }
        }
    }

    /// What a netns is called, or was.
    pub fn netns_name(&self, id: NetnsId) -> &str {
        let gone = || self.gone.netns.get(&id).map_or("", String::as_str);
        self.find_netns(id).map_or_else(gone, |netns| netns.name.as_str())
    }

    /// What a device is called, or was.
    pub fn dev_name(&self, netns: NetnsId, dev: DevId) -> &str {
        let here = |ns: &'_ Netns| ns.devs.get(dev).is_some();
        match self.find_netns(netns) {
            Some(ns) if here(ns) => ns.dev_name(dev),
            _ => self.gone.devs.get(&(netns, dev)).map_or("", String::as_str),
        }
    }
}

#[cfg(test)]
mod tests;
