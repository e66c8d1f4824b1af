//! Rates as `limit` and `hashlimit` spell them: so many packets per unit of time.

use crate::netfilter::text::number;

/// Units of time: as written (any beginning of it), as printed, in seconds; longest first.
const UNITS: [(&str, &str, u64); 4] =
    [("day", "day", 24 * 60 * 60), ("hour", "hour", 60 * 60), ("minute", "min", 60), ("second", "sec", 1)];

/// Reads `5/sec`, `3/hour`, `7`: the interval between two packets in parts of a second, of which there are `scale`,
/// and the unit in seconds.
pub(super) fn read(text: &str, scale: u64) -> Result<(u64, u64), String> {
    let (rate, unit) = text.split_once('/').unwrap_or((text, "second"));
    let known = |(name, _, _): &&(&str, &str, u64)| !unit.is_empty() && name.starts_with(&unit.to_ascii_lowercase());
    let (Some(rate @ 1..), Some((_, _, seconds))) = (number(rate, u64::from(u32::MAX)), UNITS.iter().find(known))
    else {
        return Err(format!("invalid rate {text:?}: NUMBER/second, /minute, /hour or /day is expected"));
    };
    match seconds * scale / rate {
        0 => Err(format!("rate too fast {text:?}: at most {scale} per second")),
        interval => Ok((interval, *seconds)),
    }
}

/// The rate as it is printed, in the longest unit in which it is a number without much rest, and that unit in seconds
/// (extensions/libxt_limit.c and libxt_hashlimit.c, `print_rate`).
pub(super) fn shown(interval: u64, scale: u64) -> (String, u64) {
    let bad = |length: u64| interval > length || length / interval < length % interval;
    let fitting = UNITS[1..].iter().take_while(|(_, _, seconds)| !bad(seconds * scale)).count();
    let (_, name, seconds) = UNITS[fitting];
    (format!("{}/{name}", seconds * scale / interval), seconds)
}
