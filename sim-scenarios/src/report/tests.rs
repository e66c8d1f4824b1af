use super::*;

/// A report with one of everything.
fn report() -> Report {
    let failure =
        |reason: &str, place: &str, count| FailureReport { reason: reason.into(), place: place.into(), count };
    let edge = |from: &str, service: &str, port, protocol: &str, calls, failures, latency| EdgeReport {
        from: from.into(),
        service: service.into(),
        port,
        protocol: protocol.into(),
        speaks: "text",
        calls,
        endpoints: Vec::new(),
        failures,
        latency,
    };
    let latency = Some(Latency { min_ns: 40_000, median_ns: 440_000, p99_ns: 1_203_000_000 });
    Report {
        seed: 7,
        fingerprint: "00c0ffee00c0ffee".into(),
        events: 1234,
        hops: 567,
        ended_ns: 31_000_000_000,
        settled_ns: 12_000_000_000,
        nodes: 3,
        pods: 4,
        calls: Calls { sent: 12, answered: 8, failed: 4 },
        ok: false,
        edges: vec![
            edge(
                "Deployment shop/front",
                "shop/cart",
                80,
                "TCP",
                Calls { sent: 8, answered: 8, failed: 0 },
                vec![],
                latency,
            ),
            edge(
                "world",
                "shop/dns",
                53,
                "UDP",
                Calls { sent: 4, answered: 0, failed: 4 },
                vec![failure("timed out", "NETFILTER_DROP at n1/eth0, FORWARD", 3), failure("NXDOMAIN", "", 1)],
                None,
            ),
            edge(
                "cron",
                "shop/nobody",
                80,
                "TCP",
                Calls { sent: 1, answered: 0, failed: 1 },
                vec![failure("ECONNREFUSED", "NETFILTER_REJECT at n1, OUTPUT", 1)],
                None,
            ),
        ],
        services: services(),
        outside: Vec::new(),
        drops: vec![DropReport { reason: "NETFILTER_DROP".into(), place: "n1/eth0, FORWARD".into(), count: 6 }],
        races: vec![RaceReport { netns: "n1".into(), clash_resolve: 5, insert_failed: 1 }],
        not_applied: vec!["v1 ServiceAccount (11 objects)".into()],
        faults: vec!["at 5s: delete pod shop/web-0".into()],
        not_called: vec!["Service shop/ext, port 1: there is no pod to call it".into()],
        pending: vec!["pod shop/big: there is no node n9".into()],
        warnings: vec!["shop.yaml:1:1: it matches nothing\n  repair the selector".into()],
        files: vec!["out/all.pcapng".into()],
    }
}

fn services() -> Vec<ServiceReport> {
    let by = |pod: &str, answered| EndpointReport { pod: pod.into(), answered };
    let cart = ServiceReport {
        service: "shop/cart".into(),
        port: 80,
        protocol: "TCP".into(),
        calls: 8,
        answered: 8,
        endpoints: vec![by("shop/cart-0", 8), by("shop/cart-1", 0)],
    };
    let (service, protocol) = ("shop/dns".into(), "UDP".into());
    vec![cart, ServiceReport { service, port: 53, protocol, calls: 4, answered: 0, endpoints: Vec::new() }]
}

#[test]
fn a_report_reads_like_this() {
    insta::assert_snapshot!(report().to_string());
}

#[test]
fn a_report_as_json_has_the_names_scripts_look_for() {
    let json = serde_json::to_value(report()).unwrap();
    assert_eq!(json["seed"], 7);
    assert_eq!(json["calls"], serde_json::json!({"sent": 12, "answered": 8, "failed": 4}));
    assert_eq!(json["services"][0]["calls"], 8);
    assert_eq!(
        json["drops"][0],
        serde_json::json!({"reason": "NETFILTER_DROP", "where": "n1/eth0, FORWARD", "count": 6})
    );
    assert_eq!(json["edges"][1]["failures"][0]["where"], "NETFILTER_DROP at n1/eth0, FORWARD");
    for key in ["fingerprint", "not_applied", "files"] {
        assert!(!json[key].is_null(), "{key}");
    }
}
