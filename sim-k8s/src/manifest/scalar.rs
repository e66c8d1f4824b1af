//! What a plain scalar means.
//!
//! The rules are those of kubectl's parser (go.yaml.in/yaml/v2 `resolve.go`), which reads YAML 1.1: a
//! document must mean here what it means there. Timestamps stay text, as they do on their way to JSON.

use super::tree::Value;

/// The value of an unquoted, untagged scalar.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Fraction(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Fraction(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Fraction(f64::NEG_INFINITY),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Value::Text(text.to_owned());
    }
    let plain = text.replace('_', "");
    whole(&plain).or_else(|| fraction(&plain)).unwrap_or_else(|| Value::Text(text.to_owned()))
}

/// A whole number in base 10, 16 (`0x`), 8 (`0o`, or a leading zero) or 2 (`0b`).
fn whole(plain: &str) -> Option<Value> {
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain),
    };
    let radix = |prefixes: [&str; 2]| prefixes.iter().find_map(|p| digits.strip_prefix(p));
    let (digits, base) = if let Some(rest) = radix(["0x", "0X"]) {
        (rest, 16)
    } else if let Some(rest) = radix(["0o", "0O"]) {
        (rest, 8)
    } else if let Some(rest) = radix(["0b", "0B"]) {
        (rest, 2)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (&digits[1..], 8)
    } else {
        (digits, 10)
    };
    if !digits.starts_with(|c: char| c.is_digit(base)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()?;
    match (negative, i64::try_from(magnitude)) {
        (false, Ok(number)) => Some(Value::Signed(number)),
        (false, Err(_)) => Some(Value::Unsigned(magnitude)),
        (true, _) => 0i64.checked_sub_unsigned(magnitude).map(Value::Signed),
    }
}

/// A decimal fraction, with or without exponent.
fn fraction(plain: &str) -> Option<Value> {
    let decimal = plain.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    decimal.then(|| plain.parse().ok().map(Value::Fraction)).flatten()
}

#[cfg(test)]
mod tests {
    use super::{Value, resolve};

    #[test]
    fn numbers_are_read_in_four_bases() {
        for (text, number) in [("80", 80), ("-1", -1), ("0644", 0o644), ("0o17", 15), ("0x1F", 31), ("0b101", 5)] {
            assert_eq!(resolve(text), Value::Signed(number), "{text}");
        }
        assert_eq!(resolve("1_000"), Value::Signed(1000));
        assert_eq!(resolve("18446744073709551615"), Value::Unsigned(u64::MAX));
        assert_eq!(resolve("-9223372036854775808"), Value::Signed(i64::MIN));
        assert_eq!(resolve("08"), Value::Fraction(8.0), "no octal number, so a decimal one, as in Go");
        assert_eq!(resolve("1e3"), Value::Fraction(1000.0));
        assert_eq!(resolve(".5"), Value::Fraction(0.5));
    }

    #[test]
    fn words_of_yaml_1_1_are_booleans() {
        assert_eq!(resolve("yes"), Value::Bool(true));
        assert_eq!(resolve("Off"), Value::Bool(false));
        assert_eq!(resolve("nO"), Value::Text("nO".into()));
    }

    #[test]
    fn what_only_begins_like_a_number_is_text() {
        for text in [
            "1.2.3.4",
            "10.0.0.0/8",
            "2020-01-01",
            "12:30",
            "-",
            "+",
            ".",
            "0x",
            "1Gi",
            "100m",
            "--flag",
            "0o",
            "-0x-1",
            "e5",
        ] {
            assert_eq!(resolve(text), Value::Text(text.into()));
        }
    }
}
