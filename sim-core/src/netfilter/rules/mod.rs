//! Rules as values, and what they decide about a packet.
//!
//! A [`Ruleset`] is immutable and shared (`Arc` inside): tables of chains of [`Rule`]s. What packets
//! change (counters, nth and limit memories, recent lists) is a [`RuleState`] of its own, so that one
//! ruleset serves a thousand nodes and a clone of either is cheap. [`evaluate()`] walks one table for one
//! packet at one hook, as net/ipv4/netfilter/ip_tables.c `ipt_do_table` does.
//!
//! The judge is iptables 1.8.9 with its nft backend, as installed where the kernel's behaviour was recorded; where
//! the legacy backend differs (`limit`, forms of the trace), the code says so.
//!
//! Start with [`rule`] (one rule), then [`table`], [`apply`] (how a ruleset changes, atomically), and
//! [`evaluate`](mod@evaluate). A match is one file in [`mod@matches`] and a target one in [`targets`]; each
//! knows its text (options, printing) and its meaning. The text of whole tables is [`super::text`].

pub mod apply;
pub mod evaluate;
pub mod matches;
pub mod packet;
pub mod rule;
pub mod state;
pub mod table;
pub mod targets;
#[cfg(test)]
mod tests;
pub mod trace;

pub use apply::{ApplyError, Op, TableOps};
pub use evaluate::{Decider, Verdict, evaluate};
pub use matches::Match;
pub(crate) use packet::upper;
pub use packet::{AddrType, CtFacts, CtState, FibFacts, ReversePath, RulePacket};
pub use rule::{Cond, Counters, Rule, Target};
pub use state::RuleState;
pub use table::{Chain, ChainId, Policy, Ruleset, Table, TableName};
pub use trace::{Step, TraceStep, Trail};
