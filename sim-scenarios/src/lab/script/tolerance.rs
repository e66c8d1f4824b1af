//! What may differ between the kernel and exact timers (the lab's README, "TCP bench").

use serde_json::Value;

/// Keys whose values are times in milliseconds.
const TIMES: [&str; 3] = ["t", "rto", "ato"];

/// `everyhop` with the kernel's value wherever the difference is one that the bench allows: times (an exact timer is
/// earlier by up to an eighth and 25 ms), PSH inside a burst. What then differs is a difference.
pub fn forgive(kernel: &Value, everyhop: &Value) -> Value {
    forgive_times(kernel, everyhop, is_time_of)
}

/// As [`forgive`], but either may be the later one.
pub fn forgive_repeated(one: &Value, other: &Value) -> Value {
    forgive_times(one, other, |a, b| (a - b).abs() * 100 <= 2500 + 13 * a.abs().max(b.abs()))
}

/// Whether two times in milliseconds are one.
type SameTime = fn(i64, i64) -> bool;

fn forgive_times(kernel: &Value, everyhop: &Value, same: SameTime) -> Value {
    match (kernel, everyhop) {
        (Value::Object(theirs), Value::Object(ours)) => {
            let forgiven = ours.iter().map(|(key, value)| {
                let value = match theirs.get(key) {
                    Some(time) if TIMES.contains(&key.as_str()) && both_times(time, value, same) => time.clone(),
                    Some(events) if key == "ev" => forgive_events(events, value, same),
                    Some(other) => forgive_times(other, value, same),
                    None => value.clone(),
                };
                (key.clone(), value)
            });
            Value::Object(forgiven.collect())
        }
        (Value::Array(theirs), Value::Array(ours)) => {
            let rest = ours.iter().skip(theirs.len()).cloned();
            theirs.iter().zip(ours).map(|(a, b)| forgive_times(a, b, same)).chain(rest).collect()
        }
        _ => everyhop.clone(),
    }
}

/// The README: an emulator with exact timers lies between (t - 25 ms) / 1.13 and t. A millisecond is rounding.
fn is_time_of(kernel: i64, everyhop: i64) -> bool {
    everyhop <= kernel + 1 && everyhop * 113 >= (kernel - 25) * 100
}

fn both_times(one: &Value, other: &Value, same: SameTime) -> bool {
    one.as_i64().zip(other.as_i64()).is_some_and(|(one, other)| same(one, other))
}

fn forgive_events(kernel: &Value, everyhop: &Value, same: SameTime) -> Value {
    let mut forgiven = forgive_times(kernel, &in_order_of(kernel, everyhop), same);
    let (Value::Array(theirs), Value::Array(ours)) = (kernel, &mut forgiven) else { return forgiven };
    for (at, (theirs_one, ours_one)) in theirs.iter().zip(ours).enumerate() {
        let burst = theirs[at + 1..].iter().find(|next| next["d"] == "tx");
        let in_burst = burst.is_some_and(|next| !next["len"].is_null() && next["t"] == theirs_one["t"]);
        let without_push = |flags: &str| flags.replace('P', "");
        if let (Some(a), Some(b)) = (theirs_one["fl"].as_str(), ours_one["fl"].as_str())
            && in_burst
            && without_push(a) == without_push(b)
        {
            ours_one["fl"] = a.into();
        }
    }
    forgiven
}

/// `everyhop`'s events with those of different connections in the order that `kernel` has: timers that are due together fire
/// in any. Those of one connection stay as they are.
fn in_order_of(kernel: &Value, everyhop: &Value) -> Value {
    let (Some(kernel), Some(everyhop)) = (kernel.as_array(), everyhop.as_array()) else { return everyhop.clone() };
    let mut rest: Vec<&Value> = everyhop.iter().collect();
    let mut next_of = |event: &Value| {
        let at = rest.iter().position(|ours| ours["c"] == event["c"])?;
        Some(rest.remove(at).clone())
    };
    let found: Option<Vec<Value>> = kernel.iter().map(&mut next_of).collect();
    match found {
        Some(found) if rest.is_empty() => found.into(),
        _ => everyhop.to_vec().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn forgiven(kernel: Value, everyhop: Value) -> bool {
        forgive(&kernel, &everyhop) == kernel
    }

    #[test]
    fn a_timer_may_be_early_by_an_eighth_but_never_late() {
        let at = |t: u64| json!([{ "after": { "rto": t } }]);
        assert!(forgiven(at(1130), at(1000)) && forgiven(at(25), at(0)) && forgiven(at(1000), at(1001)));
        assert!(!forgiven(at(1130), at(970)) && !forgiven(at(1000), at(1002)));
        assert!(!forgiven(json!({ "cwnd": 10 }), json!({ "cwnd": 9 })), "only times");
    }

    #[test]
    fn a_window_is_compared_to_the_byte() {
        let window = |win: u16| json!([{ "ev": [{ "d": "tx", "fl": "A", "win": win }] }]);
        assert!(forgiven(window(507), window(507)) && !forgiven(window(507), window(512)));
    }

    #[test]
    fn connections_may_take_turns_but_none_changes_its_own_order() {
        let events = |all: &[(&str, u64)]| {
            let event = |(c, seq): &(&str, u64)| json!({ "d": "tx", "t": 0, "c": c, "seq": seq });
            json!([{ "ev": all.iter().map(event).collect::<Vec<_>>() }])
        };
        assert!(forgiven(events(&[("k", 1), ("m", 1), ("k", 2)]), events(&[("m", 1), ("k", 1), ("k", 2)])));
        assert!(!forgiven(events(&[("k", 1), ("m", 1), ("k", 2)]), events(&[("k", 2), ("m", 1), ("k", 1)])));
    }

    #[test]
    fn a_push_is_forgiven_inside_a_burst_and_not_at_its_end() {
        let burst = |first: &str, last: &str| json!({ "ev": [{ "d": "tx", "t": 0, "fl": first, "len": 9 }, { "d": "tx", "t": 0, "fl": last, "len": 9 }] });
        assert!(forgiven(burst("PA", "PA"), burst("A", "PA")));
        assert!(!forgiven(burst("A", "PA"), burst("A", "A")) && !forgiven(burst("PA", "PA"), burst("FA", "PA")));
    }
}
