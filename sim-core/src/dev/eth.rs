//! A network card on one end of an underlay wire (see [`crate::link`]).

use crate::engine::arena::LinkId;

/// The card's wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Eth {
    /// Which wire.
    pub link: LinkId,
    /// Which of its two ends: 0 or 1.
    pub end: u8,
}
