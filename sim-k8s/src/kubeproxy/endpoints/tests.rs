//! Endpoint selection against upstream's own table, if the shared cases are beside the checkout.

use serde::Deserialize;

use super::*;

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address with a port")
}

fn chooser() -> Chooser<'static> {
    Chooser { node: "n1", zone: "", node_hints: true }
}

fn service_with(endpoints: Vec<Endpoint>) -> ServicePort {
    ServicePort { endpoints: collect(endpoints), ..ServicePort::new([10, 96, 0, 9].into(), 80) }
}

#[test]
fn endpoints_are_in_the_order_of_their_text() {
    let endpoints = ["10.1.1.1:11", "10.1.1.2:11", "10.1.1.11:11"].map(|a| Endpoint::ready(addr(a), None));
    let order: Vec<_> = collect(endpoints).iter().map(|e| e.addr.to_string()).collect();
    assert_eq!(order, ["10.1.1.11:11", "10.1.1.1:11", "10.1.1.2:11"]);
}

#[test]
fn of_two_endpoints_with_one_address_the_one_that_stays_wins() {
    let staying = Endpoint::ready(addr("10.1.1.1:80"), Some("n1"));
    let leaving = Endpoint { ready: false, terminating: true, ..staying.clone() };
    for pair in [[&staying, &leaving], [&leaving, &staying]] {
        assert!(collect(pair.map(Clone::clone)).iter().eq([&staying]));
    }
}

#[test]
fn draining_endpoints_serve_only_while_nothing_is_ready() {
    let ready = Endpoint::ready(addr("10.1.1.1:80"), Some("n1"));
    let draining = Endpoint { ready: false, terminating: true, ..Endpoint::ready(addr("10.1.1.2:80"), Some("n1")) };
    let both = service_with(vec![ready.clone(), draining.clone()]);
    assert_eq!(categorize(&both, chooser()).cluster, [&ready]);
    let last = service_with(vec![draining.clone()]);
    assert_eq!(categorize(&last, chooser()).cluster, [&draining]);
}

#[test]
fn an_endpoint_that_is_unready_but_serving_and_not_leaving_is_never_used() {
    let odd = Endpoint { ready: false, ..Endpoint::ready(addr("10.1.1.1:80"), Some("n1")) };
    let mut port = service_with(vec![odd]);
    port.internal_policy_local = true;
    let found = categorize(&port, chooser());
    assert!(found.reachable.is_empty() && !found.has_any);
}

#[derive(Deserialize)]
struct Cases {
    endpoint_selection: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CaseService {
    internal_traffic_policy: String,
    external_traffic_policy: String,
    node_port: u16,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    #[serde(default)]
    node_zone: String,
    node_name: Option<String>,
    prefer_same_gate: Option<bool>,
    service: CaseService,
    endpoints: Vec<CaseEndpoint>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CaseEndpoint {
    endpoint: SocketAddr,
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
    #[serde(default)]
    local: bool,
    #[serde(default)]
    zone_hints: BTreeSet<String>,
    #[serde(default)]
    node_hints: BTreeSet<String>,
}

#[derive(Deserialize, PartialEq, Debug)]
struct Expect {
    cluster: Option<Vec<SocketAddr>>,
    local: Option<Vec<SocketAddr>>,
    reachable: Option<Vec<SocketAddr>>,
    has_any: bool,
}

fn run(case: &Case) -> Expect {
    let node = case.node_name.as_deref().unwrap_or("n1");
    let endpoint = |e: &CaseEndpoint| Endpoint {
        ready: e.ready.unwrap_or(true),
        serving: e.serving.unwrap_or(true),
        terminating: e.terminating.unwrap_or(false),
        zone_hints: e.zone_hints.clone(),
        node_hints: e.node_hints.clone(),
        ..Endpoint::ready(e.endpoint, e.local.then_some(node))
    };
    let mut port = service_with(case.endpoints.iter().map(endpoint).collect());
    port.internal_policy_local = case.service.internal_traffic_policy == "Local";
    port.external_policy_local = case.service.external_traffic_policy == "Local";
    port.node_port = case.service.node_port;
    let chooser = Chooser { node, zone: &case.node_zone, node_hints: case.prefer_same_gate.unwrap_or(true) };
    let found = categorize(&port, chooser);
    let addrs = |list: &[&Endpoint]| list.iter().map(|e| e.addr).collect();
    Expect {
        cluster: port.uses_cluster_endpoints().then(|| addrs(&found.cluster)),
        local: port.uses_local_endpoints().then(|| addrs(&found.local)),
        reachable: Some(addrs(&found.reachable)),
        has_any: found.has_any,
    }
}

#[test]
fn selection_agrees_with_upstreams_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/cases/kube-proxy-flows.yaml");
    let Ok(text) = std::fs::read(path) else {
        eprintln!("skipped: no {path}");
        return;
    };
    let cases: Cases = serde_saphyr::from_slice(&text).expect("the form of the shared cases");
    assert!(!cases.endpoint_selection.is_empty(), "the table is not empty");
    for case in &cases.endpoint_selection {
        assert_eq!(run(case), case.expect, "{}", case.id);
    }
}
