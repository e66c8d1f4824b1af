//! CNI plugins as flannel chains them: `bridge` gives a pod its device, `portmap` its host ports.
//!
//! Read from upstream containernetworking/plugins at 3d27709f (2026-04) and the `cni-conf.json` of
//! flannel's kube-flannel.yml: hairpin on, default gateway, no promiscuous mode.
mod bridge;
mod portmap;

pub use bridge::{Bridge, PodPort, Wiring};
pub use portmap::{PortMapping, Portmap};

use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// The name of the network in flannel's configuration.
pub const NETWORK: &str = "cbr0";

/// Identity of one pod sandbox: 64 hexadecimal digits, as a container runtime would draw them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SandboxId(String);

impl SandboxId {
    /// The sandbox number `attempt` (from 0) of a pod.
    pub fn new(namespace: &str, pod: &str, attempt: u32) -> Self {
        Self(HEXLOWER.encode(&Sha256::digest(format!("{namespace}/{pod}/{attempt}"))))
    }
}

impl fmt::Display for SandboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
