//! The cloud around a cluster: a gateway, load balancers and pod routes, made of netns and the one door like all else.
//!
//! ```text
//!                      ┌── n1 eth0 10.240.0.11, n2 … .12 …
//!  world ── ext0 gw eth0 ── underlay switch
//!            10.240.0.1 └── lb eth0 10.240.0.2
//! ```
//!
//! | room | what it is | in life |
//! | --- | --- | --- |
//! | [`nat`] | the gateway: 1:1 NAT of nodes' addresses, and what may leave | internet gateway, elastic addresses |
//! | [`Plan`] | who has which addresses | networks of a cloud |
//! | [`routes`] | each node's pod network leads to the node | the cloud's route table, route controller |
//! | [`lb`] | load balancers, which know nodes and nothing of pods | forwarding rules, health checks, service controller |
//!
//! What a packet meets is rules and routes in `gw` and `lb`. Agents here hear of Services and Nodes from the apiserver
//! and program those two netns; no packet ever asks them.

pub mod lb;
pub mod nat;
mod plan;
pub mod routes;

pub use plan::Plan;

/// The gateway's device on the underlay.
const INSIDE: &str = "eth0";
/// The gateway's device to the world.
const OUTSIDE: &str = "ext0";
