use std::path::Path;

use sim_core::engine::rng::Seed;
use sim_core::kernel::Kernel;
use sim_k8s::manifest::{Loaded, SourceFile, load};
use sim_k8s::workload::{infer_calls, read_traffic};

use super::*;
use crate::report::Report;

mod sctp;

const HELLO: &str = include_str!("../../../examples/hello/hello.yaml");
const SHOP: &str = include_str!("../../../examples/shop/shop.yaml");
const TRAFFIC: &str = include_str!("../../../examples/traffic/shop.yaml");

fn seeded(seed: u64) -> RunConfig {
    let cluster = ClusterConfig { seed: Seed(seed), ..ClusterConfig::default() };
    RunConfig { cluster, ..RunConfig::default() }
}

fn loaded(text: &str) -> Loaded {
    load(&[SourceFile { name: "test.yaml".into(), text: text.into() }]).expect("manifests without mistakes")
}

fn ended(objects: &Objects, plan: &Plan, config: RunConfig) -> Run {
    let mut run = Run::new(objects, plan, config).expect("a cluster");
    while run.advance(10_000) {
        run.take_seen();
    }
    run
}

/// The report of a run of these manifests with the calls they speak of.
fn report(text: &str, config: RunConfig) -> Report {
    let loaded = loaded(text);
    Report::of(&ended(&loaded.objects, &infer_calls(&loaded.objects), config), &loaded)
}

fn assert_all_answered(report: &Report) {
    assert!(report.calls.sent > 0 && report.calls.failed == 0, "{report}");
    assert_eq!(report.calls.sent, report.calls.answered, "{report}");
    assert!(report.services.iter().all(|service| service.calls > 0), "{report}");
}

#[test]
fn every_call_of_the_examples_is_answered() {
    for seed in 1..=3 {
        assert_all_answered(&report(HELLO, seeded(seed)));
        assert_all_answered(&report(SHOP, seeded(seed)));
    }
}

#[test]
fn every_call_of_real_manifests_is_answered() {
    let shared = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/manifests"));
    for file in ["online-boutique/kubernetes-manifests.yaml", "guestbook/guestbook-all-in-one.yaml"] {
        let Ok(bytes) = std::fs::read(shared.join(file)) else {
            eprintln!("skipped: no {file} in ../shared/manifests");
            return;
        };
        let text = String::from_utf8(bytes).unwrap();
        for seed in 1..=2 {
            assert_all_answered(&report(&text, RunConfig { duration: Duration::from_secs(10), ..seeded(seed) }));
        }
    }
}

#[test]
fn a_traffic_file_says_who_calls_and_the_world_comes_in_by_node_ports() {
    let loaded = loaded(SHOP);
    let file = SourceFile { name: "traffic.yaml".into(), text: TRAFFIC.into() };
    let calls = read_traffic(&file, &loaded.objects).expect("a traffic file without mistakes");
    let report = Report::of(&ended(&loaded.objects, &Plan { calls, not_called: Vec::new() }, seeded(1)), &loaded);
    let from_world = &report.edges[0];
    assert_eq!((from_world.from.as_str(), from_world.calls.answered), ("world", 20), "{report}");
    assert_eq!(report.calls.failed, 0, "{report}");
}

/// `hello` with a third of it changed: `from` becomes `to`.
fn hello(from: &str, to: &str) -> String {
    assert!(HELLO.contains(from));
    HELLO.replace(from, to)
}

#[test]
fn a_service_without_endpoints_refuses_and_the_report_names_the_node_that_did() {
    let report = report(&hello("replicas: 2", "replicas: 0"), seeded(1));
    let edge = &report.edges[0];
    assert_eq!((edge.calls.answered, edge.failures.len()), (0, 1), "{report}");
    assert_eq!(edge.failures[0].reason, "ECONNREFUSED");
    assert!(edge.failures[0].place.starts_with("NETFILTER_REJECT at n"), "{report}");
    assert!(report.drops.iter().any(|drop| drop.reason == "NETFILTER_REJECT"), "{report}");
}

#[test]
fn a_headless_service_called_at_the_wrong_port_is_reset_by_the_pod() {
    let headless =
        hello("  selector:\n    app: web\n  ports:", "  clusterIP: None\n  selector:\n    app: web\n  ports:");
    let report = report(&headless, seeded(1));
    let edge = &report.edges[0];
    assert_eq!(edge.calls.answered, 0, "DNS gives the pods' addresses, and they listen on 8080, not on 80: {report}");
    assert!(
        edge.failures.iter().all(|f| f.reason == "ECONNREFUSED" && f.place.starts_with("RST from default/web")),
        "{report}"
    );
}

