//! Connections from outside, and what becomes of them.

mod bench;

use std::net::SocketAddr;

use bench::{Bench, CLIENTS, ip, secs, service};
use sim_core::engine::errno::Errno;
use sim_core::wire::ip::Family;

use super::*;
use crate::api::{Ingress, Protocol};
use crate::cloud::nat;

fn dns() -> crate::api::Service {
    let mut dns = service("dns", "");
    (dns.ports[0].protocol, dns.ports[0].port) = (Protocol::Udp, 53);
    dns
}

fn web() -> [crate::api::Service; 1] {
    [service("web", "")]
}

#[test]
fn a_service_is_told_its_address_once_the_first_checks_are_over() {
    let bench = Bench::new(LbConfig::default(), &web());
    assert_eq!(bench.ingress("web"), [Ingress { ip: Some(ip("198.18.0.1")), is_vip: true }]);
    let proxy = Bench::new(LbConfig { is_proxy: true, ..LbConfig::default() }, &web());
    assert!(!proxy.ingress("web")[0].is_vip);
}

#[test]
fn a_passthrough_balancer_keeps_both_addresses_and_the_node_answers_by_itself() {
    let mut bench = Bench::new(LbConfig::default(), &web());
    bench.world.capture(true);
    bench.path();
    let (node, caller) = bench.call(CLIENTS[0], bench.vip("web")).expect("answered");
    assert_eq!(caller, ip(CLIENTS[0]));
    assert_eq!(bench.path()[..5], ["gw", "lb", &node, "gw", "world"].map(str::to_owned), "SYN and SYN-ACK");
}

#[test]
fn connections_are_spread_by_a_hash_of_the_flow() {
    let mut bench = Bench::new(LbConfig::default(), &web());
    let spread = bench.spread(90, bench.vip("web"));
    assert!(spread.len() == 3 && spread.values().all(|n| (15..=45).contains(n)), "{spread:?}");
}

#[test]
fn with_client_affinity_all_connections_of_a_client_go_to_one_node() {
    let mut bench = Bench::new(LbConfig::default(), &[service("web", "  sessionAffinity: ClientIP\n")]);
    assert_eq!(bench.spread(20, bench.vip("web")).len(), 1);
}

#[test]
fn a_node_that_fails_three_checks_gets_no_new_connections_and_keeps_the_old_ones() {
    let mut bench = Bench::new(LbConfig::default(), &web());
    let vip = bench.vip("web");
    let connection = bench.connect(CLIENTS[0], vip);
    let (node, _) = bench.ask(connection).expect("answered");
    bench.set_healthy(&node, false);
    // Three checks, 8 s apart: the third fails 16 to 24 s later.
    bench.run_for(secs(15));
    assert!(bench.spread(40, vip).contains_key(&node));
    bench.run_for(secs(10));
    let spread = bench.spread(40, vip);
    assert!(spread.len() == 2 && !spread.contains_key(&node), "{spread:?}");
    assert_eq!(bench.ask(connection).expect("answered").0, node, "it is pinned");
    bench.set_healthy(&node, true);
    bench.run_for(secs(9));
    assert!(bench.spread(40, vip).contains_key(&node), "one success is enough");
}

#[test]
fn datagrams_of_one_flow_go_to_one_node_until_it_fails() {
    let mut bench = Bench::new(LbConfig::default(), &[dns()]);
    let (from, to) = (SocketAddr::new(ip(CLIENTS[0]), 40_000), SocketAddr::new(bench.vip("dns").ip(), 53));
    let node = bench.datagram(from, to).expect("answered");
    for _ in 0..5 {
        assert_eq!(bench.datagram(from, to), Ok(node.clone()));
    }
    bench.run_for(secs(90));
    assert_eq!(bench.datagram(from, to), Ok(node.clone()), "forgotten, and chosen anew by the same hash");
    bench.set_healthy(&node, false);
    // Someone who never stops asking keeps the flow known.
    for _ in 0..26 {
        bench.run_for(secs(1));
        bench.datagram(from, to).expect("answered");
    }
    assert_ne!(bench.datagram(from, to), Ok(node), "UDP has no connection to keep");
}

#[test]
fn connections_to_a_failed_node_are_cut_if_the_cloud_does_so() {
    let config = LbConfig { unhealthy: Established::Cut, ..LbConfig::default() };
    let mut bench = Bench::new(config, &web());
    let connection = bench.connect(CLIENTS[0], bench.vip("web"));
    let (node, _) = bench.ask(connection).expect("answered");
    bench.set_healthy(&node, false);
    bench.run_for(secs(26));
    assert_eq!(bench.ask(connection), Err(Errno::ECONNRESET), "another node does not know it");
}

#[test]
fn if_all_nodes_fail_all_get_connections() {
    for (last_resort, served) in [(true, true), (false, false)] {
        let mut bench = Bench::new(LbConfig { last_resort, ..LbConfig::default() }, &web());
        ["n1", "n2", "n3"].iter().for_each(|node| bench.set_healthy(node, false));
        bench.run_for(secs(26));
        assert_eq!(bench.call(CLIENTS[0], bench.vip("web")).is_ok(), served);
        assert_eq!(bench.dropped("lb", NO_NODE) > 0, !served);
    }
}

#[test]
fn a_local_policy_is_checked_at_a_port_of_its_own_every_three_seconds() {
    let spec = "  externalTrafficPolicy: Local\n  healthCheckNodePort: 31000\n";
    let mut bench = Bench::new(LbConfig::default(), &[service("web", spec)]);
    bench.set_healthy("n2", false);
    bench.run_for(secs(7));
    let spread = bench.spread(40, bench.vip("web"));
    assert!(spread.len() == 2 && !spread.contains_key("n2"), "{spread:?}");
}

