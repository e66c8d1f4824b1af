//! How a pod resolves names.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// How a pod resolves names. Default: by the cluster's DNS.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PodDns {
    /// Whom it asks (`dnsPolicy`).
    pub policy: DnsPolicy,
    /// Further servers (`dnsConfig.nameservers`).
    pub nameservers: Vec<IpAddr>,
    /// Further domains to complete names with (`dnsConfig.searches`).
    pub searches: Vec<String>,
    /// Further options (`dnsConfig.options`): values by name, empty for one that has none.
    pub options: BTreeMap<String, String>,
    /// Names it knows without asking (`hostAliases`): addresses by name.
    pub host_aliases: BTreeMap<String, Vec<IpAddr>>,
}

/// Whom a pod asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DnsPolicy {
    /// The cluster's DNS; on its node's network as the node does. The default.
    #[default]
    ClusterFirst,
    /// The cluster's DNS, on its node's network too.
    ClusterFirstWithHostNet,
    /// As its node does.
    Default,
    /// Only whom it names itself.
    None,
}
