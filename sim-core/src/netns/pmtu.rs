//! Path MTUs learned from "fragmentation needed" (RFC 1191; net/ipv4/route.c, `update_or_create_fnhe`) and "packet too
//! big" (RFC 8201; net/ipv6/route.c, `__ip6_rt_update_pmtu`).

use std::net::IpAddr;

use crate::engine::arena::Map;
use crate::engine::time::{Duration, Instant};

/// How long a learned MTU is believed (`net.ipv4.route.mtu_expires`).
pub const MTU_EXPIRES: Duration = Duration::from_secs(600);
/// The smallest MTU believed of IPv4 (`net.ipv4.route.min_pmtu`).
pub const MIN_PMTU: u32 = 552;
/// The smallest MTU of an IPv6 path: less is ignored.
pub const MIN_PMTU_V6: u32 = 1280;
/// Most destinations remembered; beyond it the cache is emptied.
const MAX_ENTRIES: usize = 4096;

/// What was learned about a destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathMtu {
    /// The MTU believed, in bytes.
    pub mtu: u32,
    /// A router told less than [`MIN_PMTU`]: packets go without DF.
    pub locked: bool,
}

/// Learned path MTUs by destination.
#[derive(Clone, Debug, Default)]
pub struct Pmtu {
    now: Instant,
    learned: Map<IpAddr, (PathMtu, Instant)>,
}

impl Pmtu {
    /// The learned MTU towards `dst`, as of the time of the last [`Self::advance`].
    pub fn get(&self, dst: IpAddr) -> Option<PathMtu> {
        self.learned.get(&dst).filter(|(_, until)| self.now < *until).map(|(learned, _)| *learned)
    }

    /// Tells the cache the time.
    pub fn advance(&mut self, now: Instant) {
        self.now = now;
    }

    /// Learns `mtu` (0 from old routers is ignored), not below [`MIN_PMTU`].
    pub fn learn(&mut self, dst: IpAddr, mtu: u32) {
        let floor = if dst.is_ipv6() { MIN_PMTU_V6 } else { 1 };
        if mtu < floor || self.get(dst).is_some_and(|known| known.mtu <= mtu) {
            return;
        }
        if self.learned.len() >= MAX_ENTRIES {
            self.learned.clear();
        }
        let learned = PathMtu { mtu: mtu.max(MIN_PMTU), locked: mtu < MIN_PMTU };
        self.learned.insert(dst, (learned, self.now + MTU_EXPIRES));
    }
}
