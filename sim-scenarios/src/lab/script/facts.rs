//! What the facts of the lab say where no recorded script is at hand: scripts of our own, with the numbers from
//! `../shared/facts/kernel-behaviour-2.md`.

use serde_json::{Value, json};
use sim_core::engine::rng::Seed;

use crate::lab::kernel::{Emulator, Kernel};
use crate::lab::spec::Document;

/// Runs steps after a handshake of connection `k` with the pod's port 80, accepted as `A`; per step what the pod sent, as
/// `ms flags seq length`, and what the application saw.
fn run(sysctl: Value, opt: Value, steps: &[Value]) -> Vec<(Vec<String>, Value)> {
    let opening = [
        json!({"do": "listen", "s": "L", "port": 80, "opt": opt}),
        json!({"do": "seg", "c": "k", "fl": "S", "opt": {"mss": 1460, "sackok": 1, "ws": 7}, "until": 1}),
        json!({"do": "seg", "c": "k", "fl": "A", "seq": 1, "ack": 1, "for": 0.005}),
        json!({"do": "accept", "s": "A", "of": "L"}),
    ];
    script(sysctl, &[&opening[..], steps].concat()).split_off(opening.len())
}

fn script(sysctl: Value, steps: &[Value]) -> Vec<(Vec<String>, Value)> {
    let conns =
        json!({"k": {"pod": 80, "peer": 40000}, "m": {"pod": 80, "peer": 40001}, "q": {"pod": 41000, "peer": 81}});
    let spec = json!({"conns": conns, "sysctl": sysctl, "script": steps}).to_string();
    let document = Document::read(&spec).unwrap_or_else(|e| panic!("{e}: {spec}"));
    let result = Emulator(Seed(7)).run(&document.asked, &|| false).unwrap_or_else(|e| panic!("{e}"));
    result.as_array().into_iter().flatten().map(|r| (sent(r), r["saw"].clone())).collect()
}

fn sent(result: &Value) -> Vec<String> {
    let line = |e: &Value| {
        let flags = e["fl"].as_str().unwrap_or_default();
        format!("{} {flags} {} {}", e["t"], e["seq"], e["len"].as_u64().unwrap_or(0))
    };
    result["ev"].as_array().into_iter().flatten().filter(|e| e["d"] == "tx").map(line).collect()
}

/// Fact 78.
#[test]
fn without_a_probe_the_ladder_doubles_from_200_ms() {
    let steps = [
        json!({"do": "send", "s": "A", "n": 100, "for": 7}),
        json!({"do": "wait", "for": 60}),
        json!({"do": "error", "s": "A"}),
    ];
    let got = run(json!({"net.ipv4.tcp_early_retrans": 0, "net.ipv4.tcp_retries2": 4}), json!({}), &steps);
    assert_eq!(got[0].0, ["0 PA 1 100", "201 PA 1 100", "602 PA 1 100", "1404 PA 1 100", "3008 PA 1 100"]);
    assert_eq!((&got[1].0.len(), &got[2].1), (&0, &json!("ETIMEDOUT")));
}

/// Fact 84.
#[test]
fn an_orphan_tries_once_more_than_tcp_orphan_retries_and_takes_the_fin_along() {
    let steps = [
        json!({"do": "send", "s": "A", "n": 100, "for": 0}),
        json!({"do": "close", "s": "A", "for": 30}),
        json!({"do": "ss"}),
        json!({"do": "seg", "c": "k", "fl": "A", "seq": 1, "ack": 102}),
    ];
    let got = run(json!({"net.ipv4.tcp_orphan_retries": 2, "net.ipv4.tcp_early_retrans": 0}), json!({}), &steps);
    assert_eq!(got[0].0, ["0 PA 1 100"]);
    assert_eq!(got[1].0, ["0 FA 101 0", "201 FPA 1 100", "602 FPA 1 100", "1404 FPA 1 100"]);
    assert_eq!(got[2].1, json!(["80 0 LISTEN queue=0"]));
    assert_eq!(got[3].0, ["0 R 102 0"]);
}

