//! A table's objects as an apiserver would have them.

use sim_core::wire::ip::Family;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use sim_core::engine::time::Duration;
use sim_k8s::api::{self, ClusterIp, Labels, Meta, ObjectKey, Protocol, ServiceType, TargetPort, TrafficPolicy};
use sim_k8s::kubeproxy::ServicePortName;

use super::table::{Conditions, Ingress, Port, Service, Slice, SliceEndpoint};

/// `DefaultClientIPServiceAffinitySeconds` of the API.
const AFFINITY_SECONDS: u32 = 10_800;

/// The objects there are at one step.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    pub(super) services: Vec<Service>,
    pub(super) slices: Vec<Slice>,
}

/// The same, as watches tell of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Stored {
    pub(super) services: BTreeMap<ObjectKey, Arc<api::Service>>,
    pub(super) slices: BTreeMap<ObjectKey, Arc<api::EndpointSlice>>,
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
        }
        self.slices.extend_from_slice(slices);
        Ok(())
    }

    /// As an apiserver has them.
    pub(super) fn stored(&self) -> Result<Stored, String> {
        let mut stored = Stored::default();
        for from in &self.services {
            let service = service(from)?;
            stored.services.insert(service.key.clone(), Arc::new(service));
        }
        for (index, from) in self.slices.iter().enumerate() {
            // Slices need no name in a table; each is one of its own.
            let name = if from.slice.is_empty() { format!("{}-{index}", from.service) } else { from.slice.clone() };
            let key = ObjectKey::new(&from.namespace, name);
            stored.slices.insert(key.clone(), Arc::new(slice(key, from)?));
        }
        Ok(stored)
    }
}

fn service(from: &Service) -> Result<api::Service, String> {
    let key = ObjectKey::new(&from.namespace, &from.name);
    let ports: Result<Vec<_>, String> = from.ports.iter().map(|port| service_port(&key, port)).collect();
    let external_ips = from.external_ips.iter().map(|ip| address(ip)).collect::<Result<Vec<_>, _>>()?;
    let ranges = from.load_balancer_source_ranges.iter();
    Ok(api::Service {
        service_type: service_type(from),
        labels: from.labels.clone(),
        cluster_ip: cluster_ip(from)?,
        ip_families: Vec::new(),
        ip_family_policy: None,
        ports: ports?,
        external_ips,
        // As upstream, what is no network is passed over.
        load_balancer_source_ranges: ranges.filter_map(|range| range.trim().parse().ok()).collect(),
        internal_traffic_policy: policy(from.internal_traffic_policy.as_deref()),
        external_traffic_policy: policy(from.external_traffic_policy.as_deref()),
        health_check_node_port: from.health_check_node_port,
        session_affinity: affinity(from),
        ingress: from.load_balancer_ingress.iter().map(ingress).collect::<Result<Vec<_>, _>>()?,

        balancer_error: None,
        key,
        meta: Meta::default(),
        annotations: Labels::new(),
        selector: None,
        load_balancer_ip: None,
        allocate_load_balancer_node_ports: true,
        publish_not_ready_addresses: false,
        traffic_distribution: None,
    })
}

fn service_port(service: &ObjectKey, from: &Port) -> Result<api::ServicePort, String> {
    let name = from.name.clone().unwrap_or_default();
    let protocol = protocol(from.protocol.as_deref())?;
    ServicePortName::new(service.clone(), &name, protocol).map_err(|e| e.to_string())?;
    let port = from.port.ok_or_else(|| format!("a port of Service {} has no number", service.name))?;
    let target_port = TargetPort::Number(port);
    Ok(api::ServicePort { name, protocol, port, target_port, node_port: from.node_port, app_protocol: None })
}

