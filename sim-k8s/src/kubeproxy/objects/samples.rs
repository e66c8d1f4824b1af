//! Objects for tests.

use super::*;
use crate::api::{EndpointPort, Labels, Meta, ObjectKey, Protocol, TargetPort};
use sim_core::wire::ip::Family;

/// Service `shop/NAME` of type ClusterIP with TCP port 80, called `http`.
pub(in crate::kubeproxy) fn service(name: &str, cluster_ip: &str) -> Service {
    let port = api::ServicePort {
        name: "http".into(),
        protocol: Protocol::Tcp,
        port: 80,
        target_port: TargetPort::Number(8080),
        node_port: None,
        app_protocol: None,
    };
    Service {
        key: ObjectKey::new("shop", name),
        meta: Meta::default(),
        labels: Labels::new(),
        annotations: Labels::new(),
        service_type: ServiceType::ClusterIp,
        cluster_ip: ClusterIp::Fixed(vec![cluster_ip.parse().expect("an address")]),
        ip_families: Vec::new(),
        ip_family_policy: None,
        ports: vec![port],
        selector: None,
        external_ips: Vec::new(),
        load_balancer_ip: None,
        load_balancer_source_ranges: Vec::new(),
        allocate_load_balancer_node_ports: true,
        internal_traffic_policy: TrafficPolicy::Cluster,
        external_traffic_policy: TrafficPolicy::Cluster,
        health_check_node_port: None,
        session_affinity: None,
        publish_not_ready_addresses: false,
        traffic_distribution: None,
        ingress: Vec::new(),
        balancer_error: None,
    }
}

/// Slice `shop/NAME` of Service `shop/SERVICE`, of the family of its first address: these addresses with TCP port 8080, called `http`.
pub(in crate::kubeproxy) fn slice(service: &str, name: &str, addresses: &[&str]) -> EndpointSlice {
    EndpointSlice {
        key: ObjectKey::new("shop", name),
        meta: Meta::default(),
        managed_by: None,
        service: Some(ObjectKey::new("shop", service)),
        family: addresses.first().map(|ip| Family::of(ip.parse().expect("an address"))).or(Some(Family::V4)),
        ports: vec![EndpointPort { name: "http".into(), protocol: Protocol::Tcp, port: 8080 }],
        endpoints: addresses.iter().map(|address| endpoint(address)).collect(),
    }
}

/// An endpoint that is ready, on no node in particular.
pub(in crate::kubeproxy) fn endpoint(address: &str) -> api::Endpoint {
    api::Endpoint {
        address: address.parse().expect("an address"),
        ready: true,
        serving: true,
        terminating: false,
        node_name: None,
        zone: None,
        for_zones: Vec::new(),
        for_nodes: Vec::new(),
        hostname: None,
        pod: None,
    }
}
