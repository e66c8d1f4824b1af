//! Hooks, rules, connection tracking and NAT: tables only, no packet path.
pub mod conntrack;
pub mod hooks;
pub mod ipset;
mod jhash;
pub mod nat;
pub mod rules;
pub mod text;
