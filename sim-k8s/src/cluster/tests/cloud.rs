//! What the cloud lets pass.

use super::bench::Bench;
use super::{ECHO, ip, udp};
use crate::cloud::nat;
use crate::command::Command;

/// How many packets the gateway's rule with this comment has dropped.
fn dropped(bench: &Bench, comment: &str) -> u64 {
    let gateway = bench.world.netns_id("gw").expect("there is one");
    let saved = bench.world.iptables_save(gateway, true);
    let rule = saved.lines().find(|line| line.contains(&format!("\"{comment}\""))).expect("a rule of its own");
    rule[1..].split(':').next().expect("a counter").parse().expect("a number")
}

#[test]
fn a_pod_that_is_not_masqueraded_does_not_leave_the_cloud() {
    let mut bench = Bench::new(ECHO, 2);
    let (pods, nodes) = (bench.pods("echo"), bench.cluster.nodes.clone());
    // As `iptables -t nat -F FLANNEL-POSTRTG`.
    let flush = Command::Restore("*nat\n:FLANNEL-POSTRTG - [0:0]\nCOMMIT\n".into());
    flush.run(&mut bench.world, &[nodes[0].netns]).expect("the chain is there");
    assert_eq!(bench.ping(pods[0].netns, ip("8.8.8.8")), None);
    assert_eq!(dropped(&bench, nat::NOT_MASQUERADED), 1);
    assert_eq!(bench.ping(pods[1].netns, ip("8.8.8.8")), Some(ip("8.8.8.8")), "the other node masquerades");
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
