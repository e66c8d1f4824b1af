//! Health check node ports (upstream `service_health.go`, `LocalReadyEndpoints` of `endpointschangetracker.go`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::api::ObjectKey;
use crate::http::Response;
use crate::kubeproxy::service_port::ServiceMap;

/// The health checks of a node: by Service its port, and how many endpoints are ready here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServiceHealth {
    checks: BTreeMap<ObjectKey, Check>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Check {
    port: u16,
    local_endpoints: usize,
}

impl ServiceHealth {
    /// What a sync of `services` on `node` leads to. Only endpoints that are ready count: a node whose last ones are
    /// terminating still serves, but is to get no new connections.
    pub fn of(services: &ServiceMap, node: &str) -> Self {
        let mut checks = BTreeMap::new();
        let mut here: BTreeMap<&ObjectKey, BTreeSet<IpAddr>> = BTreeMap::new();
        for (name, port) in services.iter().filter(|(_, port)| port.external_policy_local) {
            let ready = port.endpoints.iter().filter(|e| e.ready && e.node.as_deref() == Some(node));
            here.entry(name.service()).or_default().extend(ready.map(|e| e.addr.ip()));
            if port.health_check_node_port != 0 {
                let check = Check { port: port.health_check_node_port, local_endpoints: 0 };
                checks.insert(name.service().clone(), check);
            }
        }
        for (service, check) in &mut checks {
            check.local_endpoints = here.get(service).map_or(0, BTreeSet::len);
        }
        Self { checks }
    }

    /// The ports to listen on, by Service.
    pub fn ports(&self) -> impl Iterator<Item = (&ObjectKey, u16)> {
        self.checks.iter().map(|(service, check)| (service, check.port))
    }

    /// What is said of `service` on any path: 200 if it has ready endpoints here and kube-proxy itself is well.
    pub fn answer(&self, service: &ObjectKey, proxy_healthy: bool) -> Response {
        let count = self.checks.get(service).map_or(0, |check| check.local_endpoints);
        let ObjectKey { namespace, name } = service;
        let body = format!(
            "{{\n\t\"service\": {{\n\t\t\"namespace\": \"{namespace}\",\n\t\t\"name\": \"{name}\"\n\t}},\n\t\
             \"localEndpoints\": {count},\n\t\"serviceProxyHealthy\": {proxy_healthy}\n}}"
        );
        let mut response = Response::json(count > 0 && proxy_healthy, body);
        response.headers.push(("X-Load-Balancing-Endpoint-Weight", count.to_string()));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Protocol;
    use crate::kubeproxy::{Endpoint, ServicePort, ServicePortName};

    fn key() -> ObjectKey {
        ObjectKey::new("default", "wp-nginx-service")
    }

    /// Two ports with the same two pods, one on each node.
    fn services() -> ServiceMap {
        let port = |name: &str, number: u16| {
            let endpoint = |ip: &str, node| Endpoint::ready(format!("{ip}:{number}").parse().expect("one"), Some(node));
            let port = ServicePort {
                external_policy_local: true,
                health_check_node_port: 32000,
                endpoints: vec![endpoint("10.244.1.2", "n1"), endpoint("10.244.2.2", "n2")],
                ..ServicePort::new("10.96.0.20".parse().expect("an address"), number)
            };
            (ServicePortName::new(key(), name, Protocol::Tcp).expect("labels"), port)
        };
        ServiceMap::from([port("http", 80), port("https", 443)])
    }

    /// A scan of a real node shows these headers, and this length for this name.
    #[test]
    fn a_pod_with_two_ports_is_one_endpoint() {
        let response = ServiceHealth::of(&services(), "n1").answer(&key(), true);
        assert_eq!((response.status, response.body.len()), (200, 127));
        assert!(response.body.contains("\"localEndpoints\": 1,"), "{}", response.body);
        assert_eq!(response.headers.last(), Some(&("X-Load-Balancing-Endpoint-Weight", "1".to_owned())));
    }

    #[test]
    fn a_node_whose_last_endpoint_terminates_is_to_get_nothing_more() {
        let mut services = services();
        for port in services.values_mut() {
            (port.endpoints[0].ready, port.endpoints[0].terminating) = (false, true);
        }
        assert_eq!(ServiceHealth::of(&services, "n1").answer(&key(), true).status, 503);
        assert_eq!(ServiceHealth::of(&services, "n2").answer(&key(), true).status, 200);
    }

    #[test]
    fn a_kube_proxy_that_is_behind_promises_nothing() {
        let response = ServiceHealth::of(&services(), "n1").answer(&key(), false);
        assert_eq!(response.status, 503);
        assert!(response.body.contains("\"localEndpoints\": 1,") && response.body.contains("Healthy\": false"));
    }
}
