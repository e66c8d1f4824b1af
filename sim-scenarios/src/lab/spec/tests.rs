//! Specs as people write them, right and wrong.

use super::{Document, Op, Wanted};

/// The error of a spec with this text, as a reader sees it.
fn refused(text: &str) -> String {
    let e = Document::read(text).expect_err(text);
    match e.help.clone() {
        Some(help) => format!("{e} ({help})"),
        None => e.to_string(),
    }
}

fn step(members: &str) -> String {
    format!("{{\"topo\": {{\"nodes\": 1, \"pods\": {{\"a\": 1, \"b\": 1}}}},\n \"steps\": [\n  {{{members}}}]}}")
}

#[test]
fn a_step_is_read_with_names_resolved_and_defaults_filled_in() {
    let text = step(r#""op": "udp", "ns": "a", "sport": 40000, "dst": "b", "dport": 53, "size": 8, "_seen": [1]"#);
    let spec = Document::read(&text).unwrap().steps().unwrap();
    let Op::Udp { client, payload, keep } = &spec.steps[0].op else { panic!("{:?}", spec.steps[0].op) };
    assert_eq!(client.dst.to_string(), "10.244.1.3");
    assert_eq!(payload.0, b"hello...");
    assert!(!keep);
    assert_eq!(spec.ct, Wanted::Nodes);
    assert_eq!((spec.steps[0].place.line, spec.steps[0].place.column), (3, 3));
}

#[test]
fn a_mistake_is_told_with_its_place_and_what_would_be_right() {
    assert_refused(
        &step(r#""op": "udp", "ns": "a", "sport": 1, "dst": "b", "dport": 1, "tll": 3"#),
        &["3:71: unknown key \"tll\"", "known here: op, arp, ns, src, sport"],
    );
    assert_refused(
        &step(r#""op": "udp", "ns": "zz", "sport": 1, "dst": "b", "dport": 1"#),
        &["3:23: no netns is called \"zz\"", "the cluster has: ul, n1, a, b"],
    );
    assert_refused(
        &step(r#""op": "udp", "ns": "a", "sport": 70000, "dst": "b", "dport": 1"#),
        &["3:37:", "70000", "u16"],
    );
    assert_refused(&step(r#""op": "udp", "ns": "a", "sport": 1, "dst": "b""#), &["3:3: \"dport\" is missing"]);
    assert_refused(&step(r#""op": "dance""#), &["3:10: unknown op \"dance\"", "known: udp, many_udp"]);
    assert_refused(&step(r#""op": "sleep", "s": -1"#), &["3:24: -1 is not a wait"]);
    assert_refused(&step(r#""op": "sleep", "s": 1, "s": 2"#), &["\"s\" is given twice"]);
    assert_refused("{\"steps\": [}", &["1:12:"]);
    assert_refused("", &["1:"]);
    assert_refused(r#"{"spec": {"steps": []}, "result": 0}"#, &["1:35: invalid type", "a sequence"]);
    assert_refused("[]", &["1:1:", "expected an object"]);
    assert_refused(r#"{"topo": {"pods": {"n1": 1}}, "steps": []}"#, &["cannot be the name of a pod"]);
    assert_refused(r#"{"topo": {"pods": {"a": 3}}, "steps": []}"#, &["no such node: there are 2"]);
    assert_refused(r#"{"topo": {"nodes": 250}, "steps": []}"#, &["has room for 200"]);
}

fn assert_refused(text: &str, parts: &[&str]) {
    let shown = refused(text);
    for part in parts {
        assert!(shown.contains(part), "{part:?} is not in: {shown}");
    }
}

#[test]
fn what_the_emulator_does_not_run_yet_is_refused_by_name() {}

#[test]
fn a_mistake_in_a_script_is_told_with_its_place() {
    let script =
        |step: &str| format!("{{\"conns\": {{\"k\": {{\"pod\": 80, \"peer\": 81}}}},\n\"script\": [{{{step}}}]}}");
    let cases = [
        (r#""do": "lisen""#, "2:12: unknown call \"lisen\""),
        (r#""do": "seg", "c": "q", "fl": "S""#, "no connection is called \"q\""),
        (r#""do": "seg", "c": "k", "fl": "X""#, "flags are letters of FSRPAUEC"),
        (r#""do": "seg", "c": "k", "fl": "A", "len": 70000"#, "at most 65455 bytes"),
        (r#""do": "opt", "s": "A", "name": "mtu_discover", "value": 9"#, "not supported yet: option mtu_discover"),
        (r#""do": "send", "s": "A", "n": 1, "oob": 1"#, "not supported: urgent data"),
        (r#""do": "wait", "seconds": 1"#, "unknown key \"seconds\""),
    ];
    for (step, part) in cases {
        assert_refused(&script(step), &[part]);
    }
}

#[test]
fn packets_inside_packets_end_somewhere() {
    let mut inner = r#"{"eth": ["bcast", "bcast"], "ip": {"s": "a", "d": "b"}}"#.to_owned();
    for _ in 0..2000 {
        inner = format!(r#"{{"eth": ["bcast", "bcast"], "ip": {{"s": "a", "d": "b"}}, "inner": {inner}}}"#);
    }
    let text = step(&format!(r#""op": "frame", "ns": "a", {}"#, &inner[1..inner.len() - 1]));
    assert_refused(&text, &["packets inside each other"]);
}

#[test]
fn every_recorded_spec_is_read_or_refused_as_not_supported_yet() {
    let lab = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/kernel-lab");
    for (series, readable) in [("golden", true), ("golden2", false)] {
        let Ok(files) = std::fs::read_dir(format!("{lab}/{series}")) else {
            eprintln!("skipped: {lab}/{series} is not here");
            continue;
        };
        for file in files {
            let path = file.unwrap().path();
            let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
            match Document::read(&text) {
                Ok(d) if readable => assert!(d.result.is_some(), "{path:?}"),
                Err(e) if !readable => assert!(e.message.starts_with("not supported yet"), "{path:?}: {e}"),
                Ok(_) => {} // a scenario of the second series that needs nothing new
                Err(e) => panic!("{path:?}: {e}"),
            }
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,200}", at in 0usize..400, cut in 0usize..20) {
        let _ = Document::read(&text);
        // A right spec with a hole in it, or something put into it.
        let mut spec = step(r#""op": "frame", "ns": "a", "eth": ["a/eth0", "bcast"], "ip": {"s": "a", "d": "b"}, "data": "x""#);
        let at = at.min(spec.len());
        let end = (at + cut).min(spec.len());
        spec.replace_range(at..end, &text.chars().take(3).collect::<String>());
        let _ = Document::read(&spec);
    }
}
