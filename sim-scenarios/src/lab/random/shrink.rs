//! The smallest spec that still differs: whatever can be left out is left out.

use serde_json::Value;

/// Leaves out members, items, lines of rules and options of lines for as long as `differs` says yes, at most `tries` times
/// asked. What cannot be a spec any more does not differ.
pub fn smallest(mut spec: Value, tries: u32, differs: &mut dyn FnMut(&Value) -> bool) -> Value {
    let mut candidates = smaller(&spec);
    let (mut at, mut in_vain) = (0, 0);
    for _ in 0..tries {
        if in_vain >= candidates.len() {
            break;
        }
        at %= candidates.len();
        if differs(&candidates[at]) {
            spec = candidates.swap_remove(at);
            candidates = smaller(&spec);
            in_vain = 0;
        } else {
            (at, in_vain) = (at + 1, in_vain + 1);
        }
    }
    spec
}

/// Everything that is `value` without one thing, the large things first.
fn smaller(value: &Value) -> Vec<Value> {
    match value {
        Value::Object(members) => {
            let without = members.keys().map(|key| {
                let mut rest = members.clone();
                rest.shift_remove(key);
                rest.into()
            });
            let inside = members.iter().flat_map(|(key, member)| {
                let with = |member| {
                    let mut all = members.clone();
                    all.insert(key.clone(), member);
                    all.into()
                };
                smaller(member).into_iter().map(with).collect::<Vec<Value>>()
            });
            without.chain(inside).collect()
        }
        Value::Array(items) => {
            let without = (0..items.len()).map(|at| {
                let mut rest = items.clone();
                rest.remove(at);
                rest.into()
            });
            let inside = items.iter().enumerate().flat_map(|(at, item)| {
                let with = |item| {
                    let mut all = items.clone();
                    all[at] = item;
                    all.into()
                };
                smaller(item).into_iter().map(with).collect::<Vec<Value>>()
            });
            without.chain(inside).collect()
        }
        Value::String(text) if text.contains('\n') => smaller_text(text).into_iter().map(Value::from).collect(),
        _ => Vec::new(),
    }
}

/// Everything that is `text` without a line, or with a simpler one.
fn smaller_text(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let with = |at: usize, line: Option<String>| -> String {
        let keep = |(i, old): (usize, &&str)| if i == at { line.clone() } else { Some((*old).to_owned()) };
        lines.iter().enumerate().filter_map(keep).map(|line| line + "\n").collect()
    };
    let without = (0..lines.len()).map(|at| with(at, None));
    let inside = (0..lines.len()).flat_map(|at| smaller_line(lines[at]).into_iter().map(move |line| (at, line)));
    without.chain(inside.map(|(at, line)| with(at, Some(line)))).collect()
}

/// A rule without a match or an option; a chain that accepts.
fn smaller_line(line: &str) -> Vec<String> {
    if line.starts_with(':') {
        return line.contains(" DROP ").then(|| line.replace(" DROP ", " ACCEPT ")).into_iter().collect();
    }
    let options = options(line);
    let name = |option: &str| option.trim_start_matches("! ").split(' ').next().unwrap_or_default().to_owned();
    let mut out = Vec::new();
    for (at, option) in options.iter().enumerate() {
        let ends_match = |option: &&str| matches!(name(option).as_str(), "-m" | "-j" | "-g");
        let more = match name(option).as_str() {
            "-A" | "-j" | "-g" => continue,
            "-m" => options[at + 1..].iter().position(ends_match).unwrap_or_default(),
            _ => 0,
        };
        out.push([&options[..at], &options[at + 1 + more..]].concat().join(" "));
    }
    out
}

/// The options of a line with their values: `-A FORWARD`, `! -i eth0`, `-m tcp`, `--dport 80`, …
fn options(line: &str) -> Vec<&str> {
    let begins: Vec<usize> = line
        .match_indices(" -")
        .map(|(at, _)| at)
        .filter(|at| !line[..*at].ends_with(" !"))
        .chain(line.match_indices(" ! ").map(|(at, _)| at))
        .collect();
    let mut cuts: Vec<usize> = begins;
    cuts.sort_unstable();
    let ends = cuts.iter().copied().chain([line.len()]);
    let starts = std::iter::once(0).chain(cuts.iter().map(|at| at + 1));
    starts.zip(ends).map(|(from, to)| &line[from..to]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_does_not_matter_goes() {
        let rules = "*filter\n:INPUT DROP [0:0]\n-A INPUT ! -s 10.0.0.0/8 -p udp -m comment --comment x -m mark --mark 0x1 -j DROP\nCOMMIT\n";
        let spec = json!({ "topo": { "nodes": 2, "world": true }, "rules": { "n1": rules }, "steps": [{ "op": "a" }, { "op": "b", "ttl": 3 }] });
        let mut asked = 0;
        let small = smallest(spec, 1000, &mut |spec| {
            asked += 1;
            let steps = spec["steps"].as_array().map_or(&[][..], Vec::as_slice);
            spec["topo"]["nodes"] == 2 && steps.iter().any(|step| step["op"] == "b")
        });
        assert_eq!(small, json!({ "topo": { "nodes": 2 }, "steps": [{ "op": "b" }] }));
        assert!(asked < 40, "{asked}");
    }

    #[test]
    fn a_rule_loses_a_match_with_its_options_or_one_option() {
        let line = "-A INPUT ! -s 10.0.0.0/8 -p udp -m udp ! --dport 80 -m mark --mark 0x1 -j DROP";
        let small = smaller_line(line);
        assert!(small.contains(&"-A INPUT -p udp -m udp ! --dport 80 -m mark --mark 0x1 -j DROP".to_owned()));
        assert!(small.contains(&"-A INPUT ! -s 10.0.0.0/8 -p udp -m mark --mark 0x1 -j DROP".to_owned()));
        assert!(small.contains(&"-A INPUT ! -s 10.0.0.0/8 -p udp -m udp -m mark --mark 0x1 -j DROP".to_owned()));
        assert_eq!(smaller_line(":INPUT DROP [0:0]"), [":INPUT ACCEPT [0:0]"]);
    }

    #[test]
    fn it_ends_after_so_many_tries() {
        let mut asked = 0;
        let spec: Value = (0..100).collect::<Vec<_>>().into();
        smallest(spec.clone(), 7, &mut |_| {
            asked += 1;
            false
        });
        assert_eq!(asked, 7);
        assert_eq!(smallest(spec, 1000, &mut |_| true), json!([]));
    }
}
