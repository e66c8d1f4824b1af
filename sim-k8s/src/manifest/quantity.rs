//! Amounts of resources, as people write them: `100m`, `1.5`, `2Gi`, `1e3`.

/// `text` as a whole number of units, or of thousandths of one, rounded up (`ParseQuantity`, apimachinery
/// pkg/api/resource/quantity.go). What is larger than 2^63-1 is cut to it. `None`: no quantity, or a negative one.
pub(super) fn parse(text: &str, thousandths: bool) -> Option<u64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (factor, exponent) = scale(suffix)?;
    let exponent = exponent + if thousandths { 3 } else { 0 } - fraction.len() as i64;
    Some(times_power_of_ten(digits.trim_start_matches('0'), factor, exponent))
}

/// What a suffix stands for: a factor, and a power of ten.
fn scale(suffix: &str) -> Option<(u128, i64)> {
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|s| *s == suffix);
    if let Some(power) = binary {
        return Some((1 << (10 * (power + 1)), 0));
    }
    let decimal = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"].iter().position(|s| *s == suffix);
    if let Some(power) = decimal {
        return Some((1, 3 * (power as i64 - 3)));
    }
    let exponent: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    // Beyond this everything is too large, or rounds up to one.
    Some((1, exponent.clamp(-100, 100)))
}

/// `digits * factor * 10^exponent`, rounded up, at most 2^63-1.
fn times_power_of_ten(digits: &str, factor: u128, exponent: i64) -> u64 {
    const MOST: u128 = i64::MAX as u128;
    if digits.is_empty() {
        return 0;
    }
    // More digits than these make no difference but for rounding up.
    let kept = &digits[..digits.len().min(19)];
    let cut = (digits.len() - kept.len()) as i64;
    let kept = kept.parse::<u128>().expect("19 digits") + u128::from(digits[kept.len()..].bytes().any(|b| b != b'0'));
    let product = kept * factor;
    let value = match exponent + cut {
        exponent @ 0.. => {
            u32::try_from(exponent).ok().and_then(|e| 10u128.checked_pow(e)).and_then(|p| product.checked_mul(p))
        }
        exponent => {
            let power = u32::try_from(-exponent).ok().and_then(|e| 10u128.checked_pow(e));
            Some(power.map_or(1, |power| product.div_ceil(power)))
        }
    };
    value.unwrap_or(MOST).min(MOST) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::parse;

    #[test]
    fn quantities_are_read_as_the_apiserver_does() {
        let units = [
            ("0", 0),
            ("1", 1),
            ("+2", 2),
            ("1.5", 2),
            ("100m", 1),
            ("1Ki", 1024),
            ("1.5Gi", 3 << 29),
            ("128M", 128_000_000),
        ];
        units.iter().for_each(|(text, value)| assert_eq!(parse(text, false), Some(*value), "{text}"));
        let more =
            [("1e3", 1000), ("1E3", 1000), ("1E", 1_000_000_000_000_000_000), ("2e-3", 1), (".5Ki", 512), ("5.", 5)];
        more.iter().for_each(|(text, value)| assert_eq!(parse(text, false), Some(*value), "{text}"));
        let milli = [("100m", 100), ("0.1", 100), ("2", 2000), ("1u", 1), ("0.5m", 1), ("1k", 1_000_000)];
        milli.iter().for_each(|(text, value)| assert_eq!(parse(text, true), Some(*value), "{text}"));
    }

    #[test]
    fn what_is_too_large_is_cut_and_what_is_none_refused() {
        for text in
            ["10E", "1e100", "9223372036854775808", "100E", "99999999999999999999999999999999999999999999", "8Ei"]
        {
            assert_eq!(parse(text, false), Some(i64::MAX as u64), "{text}");
        }
        for text in ["", "-1", "1 Gi", "1gi", "Gi", ".", "1.2.3", "0x10", "1e", "ü", "1kk"] {
            assert_eq!(parse(text, false), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "[-+0-9.eEKMGi]{0,60}|.*") {
            parse(&text, true);
        }
    }
}
