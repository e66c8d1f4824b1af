//! Replays the recorded scripts of the kernel lab ("TCP bench (C)" of `../shared/kernel-lab/README.md`) against the
//! endpoint and compares what it sends and says.
//!
//! Freedom that the lab's README gives: times (an exact timer is earlier than the kernel's by up to an eighth), PSH inside
//! a burst, and window fields after the handshake except for zero.

mod facts;
mod script;

use serde_json::Value;

use script::Bench;

/// The scripts whose result is the kernel's. It only grows.
const AGREEING: &[&str] = &[
    "tcp_backlog_overflow",
    "tcp_challenge_ack",
    "tcp_data_rto_ladder",
    "tcp_delayed_ack",
    "tcp_fast_retransmit_dupack",
    "tcp_fast_retransmit_sack",
    "tcp_half_close_active",
    "tcp_half_close_passive",
    "tcp_icmp_syn_sent",
    "tcp_initial_window",
    "tcp_keepalive",
    "tcp_linger0",
    "tcp_mss_option",
    "tcp_pmtu",
    "tcp_port_reuse_client",
    "tcp_rst_closed_port",
    "tcp_rst_data_after_close",
    "tcp_rto_rtt",
    "tcp_sack_receiver",
    "tcp_simultaneous_close",
    "tcp_syn_ladder_linear0",
    "tcp_syn_ladder_linear4",
    "tcp_synack_ladder",
    "tcp_tail_loss_probe",
    "tcp_time_wait_server",
    "tcp_timestamps",
    "tcp_window_scale",
    "tcp_zero_window_probe",
];

fn lab() -> Option<std::path::PathBuf> {
    let dir = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/kernel-lab/golden2"));
    dir.is_dir().then(|| dir.to_owned())
}

/// Runs one golden; the first difference.
fn replay(golden: &Value) -> Result<(), String> {
    let mut bench = Bench::new(&golden["spec"]);
    let steps = golden["spec"]["script"].as_array().ok_or("no script")?;
    for (n, step) in steps.iter().enumerate() {
        let got = bench.step(step);
        let wanted = &golden["result"][n];
        compare_step(wanted, &got).map_err(|difference| format!("step {n} {step}: {difference}"))?;
    }
    Ok(())
}

fn compare_step(wanted: &Value, got: &Value) -> Result<(), String> {
    for key in ["saw", "after"] {
        same(&wanted[key], &got[key]).map_err(|e| format!("{key}: {e}"))?;
    }
    let sent = |v: &Value| -> Vec<Value> {
        v["ev"].as_array().into_iter().flatten().filter(|e| e["d"] == "tx").cloned().collect()
    };
    let (wanted, got) = (sent(wanted), sent(got));
    for (n, pair) in wanted.iter().zip(&got).enumerate() {
        let burst = wanted.get(n + 1).is_some_and(|next| !next["len"].is_null() && next["t"] == pair.0["t"]);
        same_segment(pair.0, pair.1, burst).map_err(|e| format!("segment {n}: {e}: {} | {}", pair.0, pair.1))?;
    }
    match wanted.len().cmp(&got.len()) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(format!("sent too much: {}", got[wanted.len()])),
        std::cmp::Ordering::Greater => Err(format!("not sent: {}", wanted[got.len()])),
    }
}

fn same_segment(wanted: &Value, got: &Value, burst: bool) -> Result<(), String> {
    for key in ["c", "seq", "ack", "len", "opt", "df", "id", "ttl", "tos"] {
        if wanted[key] != got[key] {
            return Err(key.into());
        }
    }
    let flags = |v: &Value| v["fl"].as_str().unwrap_or_default().replace(if burst { "P" } else { "-" }, "");
    if flags(wanted) != flags(got) {
        return Err("fl".into());
    }
    let window = |v: &Value| v["win"].as_u64();
    let exact = flags(wanted).contains(['S', 'R']);
    if (exact && window(wanted) != window(got)) || (window(wanted) == Some(0)) != (window(got) == Some(0)) {
        return Err("win".into());
    }
    same_time(&wanted["t"], &got["t"])
}

fn same_time(wanted: &Value, got: &Value) -> Result<(), String> {
    let (Some(w), Some(g)) = (wanted.as_i64(), got.as_i64()) else { return Err("no time".into()) };
    // (w - 25 ms) / 1.13 <= g <= w, and a millisecond for the rounding of the recording.
    if g <= w + 1 && g * 113 >= (w - 25) * 100 { Ok(()) } else { Err(format!("t {w} | {g}")) }
}

/// Equality of what the application saw; times as tolerant as those of segments.
fn same(wanted: &Value, got: &Value) -> Result<(), String> {
    match (wanted, got) {
        (Value::Object(w), Value::Object(g)) => {
            for (key, value) in w {
                let other = g.get(key).unwrap_or(&Value::Null);
                if matches!(key.as_str(), "rto" | "ato") { same_time(value, other) } else { same(value, other) }
                    .map_err(|e| format!("{key}: {e}"))?;
            }
            g.keys().find(|key| !w.contains_key(*key)).map_or(Ok(()), |key| Err(format!("{key} too much")))
        }
        _ if wanted == got => Ok(()),
        _ => Err(format!("{wanted} | {got}")),
    }
}

#[test]
fn the_kernel_s_recorded_scripts_agree() {
    let Some(dir) = lab() else { return eprintln!("skipped: no ../shared/kernel-lab") };
    let mut names: Vec<_> = std::fs::read_dir(dir.clone())
        .expect("the lab can be read")
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .filter(|name| name.starts_with("tcp_"))
        .collect();
    names.sort();
    let (mut agreeing, mut differing) = (Vec::new(), Vec::new());
    for name in names {
        let bytes = std::fs::read(dir.join(format!("{name}.json"))).expect("a golden can be read");
        let golden: Value = serde_json::from_slice(&bytes).expect("a golden is JSON");
        match replay(&golden) {
            Ok(()) => agreeing.push(name),
            Err(difference) => {
                differing.push(format!("{name}: {difference}"));
            }
        }
    }
    assert_eq!(
        agreeing,
        AGREEING,
        "the list may only grow; the first difference of the others:\n{}",
        differing.join("\n")
    );
}
