//! Probes, by packets.

use sim_core::engine::time::Duration;

use super::bench::{App, Bench, GOOD, container, probe, template};
use crate::api::{Container, Handler, Probe};

fn late(secs: u64) -> App {
    App { listens_after: Some(Duration::from_secs(secs)), ..GOOD }
}

fn with_readiness(probe: Probe) -> Container {
    Container { readiness_probe: Some(probe), ..container("main") }
}

#[test]
fn the_first_readiness_probe_comes_with_the_first_listing_and_then_once_a_period() {
    let mut bench = Bench::new(1, GOOD);
    bench.create("a", template(vec![with_readiness(probe())]));
    bench.run_to(45_000);
    let (started, running, ready) =
        (bench.told_at("a/0 started"), bench.seen_at("a Running 0"), bench.seen_at("a Running ready 0"));
    assert!(ready - running < 60, "at once: one try and one write after the other: {running} {ready}");
    assert!(ready - started < 1_200);

    let mut bench = Bench::new(1, late(3));
    bench.create("a", template(vec![with_readiness(probe())]));
    bench.run_to(60_000);
    let (created, ready) = (30_000, bench.seen_at("a Running ready 0"));
    assert!(
        (created + 10_000..created + 10_100).contains(&ready),
        "a tick counted from when the pod was taken up: {ready}"
    );
}

#[test]
fn every_kind_of_probe_is_answered() {
    let handlers = [
        Handler::TcpSocket { host: None, port: 8080 },
        Handler::Grpc { port: 8080, service: String::new() },
        Handler::Exec(Duration::from_millis(300)),
    ];
    for handler in handlers {
        let mut bench = Bench::new(1, GOOD);
        bench.create("a", template(vec![with_readiness(Probe { handler: handler.clone(), ..probe() })]));
        bench.run_to(35_000);
        assert!(bench.status("a").ready, "{handler:?}");
    }
}

#[test]
fn a_pod_nobody_listens_in_is_never_ready() {
    for handler in
        [probe().handler, Handler::TcpSocket { host: None, port: 8080 }, Handler::Exec(Duration::from_secs(2))]
    {
        let mut bench = Bench::new(1, App { listens_after: None, ..GOOD });
        bench.create("a", template(vec![with_readiness(Probe { handler, ..probe() })]));
        bench.run_to(90_000);
        assert!(!bench.status("a").ready);
        assert!(bench.status("a").containers[0].started);
    }
}

#[test]
fn a_silent_address_costs_the_timeout_and_not_more() {
    let mut bench = Bench::new(1, GOOD);
    let silent = Handler::TcpSocket { host: Some([10, 244, 1, 200].into()), port: 80 };
    let probe = Probe { handler: silent, timeout: Duration::from_secs(2), period: Duration::from_secs(3), ..probe() };
    let container = Container { liveness_probe: Some(probe), ..container("main") };
    bench.create("a", template(vec![container]));
    bench.run_to(60_000);
    let (started, stop) = (bench.told_at("a/0 started"), bench.told_at("a/0 stop"));
    // Three ticks in a period of 3 s, each known to have failed after 2 s.
    assert!((started + 8_000..started + 8_000 + 3_100).contains(&stop), "{started} {stop}");
}

#[test]
fn a_startup_probe_keeps_liveness_back() {
    let quick = Probe { period: Duration::from_secs(1), failure_threshold: 1, ..probe() };
    let slow = Probe { period: Duration::from_secs(1), failure_threshold: 30, ..probe() };
    let main = Container { liveness_probe: Some(quick), ..container("main") };
    let mut bench = Bench::new(1, late(8));
    bench.create("a", template(vec![Container { startup_probe: Some(slow), ..main.clone() }]));
    bench.run_to(60_000);
    assert_eq!(bench.status("a").containers[0].restarts, 0);
    assert!(bench.status("a").ready);
    let mut bench = Bench::new(1, late(8));
    bench.create("a", template(vec![main]));
    bench.run_to(60_000);
    assert!(bench.status("a").containers[0].restarts > 0, "without it the container is stopped before it listens");
}
