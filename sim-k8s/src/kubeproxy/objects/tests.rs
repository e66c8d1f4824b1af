//! Which Services count, and what of them.

use super::samples::{service, slice};
use super::*;
use crate::api::{Ingress, ObjectKey, Protocol};
use sim_core::wire::ip::Family;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The only port of a Service.
fn port(service: &Service) -> ServicePort {
    let ports = service_ports(service, Family::V4);
    assert_eq!(ports.len(), 1);
    ports.into_values().next().expect("one")
}

#[test]
fn services_without_rules_are_passed_over() {
    let plain = service("web", "10.96.0.20");
    assert_eq!(service_ports(&plain, Family::V4).len(), 1);
    let skipped = [
        Service { cluster_ip: ClusterIp::Headless, ..plain.clone() },
        Service { cluster_ip: ClusterIp::Allocate, ..plain.clone() },
        Service { service_type: ServiceType::ExternalName("example.com".into()), ..plain.clone() },
        Service { labels: [(OTHER_PROXY.to_owned(), String::new())].into(), ..plain.clone() },
    ];
    for service in skipped {
        assert!(service_ports(&service, Family::V4).is_empty(), "{service:?}");
    }
    assert!(service_ports(&plain, Family::V6).is_empty(), "none of this family");
}

#[test]
fn each_family_sees_its_own_addresses() {
    let both = Service {
        cluster_ip: ClusterIp::Fixed(vec![ip("10.96.0.20"), ip("fd00:96::20")]),
        external_ips: vec![ip("192.0.2.1"), ip("2001:db8::1")],
        load_balancer_source_ranges: vec!["2001:db8::/32".parse().expect("a network")],
        service_type: ServiceType::LoadBalancer,
        ingress: vec![Ingress { ip: Some(ip("2001:db8::9")), is_vip: true }],
        ..service("web", "10.96.0.20")
    };
    let four = port(&both);
    assert_eq!((four.cluster_ip, four.external_ips), (ip("10.96.0.20"), vec![ip("192.0.2.1")]));
    assert!(four.lb_vips.is_empty() && four.source_ranges.is_empty());
    let six = service_ports(&both, Family::V6).into_values().next().expect("one");
    assert_eq!((six.cluster_ip, six.lb_vips), (ip("fd00:96::20"), vec![ip("2001:db8::9")]));
    assert_eq!(six.source_ranges.len(), 1);
}

#[test]
fn only_addresses_of_load_balancers_that_keep_them_count() {
    let at = |text: Option<&str>, is_vip| Ingress { ip: text.map(ip), is_vip };
    let balanced = Service {
        service_type: ServiceType::LoadBalancer,
        ingress: vec![at(Some("203.0.113.9"), true), at(Some("203.0.113.10"), false), at(None, true)],
        ..service("web", "10.96.0.20")
    };
    assert_eq!(port(&balanced).lb_vips, [ip("203.0.113.9")]);
}

#[test]
fn an_external_policy_needs_someone_outside_and_its_check_a_load_balancer() {
    let local = |service_type: ServiceType, external: &[&str]| {
        let external_ips = external.iter().copied().map(ip).collect();
        let (external_traffic_policy, health_check_node_port) = (TrafficPolicy::Local, Some(32000));
        let plain = service("web", "10.96.0.20");
        let service = Service { service_type, external_ips, external_traffic_policy, health_check_node_port, ..plain };
        let port = port(&service);
        (port.external_policy_local, port.health_check_node_port)
    };
    assert_eq!(local(ServiceType::ClusterIp, &[]), (false, 0));
    assert_eq!(local(ServiceType::ClusterIp, &["192.0.2.1"]), (true, 0));
    assert_eq!(local(ServiceType::NodePort, &[]), (true, 0));
    assert_eq!(local(ServiceType::LoadBalancer, &[]), (true, 32000));
}

#[test]
fn endpoints_belong_by_name_and_protocol_of_their_port() {
    let name =
        |port: &str, protocol| ServicePortName::new(ObjectKey::new("shop", "web"), port, protocol).expect("labels");
    let (four, six) = (slice("web", "web-1", &["10.244.1.2"]), slice("web", "web-2", &["fd00::2"]));
    let found = endpoints([&four, &six], &name("http", Protocol::Tcp), Family::V4);
    assert_eq!(found.iter().map(|e| e.addr.to_string()).collect::<Vec<_>>(), ["10.244.1.2:8080"]);
    assert!(endpoints([&four], &name("http", Protocol::Udp), Family::V4).is_empty());
    assert!(endpoints([&four], &name("", Protocol::Tcp), Family::V4).is_empty());
}
