//! A learning bridge: ports and FDB (net/bridge/br_fdb.c, br_if.c). STP is off, as CNI leaves it.

use crate::engine::arena::{DevId, Map};
use crate::engine::time::{Duration, Instant};
use crate::wire::eth::MacAddr;

/// How long a learned entry is believed (net/bridge/br_device.c: 300 s).
pub const AGEING_TIME: Duration = Duration::from_secs(300);

/// Most learned entries; beyond it nothing is learned, so that a flood of sources stays bounded.
/// (The kernel's `fdb_max_learned` is unlimited by default.)
pub const FDB_MAX_LEARNED: usize = 1 << 16;

/// What a device is in its bridge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BridgePort {
    /// The bridge.
    pub bridge: DevId,
    /// May a frame leave by the port it came in by? (`bridge link set … hairpin on`)
    pub hairpin: bool,
    /// Does the port take part in learning?
    pub learning: bool,
}

/// One FDB entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FdbEntry {
    /// The port; `None` for an address of the bridge itself.
    pub port: Option<DevId>,
    /// Never ages (`static`, `permanent`).
    pub fixed: bool,
    /// When it was last seen as a source.
    pub updated: Instant,
}

/// A bridge.
#[derive(Clone, Debug)]
pub struct Bridge {
    /// Ports, newest first: the order frames are flooded in (net/bridge/br_if.c, `br_add_if` adds at the head).
    pub ports: Vec<DevId>,
    /// How long a learned entry is believed.
    pub ageing_time: Duration,
    fdb: Map<MacAddr, FdbEntry>,
}

impl Default for Bridge {
    fn default() -> Self {
        Self { ports: Vec::new(), ageing_time: AGEING_TIME, fdb: Map::default() }
    }
}

impl Bridge {
    /// The entry for `mac`, unless it has aged. Ageing is judged now, by the ageing time of now
    /// (net/bridge/br_private.h, `has_expired`).
    pub fn lookup(&self, mac: MacAddr, now: Instant) -> Option<&FdbEntry> {
        self.fdb.get(&mac).filter(|e| e.fixed || now < e.updated + self.ageing_time)
    }

    /// Learns that `mac` is behind `port` (net/bridge/br_fdb.c, `br_fdb_update`): a station that moved is
    /// relearned at once, fixed entries and the bridge's own addresses stay.
    pub fn learn(&mut self, mac: MacAddr, port: DevId, now: Instant) {
        let room = self.fdb.len() < FDB_MAX_LEARNED;
        match self.fdb.get_mut(&mac) {
            Some(e) if e.fixed || e.port.is_none() => {}
            Some(e) => *e = FdbEntry { port: Some(port), fixed: false, updated: now },
            None if room => {
                self.fdb.insert(mac, FdbEntry { port: Some(port), fixed: false, updated: now });
            }
            None => {}
        }
    }

    /// Adds or replaces an entry that never ages.
    pub fn insert_fixed(&mut self, mac: MacAddr, port: Option<DevId>) {
        self.fdb.insert(mac, FdbEntry { port, fixed: true, updated: Instant::START });
    }

    /// Removes the entry for `mac`.
    pub fn remove(&mut self, mac: MacAddr) -> Option<FdbEntry> {
        self.fdb.remove(&mac)
    }

    /// Forgets a port and everything behind it.
    pub fn remove_port(&mut self, port: DevId) {
        self.ports.retain(|p| *p != port);
        self.fdb.retain(|_, e| e.port != Some(port));
    }

    /// All entries that have not aged, by address.
    pub fn entries(&self, now: Instant) -> Vec<(MacAddr, FdbEntry)> {
        let mut all: Vec<_> = self.fdb.iter().map(|(mac, e)| (*mac, *e)).collect();
        all.retain(|(_, e)| e.fixed || now < e.updated + self.ageing_time);
        all.sort_by_key(|(mac, _)| *mac);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    #[test]
    fn a_station_that_moves_is_relearned_at_once() {
        let mut b = Bridge::default();
        b.learn(M, DevId(2), Instant::START);
        b.learn(M, DevId(3), Instant::START);
        assert_eq!(b.lookup(M, Instant::START).unwrap().port, Some(DevId(3)));
    }

    #[test]
    fn ageing_is_judged_at_lookup_by_the_ageing_time_of_now() {
        let mut b = Bridge::default();
        b.learn(M, DevId(2), Instant::START);
        let later = Instant::START + Duration::from_secs(200);
        assert!(b.lookup(M, later).is_some());
        b.ageing_time = Duration::from_secs(100);
        assert!(b.lookup(M, later).is_none());
    }

    #[test]
    fn the_bridges_own_address_is_never_learned_away() {
        let mut b = Bridge::default();
        b.insert_fixed(M, None);
        b.learn(M, DevId(2), Instant::START);
        assert_eq!(b.lookup(M, Instant::START).unwrap().port, None);
    }
}
