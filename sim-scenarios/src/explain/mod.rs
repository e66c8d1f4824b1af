//! What became of packets, told so that one sees why: in words, as a sequence diagram, as values.
//!
//! | room | what it is |
//! | --- | --- |
//! | `walk` | the walk of packets, as values |
//! | `text` | the same in words |
//! | `diagram` | the same as a sequence diagram: lifelines, arrows, notes |
//! | `svg`, `mermaid` | what draws it |

mod diagram;
mod mermaid;
mod svg;
mod text;
mod walk;

pub use mermaid::mermaid;
pub use svg::svg;
pub(crate) use walk::is_arp;
pub use walk::{Frame, PacketWalk, Walk, Way};

#[cfg(test)]
mod tests;
