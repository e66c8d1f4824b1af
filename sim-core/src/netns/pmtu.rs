//! Path MTUs learned from "fragmentation needed" (RFC 1191; net/ipv4/route.c, `update_or_create_fnhe`).

use std::net::IpAddr;

use crate::engine::arena::Map;
use crate::engine::time::{Duration, Instant};

/// How long a learned MTU is believed (`net.ipv4.route.mtu_expires`).
pub const MTU_EXPIRES: Duration = Duration::from_secs(600);
/// The smallest MTU believed (`net.ipv4.route.min_pmtu`).
pub const MIN_PMTU: u32 = 552;
/// Most destinations remembered; beyond it the cache is emptied.
const MAX_ENTRIES: usize = 4096;

/// Learned path MTUs by destination.
#[derive(Clone, Debug, Default)]
pub struct Pmtu {
    now: Instant,
    learned: Map<IpAddr, (u32, Instant)>,
}

impl Pmtu {
    /// The learned MTU towards `dst`, as of the time of the last [`Self::advance`].
    pub fn get(&self, dst: IpAddr) -> Option<u32> {
        self.learned.get(&dst).filter(|(_, until)| self.now < *until).map(|(mtu, _)| *mtu)
    }

    /// Tells the cache the time.
    pub fn advance(&mut self, now: Instant) {
        self.now = now;
    }

    /// Learns `mtu` (0 from old routers is ignored), not below [`MIN_PMTU`].
    pub fn learn(&mut self, dst: IpAddr, mtu: u32) {
        if mtu == 0 || self.get(dst).is_some_and(|known| known <= mtu) {
            return;
        }
        if self.learned.len() >= MAX_ENTRIES {
            self.learned.clear();
        }
        self.learned.insert(dst, (mtu.max(MIN_PMTU), self.now + MTU_EXPIRES));
    }
}
