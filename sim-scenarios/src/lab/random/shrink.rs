//! The smallest spec that still differs: whatever can be left out is left out.

use std::ops::Range;

use serde_json::Value;

/// Leaves out members, items, lines of rules and options of lines for as long as `differs` says yes.
/// What cannot be a spec any more does not differ.
pub fn smallest(mut spec: Value, differs: &mut dyn FnMut(&Value) -> bool) -> Value {
    let mut candidates = smaller(&spec);
    let (mut at, mut in_vain) = (0, 0);
    while in_vain < candidates.len() {
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

/// Parts of `0..len` to leave out: halves first, then quarters, at last each place alone.
fn parts(len: usize) -> impl Iterator<Item = Range<usize>> {
    let sizes = std::iter::successors(Some(len.div_ceil(2)), |size| (*size > 1).then(|| size.div_ceil(2)));
    sizes.flat_map(move |size| (0..len).step_by(size.max(1)).map(move |from| from..(from + size).min(len)))
}

/// Everything that is `value` without one thing or a part of its things, the large things first.
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
            let without = parts(items.len()).map(|part| {
                let mut rest = items.clone();
                rest.drain(part);
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

/// Everything that is `text` without some lines, or with a simpler one.
fn smaller_text(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let with = |part: Range<usize>, line: Option<String>| -> String {
        let [before, after] = [&lines[..part.start], &lines[part.end..]];
        [before, line.as_deref().as_slice(), after].concat().iter().flat_map(|line| [*line, "\n"]).collect()
    };
    let without = parts(lines.len()).map(|part| with(part, None));
    let inside = (0..lines.len()).flat_map(|at| smaller_line(lines[at]).into_iter().map(move |line| (at, line)));
    without.chain(inside.map(|(at, line)| with(at..at + 1, Some(line)))).collect()
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
        let small = smallest(spec, &mut |spec| {
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
    fn large_parts_go_first_and_what_is_needed_is_found_among_many() {
        assert_eq!(parts(3).collect::<Vec<_>>(), [0..2, 2..3, 0..1, 1..2, 2..3]);
        assert_eq!(parts(0).count() + parts(1).count(), 1);
        let mut asked = 0;
        let all: Value = (0..100).collect::<Vec<_>>().into();
        let small = smallest(all, &mut |spec| {
            asked += 1;
            spec.as_array().is_some_and(|items| items.contains(&json!(77)))
        });
        assert_eq!(small, json!([77]));
        assert!(asked < 40, "{asked}");
    }
}
