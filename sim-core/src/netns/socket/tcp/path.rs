//! What TCP is told about the route to a peer.

use std::net::{IpAddr, SocketAddr};

/// The MSS of a peer that names none (RFC 9293 3.7.1).
pub(super) const DEFAULT_MSS: u32 = 536;

/// The route to a peer as TCP sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Path {
    /// MTU of the route, or what path MTU discovery found, in bytes.
    pub mtu: u32,
    /// The MSS to announce, where the route names one (`advmss`).
    pub advmss: Option<u16>,
    /// The MTU may not be relied upon: DF is not set (`mtu lock`, or discovery found less than min_pmtu).
    pub locked: bool,
}

impl Path {
    /// A path of `mtu` bytes.
    pub const fn new(mtu: u32) -> Self {
        Self { mtu, advmss: None, locked: false }
    }

    /// The MSS to announce to `remote`: the route's, else the MTU less both headers (`ipv4_default_advmss`).
    pub(super) fn advmss(&self, remote: SocketAddr) -> u32 {
        let default = self.mtu.saturating_sub(header_len(remote)).clamp(256, 65_495);
        self.advmss.map_or(default, u32::from)
    }
}

/// Bytes of the IP and the plain TCP header.
pub(super) fn header_len(remote: SocketAddr) -> u32 {
    match remote.ip() {
        IpAddr::V4(_) => 40,
        IpAddr::V6(_) => 60,
    }
}
