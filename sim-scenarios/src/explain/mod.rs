//! What became of packets, told so that one sees why: in words, as a sequence diagram, as values.
//!
//! | room | what it is |
//! | --- | --- |
//! | `walk` | the walk of packets, as values |
//! | `text` | the same in words |
//! | `diagram` | the same as a sequence diagram: lifelines, arrows, notes |
//! | `svg`, `mermaid` | what draws it |
//! | `film` | a run, played as often as it is looked at |
//! | `flow` | which packets are of one connection |
//! | `call` | a call that is tried |
//! | `scene` | which packets are looked at |
//! | `explanation` | what became of a packet, a connection, a call |
//! | `why` | why it failed, since when, and whose work that is |
//! | `tables` | what the tables on the way said about it |
//! | `rules` | which rules were looked at |
//! | `lookup` | the same of a name that could not be resolved |

mod call;
mod diagram;
mod explanation;
mod film;
mod flow;
mod lookup;
mod mermaid;
mod rules;
mod scene;
mod svg;
mod tables;
mod text;
mod walk;
mod why;

pub use call::{Call, NoCall};
pub use explanation::{Explanation, NoExplanation, explain};
pub use film::{Film, NoFilm};
pub use flow::Connection;
pub use mermaid::mermaid;
pub use rules::{LookedAt, TableWalk};
pub use scene::{Subject, Which, connections};
pub use svg::svg;
pub use tables::Tables;
pub(crate) use walk::is_arp;
pub use walk::{Frame, PacketWalk, Walk, Way};
pub use why::{Fact, Since, Why};

#[cfg(test)]
mod tests;
