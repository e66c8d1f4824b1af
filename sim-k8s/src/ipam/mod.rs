//! Who gets which address: pod networks, pod addresses, ClusterIPs and node ports.
//!
//! | room | what it gives out | upstream |
//! | --- | --- | --- |
//! | `pod_cidr` | a pod network for each node | `pkg/controller/nodeipam/ipam/cidrset` |
//! | `host_local` | an address for each pod of a node | CNI plugins, `plugins/ipam/host-local` |
//! | `mac` | a hardware address for each device | none: they are random there |
//! | `service` | ClusterIPs and node ports | `pkg/registry/core/service/{ip,port}allocator` |
//!
//! Everything is a pure function of the order of requests: where upstream draws at random (ClusterIPs,
//! node ports), the lowest free one is taken.
mod host_local;
pub mod mac;
mod pod_cidr;
mod pool;
mod service;

pub use host_local::HostLocal;
pub use pod_cidr::PodCidrs;
pub use service::{ClusterIps, NodePorts};

use std::net::IpAddr;

use ipnet::IpNet;

/// Why an allocator says no.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IpamError {
    /// Everything is taken.
    #[error("{what} is exhausted")]
    Exhausted {
        /// The range, in words.
        what: String,
    },
    /// What was asked for by name is taken.
    #[error("{what} is already allocated to {owner}")]
    Taken {
        /// The address or port.
        what: String,
        /// Who has it.
        owner: String,
    },
    /// What was asked for by name is not to be had from this range.
    #[error("{what} is not in the valid range {range}")]
    OutOfRange {
        /// The address or port.
        what: String,
        /// The range, in words.
        range: String,
    },
    /// The owner has something already.
    #[error("{owner} already has {what}")]
    Duplicate {
        /// Who asks again.
        owner: String,
        /// What it has.
        what: String,
    },
    /// The range is too small to give anything out.
    #[error("{net} cannot be divided: {why}")]
    BadRange {
        /// The network.
        net: IpNet,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The address `offset` after the first of `net`; `None` beyond its last one.
fn nth(net: IpNet, offset: u128) -> Option<IpAddr> {
    let address = match net.network() {
        IpAddr::V4(first) => {
            let sum = u32::try_from(offset).ok().and_then(|offset| u32::from(first).checked_add(offset))?;
            IpAddr::V4(sum.into())
        }
        IpAddr::V6(first) => IpAddr::V6(u128::from(first).checked_add(offset)?.into()),
    };
    net.contains(&address).then_some(address)
}

/// How far `address` is from the first of `net`; `None` outside it.
fn offset_in(net: IpNet, address: IpAddr) -> Option<u128> {
    if !net.contains(&address) {
        return None;
    }
    match (net.network(), address) {
        (IpAddr::V4(first), IpAddr::V4(ip)) => Some(u128::from(u32::from(ip) - u32::from(first))),
        (IpAddr::V6(first), IpAddr::V6(ip)) => Some(u128::from(ip) - u128::from(first)),
        _ => None,
    }
}

/// Offset of the last address of `net` that may be given out: not IPv4's broadcast address.
fn last_offset(net: IpNet) -> u128 {
    let hosts = u32::from(net.max_prefix_len() - net.prefix_len());
    let size_less_one = 1u128.checked_shl(hosts).map_or(u128::MAX, |size| size - 1);
    if net.addr().is_ipv4() { size_less_one.saturating_sub(1) } else { size_less_one }
}
