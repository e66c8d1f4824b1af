//! What people read when something fails.

use super::*;
use crate::run::{ClusterOptions, IpFamily, Recipe, Scenario, VERSION};
use sim_core::engine::time::Duration;

/// The cluster of the tour, to which this is added, and to which this is done.
fn scenario(more: &str, faults: &str) -> Scenario {
    recipe(more, faults, None).scenario().unwrap().without_calls()
}

/// The same with calls of its own.
fn scenario_with_calls(calls: &str, faults: &str) -> Scenario {
    recipe("", faults, Some(calls)).scenario().unwrap()
}

fn recipe(more: &str, faults: &str, calls: Option<&str>) -> Recipe {
    let file = |name: &str, text: &str| SourceFile { name: name.into(), text: text.into() };
    Recipe {
        version: VERSION.into(),
        cluster: ClusterOptions { nodes: 2, ..ClusterOptions::default() },
        duration_ns: std::num::NonZeroU64::new(8_000_000_000).unwrap(),
        manifests: vec![file("tour.yaml", TOUR), file("more.yaml", more)],
        traffic: calls.map(|calls| file("calls.yaml", calls)),
        faults: (!faults.is_empty()).then(|| file("faults.yaml", faults)),
        fingerprint: None,
    }
}

fn tried(scenario: &Scenario, from: &str, to: &str, at: u64) -> Result<Explanation, NoExplanation> {
    let call = Call { from: from.into(), to: to.into(), at: Duration::from_secs(at) };
    explain(&Film { scenario, call: Some(&call), stop: &|| false }, &Subject::Call)
}

/// What is said before the walk.
fn why(scenario: &Scenario, from: &str, to: &str, at: u64) -> String {
    let explanation = tried(scenario, from, to, at).unwrap();
    assert!(!explanation.ok, "{explanation}");
    let told = explanation.told.unwrap_or_default();
    format!("{}\n{told}{}", explanation.title, explanation.why.expect("a failure has a reason"))
}

#[test]
fn each_failure_is_told_like_this() {
    let quiet = scenario("", "");
    insta::assert_snapshot!("no-endpoints", why(&quiet, "client", "nobody", 0));
    insta::assert_snapshot!("no-such-name", why(&quiet, "client", "weeb", 0));
    insta::assert_snapshot!("no-such-service", why(&quiet, "client", "10.96.9.9:80", 0));
    insta::assert_snapshot!("no-such-port-of-the-service", why(&quiet, "client", "far:81", 0));
    insta::assert_snapshot!("nobody-listens", why(&quiet, "client", "green:81", 0));
    insta::assert_snapshot!("nobody-has-the-address", why(&quiet, "client", "10.244.2.99:80", 0));
}

/// A datagram is taken for delivered until somebody says otherwise, which the client may not hear.
#[test]
fn datagrams_are_tried_too() {
    let quiet = scenario("", "");
    let dns = tried(&quiet, "client", "kube-system/kube-dns:53/udp", 0).unwrap();
    assert!(dns.ok && dns.walk.packets[0].what == "UDP", "{dns}");
    insta::assert_snapshot!("no-such-protocol-of-the-service", why(&quiet, "client", "far:80/udp", 0));
    insta::assert_snapshot!("nobody-takes-the-datagram", why(&quiet, "client", "green:80/udp", 0));
    let which = tried(&quiet, "client", "kube-system/kube-dns", 0).unwrap_err();
    let NoExplanation::Film(NoFilm::Call(which)) = which else { panic!("{which}") };
    assert_eq!(which.help, "write one of them after it: 53/udp, 53, 9153");
}

#[test]
fn associations_are_tried_too() {
    let scenario = scenario(include_str!("../../../../examples/sctp/sctp.yaml"), "");
    let reached = tried(&scenario, "switch", "signalling", 0).unwrap();
    assert!(reached.ok && reached.walk.packets[0].what == "SCTP INIT", "{reached}");
    let refused = tried(&scenario, "switch", "green:80/sctp", 0).unwrap();
    assert!(!refused.ok && refused.walk.packets[0].what == "SCTP INIT", "{refused}");
}

#[test]
fn a_cluster_of_ipv6_is_explained_too() {
    let recipe = recipe("", "", None);
    let cluster = ClusterOptions { ip_family: IpFamily::Ipv6, ..recipe.cluster };
    let scenario = Recipe { cluster, ..recipe }.scenario().unwrap().without_calls();
    let far = tried(&scenario, "client", "far", 0).unwrap();
    assert!(far.ok && far.walk.packets[0].what == "TCP SYN", "{far}");
    insta::assert_snapshot!("no-endpoints-of-ipv6", why(&scenario, "client", "nobody", 0));
    insta::assert_snapshot!("nobody-has-the-address-of-ipv6", why(&scenario, "client", "[fd00:10:244:2::99]:80", 0));
}

#[test]
fn a_way_that_a_node_does_not_know_is_told_with_who_should_have_made_it() {
    let lost = |command: &str| {
        let mut told = String::new();
        seen(command, |seen, run| {
            let lost = seen.iter().position(|seen| matches!(seen, Seen::Loss(_)) && !is_arp(seen.frame())).unwrap();
            let packet = seen[lost].packet();
            let of_it: Vec<Seen> = seen[..=lost].iter().filter(|seen| seen.packet() == packet).cloned().collect();
            told = Why::of(&of_it, run).unwrap().to_string();
        });
        told
    };
    let ping = "client: ping -c 1 -W 5 10.244.2.2";
    insta::assert_snapshot!("no-route", lost(&format!("n1: ip route del 10.244.2.0/24; {ping}")));
    insta::assert_snapshot!("no-neighbour", lost(&format!("n1: ip neigh del 10.244.2.0 dev flannel.1; {ping}")));
}

