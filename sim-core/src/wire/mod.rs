//! Bytes only, no state: what is on the wire and how it is edited in place.
//!
//! A [`packet::Packet`] is one buffer with headroom that moves by value through the walk. `etherparse`
//! parses and builds headers; our own are the in-place edits with incremental checksums ([`edit`]),
//! VXLAN and ARP bodies. Every header type carries its address family inside ([`std::net::IpAddr`]);
//! there are no v4/v6 twins.

pub mod arp;
pub mod build;
pub mod checksum;
pub mod edit;
pub mod eth;
pub mod icmp;
pub mod ip;
pub mod l4;
pub mod packet;
pub mod tcp_option;
pub mod vxlan;
