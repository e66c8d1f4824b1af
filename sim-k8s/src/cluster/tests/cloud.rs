//! What the cloud lets pass.

use super::bench::Bench;
use super::{ClusterConfig, ECHO, ip, udp};
use crate::cloud::nat;

/// How many packets the gateway's rule with this comment has dropped.
fn dropped(bench: &Bench, comment: &str) -> u64 {
    let gateway = bench.world.netns_id("gw").expect("there is one");
    let saved = bench.world.iptables_save(gateway, true);
    let rule = saved.lines().find(|line| line.contains(&format!("\"{comment}\""))).expect("a rule of its own");
    rule[1..].split(':').next().expect("a counter").parse().expect("a number")
}

#[test]
fn a_pod_that_is_not_masqueraded_does_not_leave_the_cloud() {
    let mut config = ClusterConfig { nodes: 2, ..ClusterConfig::default() };
    config.flannel.ip_masq = false;
    let mut bench = Bench::with(ECHO, config);
    let pod = bench.pods("echo")[0].clone();
    assert_eq!(bench.ping(pod.netns, ip("8.8.8.8")), None);
    assert_eq!(dropped(&bench, nat::NOT_MASQUERADED), 1);
    let node = bench.cluster.nodes[pod.node].netns;
    assert_eq!(bench.ping(node, ip("8.8.8.8")), Some(ip("8.8.8.8")), "its node has an address that is known outside");
    assert_eq!(dropped(&bench, nat::NOT_MASQUERADED), 1);
}

#[test]
fn an_address_that_nobody_has_is_dropped_at_the_gateway() {
    let mut bench = Bench::new(ECHO, 2);
    let world = bench.cluster.world_netns;
    assert!(bench.try_call(world, udp(ip("203.0.113.99"), 7)).is_err());
    assert_eq!(dropped(&bench, nat::NOBODY), 1);
}

#[test]
fn a_node_reaches_the_world_under_its_own_address_outside() {
    let mut bench = Bench::new(ECHO, 2);
    let node = bench.cluster.nodes[1].netns;
    assert_eq!(bench.ping(node, ip("8.8.8.8")), Some(ip("8.8.8.8")));
    let gateway = bench.world.netns_id("gw").expect("there is one");
    let entries = bench.world.netns(gateway).show_conntrack(bench.world.now()).join("\n");
    assert!(entries.contains("dst=203.0.113.12"), "{entries}");
}

#[test]
fn a_node_that_leaves_loses_its_address_outside() {
    let mut bench = Bench::new(ECHO, 2);
    let rules = |bench: &Bench| bench.world.iptables_save(bench.world.netns_id("gw").expect("there is one"), false);
    assert!(rules(&bench).contains("203.0.113.12"));
    bench.cluster.power_off(&mut bench.world, 1, true);
    assert!(!rules(&bench).contains("203.0.113.12") && rules(&bench).contains("203.0.113.11"));
}
