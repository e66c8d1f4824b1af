//! The identification field of packets of this host (net/ipv4/route.c, `__ip_select_ident`; RFC 6864).
//!
//! The kernel draws from hashed counters. Here each netns counts on from a point of its own, never through
//! zero, so that in a capture no two hosts use one id close together in time.

use crate::engine::arena::NetnsId;
use crate::engine::rng::Stream;

/// The counter of a netns.
#[derive(Clone, Debug)]
pub struct IpIds(u16);

impl IpIds {
    /// Begins at a point that depends on the netns and a draw.
    pub fn new(netns: NetnsId, rng: &mut Stream) -> Self {
        Self((netns.0.wrapping_mul(1511) as u16).wrapping_add(rng.below(1000) as u16))
    }

    /// The next id, never 0.
    pub fn draw(&mut self) -> u16 {
        self.0 = self.0.wrapping_add(1).max(1);
        self.0
    }
}