#[test]
fn only_clients_of_the_source_ranges_are_admitted() {
    let spec = format!("  loadBalancerSourceRanges: [\"{}/32\"]\n", CLIENTS[1]);
    let mut bench = Bench::new(LbConfig::default(), &[service("web", &spec)]);
    let vip = bench.vip("web");
    assert!(bench.call(CLIENTS[1], vip).is_ok());
    assert_eq!(bench.call(CLIENTS[0], vip), Err(Errno::ETIMEDOUT));
    assert!(bench.dropped("lb", NOT_ADMITTED) > 0);
}

#[test]
fn a_port_that_nobody_asked_for_leads_nowhere() {
    let mut bench = Bench::new(LbConfig::default(), &web());
    let mut other = bench.vip("web");
    other.set_port(81);
    assert_eq!(bench.call(CLIENTS[0], other), Err(Errno::ETIMEDOUT));
    assert!(bench.dropped("lb", NO_SUCH_PORT) > 0);
}

#[test]
fn a_deleted_service_gives_its_address_back() {
    let mut bench = Bench::new(LbConfig::default(), &[service("a", ""), service("b", "")]);
    let (a, b) = (bench.vip("a"), bench.vip("b"));
    assert_ne!(a, b);
    bench.delete_service("a");
    bench.run_for(secs(6));
    assert_eq!(bench.call(CLIENTS[0], a), Err(Errno::ETIMEDOUT));
    assert!(bench.dropped("gw", nat::NOBODY) > 0, "it leads nowhere any more");
    assert!(bench.call(CLIENTS[0], b).is_ok());
    bench.create(crate::api::Object::Service(std::sync::Arc::new(service("c", ""))));
    bench.run_for(secs(20));
    assert_eq!(bench.vip("c"), a);
    assert!(bench.call(CLIENTS[0], a).is_ok());
}

#[test]
fn a_service_without_an_address_to_be_had_waits_for_one() {
    let same = |name| service(name, "  loadBalancerIP: 198.18.3.3\n");
    let mut bench = Bench::new(LbConfig::default(), &[same("a"), same("b")]);
    assert_eq!(bench.vip("a").ip(), ip("198.18.3.3"));
    assert_eq!(bench.ingress("b"), []);
    let key = crate::api::ObjectKey::new("default", "b");
    let error = |bench: &Bench| bench.plane.objects().services[&key].balancer_error.clone();
    assert_eq!(error(&bench).as_deref(), Some("address 198.18.3.3 is default/a's"));
    bench.delete_service("a");
    bench.run_for(secs(400));
    assert_eq!(bench.vip("b").ip(), ip("198.18.3.3"), "it was tried again");
    assert_eq!(error(&bench), None);
}

#[test]
fn an_excluded_node_is_drained_and_then_cut() {
    let mut bench = Bench::new(LbConfig::default(), &web());
    let connection = bench.connect(CLIENTS[0], bench.vip("web"));
    let (node, _) = bench.ask(connection).expect("answered");
    bench.label(&node, &[("node.kubernetes.io/exclude-from-external-load-balancers", "")]);
    bench.run_for(secs(3));
    assert!(!bench.spread(30, bench.vip("web")).contains_key(&node));
    assert_eq!(bench.ask(connection).expect("it may go on").0, node);
    bench.run_for(secs(30));
    assert_eq!(bench.ask(connection), Err(Errno::ECONNRESET));
    let balancer = bench.world.netns_id("lb").expect("there is one");
    assert_eq!(bench.world.netns(balancer).show_policy_rules(Family::V4).len(), 5, "two nodes and the kernel's three");
}

#[test]
fn a_nat_balancer_is_the_source_and_answers_come_back_through_it() {
    let mut bench = Bench::new(LbConfig::nat(), &web());
    bench.world.capture(true);
    bench.path();
    let (node, caller) = bench.call(CLIENTS[0], bench.vip("web")).expect("answered");
    assert_eq!(caller, ip("10.240.0.2"));
    assert_eq!(bench.path()[..6], ["gw", "lb", &node, "lb", "gw", "world"].map(str::to_owned), "SYN and SYN-ACK");
    assert_eq!(bench.spread(60, bench.vip("web")).len(), 3);
}

#[test]
fn a_nat_balancer_answers_what_it_has_forgotten_with_a_rst() {
    let mut bench = Bench::new(LbConfig::nat(), &web());
    let connection = bench.connect(CLIENTS[0], bench.vip("web"));
    bench.ask(connection).expect("answered");
    bench.run_for(secs(345));
    bench.ask(connection).expect("just in time");
    bench.run_for(secs(355));
    assert_eq!(bench.ask(connection), Err(Errno::ECONNRESET), "after 350 s without a packet");
}

#[test]
fn a_service_that_wants_no_balancer_any_more_is_told_so() {
    let mut bench = Bench::new(LbConfig::default(), &web());
    let old = bench.plane.objects().services.values().next().expect("there is one").clone();
    let new =
        crate::api::Service { service_type: crate::api::ServiceType::NodePort, ..crate::api::Service::clone(&old) };
    let update = crate::apiserver::Request::Update(crate::api::Object::Service(std::sync::Arc::new(new)));
    bench.plane.kubectl(&mut bench.world, update).expect("updated");
    bench.run_for(secs(6));
    assert_eq!(bench.ingress("web"), []);
}