/// A table may leave the type to what the Service has.
fn service_type(from: &Service) -> ServiceType {
    match from.service_type.as_deref() {
        Some("ExternalName") => ServiceType::ExternalName(String::new()),
        Some("LoadBalancer") => ServiceType::LoadBalancer,
        Some("NodePort") => ServiceType::NodePort,
        Some(_) => ServiceType::ClusterIp,
        None if !from.load_balancer_ingress.is_empty() => ServiceType::LoadBalancer,
        None if from.ports.iter().any(|port| port.node_port.is_some()) => ServiceType::NodePort,
        None => ServiceType::ClusterIp,
    }
}

fn cluster_ip(from: &Service) -> Result<ClusterIp, String> {
    let listed = if from.cluster_ips.is_empty() { from.cluster_ip.as_slice() } else { &from.cluster_ips };
    Ok(match listed.first().map(String::as_str) {
        None | Some("" | "None") => ClusterIp::Headless,
        Some(_) => ClusterIp::Fixed(listed.iter().map(|ip| address(ip)).collect::<Result<_, _>>()?),
    })
}

fn ingress(from: &Ingress) -> Result<api::Ingress, String> {
    let ip = from.ip.as_deref().filter(|ip| !ip.is_empty()).map(address).transpose()?;
    Ok(api::Ingress { ip, is_vip: from.ip_mode.as_deref().is_none_or(|mode| mode == "VIP") })
}

fn affinity(from: &Service) -> Option<Duration> {
    let asked = from.session_affinity.as_deref() == Some("ClientIP");
    let client_ip = from.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let seconds = client_ip.and_then(|c| c.timeout_seconds).unwrap_or(AFFINITY_SECONDS);
    asked.then(|| Duration::from_secs(seconds.into()))
}

fn slice(key: ObjectKey, from: &Slice) -> Result<api::EndpointSlice, String> {
    let port = |port: &Port| {
        let protocol = protocol(port.protocol.as_deref())?;
        let name = port.name.clone().unwrap_or_default();
        Ok(port.port.map(|port| api::EndpointPort { name, protocol, port }))
    };
    let ports: Result<Vec<_>, String> = from.ports.iter().filter_map(|it| port(it).transpose()).collect();
    let endpoints = from.endpoints.iter().map(endpoint).collect::<Result<Vec<_>, _>>()?;
    let family = match (from.address_type.as_deref(), endpoints.first()) {
        (None, Some(endpoint)) => Some(Family::of(endpoint.address)),
        (Some("FQDN"), _) => None,
        (Some("IPv6"), _) => Some(Family::V6),
        _ => Some(Family::V4),
    };
    Ok(api::EndpointSlice {
        service: Some(ObjectKey::new(&from.namespace, &from.service)),
        ports: ports?,
        endpoints,
        key,
        meta: Meta::default(),
        managed_by: None,
        family,
    })
}

fn endpoint(from: &SliceEndpoint) -> Result<api::Endpoint, String> {
    let Conditions { ready, serving, terminating, zone_hints, node_hints } = from.conditions.clone();
    Ok(api::Endpoint {
        address: address(&from.ip)?,
        ready: ready.unwrap_or(true),
        serving: serving.unwrap_or(true),
        terminating: terminating.unwrap_or(false),
        node_name: from.node.clone(),
        zone: None,
        for_zones: zone_hints,
        for_nodes: node_hints,
        hostname: None,
        pod: None,
    })
}

fn policy(name: Option<&str>) -> TrafficPolicy {
    if is_local(name) { TrafficPolicy::Local } else { TrafficPolicy::Cluster }
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

/// An address by its text. Zeros before a number are passed over (`ParseIPSloppy` of k8s.io/utils/net).
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    let number = |text: &str| match text.trim_start_matches('0') {
        "" if !text.is_empty() => "0".to_owned(),
        number => number.to_owned(),
    };
    let plain =
        if text.contains(':') { text.to_owned() } else { text.split('.').map(number).collect::<Vec<_>>().join(".") };
    plain.parse().map_err(|_| format!("{text:?} is no IP address"))
}
