//! What TRACE shows, in the forms of both backends; the recordings of the lab decide.

use super::{At, Bench, FORWARD, datagram};
use crate::netfilter::conntrack::bench::udp;
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::{Step, TableName, TraceStep};
use crate::netfilter::text::{Restore, rule};
use crate::wire::ip::Family;

fn lines(bench: &Bench, trace: &[TraceStep]) -> (Vec<String>, Vec<String>) {
    let table = |step: &TraceStep| bench.rules.table(step.table).unwrap();
    let nft = trace.iter().filter_map(|step| step.nft(table(step))).collect();
    (nft, trace.iter().filter_map(|step| step.legacy(table(step))).collect())
}

#[test]
fn both_forms_show_their_own_view_of_ends_and_unconditional_rules() {
    let mut bench = Bench::forward(
        "-A FORWARD -j x\n-A FORWARD -p udp -j LOG\n-A FORWARD -j y\n-A y -d 10.244.2.2 -j RETURN\n-A FORWARD -j DROP",
    );
    let result = bench.send(&datagram(), &At { traced: true, ..FORWARD });
    let (nft, legacy) = lines(&bench, &result.trace);
    assert_eq!(
        nft,
        [
            "filter FORWARD rule JUMP:x  -A FORWARD -j x",
            "filter FORWARD rule CONTINUE  -A FORWARD -p udp -j LOG",
            "filter FORWARD rule JUMP:y  -A FORWARD -j y",
            "filter y rule RETURN  -A y -d 10.244.2.2/32 -j RETURN",
            "filter FORWARD rule DROP  -A FORWARD -j DROP",
        ]
    );
    assert_eq!(
        legacy,
        [
            "filter FORWARD rule 1",
            "filter x return 1",
            "filter FORWARD rule 2",
            "filter FORWARD rule 3",
            "filter y rule 1",
            "filter FORWARD policy 4",
        ]
    );
    assert!(bench.send(&datagram(), &FORWARD).trace.is_empty(), "only marked packets are traced");
}

#[test]
fn trace_marks_the_packet_and_does_not_show_itself() {
    let mut bench = Bench::new("*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j TRACE\nCOMMIT\n");
    let at = At { table: TableName::Raw, hook: Hook::Prerouting, ..FORWARD };
    let result = bench.send(&datagram(), &at);
    let (nft, legacy) = lines(&bench, &result.trace);
    assert_eq!(nft, ["raw PREROUTING policy ACCEPT"]);
    assert_eq!(legacy, ["raw PREROUTING policy 2"]);
}

#[test]
fn a_step_knows_the_mark_before_its_rule_acted() {
    let mut bench = Bench::forward("-A FORWARD -j MARK --set-mark 1\n-A FORWARD -j ACCEPT");
    let trace = bench.send(&datagram(), &At { traced: true, ..FORWARD }).trace;
    assert_eq!(trace.iter().map(|s| (s.step, s.mark)).collect::<Vec<_>>(), [(Step::Rule, 0), (Step::Rule, 1)]);
}

#[expect(clippy::disallowed_methods, reason = "the recordings lie beside the checkout")]
fn golden(name: &str) -> Option<serde_json::Value> {
    let path = format!("{}/../../shared/kernel-lab/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(_) => {
            eprintln!("skipped: no {path}");
            None
        }
    }
}

/// The lines of one node's trace that belong to a table, from the first packet that comes to it.
fn recorded(golden: &serde_json::Value, key: &str, table: &str) -> Vec<String> {
    let steps = if key == "trace" { golden["result"][0]["trace"].clone() } else { golden[key][0].clone() };
    let all = steps["n1"].as_array().unwrap().iter().map(|l| l.as_str().unwrap().to_owned());
    let is_first = |l: &String| l.starts_with(&format!("{table} PREROUTING"));
    let from_table = all.filter(|l| !l.starts_with('@')).skip_while(|l| !is_first(l));
    from_table.take_while(|l| l.starts_with(&format!("{table} "))).collect()
}

/// The nat walk of a recorded first packet is ours, in both forms.
#[test]
fn the_lab_s_nat_walks_are_ours() {
    for (name, from, to, in_dev) in [
        ("clusterip_remote", "10.244.1.2:40000", "10.96.0.10:53", "cni0"),
        ("hairpin_own_service", "10.244.1.2:40000", "10.96.0.10:53", "cni0"),
        ("trace_nodeport", "198.51.100.7:40000", "10.240.0.11:30081", "eth0"),
    ] {
        let Some(golden) = golden(name) else { return };
        let mut bench = Bench::new(golden["spec"]["rules"]["n1"].as_str().unwrap());
        let at = At { table: TableName::Nat, hook: Hook::Prerouting, in_dev, out_dev: "", traced: true, ..FORWARD };
        let result = bench.send(&udp(from, to), &at);
        let (nft, legacy) = lines(&bench, &result.trace);
        assert_eq!(nft, recorded(&golden, "trace", "nat"), "{name}");
        // Nothing parts this walk from the next one through nat, so ours is how the recorded lines begin.
        assert_eq!(legacy, recorded(&golden, "trace_legacy", "nat")[..legacy.len()], "{name}");
    }
}

/// Every rule in a recorded trace is printed by us as it was recorded.
#[test]
fn the_lab_s_traced_rules_are_printed_as_recorded() {
    for name in
        ["clusterip_remote", "hairpin_own_service", "service_no_endpoints", "nodeport_cluster", "trace_nodeport"]
    {
        let Some(golden) = golden(name) else { return };
        let steps = golden["result"].as_array().unwrap().iter();
        let lines = steps.flat_map(|s| s["trace"].as_object().into_iter().flatten());
        for line in lines.flat_map(|(_, lines)| lines.as_array().unwrap()).filter_map(|l| l.as_str()) {
            let Some((head, text)) = line.split_once("  ") else { continue };
            let (table, chain) = (head.split(' ').next().unwrap(), head.split(' ').nth(1).unwrap());
            let restore = Restore::parse(Family::V4, &format!("*{table}\n{text}\nCOMMIT\n")).unwrap();
            let crate::netfilter::rules::Op::Append(_, parsed) = &restore.tables[0].ops[0].1 else { panic!("{text}") };
            assert_eq!(rule::print(chain, parsed), text, "{name}");
        }
    }
}
