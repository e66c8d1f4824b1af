//! A table's objects in kube-proxy's words (upstream `pkg/proxy/serviceport.go`, `pkg/proxy/endpointslicecache.go`,
//! `ShouldSkipService` of `pkg/proxy/util/utils.go`).

use std::net::{IpAddr, SocketAddr};

use sim_k8s::api::Protocol;
use sim_k8s::kubeproxy::endpoints::collect;
use sim_k8s::kubeproxy::{Endpoint, ServiceMap, ServiceName, ServicePort, ServicePortName};

use super::table::{Conditions, Port, Service, Slice};

/// Services that carry this label are another proxy's (`apis/well_known_labels.go`).
const OTHER_PROXY: &str = "service.kubernetes.io/service-proxy-name";

/// `DefaultClientIPServiceAffinitySeconds` of the API.
const AFFINITY_SECONDS: u32 = 10_800;

/// The objects there are at one step.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    pub(super) services: Vec<Service>,
    pub(super) slices: Vec<Slice>,
}

impl Objects {
    /// Carries out what a step says to be done: an action, then new slices, which replace those of their name.
    pub(super) fn change(&mut self, action: Option<&str>, slices: &[Slice]) -> Result<(), String> {
        let words: Vec<&str> = action.unwrap_or_default().split_whitespace().collect();
        match words[..] {
            [] | ["endpoint_slices"] => {}
            ["delete_endpoint_slices"] => self.slices.clear(),
            ["delete_service", key] => self.services.retain(|s| format!("{}/{}", s.namespace, s.name) != key),
            _ => return Err(format!("not understood: action {:?}", action.unwrap_or_default())),
        }
        for new in slices {
            self.slices.retain(|old| (&old.namespace, &old.slice) != (&new.namespace, &new.slice));
            self.slices.push(new.clone());
        }
        Ok(())
    }

    /// The service ports that kube-proxy of this family writes rules for.
    pub(super) fn service_map(&self, ipv4: bool) -> Result<ServiceMap, String> {
        let mut map = ServiceMap::new();
        for service in &self.services {
            let Some(cluster_ip) = cluster_ip(service, ipv4)? else { continue };
            let name = ServiceName::new(&service.namespace, &service.name).map_err(|e| e.to_string())?;
            for port in &service.ports {
                let (label, protocol) = (port.name.as_deref().unwrap_or_default(), protocol(port.protocol.as_deref())?);
                let key = ServicePortName::new(name.clone(), label, protocol).map_err(|e| e.to_string())?;
                map.insert(key, self.service_port(service, cluster_ip, port)?);
            }
        }
        Ok(map)
    }

    fn service_port(&self, service: &Service, cluster_ip: IpAddr, port: &Port) -> Result<ServicePort, String> {
        let same_family = |ip: &IpAddr| ip.is_ipv4() == cluster_ip.is_ipv4();
        let vip = |ingress: &&super::table::Ingress| ingress.ip_mode.as_deref().is_none_or(|mode| mode == "VIP");
        let vips = service.load_balancer_ingress.iter().filter(vip).filter_map(|ingress| ingress.ip.as_deref());
        let ranges = service.load_balancer_source_ranges.iter();
        // As upstream, what is no network is passed over.
        let ranges = ranges.filter_map(|range| range.trim().parse::<ipnet::IpNet>().ok());
        let external_policy_local = is_local(service.external_traffic_policy.as_deref());
        let checked = service.service_type.as_deref() == Some("LoadBalancer") && external_policy_local;
        let health_check_node_port = service.health_check_node_port.filter(|_| checked).unwrap_or(0);
        let number = port.port.ok_or_else(|| format!("a port of Service {} has no number", service.name))?;
        Ok(ServicePort {
            node_port: port.node_port.unwrap_or(0),
            external_ips: addresses(service.external_ips.iter().map(String::as_str), same_family)?,
            lb_vips: addresses(vips, same_family)?,
            source_ranges: ranges.filter(|range| same_family(&range.addr())).collect(),
            internal_policy_local: is_local(service.internal_traffic_policy.as_deref()),
            external_policy_local,
            affinity_seconds: affinity(service),
            health_check_node_port,
            endpoints: self.endpoints(service, port, same_family)?,
            ..ServicePort::new(cluster_ip, number)
        })
    }

    /// The endpoints that the Service's slices have for a port: both have one name and protocol.
    fn endpoints(
        &self,
        service: &Service,
        port: &Port,
        same_family: impl Fn(&IpAddr) -> bool,
    ) -> Result<Vec<Endpoint>, String> {
        let mut found = Vec::new();
        let belongs = |slice: &&Slice| slice.namespace == service.namespace && slice.service == service.name;
        for slice in self.slices.iter().filter(belongs) {
            for offered in slice.ports.iter().filter(|offered| same_port(offered, port)) {
                let Some(number) = offered.port else { continue };
                for endpoint in &slice.endpoints {
                    let ip = address(&endpoint.ip)?;
                    if same_family(&ip) {
                        let addr = SocketAddr::new(ip, number);
                        found.push(conditioned(addr, endpoint.node.as_deref(), &endpoint.conditions));
                    }
                }
            }
        }
        Ok(collect(found))
    }
}

/// An endpoint with the API's defaults for what is left out.
pub(super) fn conditioned(addr: SocketAddr, node: Option<&str>, conditions: &Conditions) -> Endpoint {
    Endpoint {
        ready: conditions.ready.unwrap_or(true),
        serving: conditions.serving.unwrap_or(true),
        terminating: conditions.terminating.unwrap_or(false),
        zone_hints: conditions.zone_hints.iter().cloned().collect(),
        node_hints: conditions.node_hints.iter().cloned().collect(),
        ..Endpoint::ready(addr, node)
    }
}

/// The ClusterIP; `None` if kube-proxy of this family has nothing to do with the Service.
fn cluster_ip(service: &Service, ipv4: bool) -> Result<Option<IpAddr>, String> {
    let external_name = service.service_type.as_deref() == Some("ExternalName");
    if external_name || service.labels.contains_key(OTHER_PROXY) {
        return Ok(None);
    }
    match service.cluster_ip.as_deref() {
        None | Some("" | "None") => Ok(None),
        Some(ip) => Ok(Some(address(ip)?).filter(|ip| ip.is_ipv4() == ipv4)),
    }
}

fn affinity(service: &Service) -> Option<u32> {
    let asked = service.session_affinity.as_deref() == Some("ClientIP");
    let client_ip = service.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    asked.then(|| client_ip.and_then(|c| c.timeout_seconds).unwrap_or(AFFINITY_SECONDS))
}

fn same_port(a: &Port, b: &Port) -> bool {
    let key = |port: &Port| (port.name.clone().unwrap_or_default(), port.protocol.clone().unwrap_or("TCP".into()));
    key(a) == key(b)
}

/// Whether a traffic policy is Local.
pub(super) fn is_local(policy: Option<&str>) -> bool {
    policy == Some("Local")
}

/// A protocol by its name in objects or rules; TCP if it is left out.
pub(super) fn protocol(name: Option<&str>) -> Result<Protocol, String> {
    match name.unwrap_or("TCP").to_ascii_lowercase().as_str() {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "sctp" => Ok(Protocol::Sctp),
        other => Err(format!("{other:?} is no protocol of a Service")),
    }
}

/// An address by its text.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is no IP address"))
}

fn addresses<'a>(texts: impl Iterator<Item = &'a str>, keep: impl Fn(&IpAddr) -> bool) -> Result<Vec<IpAddr>, String> {
    texts.map(address).filter(|ip| ip.as_ref().map_or(true, &keep)).collect()
}
