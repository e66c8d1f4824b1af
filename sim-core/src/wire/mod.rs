//! Bytes only, no state: what is on the wire and how it is edited in place.
//!
//! A [`packet::Packet`] is one buffer with headroom that moves by value through the walk. `etherparse`
//! parses and builds headers; our own are the in-place edits with incremental checksums ([`edit`]),
//! VXLAN, ARP and neighbour discovery bodies. Every header type carries its address family inside ([`std::net::IpAddr`]);
//! there are no v4/v6 twins.

pub mod arp;
pub mod build;
pub mod checksum;
pub mod edit;
pub mod eth;
pub mod ext;
pub mod icmp;
pub mod icmpv6;
pub mod ip;
pub mod l4;
pub mod nd;
pub mod packet;
pub mod sctp;
pub mod tcp_option;
pub mod vxlan;
