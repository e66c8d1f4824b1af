//! `lo`: what it sends it receives, by a hand-over event.

use super::{Dev, DevKind, Devices};
use crate::wire::eth::MacAddr;

/// Default MTU (drivers/net/loopback.c, `gen_lo_setup`: 64 KiB).
pub const MTU: u32 = 65536;

/// The loopback device every netns has.
pub fn new() -> Dev {
    Dev {
        id: Devices::LO,
        name: "lo".to_owned(),
        mac: MacAddr::ZERO,
        mtu: MTU,
        up: true,
        port: None,
        kind: DevKind::Loopback,
    }
}
