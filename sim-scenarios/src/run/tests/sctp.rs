//! Calls by SCTP, through kube-proxy's rules and over the tunnel.

use super::*;

const SCTP: &str = include_str!("../../../../examples/sctp/sctp.yaml");

/// The example with one part of it changed.
fn changed(from: &str, to: &str) -> String {
    assert!(SCTP.contains(from));
    SCTP.replacen(from, to, 1)
}

/// How the first edge's calls failed, and where.
fn failure(report: &Report) -> (String, String) {
    let failure = &report.edges[0].failures[0];
    (failure.reason.clone(), failure.place.clone())
}

#[test]
fn every_call_is_answered_and_the_same_seed_is_the_same_run() {
    for seed in 1..=3 {
        let first = report(SCTP, seeded(seed));
        assert_all_answered(&first);
        assert!(first.edges.iter().filter(|edge| edge.protocol == "SCTP").count() == 2, "{first}");
        assert!(
            first.drops.iter().all(|drop| drop.reason != "NETFILTER_DROP"),
            "conntrack finds nothing invalid: {first}"
        );
        assert_eq!(first.fingerprint, report(SCTP, seeded(seed)).fingerprint);
    }
}

/// A port for which Wireshark knows a protocol that is not spoken here: the association is opened and closed.
#[test]
fn a_port_of_a_binary_protocol_is_called_in_silence() {
    assert_all_answered(&report(&SCTP.replace("7777", "38412"), seeded(1)));
}

/// To Linux's SCTP "port unreachable" is a soft error, so a REJECT of kube-proxy does not end a call: nobody answers, and in
/// the end the client has waited long enough (net/sctp/input.c, `sctp_v4_err_handle`).
#[test]
fn a_service_without_endpoints_lets_its_callers_wait() {
    let report = report(&changed("replicas: 2", "replicas: 0"), seeded(1));
    let (reason, place) = failure(&report);
    assert_eq!(reason, "timed out", "{report}");
    assert!(place.starts_with("NETFILTER_REJECT at n"), "{report}");
}

#[test]
fn a_pod_on_whose_port_nobody_listens_aborts() {
    let headless = changed("  type: NodePort\n", "  clusterIP: None\n");
    let headless = headless.replace("    nodePort: 30777\n", "");
    let report = report(&headless, seeded(1));
    let (reason, place) = failure(&report);
    assert_eq!(reason, "ECONNREFUSED", "{report}");
    assert!(place.starts_with("ABORT from default/signalling"), "{report}");
}
