//! What a host has learned about single destinations, as exceptions from the next hop of their route (net/ipv4/route.c,
//! `update_or_create_fnhe`; net/ipv6/route.c, `rt6_insert_exception`): path MTUs of "fragmentation needed" (RFC 1191) and
//! "packet too big" (RFC 8201), and the nearer routers of redirects. An exception goes with the next hop it is from.

use std::net::IpAddr;

use super::fib::NextHop;
use crate::engine::arena::Map;
use crate::engine::time::{Duration, Instant};
use crate::wire::ip::Family;

/// How long a learned MTU is believed (`net.ipv4.route.mtu_expires`).
const MTU_EXPIRES: Duration = Duration::from_secs(600);
/// How long a redirect of IPv4 is believed (`ip_rt_gc_timeout`).
const REDIRECT_EXPIRES: Duration = Duration::from_secs(300);
/// When the collector of IPv6 takes one (`fib6_run_gc`, `net.ipv6.route.gc_interval`).
const REDIRECT_COLLECTED: Duration = Duration::from_secs(30);
/// The smallest MTU believed of IPv4 (`net.ipv4.route.min_pmtu`).
const MIN_PMTU: u32 = 552;
/// The smallest MTU of an IPv6 path: less is ignored.
const MIN_PMTU_V6: u32 = 1280;
/// Most destinations remembered; beyond it all are forgotten.
const MAX_ENTRIES: usize = 4096;

/// What was learned about a destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exception {
    from: NextHop,
    /// The next hop that a redirect named.
    pub redirect: Option<NextHop>,
    /// What routers on the way can carry.
    pub path_mtu: Option<PathMtu>,
    /// When it is forgotten.
    pub until: Instant,
}

/// A learned path MTU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathMtu {
    /// The MTU believed, in bytes.
    pub mtu: u32,
    /// A router told less than `min_pmtu`: packets go without DF.
    pub locked: bool,
}

/// The exceptions of a netns by destination.
#[derive(Clone, Debug, Default)]
pub struct Exceptions {
    now: Instant,
    known: Map<IpAddr, Exception>,
}

impl Exceptions {
    /// What was learned about `dst`, whose route has the next hop `from`, as of the time of the last [`Self::advance`].
    pub fn get(&self, dst: IpAddr, from: NextHop) -> Option<&Exception> {
        self.known.get(&dst).filter(|known| known.from == from && self.now < known.until)
    }

    /// Tells the time.
    pub fn advance(&mut self, now: Instant) {
        self.now = now;
    }

    /// Learns the path MTU `mtu` (0 from old routers is ignored), not below `net.ipv4.route.min_pmtu`.
    pub fn learn_mtu(&mut self, dst: IpAddr, from: NextHop, mtu: u32) {
        let floor = if dst.is_ipv6() { MIN_PMTU_V6 } else { 1 };
        let known = self.get(dst, from).copied();
        if mtu < floor || known.and_then(|known| known.path_mtu).is_some_and(|known| known.mtu <= mtu) {
            return;
        }
        let path_mtu = Some(PathMtu { mtu: mtu.max(MIN_PMTU), locked: mtu < MIN_PMTU });
        let redirect = known.and_then(|known| known.redirect);
        self.learn(dst, Exception { from, redirect, path_mtu, until: self.now + MTU_EXPIRES });
    }

    /// Learns that packets for `dst` go by `redirect`. Of IPv6 this is a new entry of its cache, which knows no path MTU.
    pub fn learn_redirect(&mut self, dst: IpAddr, from: NextHop, redirect: NextHop) {
        let path_mtu = self.get(dst, from).and_then(|known| known.path_mtu).filter(|_| dst.is_ipv4());
        let until = match Family::of(dst) {
            Family::V4 => self.now + REDIRECT_EXPIRES,
            Family::V6 => self.now + REDIRECT_COLLECTED,
        };
        self.learn(dst, Exception { from, redirect: Some(redirect), path_mtu, until });
    }

    fn learn(&mut self, dst: IpAddr, exception: Exception) {
        if self.known.len() >= MAX_ENTRIES {
            self.known.clear();
        }
        self.known.insert(dst, exception);
    }
}
