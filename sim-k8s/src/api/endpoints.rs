//! Who stands behind a Service.

use sim_core::wire::ip::Family;
use std::net::IpAddr;

use super::{Meta, ObjectKey, Protocol};

/// A list of endpoints that share their ports and their family.
#[derive(Clone, PartialEq, Debug)]
pub struct EndpointSlice {
    /// Namespace and name of the slice.
    pub key: ObjectKey,
    /// What the apiserver keeps of it.
    pub meta: Meta,
    /// Who writes it (label `endpointslice.kubernetes.io/managed-by`); `None`: someone by hand.
    pub managed_by: Option<String>,
    /// The Service it belongs to: label `kubernetes.io/service-name`, or the name of the Endpoints object.
    pub service: Option<ObjectKey>,
    /// The family of its addresses (`addressType`); `None`: they are names (`FQDN`), which kube-proxy does not use.
    pub family: Option<Family>,
    /// Ports of every endpoint of the list.
    pub ports: Vec<EndpointPort>,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// One port of a slice.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct EndpointPort {
    /// The Service port's name; empty for the unnamed one.
    pub name: String,
    /// Protocol. Default TCP.
    pub protocol: Protocol,
    /// Number. A slice's `null` port ("all ports") has no meaning for kube-proxy and is left out.
    pub port: u16,
}

/// One endpoint.
#[derive(Clone, PartialEq, Debug)]
pub struct Endpoint {
    /// Address; of a slice's several addresses kube-proxy uses the first.
    pub address: IpAddr,
    /// Takes new connections. Unknown counts as true (discovery/v1 `EndpointConditions`).
    pub ready: bool,
    /// Would serve even if it is going away. Unknown counts as true.
    pub serving: bool,
    /// Is going away. Unknown counts as false.
    pub terminating: bool,
    /// The node it is on.
    pub node_name: Option<String>,
    /// The zone it is in.
    pub zone: Option<String>,
    /// Zones that should use it.
    pub for_zones: Vec<String>,
    /// Nodes that should use it.
    pub for_nodes: Vec<String>,
    /// The name by which DNS knows it within its Service.
    pub hostname: Option<String>,
    /// The pod behind it (`targetRef`).
    pub pod: Option<ObjectKey>,
}
