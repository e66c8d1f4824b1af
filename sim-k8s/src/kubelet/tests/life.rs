//! How a pod comes up.

use sim_core::engine::time::Duration;

use super::bench::{App, Bench, GOOD, container, template};
use crate::api::{InitContainer, Phase, PodTemplate};

#[test]
fn a_pod_without_probes_is_ready_with_the_next_listing_after_its_start() {
    for seed in 1..8 {
        let mut bench = Bench::new(seed, GOOD);
        bench.create("a", template(vec![container("main")]));
        bench.run_to(40_000);
        let started = bench.told_at("a/0 started");
        assert!((30_000 + 130..30_000 + 900).contains(&started), "sandbox, network, container: {started}");
        let ready = bench.seen_at("a Running ready 0");
        assert!((started + 10..started + 1_130).contains(&ready), "up to 1 s, 100 ms and a write: {started} {ready}");
        let status = bench.status("a");
        assert_eq!(status.ips, [std::net::IpAddr::from([10, 244, 1, 2])]);
        assert!(bench.world.netns_id("default/a").is_some());
    }
}

#[test]
fn init_containers_run_one_after_the_other_before_all_others() {
    let mut bench = Bench::new(1, GOOD);
    let init = |name: &str| InitContainer { name: name.into(), runs: Duration::from_secs(2) };
    bench.create("a", PodTemplate { init: vec![init("x"), init("y")], ..template(vec![container("main")]) });
    bench.run_to(50_000);
    let started = bench.told_at("a/0 started");
    assert!((34_200..=38_000).contains(&started), "two times 2 s, and a listing after each: {started}");
    assert_eq!(bench.status("a").phase, Phase::Running);
}

#[test]
fn a_sidecar_has_started_before_the_main_containers_start() {
    let mut bench = Bench::new(3, GOOD);
    let sidecar =
        crate::api::Container { sidecar: true, startup_probe: Some(super::bench::probe()), ..container("proxy") };
    bench.app = App { listens_after: Some(Duration::from_secs(12)), ..GOOD };
    bench.create("a", template(vec![sidecar, container("main")]));
    bench.run_to(80_000);
    let (proxy, main) = (bench.told_at("a/0 started"), bench.told_at("a/1 started"));
    assert!(main >= proxy + 12_000, "its startup probe came first: {proxy} {main}");
    assert!(bench.status("a").ready);
}

#[test]
fn a_pod_of_the_host_network_has_the_nodes_address_and_netns() {
    let mut bench = Bench::new(1, GOOD);
    bench.create("a", PodTemplate { host_network: true, ..template(vec![container("main")]) });
    bench.run_to(35_000);
    assert_eq!(bench.status("a").ips, [std::net::IpAddr::from([10, 240, 0, 11])]);
    assert_eq!(bench.world.netns_id("default/a"), None);
}

#[test]
fn addresses_go_round_and_come_back_only_after_a_full_turn() {
    let mut bench = Bench::with_cidr(1, GOOD, "10.244.1.0/29");
    let mut given = Vec::new();
    for round in 0..7 {
        let name = format!("p{round}");
        bench.create(&name, template(vec![container("main")]));
        bench.run_to(40_000 + round * 10_000);
        given.push(bench.status(&name).ips[0].to_string());
        bench.delete(&name);
        bench.run_to(45_000 + round * 10_000);
        assert!(bench.pod(&name).is_none(), "it is gone");
    }
    let last = |ip: &String| ip.rsplit('.').next().expect("a dot").to_owned();
    assert_eq!(given.iter().map(last).collect::<Vec<_>>(), ["2", "3", "4", "5", "6", "2", "3"]);
}

#[test]
fn a_pod_that_gets_no_address_says_so_and_tries_again() {
    let mut bench = Bench::with_cidr(1, GOOD, "10.244.1.0/30");
    bench.create("a", template(vec![container("main")]));
    bench.run_to(33_000);
    bench.create("b", template(vec![container("main")]));
    bench.run_to(40_000);
    let status = bench.status("b");
    assert_eq!(status.phase, Phase::Pending);
    assert_eq!(status.message.as_deref(), Some("pod network 10.244.1.0/30 of this node is exhausted"));
    bench.delete("a");
    bench.run_to(70_000);
    let status = bench.status("b");
    assert_eq!((status.phase, status.ready, status.message), (Phase::Running, true, None));
}

#[test]
fn a_run_is_decided_by_its_seed() {
    let run = |seed| {
        let mut bench = Bench::new(seed, GOOD);
        for name in ["a", "b", "c"] {
            bench.create(name, template(vec![container("main")]));
        }
        bench.run_to(60_000);
        bench.world.fingerprint().value()
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}