/// Fact 81.
#[test]
fn zero_window_probes_without_answer_are_counted() {
    let steps = [
        json!({"do": "seg", "c": "k", "fl": "A", "seq": 1, "ack": 1, "win": 0}),
        json!({"do": "send", "s": "A", "n": 100, "for": 10}),
        json!({"do": "error", "s": "A"}),
    ];
    let got = run(json!({"net.ipv4.tcp_retries2": 3}), json!({}), &steps);
    assert_eq!(got[1].0, ["201 A 0 0", "602 A 0 0", "1404 A 0 0"]);
    assert_eq!(got[2].1, json!("ETIMEDOUT"));
}

/// Fact 81.
#[test]
fn a_window_smaller_than_the_mss_is_filled_by_halves() {
    let steps = [
        json!({"do": "listen", "s": "L", "port": 80}),
        json!({"do": "seg", "c": "k", "fl": "S", "win": 1000, "opt": {"mss": 1460}, "until": 1}),
        json!({"do": "seg", "c": "k", "fl": "A", "seq": 1, "ack": 1, "win": 1000, "for": 0.005}),
        json!({"do": "accept", "s": "A", "of": "L"}),
        json!({"do": "send", "s": "A", "n": 3000, "for": 0.001}),
    ];
    let got = script(json!({}), &steps);
    assert_eq!(got[4].0, ["0 A 1 500", "0 A 501 500"].map(|s| s.replace("A 501", "PA 501")));
}

/// Fact 102.
#[test]
fn nagle_holds_the_second_small_write_and_a_cork_lasts_200_ms() {
    let steps = [
        json!({"do": "send", "s": "A", "n": 10, "for": 0.01}),
        json!({"do": "send", "s": "A", "n": 10, "for": 0.01}),
        json!({"do": "seg", "c": "k", "fl": "A", "seq": 1, "ack": 11}),
        json!({"do": "seg", "c": "k", "fl": "A", "seq": 1, "ack": 21}),
        json!({"do": "opt", "s": "A", "name": "cork", "value": 1}),
        json!({"do": "send", "s": "A", "n": 10, "for": 0.3}),
    ];
    let got = run(json!({}), json!({}), &steps);
    assert_eq!(got[0].0, ["0 PA 1 10"]);
    assert!(got[1].0.is_empty());
    assert_eq!(got[2].0, ["0 PA 11 10"]);
    assert_eq!(got[5].0.len(), 1);
}

/// Fact 88.
#[test]
fn a_listener_is_silent_to_odd_segments_and_resets_an_ack() {
    let odd = |fl: &str| json!({"do": "seg", "c": "k", "fl": fl, "seq": 5, "ack": 77});
    let steps =
        [json!({"do": "listen", "s": "L", "port": 80}), odd("F"), odd(""), odd("FS"), odd("SR"), odd("A"), odd("SA")];
    let got = script(json!({}), &steps);
    let silent = got[1..5].iter().all(|(sent, _)| sent.is_empty());
    assert!(silent, "{got:?}");
    assert_eq!((&got[5].0[..], &got[6].0[..]), (&["0 R 77 0".to_owned()][..], &["0 R 77 0".to_owned()][..]));
}

/// Fact 93.
#[test]
fn in_syn_sent_only_the_right_answer_counts() {
    let seg = |fl: &str, ack: i64| json!({"do": "seg", "c": "q", "fl": fl, "seq": 0, "ack": ack});
    let steps = [
        json!({"do": "connect", "s": "C", "c": "q", "until": 1}),
        seg("A", 1),
        seg("R", 0),
        seg("FA", 1),
        seg("SA", 700),
        seg("RA", 50),
        seg("RA", 1),
        json!({"do": "error", "s": "C"}),
    ];
    let got = script(json!({}), &steps);
    let silent = [1, 2, 3, 5].iter().all(|n| got[*n].0.is_empty());
    assert!(silent, "{got:?}");
    assert_eq!(got[4].0, ["0 R 700 0", "8 S 0 0"], "reset, and the SYN again after two ticks");
    assert_eq!(got[7].1, json!("ECONNREFUSED"));
}

