//! Simulated time: nanoseconds since the world began. Nothing here reads a clock.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;

/// A span of simulated time in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Duration(u64);

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// `n` nanoseconds.
    pub const fn from_nanos(n: u64) -> Self {
        Self(n)
    }

    /// `n` microseconds; as all of these, the longest there is (584 years) where that is too much.
    pub const fn from_micros(n: u64) -> Self {
        Self(n.saturating_mul(1_000))
    }

    /// `n` milliseconds.
    pub const fn from_millis(n: u64) -> Self {
        Self(n.saturating_mul(1_000_000))
    }

    /// `n` seconds.
    pub const fn from_secs(n: u64) -> Self {
        Self(n.saturating_mul(1_000_000_000))
    }

    /// Whole nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole microseconds, rounded down.
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Whole seconds, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// `self * n`, stopping at the largest duration.
    pub const fn saturating_mul(self, n: u64) -> Self {
        Self(self.0.saturating_mul(n))
    }
}

impl Add for Duration {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Duration {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Duration {
    /// Prints in the largest unit that loses nothing worth reading: `1.5s`, `20ms`, `30us`, `7ns`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            0 => return f.write_str("0s"),
            n if n >= 1_000_000_000 => (1_000_000_000, "s"),
            n if n >= 1_000_000 => (1_000_000, "ms"),
            n if n >= 1_000 => (1_000, "us"),
            _ => (1, "ns"),
        };
        let (whole, rest) = (self.0 / unit, self.0 % unit);
        if rest == 0 {
            return write!(f, "{whole}{name}");
        }
        let thousandths = rest * 1_000 / unit;
        write!(f, "{whole}.{thousandths:03}{name}")
    }
}

/// A text that is no [`Duration`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a whole number with a unit is expected: 30s, 500ms, 2m, 1h")]
pub struct NotADuration;

impl FromStr for Duration {
    type Err = NotADuration;

    /// A whole number with a unit, `us`, `ms`, `s`, `m` or `h`: `30s`.
    fn from_str(text: &str) -> Result<Self, NotADuration> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or(NotADuration)?;
        let (number, unit) = text.split_at(digits);
        let unit = match unit {
            "us" => Self::from_micros(1),
            "ms" => Self::from_millis(1),
            "s" => Self::from_secs(1),
            "m" => Self::from_secs(60),
            "h" => Self::from_secs(3600),
            _ => return Err(NotADuration),
        };
        number.parse().map(|n| unit.saturating_mul(n)).map_err(|_| NotADuration)
    }
}

/// A moment of simulated time: nanoseconds since the world began.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Instant(u64);

impl Instant {
    /// The moment the world begins.
    pub const START: Self = Self(0);
    /// Later than everything: the time of a timer that is not set.
    pub const NEVER: Self = Self(u64::MAX);

    /// `n` nanoseconds after the start.
    pub const fn from_nanos(n: u64) -> Self {
        Self(n)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(d.0))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Instant {
    /// Seconds with nine decimals, as Wireshark shows a relative time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_prints_in_a_unit_a_reader_would_choose() {
        let shown = |d: Duration| d.to_string();
        assert_eq!(shown(Duration::from_millis(1500)), "1.500s");
        assert_eq!(shown(Duration::from_micros(20_000)), "20ms");
        assert_eq!(shown(Duration::from_nanos(7)), "7ns");
        assert_eq!(shown(Duration::ZERO), "0s");
    }

    #[test]
    fn a_duration_is_read_as_people_write_it() {
        assert_eq!("500ms".parse(), Ok(Duration::from_millis(500)));
        assert_eq!("2m".parse(), Ok(Duration::from_secs(120)));
        for bad in ["", "5", "s", "-5s", "5 s", "5d", "99999999999999999999s"] {
            assert_eq!(bad.parse::<Duration>(), Err(NotADuration), "{bad}");
        }
    }

    #[test]
    fn time_stops_at_never_instead_of_wrapping() {
        assert_eq!(Instant::NEVER + Duration::from_secs(1), Instant::NEVER);
        assert_eq!(Instant::START.since(Instant::NEVER), Duration::ZERO);
    }
}
