//! One Service with its slices, as watches tell of it between two syncs.

use sim_core::wire::ip::Family;
use std::net::IpAddr;

use super::*;
use crate::kubeproxy::objects::samples::{service, slice};

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("shop", name)
}

/// A tracker that has synced Service `web` with one pod.
fn synced() -> (Tracker, ServiceMap) {
    let (mut tracker, mut services) = (Tracker::new(Family::V4), ServiceMap::new());
    assert!(tracker.service(&key("web"), Some(Arc::new(service("web", "10.96.0.20")))));
    assert!(tracker.slice(&key("web-1"), Some(Arc::new(slice("web", "web-1", &["10.244.1.2"])))));
    let changes = tracker.apply(&mut services);
    assert_eq!(changes.services, BTreeSet::from([key("web")]));
    (tracker, services)
}

fn endpoints_of(services: &ServiceMap) -> Vec<String> {
    services.values().flat_map(|port| &port.endpoints).map(|e| e.addr.to_string()).collect()
}

#[test]
fn after_a_sync_nothing_has_changed() {
    let (mut tracker, mut services) = synced();
    assert_eq!(endpoints_of(&services), ["10.244.1.2:8080"]);
    let before = services.clone();
    assert_eq!((tracker.apply(&mut services), &services), (Changes::default(), &before));
}

#[test]
fn what_kube_proxy_does_not_look_at_is_no_change() {
    let (mut tracker, _) = synced();
    let mut labelled = service("web", "10.96.0.20");
    labelled.labels.insert("team".into(), "blue".into());
    assert!(!tracker.service(&key("web"), Some(Arc::new(labelled))));
}

#[test]
fn a_change_that_is_taken_back_before_the_sync_is_none() {
    let (mut tracker, mut services) = synced();
    let mut changed = service("web", "10.96.0.20");
    changed.ports[0].node_port = Some(30080);
    assert!(tracker.service(&key("web"), Some(Arc::new(changed))));
    assert!(!tracker.service(&key("web"), Some(Arc::new(service("web", "10.96.0.20")))));
    assert_eq!(tracker.apply(&mut services), Changes::default());
}

#[test]
fn endpoints_wait_for_their_service() {
    let (mut tracker, mut services) = (Tracker::new(Family::V4), ServiceMap::new());
    tracker.slice(&key("web-1"), Some(Arc::new(slice("web", "web-1", &["10.244.1.2"]))));
    assert_eq!(tracker.apply(&mut services).services, BTreeSet::from([key("web")]));
    assert!(services.is_empty());
    tracker.service(&key("web"), Some(Arc::new(service("web", "10.96.0.20"))));
    tracker.apply(&mut services);
    assert_eq!(endpoints_of(&services), ["10.244.1.2:8080"]);
}

#[test]
fn slices_come_and_go_one_by_one() {
    let (mut tracker, mut services) = synced();
    tracker.slice(&key("web-2"), Some(Arc::new(slice("web", "web-2", &["10.244.2.2"]))));
    assert!(tracker.slice(&key("web-1"), None));
    assert!(!tracker.slice(&key("web-1"), None), "it is to go already");
    assert!(!tracker.slice(&key("web-9"), None), "it was never there");
    tracker.apply(&mut services);
    assert_eq!(endpoints_of(&services), ["10.244.2.2:8080"]);
}

#[test]
fn a_deleted_service_is_told_as_it_was() {
    let (mut tracker, mut services) = synced();
    assert!(tracker.service(&key("web"), None));
    let changes = tracker.apply(&mut services);
    assert!(services.is_empty());
    let deleted: Vec<_> = changes.deleted.iter().map(|(name, port)| (name.to_string(), port.cluster_ip)).collect();
    assert_eq!(deleted, [("shop/web:http".to_owned(), IpAddr::from([10, 96, 0, 20]))]);
    assert!(endpoints_of(&changes.deleted).is_empty() && !changes.udp_endpoints);
}

#[test]
fn udp_endpoints_are_told_when_they_come_and_when_they_go() {
    let (mut tracker, mut services) = synced();
    let mut dns = slice("dns", "dns-1", &["10.244.1.3"]);
    dns.ports[0].protocol = Protocol::Udp;
    tracker.slice(&key("dns-1"), Some(Arc::new(dns.clone())));
    assert!(tracker.apply(&mut services).udp_endpoints);
    dns.endpoints.clear();
    tracker.slice(&key("dns-1"), Some(Arc::new(dns)));
    assert!(tracker.apply(&mut services).udp_endpoints, "one went");
    let mut other = slice("dns", "dns-2", &["fd00::3"]);
    other.ports[0].protocol = Protocol::Udp;
    tracker.slice(&key("dns-2"), Some(Arc::new(other)));
    assert!(!tracker.apply(&mut services).udp_endpoints, "it is of the other family");
}

#[test]
fn a_slice_that_changes_hands_belongs_to_its_new_service() {
    let (mut tracker, mut services) = synced();
    tracker.service(&key("api"), Some(Arc::new(service("api", "10.96.0.21"))));
    tracker.slice(&key("web-1"), Some(Arc::new(slice("api", "web-1", &["10.244.1.2"]))));
    let changes = tracker.apply(&mut services);
    assert_eq!(changes.services, BTreeSet::from([key("api"), key("web")]));
    let serving: Vec<_> = services.iter().filter(|(_, port)| !port.endpoints.is_empty()).collect();
    assert_eq!(serving.len(), 1);
    assert_eq!(serving[0].0.service(), &key("api"));
}
