//! Which endpoints a service port may use on a node: upstream `pkg/proxy/topology.go`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::service_port::ServicePort;

/// One endpoint of a service port. Absent conditions of the API mean ready, serving, not terminating.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// First address of the endpoint, and the port's number there.
    pub addr: SocketAddr,
    /// The node it runs on; `None` is local nowhere.
    pub node: Option<String>,
    /// Takes new connections.
    pub ready: bool,
    /// Answers, maybe while terminating.
    pub serving: bool,
    /// Its pod is being deleted.
    pub terminating: bool,
    /// `hints.forZones`
    pub zone_hints: BTreeSet<String>,
    /// `hints.forNodes`
    pub node_hints: BTreeSet<String>,
}

impl Endpoint {
    /// A ready endpoint without hints.
    pub fn ready(addr: SocketAddr, node: Option<&str>) -> Self {
        Self {
            addr,
            node: node.map(str::to_owned),
            ready: true,
            serving: true,
            terminating: false,
            zone_hints: BTreeSet::new(),
            node_hints: BTreeSet::new(),
        }
    }

    fn is_local(&self, node: &str) -> bool {
        self.node.as_deref() == Some(node)
    }

    /// The fallback when nothing is ready (KEP-1669).
    fn is_draining(&self) -> bool {
        self.serving && self.terminating
    }
}

/// Endpoints of all slices of one service port: one per address, in the order of the *text* `ip:port`,
/// in which upstream writes rules (so `10.1.1.11:11` comes before `10.1.1.1:11`).
///
/// Where two slices name one address, an endpoint that is not terminating replaces the earlier one
/// (upstream `endpointslicecache.go`, `addEndpoints`).
pub fn collect(endpoints: impl IntoIterator<Item = Endpoint>) -> Vec<Endpoint> {
    let mut by_text = BTreeMap::new();
    for endpoint in endpoints {
        match by_text.entry(endpoint.addr.to_string()) {
            Entry::Vacant(free) => {
                free.insert(endpoint);
            }
            Entry::Occupied(mut taken) if !endpoint.terminating => {
                taken.insert(endpoint);
            }
            Entry::Occupied(_) => {}
        }
    }
    by_text.into_values().collect()
}

/// The node whose kube-proxy chooses.
#[derive(Clone, Copy, Debug)]
pub struct Chooser<'a> {
    /// Name of the node.
    pub node: &'a str,
    /// Its label `topology.kubernetes.io/zone`, empty if it has none.
    pub zone: &'a str,
    /// Feature gate PreferSameTrafficDistribution: whether node hints count.
    pub node_hints: bool,
}

/// The endpoints of a service port as one node uses them; each list in the order of the service's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Categorized<'a> {
    /// For traffic under policy Cluster; empty if the service port has no such traffic.
    pub cluster: Vec<&'a Endpoint>,
    /// For traffic under policy Local; empty if the service port has no such traffic.
    pub local: Vec<&'a Endpoint>,
    /// The union of both: endpoints that need rules on this node.
    pub reachable: Vec<&'a Endpoint>,
    /// Whether there is a usable endpoint anywhere, on this node or not.
    pub has_any: bool,
}

/// Sorts the endpoints of `port` into those that `chooser`'s node uses (upstream `CategorizeEndpoints`).
pub fn categorize<'a>(port: &'a ServicePort, chooser: Chooser<'_>) -> Categorized<'a> {
    let all = port.endpoints.as_slice();
    let mut cluster = Vec::new();
    if port.uses_cluster_endpoints() {
        let topology = Topology::from_hints(all, chooser);
        cluster = all.iter().filter(|e| e.ready && topology.allows(e)).collect();
        if cluster.is_empty() {
            cluster = all.iter().filter(|e| e.is_draining()).collect();
        }
    }
    let mut local = Vec::new();
    if port.uses_local_endpoints() {
        local = all.iter().filter(|e| e.is_local(chooser.node) && e.ready).collect();
        if local.is_empty() {
            local = all.iter().filter(|e| e.is_local(chooser.node) && e.is_draining()).collect();
        }
    }
    let has_any =
        !cluster.is_empty() || (port.uses_local_endpoints() && all.iter().any(|e| e.ready || e.is_draining()));
    let wanted: BTreeSet<SocketAddr> = cluster.iter().chain(&local).map(|e| e.addr).collect();
    let reachable = all.iter().filter(|e| wanted.contains(&e.addr)).collect();
    Categorized { cluster, local, reachable, has_any }
}

/// Which ready endpoints the hints leave over for a node.
enum Topology<'a> {
    Anywhere,
    SameNode(&'a str),
    SameZone(&'a str),
}

impl<'a> Topology<'a> {
    /// Hints count only if every ready endpoint has one of the kind and one of them is for this
    /// node; one endpoint without a hint switches them off (upstream `topologyModeFromHints`).
    fn from_hints(all: &[Endpoint], chooser: Chooser<'a>) -> Self {
        let usable = |hints: fn(&Endpoint) -> &BTreeSet<String>, mine: &str| {
            let mut ready = all.iter().filter(|e| e.ready);
            ready.clone().all(|e| !hints(e).is_empty()) && ready.any(|e| hints(e).contains(mine))
        };
        if chooser.node_hints && usable(|e| &e.node_hints, chooser.node) {
            Self::SameNode(chooser.node)
        } else if usable(|e| &e.zone_hints, chooser.zone) {
            Self::SameZone(chooser.zone)
        } else {
            Self::Anywhere
        }
    }

    fn allows(&self, endpoint: &Endpoint) -> bool {
        match self {
            Self::Anywhere => true,
            Self::SameNode(node) => endpoint.node_hints.contains(*node),
            Self::SameZone(zone) => endpoint.zone_hints.contains(*zone),
        }
    }
}

#[cfg(test)]
mod tests;
