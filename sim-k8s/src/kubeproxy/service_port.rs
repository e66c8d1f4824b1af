//! One port of one Service, as kube-proxy sees it: its own plain input model.
//!
//! What counts as a service port at all is decided by the adapter from API objects, after upstream
//! `pkg/proxy/serviceport.go` and `pkg/proxy/util/utils.go` (`ShouldSkipService`): headless and
//! ExternalName Services never arrive here, and every address is of the proxier's family.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::endpoints::Endpoint;
use crate::api::{ObjectKey, Protocol};

/// Service ports and their endpoints, in the order in which rules are written.
///
/// Upstream iterates a Go map, so its order between services is arbitrary; here it is sorted by name.
pub type ServiceMap = BTreeMap<ServicePortName, ServicePort>;

/// The key of a service port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServicePortName {
    service: ObjectKey,
    port: String,
    protocol: Protocol,
}

impl ServicePortName {
    /// `port` is the port's name, empty if it has none.
    ///
    /// # Errors
    /// [`BadName`] if the parts of `service`, or `port` if it is not empty, are no DNS labels: names are written into
    /// rule text, so nothing that could end a comment or a line may get in.
    pub fn new(service: ObjectKey, port: &str, protocol: Protocol) -> Result<Self, BadName> {
        check_label(&service.namespace)?;
        check_label(&service.name)?;
        if !port.is_empty() {
            check_label(port)?;
        }
        Ok(Self { service, port: port.to_owned(), protocol })
    }

    /// Before every port of `service`.
    pub(super) fn first_of(service: &ObjectKey) -> Self {
        Self { service: service.clone(), port: String::new(), protocol: Protocol::Tcp }
    }

    /// The Service this is a port of.
    pub fn service(&self) -> &ObjectKey {
        &self.service
    }

    /// The port's name, empty if it has none.
    pub fn port(&self) -> &str {
        &self.port
    }

    /// Its protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }
}

impl fmt::Display for ServicePortName {
    /// `namespace/service:port`, or `namespace/service` if the port has no name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.service)?;
        if self.port.is_empty() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// The text is not a DNS label (RFC 1123): at most 63 of `a-z`, `0-9` and inner `-`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not a DNS label (at most 63 of a-z, 0-9 and inner '-')")]
pub struct BadName(pub String);

fn check_label(text: &str) -> Result<(), BadName> {
    let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if plain && !text.is_empty() && text.len() <= 63 && !text.starts_with('-') && !text.ends_with('-') {
        Ok(())
    } else {
        Err(BadName(text.chars().take(80).collect()))
    }
}

/// One port of a Service, with its endpoints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServicePort {
    /// The virtual address inside the cluster.
    pub cluster_ip: IpAddr,
    /// Port at the ClusterIP, external IPs and load balancer addresses.
    pub port: u16,
    /// Port at every node; 0: none.
    pub node_port: u16,
    /// `spec.externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// Load balancer addresses of `ipMode: VIP`; those of mode Proxy and host names are left out.
    pub lb_vips: Vec<IpAddr>,
    /// `spec.loadBalancerSourceRanges`; empty: everyone may come to the load balancer addresses.
    pub source_ranges: Vec<IpNet>,
    /// `internalTrafficPolicy: Local`.
    pub internal_policy_local: bool,
    /// `externalTrafficPolicy: Local`.
    pub external_policy_local: bool,
    /// `sessionAffinity: ClientIP`: its timeout in seconds (the API's default is 10800).
    pub affinity_seconds: Option<u32>,
    /// Only for type LoadBalancer with `externalTrafficPolicy: Local`; 0: none.
    pub health_check_node_port: u16,
    /// All endpoints, whatever their state, as [`super::endpoints::collect`] orders them.
    pub endpoints: Vec<Endpoint>,
}

impl ServicePort {
    /// A plain ClusterIP port without endpoints: every other field at the API's default.
    pub fn new(cluster_ip: IpAddr, port: u16) -> Self {
        Self {
            cluster_ip,
            port,
            node_port: 0,
            external_ips: Vec::new(),
            lb_vips: Vec::new(),
            source_ranges: Vec::new(),
            internal_policy_local: false,
            external_policy_local: false,
            affinity_seconds: None,
            health_check_node_port: 0,
            endpoints: Vec::new(),
        }
    }

    /// Whether anything but the ClusterIP leads here. The Service's `type` is not looked at.
    pub fn externally_accessible(&self) -> bool {
        self.node_port != 0 || !self.lb_vips.is_empty() || !self.external_ips.is_empty()
    }

    /// Whether some traffic goes to endpoints of the whole cluster. External traffic always may, even
    /// with policy Local: pods and the node itself are short-circuited past that policy.
    pub fn uses_cluster_endpoints(&self) -> bool {
        !self.internal_policy_local || self.externally_accessible()
    }

    /// Whether some traffic goes only to endpoints of the node it came to.
    pub fn uses_local_endpoints(&self) -> bool {
        self.internal_policy_local || (self.external_policy_local && self.externally_accessible())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_without_a_name_has_no_colon() {
        let service = ObjectKey::new("default", "nginx");
        let unnamed = ServicePortName::new(service.clone(), "", Protocol::Tcp).expect("empty is allowed");
        let named = ServicePortName::new(service, "http", Protocol::Tcp).expect("a label");
        assert_eq!((unnamed.to_string().as_str(), named.to_string().as_str()), ("default/nginx", "default/nginx:http"));
    }

    #[test]
    fn a_name_that_could_end_a_comment_is_refused() {
        for bad in ["", "a\"b", "a\nCOMMIT", "a b", "-a", "a-", "A", "é", &"x".repeat(64)] {
            let key = |namespace, service| ServicePortName::new(ObjectKey::new(namespace, service), "", Protocol::Tcp);
            assert!(key("ns", bad).is_err() && key(bad, "svc").is_err(), "{bad:?}");
        }
    }

    #[test]
    fn external_policy_local_alone_needs_no_local_list() {
        let mut port = ServicePort::new("10.96.0.1".parse().expect("an address"), 80);
        port.external_policy_local = true;
        assert!(port.uses_cluster_endpoints() && !port.uses_local_endpoints());
        port.node_port = 30000;
        assert!(port.uses_cluster_endpoints() && port.uses_local_endpoints());
    }
}