#[test]
fn a_call_of_a_run_whose_name_was_not_resolved_is_explained_by_its_lookup() {
    let calls = "- {from: client, to: far, count: 3, every: 3s}\n";
    let film = scenario_with_calls(calls, "- {at: 10ms, do: scale deployment kube-system/coredns 0}\n");
    let film = Film { scenario: &film, call: None, stop: &|| false };
    let flow = "client -> far:80";
    let list: Vec<String> = connections(&film, flow).unwrap().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(list.join("\n"));
    let explained = explain(&film, &Subject::Flow(flow.into(), Which::Failed)).unwrap();
    assert!(!explained.ok && explained.title.starts_with("client -> far:80, lookup "), "{explained}");
    let why = explained.why.unwrap().to_string();
    assert!(why.contains("→ Deployment kube-system/coredns would make such pods; it is scaled to 0"), "{why}");
}

#[test]
fn a_workload_scaled_to_nothing_is_told() {
    let none = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: reds}\nspec:\n  replicas: 0\n  \
        selector: {matchLabels: {color: red}}\n  template:\n    metadata: {labels: {color: red}}\n    \
        spec: {containers: [{name: a, image: a}]}\n";
    insta::assert_snapshot!(why(&scenario(none, ""), "client", "nobody", 0));
}

#[test]
fn a_node_that_is_off_is_told_with_the_moment_and_the_fault() {
    let off = scenario("", "- {at: 2s, do: node n2 off}\n");
    insta::assert_snapshot!(why(&off, "client", "green:80", 5));
}

#[test]
fn a_pod_that_is_gone_and_still_chosen_is_told_with_whose_rules_are_old() {
    let faults = "- {at: 1s, do: watches kube-proxy n1 cut}\n- {at: 2s, do: delete pod green}\n";
    insta::assert_snapshot!(why(&scenario("", faults), "client", "far", 45));
}

/// What a rollout without preStop hooks meets: rules still name the pod, whose containers have ended already.
#[test]
fn a_pod_that_has_ended_before_rules_changed_should_have_waited() {
    let scenario = scenario("", "- {at: 1s, do: watches kube-proxy n1 cut}\n- {at: 2s, do: delete pod green}\n");
    let call = Call { from: "client".into(), to: "far".into(), at: Duration::from_millis(2300) };
    let explained = explain(&Film { scenario: &scenario, call: Some(&call), stop: &|| false }, &Subject::Call).unwrap();
    insta::assert_snapshot!(explained.why.expect("a failure has a reason"));
}

#[test]
fn a_pod_that_leaves_the_cluster_under_its_own_address_is_told() {
    let mut scenario = scenario("", "");
    scenario.config.cluster.flannel.ip_masq = false;
    insta::assert_snapshot!(why(&scenario, "client", "8.8.8.8:53", 0));
}

#[test]
fn a_packet_that_is_too_big_is_told_with_the_device_that_would_not_take_it() {
    let mut told = String::new();
    seen("n1: ip link set flannel.1 mtu 1400; client: ping -c 1 -s 1422 -W 1 10.244.2.2", |seen, run| {
        let lost = seen.iter().find(|seen| matches!(seen, Seen::Loss(_))).unwrap().packet();
        let of_it: Vec<Seen> = seen.iter().filter(|seen| seen.packet() == lost).cloned().collect();
        told = Why::of(&of_it, run).unwrap().to_string();
    });
    insta::assert_snapshot!(told);
}

#[test]
fn tables_on_the_way_are_shown_as_they_stood() {
    let explanation = tried(&scenario("", ""), "client", "nobody", 0).unwrap();
    let lines: String = explanation.tables.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines);
}

#[test]
fn each_rule_that_was_looked_at_is_shown() {
    let explanation = tried(&scenario("", ""), "client", "nobody", 0).unwrap();
    let lines: String = explanation.rules.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines);
}

#[test]
fn a_success_has_no_reason() {
    let explanation = tried(&scenario("", ""), "client", "far", 0).unwrap();
    assert!(explanation.ok && explanation.why.is_none());
    assert_eq!(
        explanation.walk.packets.iter().map(|packet| packet.what.as_str()).collect::<Vec<_>>(),
        ["TCP SYN", "TCP SYN ACK"]
    );
    let port_of_name_servers = tried(&scenario("", ""), "client", "8.8.8.8:53", 0).unwrap();
    assert!(port_of_name_servers.ok, "{port_of_name_servers}");
}

#[test]
fn what_cannot_be_asked_is_refused_with_what_can() {
    let scenario = scenario("", "");
    let refused = |from: &str, to: &str| match tried(&scenario, from, to, 0).unwrap_err() {
        NoExplanation::Film(NoFilm::Call(no)) => format!("{} | {}", no.what, no.help),
        other => panic!("{other}"),
    };
    assert!(refused("ghost", "far").starts_with("there is no pod default/ghost | from: outside, n1, n2, "));
    assert!(refused("client", "10.96.1.1").starts_with("which port of 10.96.1.1? | "));
    assert!(refused("outside", "far").starts_with("nothing outside the cluster reaches Service default/far"));
    for hostile in ["", "-w", "a b", "a;exit", "$(x)'", "a\u{1b}[31m", "'", "\"x"] {
        assert!(refused("client", hostile).contains("is nobody's name"), "{hostile}");
    }
}