#[test]
fn a_headless_service_without_endpoints_has_no_address() {
    let headless =
        hello("  selector:\n    app: web\n  ports:", "  clusterIP: None\n  selector:\n    app: nobody\n  ports:");
    let report = report(&headless, seeded(1));
    assert_eq!(report.edges[0].failures[0].reason, "NXDOMAIN", "{report}");
    assert_eq!(report.services[0].endpoints, [], "{report}");
}

#[test]
fn a_lost_datagram_is_sent_again_and_a_dead_wire_is_where_the_call_ends() {
    let loaded = loaded(SHOP);
    let mut run = Run::new(&loaded.objects, &infer_calls(&loaded.objects), seeded(1)).unwrap();
    run.settle(|_| false);
    let telemetry = run.cluster().pods.iter().filter(|pod| pod.key.name.starts_with("telemetry"));
    for netns in telemetry.map(|pod| pod.netns).collect::<Vec<_>>() {
        run.world_mut().iptables_restore(netns, "*filter\n-A INPUT -j DROP\nCOMMIT\n", false).unwrap();
    }
    while run.advance(10_000) {}
    let report = Report::of(&run, &loaded);
    let edge = report.edges.iter().find(|edge| edge.protocol == "UDP").unwrap();
    assert_eq!(edge.failures[0].reason, "timed out", "{report}");
    assert!(edge.failures[0].place.starts_with("NETFILTER_DROP at shop/telemetry"), "{report}");
    let drops = report.drops.iter().filter(|drop| drop.reason == "NETFILTER_DROP");
    let dropped: u64 = drops.map(|drop| drop.count).sum();
    assert_eq!(dropped, 2 * edge.calls.failed, "each datagram twice: {report}");
    assert_eq!(report.calls.failed, edge.calls.failed, "nobody else is hurt: {report}");
}

#[test]
fn capture_changes_nothing_that_happens() {
    let loaded = loaded(SHOP);
    let plan = infer_calls(&loaded.objects);
    let [on, off] = [true, false].map(|capture| {
        let run = ended(&loaded.objects, &plan, RunConfig { capture, ..seeded(7) });
        (run.world().fingerprint().value(), run.world().fingerprint().events())
    });
    assert_eq!(on, off);
}

#[test]
fn another_seed_is_another_run_and_the_same_seed_the_same() {
    let fingerprint = |seed| report(SHOP, seeded(seed)).fingerprint;
    assert_eq!(fingerprint(1), fingerprint(1));
    assert_ne!(fingerprint(1), fingerprint(2));
}

/// Stored fingerprints: a change of any event of these runs is seen here, and explained in the commit that updates them.
#[test]
fn the_runs_of_two_examples_are_the_stored_ones() {
    let fingerprint = |text, seed| report(text, seeded(seed)).fingerprint;
    let runs = [fingerprint(HELLO, 1), fingerprint(HELLO, 2), fingerprint(SHOP, 1)];
    assert_eq!(runs, ["1248d17b19e8e578", "89043a4ad5f72a55", "a897bd9f2736ecf6"]);
}

#[test]
fn calls_that_would_begin_too_late_are_left_out_and_told() {
    let loaded = loaded(HELLO);
    let file = SourceFile { name: "t".into(), text: "- {from: client, to: web, count: 100, every: 1s}".into() };
    let calls = read_traffic(&file, &loaded.objects).unwrap();
    let config = RunConfig { duration: Duration::from_secs(10), ..seeded(1) };
    let run = ended(&loaded.objects, &Plan { calls, not_called: Vec::new() }, config);
    assert_eq!(run.edges()[0].tally.sent, 10);
    assert_eq!(
        run.not_called(),
        ["Deployment default/client → default/web:80: 90 calls would begin after the run's end"]
    );
}

#[test]
fn a_port_without_endpoints_is_a_failure_even_if_nobody_wants_to_call_it() {
    let unnamed = hello("http://web:80/", "nothing").replace("replicas: 2", "replicas: 0");
    let report = report(&unnamed, seeded(1));
    let edge = &report.edges[0];
    assert_eq!((edge.calls.sent, edge.calls.failed, report.ok), (1, 1, false), "{report}");
}

