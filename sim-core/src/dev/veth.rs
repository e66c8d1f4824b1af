//! veth: a pair of devices; what one sends the other receives, by a hand-over event
//! (drivers/net/veth.c, `veth_xmit`).

use crate::engine::arena::{DevId, NetnsId};

/// One end of a pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Veth {
    /// Where the other end is; `None` once it was removed.
    pub peer: Option<(NetnsId, DevId)>,
}
