//! JSON texts of the lab: as Python writes them, and with one hop a line.

use serde_json::Value;

/// `json.dumps(value)`: items are separated by `, `, keys from values by `: `; characters beyond ASCII
/// stand as they are.
pub fn dumps(value: &Value) -> String {
    let mut out = String::new();
    write(value, false, &mut out);
    out
}

/// As [`dumps`], the keys of every object in order (`sort_keys=True`); the lab sorts by this text.
pub fn dumps_sorted(value: &Value) -> String {
    let mut out = String::new();
    write(value, true, &mut out);
    out
}

fn write(value: &Value, sorted: bool, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            if sorted {
                members.sort_by_key(|(key, _)| *key);
            }
            out.push('{');
            for (i, (key, value)) in members.into_iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                out.push_str(&quoted(key));
                out.push_str(": ");
                write(value, sorted, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                write(item, sorted, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A whole result as the lab writes it to a file: one hop, conntrack entry or step a line.
pub fn compact(value: &Value) -> String {
    let mut out = String::new();
    write_compact(value, 0, None, &mut out);
    out.push('\n');
    out
}

/// Longest text of a list or object that still stands on one line.
const SHORT: usize = 60;

fn write_compact(value: &Value, indent: usize, key: Option<&str>, out: &mut String) {
    let flat = dumps(value);
    let empty = match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    };
    let item = matches!(key, Some("hops[]" | "ct[]" | "steps[]" | "servers[]" | "topo"));
    let short = !matches!(key, Some("spec" | "result") | None) && flat.chars().count() <= SHORT;
    if empty || item || short {
        out.push_str(&flat);
        return;
    }
    let pad = " ".repeat(indent + 1);
    let (open, close) = if value.is_object() { ('{', '}') } else { ('[', ']') };
    out.push(open);
    match value {
        Value::Object(map) => {
            for (i, (key, value)) in map.iter().enumerate() {
                out.push_str(if i > 0 { ",\n" } else { "\n" });
                out.push_str(&format!("{pad}{}: ", quoted(key)));
                write_compact(value, indent + 1, Some(key), out);
            }
        }
        Value::Array(items) => {
            let item = match key {
                Some("hops") => Some("hops[]"),
                Some("steps") => Some("steps[]"),
                Some("servers") => Some("servers[]"),
                Some("n1" | "n2" | "n3" | "gw" | "world") => Some("ct[]"),
                other => other,
            };
            for (i, value) in items.iter().enumerate() {
                out.push_str(if i > 0 { ",\n" } else { "\n" });
                out.push_str(&pad);
                write_compact(value, indent + 1, item, out);
            }
        }
        _ => {}
    }
    out.push('\n');
    out.push_str(&" ".repeat(indent));
    out.push(close);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_is_what_python_writes() {
        let value = json!({"p": "udp", "orig": {"s": "10.0.0.1", "d": "10.0.0.2"}, "st": [], "t": 0.5, "u": null});
        assert_eq!(
            dumps(&value),
            r#"{"p": "udp", "orig": {"s": "10.0.0.1", "d": "10.0.0.2"}, "st": [], "t": 0.5, "u": null}"#
        );
        assert_eq!(
            dumps_sorted(&value),
            r#"{"orig": {"d": "10.0.0.2", "s": "10.0.0.1"}, "p": "udp", "st": [], "t": 0.5, "u": null}"#
        );
    }

    #[test]
    fn a_golden_is_written_as_the_lab_wrote_it() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/kernel-lab/golden");
        let Ok(bytes) = std::fs::read(format!("{dir}/arp_first_packet.json")) else {
            eprintln!("skipped: {dir} is not here");
            return;
        };
        let text = String::from_utf8(bytes).unwrap();
        assert!(compact(&serde_json::from_str(&text).unwrap()) == text, "{dir}/arp_first_packet.json reads otherwise");
    }
}