#[test]
fn a_service_that_selects_nothing_fails_even_where_no_pod_could_call_it() {
    let lonely =
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {selector: {no: body}, ports: [{port: 80}]}\n";
    let report = report(lonely, seeded(1));
    assert_eq!((report.calls.sent, report.ok, report.warnings.len()), (0, false, 1), "{report}");
}

/// The head of the client's pod, in which a field is put.
const CLIENT: &str = "    spec:\n      containers:\n      - name: curl";

#[test]
fn a_call_of_the_nodes_own_netns_knows_that_its_packets_never_left() {
    let on_node = hello(
        CLIENT,
        &CLIENT.replace("spec:", "spec:\n      hostNetwork: true\n      dnsPolicy: ClusterFirstWithHostNet"),
    );
    let report = report(&on_node.replace("replicas: 2", "replicas: 0"), seeded(1));
    let place = &report.edges[0].failures[0].place;
    assert!(place.starts_with("NETFILTER_REJECT at n") && place.ends_with(", OUTPUT"), "{report}");
}

#[test]
fn a_pod_on_its_nodes_network_asks_as_the_node_does_and_finds_no_service() {
    let report = report(&hello(CLIENT, &CLIENT.replace("spec:", "spec:\n      hostNetwork: true")), seeded(1));
    assert_eq!(report.edges[0].failures[0].reason, "NXDOMAIN", "{report}");
}

#[test]
fn a_cluster_whose_dns_is_gone_says_so() {
    let loaded = loaded(HELLO);
    let mut run = Run::new(&loaded.objects, &infer_calls(&loaded.objects), seeded(1)).unwrap();
    run.settle(|_| false);
    let coredns = run.cluster().pods.iter().filter(|pod| pod.key.name.starts_with("coredns"));
    for netns in coredns.map(|pod| pod.netns).collect::<Vec<_>>() {
        run.world_mut().iptables_restore(netns, "*filter\n-A INPUT -p udp -j DROP\nCOMMIT\n", false).unwrap();
    }
    while run.advance(10_000) {}
    let report = Report::of(&run, &loaded);
    let failure = &report.edges[0].failures[0];
    assert_eq!(failure.reason, "DNS timed out", "{report}");
    assert!(failure.place.starts_with("NETFILTER_DROP at kube-system/coredns"), "{report}");
}

#[test]
fn a_caller_that_fits_on_no_node_fails_its_calls() {
    let homeless = hello(CLIENT, &CLIENT.replace("spec:", "spec:\n      nodeSelector: {no: where}"));
    let report = report(&homeless, seeded(1));
    assert_eq!(report.edges[0].failures[0].reason, "no pod of the caller runs", "{report}");
    assert_eq!((report.pending.len(), report.ok), (1, false), "{report}");
}

/// Calls in `examples/races` that were slower than a second, and datagrams that lost a race, over some seeds.
fn slow_lookups(cpus: u16, kernel: Kernel) -> (usize, u64) {
    let loaded = loaded(include_str!("../../../examples/races/dns.yaml"));
    let traffic = include_str!("../../../examples/races/dns-traffic.yaml").to_owned();
    let calls = read_traffic(&SourceFile { name: "t".into(), text: traffic }, &loaded.objects).expect("a traffic file");
    let plan = Plan { calls, not_called: Vec::new() };
    let mut sum = (0, 0);
    for seed in 1..=4 {
        let mut config = seeded(seed);
        config.cluster = ClusterConfig { nodes: 2, cpus, kernel, ..config.cluster };
        config.duration = Duration::from_secs(1);
        let run = ended(&loaded.objects, &plan, config);
        let report = Report::of(&run, &loaded);
        assert_all_answered(&report);
        let slow = run.edges()[0].tally.latencies().filter(|latency| *latency > Duration::from_secs(1));
        sum.0 += slow.count();
        sum.1 += report.races.iter().map(|race| race.insert_failed).sum::<u64>();
    }
    sum
}

#[test]
fn a_name_takes_five_seconds_where_packets_race_and_the_kernel_is_old() {
    let (slow, failed) = slow_lookups(2, Kernel::V4_19);
    assert!(slow > 0 && failed > 0, "{slow} slow calls, {failed} lost packets");
    assert_eq!(slow_lookups(2, Kernel::V6_18), (0, 0));
    assert_eq!(slow_lookups(1, Kernel::V4_19), (0, 0));
}
