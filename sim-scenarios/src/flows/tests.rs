//! Tables as their readers write them, and those that upstream's tests were made into.

use super::*;

fn run_text(text: &str) -> Outcome {
    run(&Table::read(text).unwrap(), None, &|| false).unwrap()
}

fn example() -> String {
    include_str!("../../../examples/flows/shop.yaml").to_owned()
}

fn failures(outcome: &Outcome) -> Vec<String> {
    outcome.rows.iter().filter(|row| !row.ok()).map(|row| row.told().to_string()).collect()
}

#[test]
fn the_example_holds() {
    let outcome = run_text(&example());
    assert_eq!(failures(&outcome), Vec::<String>::new());
    assert_eq!((outcome.rows.len(), outcome.not_run), (8, Vec::new()));
}

#[test]
fn a_wrong_expectation_fails_and_says_what_happened() {
    let outcome =
        run_text(&example().replace("to: [\"10.244.1.2:8080\"], masq: false", "to: [\"10.244.2.2:8080\"], masq: true"));
    let failed: Vec<&Row> = outcome.rows.iter().filter(|row| !row.ok()).collect();
    assert_eq!(failed.len(), 1);
    let told = failed[0].told();
    assert_eq!((&told["case"], &told["step"], &told["flow"]), (&json!("shop"), &json!(0), &json!(1)));
    assert_eq!(told["expected"], json!({ "verdict": "ENDPOINTS", "to": ["10.244.2.2:8080"], "masq": true }));
    assert_eq!(told["got"], json!({ "verdict": "ENDPOINTS", "to": ["10.244.1.2:8080"], "masq": false }));
}

#[test]
fn results_do_not_depend_on_expectations() {
    let bare = example().replace("expect: ", "note: ").replace("to: [\"", "why: [\"");
    let (with, without) = (run_text(&example()), run_text(&bare));
    let emitted = |outcome: &Outcome| outcome.rows.iter().map(|row| row.emitted.clone()).collect::<Vec<_>>();
    assert_eq!(emitted(&with), emitted(&without));
    assert!(without.rows.iter().all(|row| row.expected.is_none() && row.ok()));
}

#[test]
fn session_affinity_chooses_freely_for_a_first_packet() {
    let outcome = run_text(&example().replace("type: LoadBalancer", "sessionAffinity: ClientIP"));
    let first = outcome.rows.first().unwrap();
    assert!(first.ok(), "{}", first.told());
}

#[test]
fn an_endpoint_on_the_node_itself_is_found() {
    let on_node = "{ip: 10.240.0.11, node: n1}";
    let text = example().replace("{ip: 10.244.1.2, node: n1}", on_node).replace("10.244.1.2:8080", "10.240.0.11:8080");
    assert_eq!(failures(&run_text(&text)), Vec::<String>::new());
}

#[test]
fn what_cannot_be_run_is_told_with_its_reason() {
    let text = "cases:\n- {id: a, backends: [nftables, iptables], node: {node_ip: 10.0.0.1}, flows: [{src: '::1', dst: '::1', dport: 1, \
                proto: tcp}]}\n- {id: b, node: {node_ip: 10.0.0.1}, then: [{action: dance, flows: [{src: 10.0.0.1, dst: 10.0.0.2, \
                dport: 1, proto: tcp}]}]}\nconntrack_cleanup: [{proto: udp, orig_dst: 'fd00::1', orig_dport: 1, reply_src: \
                'fd00::2'}]\n";
    let outcome = run_text(text);
    let told: Vec<_> = outcome.not_run.iter().map(|row| (row.case.as_str(), row.step, row.reason.as_str())).collect();
    let expected = [
        ("a", Some(0), "backend nftables is not built yet"),
        ("a", Some(0), "the node's kube-proxy is that of IPv4, and the packet is not"),
        ("b", Some(1), "not understood: action \"dance\""),
        ("conntrack_cleanup", None, "the Service of these rows has IPv4 alone"),
    ];
    assert_eq!((told.as_slice(), outcome.rows.len()), (expected.as_slice(), 0));
}

#[test]
fn a_udp_flow_survives_while_its_endpoint_serves() {
    let row =
        |proto: &str, answers: &str| format!("{{proto: {proto}, orig_dport: 32000, reply_src: {answers}, keep: true}}");
    let rows = [("udp", "10.240.0.4"), ("udp", "10.240.1.5"), ("udp", "192.168.0.2"), ("tcp", "10.240.2.6")];
    let rows = rows.map(|(proto, answers)| row(proto, answers)).join(", ");
    let outcome = run_text(&format!("conntrack_cleanup: [{rows}]"));
    let ok: Vec<bool> = outcome.rows.iter().map(Row::ok).collect();
    assert_eq!(ok, [true, false, false, true], "{:?}", outcome.not_run);
    assert_eq!(outcome.rows[1].emitted, Some(json!({ "cleanup": 1, "keep": false })));
}

#[test]
fn keys_without_effect_are_told_and_broken_tables_are_refused_with_their_place() {
    let table =
        Table::read("cases:\n- {id: a, note: x, flows: [{src: a, dst: b, dport: 1, proto: tcp, exepct: DROP}]}")
            .unwrap();
    assert_eq!(table.passed_over, ["cases.0.flows.0.exepct"]);
    let error = Table::read("cases:\n- id: a\n  flows:\n  - {src: a, dst: b, dport: 70000, proto: tcp}").unwrap_err();
    assert_eq!(error.line, 4, "{error}");
    assert!(Table::read("cases: [").is_err() && Table::read("- a list").is_err());
}

#[test]
fn upstreams_tables_hold() {
    for name in ["kube-proxy-flows.yaml", "kube-proxy-chains.yaml"] {
        let path = format!("{}/../../shared/cases/{name}", env!("CARGO_MANIFEST_DIR"));
        let Ok(text) = std::fs::read(&path).map(|bytes| String::from_utf8(bytes).unwrap()) else {
            eprintln!("skipped: {path} is not there");
            continue;
        };
        let outcome = run_text(&text);
        assert_eq!(failures(&outcome), Vec::<String>::new(), "{name}");
        assert!(outcome.rows.len() >= 10, "{name}: only {} rows", outcome.rows.len());
        let reasons = outcome.not_run.iter().map(|row| row.reason.as_str());
        let others: Vec<&str> = reasons.filter(|reason| *reason != "backend nftables is not built yet").collect();
        assert_eq!(others, Vec::<&str>::new(), "{name}");
    }
}
