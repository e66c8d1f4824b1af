//! A deterministic Linux-like network; it knows no Kubernetes word.
//!
//! Start with [`world::World`]: netns joined by veth pairs and wires, one queue of events. Then follow a packet
//! through `walk`, in walk order:
//!
//! | room | what is there |
//! | --- | --- |
//! | [`engine`] | time, the total order of events, seeded random streams, fingerprint; no network word |
//! | [`kernel`] | what older kernels did |
//! | [`wire`] | bytes: headers parsed, built, edited in place; no state |
//! | [`dev`] | nouns: device kinds (loopback, veth, bridge, vxlan, eth), one file each |
//! | [`netfilter`] | nouns: rules and their text, conntrack, NAT |
//! | [`link`] | underlay wires: delay, rate, loss |
//! | [`netns`] | nouns: addresses, FIB, neighbours, sysctls, sockets; [`netns::netlink`] is the one door |
//! | `walk` | verbs: the stages of a packet inside one netns, each named after its kernel function |
//! | [`capture`] | what the taps saw, as pcapng |
//! | [`world`] | all netns, all wires, the queue; only it sees two netns |
//!
//! Layers, lowest first: `engine ‹ wire ‹ {netfilter, dev, link} ‹ netns ‹ walk ‹ world`.

pub mod capture;
pub mod dev;
pub mod engine;
pub mod kernel;
pub mod link;
pub mod netfilter;
pub mod netns;
mod walk;
pub mod wire;
pub mod world;

pub use walk::{TraceGroup, TracedPacket};