/// Fact 99.
#[test]
fn beyond_the_backlog_a_cookie_takes_the_place_of_memory() {
    let syn = |c: &str| json!({"do": "seg", "c": c, "fl": "S", "opt": {"mss": 1400, "sackok": 1, "ws": 7}, "until": 1});
    let steps = [
        json!({"do": "listen", "s": "L", "port": 80, "backlog": 0}),
        syn("k"),
        syn("m"),
        json!({"do": "ss"}),
        json!({"do": "seg", "c": "m", "fl": "A", "seq": 1, "ack": 9}),
        json!({"do": "seg", "c": "m", "fl": "A", "seq": 1, "ack": 1}),
        json!({"do": "accept", "s": "A", "of": "L"}),
        json!({"do": "send", "s": "A", "n": 1300, "for": 0.001}),
    ];
    let got = script(json!({}), &steps);
    assert_eq!(got[2].0, ["0 SA 0 0"]);
    assert_eq!(got[3].1, json!(["80 0 LISTEN queue=0", "80 40000 SYN_RECV"]), "nothing is remembered of m");
    assert_eq!(got[4].0, ["0 R 9 0"], "not the cookie");
    assert_eq!(got[6].1, json!("from m"));
    assert_eq!(got[7].0, ["0 PA 1 1300"], "the MSS was rounded down to 1300");
}

/// Fact 100.
#[test]
fn a_deferred_accept_waits_for_data() {
    let opening = |data: Value| {
        let steps = [
            json!({"do": "listen", "s": "L", "port": 80, "opt": {"defer_accept": 3}}),
            json!({"do": "seg", "c": "k", "fl": "S", "opt": {"mss": 1400}, "until": 1}),
            json!({"do": "seg", "c": "k", "fl": "A", "seq": 1, "ack": 1, "len": data}),
            json!({"do": "accept", "s": "A", "of": "L"}),
        ];
        script(json!({}), &steps)[3].1.clone()
    };
    assert_eq!((opening(json!(0)), opening(json!(5))), (json!("EAGAIN"), json!("from k")));
}

/// Fact 94.
#[test]
fn a_cork_lets_the_fin_ride_on_the_data_and_a_plain_close_does_not() {
    let plain = run(
        json!({}),
        json!({}),
        &[json!({"do": "send", "s": "A", "n": 10, "for": 0}), json!({"do": "close", "s": "A", "for": 0})],
    );
    assert_eq!((&plain[0].0[..], &plain[1].0[..]), (&["0 PA 1 10".to_owned()][..], &["0 FA 11 0".to_owned()][..]));
    let corked = run(
        json!({}),
        json!({"cork": 1}),
        &[json!({"do": "send", "s": "A", "n": 10, "for": 0}), json!({"do": "close", "s": "A", "for": 0})],
    );
    assert_eq!(corked[1].0, ["0 FPA 1 10"]);
}

/// Fact 100.
#[test]
fn unread_data_survives_a_rst_and_then_the_errors_come_in_order() {
    let steps = [
        json!({"do": "seg", "c": "k", "fl": "PA", "seq": 1, "ack": 1, "len": 10}),
        json!({"do": "seg", "c": "k", "fl": "R", "seq": 11}),
        json!({"do": "recv", "s": "A"}),
        json!({"do": "recv", "s": "A"}),
        json!({"do": "send", "s": "A", "n": 1}),
    ];
    let saw: Vec<_> = run(json!({}), json!({}), &steps).into_iter().map(|(_, saw)| saw).collect();
    assert_eq!(saw[2..], [json!(10), json!("ECONNRESET"), json!("EPIPE")]);
}

/// Fact 76: the linear repetitions come on top of tcp_syn_retries, but nothing lasts longer than its doublings would.
#[test]
fn with_two_retries_a_syn_is_sent_six_times_and_fails_after_seven_seconds() {
    let steps = [
        json!({"do": "connect", "s": "C", "c": "q", "for": 6.9}),
        json!({"do": "error", "s": "C", "for": 0.2}),
        json!({"do": "error", "s": "C"}),
    ];
    let got = script(json!({"net.ipv4.tcp_syn_retries": 2}), &steps);
    let times: Vec<_> = got[0].0.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(times, ["0", "1000", "2000", "3000", "4000", "5000"]);
    assert_eq!((&got[1].1, &got[2].1), (&json!("none"), &json!("ETIMEDOUT")));
}
