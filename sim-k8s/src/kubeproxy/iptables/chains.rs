//! Names of chains (upstream `pkg/proxy/iptables/proxier.go`, `portProtoHash` and below).

use std::net::SocketAddr;

use data_encoding::BASE32;
use sha2::{Digest, Sha256};

use crate::kubeproxy::service_port::ServicePortName;

pub(super) const SERVICES: &str = "KUBE-SERVICES";
pub(super) const EXTERNAL_SERVICES: &str = "KUBE-EXTERNAL-SERVICES";
pub(super) const NODE_PORTS: &str = "KUBE-NODEPORTS";
pub(super) const POSTROUTING: &str = "KUBE-POSTROUTING";
pub(super) const MARK_MASQ: &str = "KUBE-MARK-MASQ";
pub(super) const FORWARD: &str = "KUBE-FORWARD";
pub(super) const PROXY_FIREWALL: &str = "KUBE-PROXY-FIREWALL";
/// An empty chain; when it is gone, someone has flushed iptables.
pub(in crate::kubeproxy) const CANARY: &str = "KUBE-PROXY-CANARY";
/// Shared with the kubelet, which writes the same rule into it.
pub(super) const KUBELET_FIREWALL: &str = "KUBE-FIREWALL";

const CLUSTER_PREFIX: &str = "KUBE-SVC-";
const LOCAL_PREFIX: &str = "KUBE-SVL-";
const EXTERNAL_PREFIX: &str = "KUBE-EXT-";
const FIREWALL_PREFIX: &str = "KUBE-FW-";
const ENDPOINT_PREFIX: &str = "KUBE-SEP-";

/// Chains of one service port. The port's number is not in the hash: renumbering keeps the names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceChains {
    /// `KUBE-SVC-…`: endpoints under policy Cluster.
    pub cluster: String,
    /// `KUBE-SVL-…`: endpoints under policy Local.
    pub local: String,
    /// `KUBE-EXT-…`: entry of external traffic.
    pub external: String,
    /// `KUBE-FW-…`: source ranges of load balancer addresses.
    pub firewall: String,
}

impl ServiceChains {
    /// The names for `port`.
    pub fn of(port: &ServicePortName) -> Self {
        let hash = hash16(&format!("{port}{}", port.protocol().in_rules()));
        let name = |prefix| format!("{prefix}{hash}");
        Self {
            cluster: name(CLUSTER_PREFIX),
            local: name(LOCAL_PREFIX),
            external: name(EXTERNAL_PREFIX),
            firewall: name(FIREWALL_PREFIX),
        }
    }
}

/// `KUBE-SEP-…`: the chain of one endpoint of `port`.
pub fn endpoint_chain(port: &ServicePortName, endpoint: SocketAddr) -> String {
    format!("{ENDPOINT_PREFIX}{}", hash16(&format!("{port}{}{endpoint}", port.protocol().in_rules())))
}

/// Whether a chain of the nat table is a service port's or an endpoint's.
pub fn is_service_chain(name: &str) -> bool {
    [CLUSTER_PREFIX, LOCAL_PREFIX, ENDPOINT_PREFIX, FIREWALL_PREFIX, EXTERNAL_PREFIX]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// A chain's name has at most 28 characters, so only a part of the hash fits.
fn hash16(text: &str) -> String {
    let mut hash = BASE32.encode(&Sha256::digest(text));
    hash.truncate(16);
    hash
}
