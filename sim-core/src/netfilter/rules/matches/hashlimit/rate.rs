//! How much may come: packets or bytes, as they are spelled and in the kernel's unit, credits.

use std::fmt;

use crate::netfilter::rules::matches::rate as packets;
use crate::netfilter::text::number;

/// Parts of a second in which the interval between two packets is kept (`XT_HASHLIMIT_SCALE_v2`).
const SCALE: u64 = 1_000_000;
/// What a packet costs for each microsecond of its interval (`user2credits`).
const PACKET_CREDITS: u64 = 137_438_953;
/// The credits of packets that a second brings (`HZ * CREDITS_PER_JIFFY`).
const PACKET_CREDITS_SECOND: u64 = 1000 << 37;
/// The same for bytes (`HZ * CREDITS_PER_JIFFY_BYTES`), of which a bucket never holds more.
const BYTE_CREDITS_SECOND: u64 = 0xFA00_0000;
/// Bytes are counted in chunks of 16 (`XT_HASHLIMIT_BYTE_SHIFT`).
const BYTE_SHIFT: u32 = 4;
/// Packets at once unless said otherwise (extensions/libxt_hashlimit.c, `XT_HASHLIMIT_BURST`).
const BURST: u64 = 5;
/// Most packets at once (`XT_HASHLIMIT_BURST_MAX`).
const MAX_BURST: u64 = 1_000_000;
/// Seconds for which a bucket of bytes is kept, without and with a burst (`XT_HASHLIMIT_BYTE_EXPIRE`, `…_BURST`).
const BYTE_EXPIRE: [u64; 2] = [15, 60];
/// Multiples of bytes, largest first.
const UNITS: [(&str, u64); 3] = [("m", 1 << 20), ("k", 1 << 10), ("", 1)];

/// How much may come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rate {
    /// One packet in so many microseconds, at least 1.
    Packets(u64),
    /// Bytes: what 16 of them cost, where a second brings 2^32 (`bytes_to_cost`).
    Bytes(u32),
}

impl Rate {
    /// Reads `5/sec` or `512kb/s`.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let Some((bytes, _)) = text.split_once("b/s") else {
            return packets::read(text, SCALE).map(|(interval, _)| Self::Packets(interval));
        };
        let Some(bytes @ 1..) = bytes_read(bytes) else {
            return Err(format!("invalid rate {text:?}: NUMBERb/s, NUMBERkb/s or NUMBERmb/s is expected"));
        };
        bytes_cost(bytes).ok_or_else(|| format!("rate too high {text:?}"))
    }

    /// The burst in packets, or in seconds' worths of bytes, when `given` is what was asked for.
    pub(super) fn burst(self, given: Option<u64>) -> Result<u64, String> {
        let Self::Packets(interval) = self else {
            let second = self.bytes();
            return match given {
                None => Ok(0),
                Some(burst) if burst < second => Err(format!("burst cannot be smaller than {second}b")),
                Some(burst) => Ok(burst.div_ceil(second.max(1))),
            };
        };
        let burst = given.unwrap_or(BURST);
        if burst > MAX_BURST {
            return Err(format!("--hashlimit-burst: {burst} is more than {MAX_BURST}"));
        }
        // The kernel's product wraps round, too, and is refused only if what is left pays for no packet.
        if self.most(burst) < self.cost(0) {
            return Err(format!("a burst of {burst} is too much at one packet in {interval} µs"));
        }
        Ok(burst)
    }

    /// Milliseconds for which a bucket nobody asks for is kept; of packets it is the unit in which `text` has the rate.
    pub(super) fn expire(self, text: &str, burst: u64) -> u32 {
        let seconds = match self {
            Self::Packets(_) => packets::read(text, SCALE).map_or(1, |(_, seconds)| seconds),
            Self::Bytes(_) => BYTE_EXPIRE[usize::from(burst > 0)],
        };
        seconds as u32 * 1000
    }

    /// Bytes per second, rounded as the unit has it (`cost_to_bytes`).
    fn bytes(self) -> u64 {
        match self {
            Self::Bytes(cost @ 1..) => u64::from(u32::MAX / cost - 1) << BYTE_SHIFT,
            _ => 0,
        }
    }

    /// What a packet of `len` bytes costs (`hashlimit_byte_cost`).
    pub(super) fn cost(self, len: u64) -> u64 {
        match self {
            Self::Packets(interval) => interval.wrapping_mul(PACKET_CREDITS),
            Self::Bytes(cost) => {
                let chunk = (u64::from(cost) * BYTE_CREDITS_SECOND) >> 32;
                (((len >> BYTE_SHIFT) + 1) * chunk).min(BYTE_CREDITS_SECOND)
            }
        }
    }

    /// The most credits a bucket holds (`rateinfo_init`).
    pub(super) fn most(self, burst: u64) -> u64 {
        match self {
            Self::Packets(interval) => interval.wrapping_mul(burst).wrapping_mul(PACKET_CREDITS),
            Self::Bytes(_) => BYTE_CREDITS_SECOND,
        }
    }

    /// How often a bucket of bytes may be filled when it does not suffice.
    pub(super) fn refills(self, burst: u64) -> u64 {
        if matches!(self, Self::Bytes(_)) { burst } else { 0 }
    }

    /// The rate where packets or bytes are counted by the window (`user2rate`, `user2rate_bytes`).
    pub(super) fn per_window(self) -> u64 {
        match self {
            Self::Packets(interval) => SCALE / interval,
            Self::Bytes(_) => self.bytes(),
        }
    }

    /// The most that may come in a window.
    pub(super) fn window_burst(self, burst: u64) -> u64 {
        match self {
            Self::Packets(_) => burst.saturating_add(self.per_window()),
            Self::Bytes(_) => burst.max(1).saturating_mul(self.bytes()),
        }
    }

    /// What a packet of `len` bytes counts in a window.
    pub(super) fn counted(self, len: u64) -> u64 {
        if matches!(self, Self::Bytes(_)) { len } else { 1 }
    }

    /// The rate for a window, and the seconds of the window unless said otherwise (extensions/libxt_hashlimit.c,
    /// `hashlimit_mt_check`); `text` is the rate as written. `None` if it is more than the unit can hold.
    pub(super) fn windowed(self, text: &str) -> Option<(Self, u32)> {
        match self {
            Self::Packets(interval) => {
                let (_, seconds) = packets::read(text, SCALE).ok()?;
                Some((Self::Packets(interval / seconds), seconds as u32)).filter(|_| interval >= seconds)
            }
            Self::Bytes(_) => Some((self, 1)),
        }
    }

    /// The credits that a time brings (`rateinfo_recalc`).
    pub(super) fn brought(self, nanos: u64) -> u64 {
        let second = match self {
            Self::Packets(_) => PACKET_CREDITS_SECOND,
            Self::Bytes(_) => BYTE_CREDITS_SECOND,
        };
        let brought = u128::from(second) * u128::from(nanos) / 1_000_000_000;
        u64::try_from(brought).unwrap_or(u64::MAX)
    }

    /// A burst as it is printed; bytes rounded down to their largest multiple, and nothing if there is none.
    pub(super) fn shown_burst(self, burst: u64) -> Option<String> {
        match self {
            Self::Packets(_) => Some(burst.to_string()),
            Self::Bytes(_) => (burst > 0).then(|| {
                let bytes = self.bytes().saturating_mul(burst);
                let (unit, multiple) = UNITS.iter().find(|(_, m)| bytes >= *m).unwrap_or(&UNITS[2]);
                format!("{}{unit}b", bytes / multiple)
            }),
        }
    }
}

impl fmt::Display for Rate {
    /// As it is printed: bytes in the largest multiple that means the same (`print_rate`, `print_bytes`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Packets(interval) = self else {
            let bytes = self.bytes();
            // As there, the mask has 32 bits.
            let same = |m: u64| bytes >= m && bytes_cost(bytes & u64::from(!(m as u32 - 1))) == Some(*self);
            let (unit, multiple) = UNITS.iter().find(|(_, m)| same(*m)).unwrap_or(&UNITS[2]);
            return write!(f, "{}{unit}b/s", bytes / multiple);
        };
        f.write_str(&packets::shown(*interval, SCALE).0)
    }
}

/// The rate of so many bytes per second; `None` if the kernel's unit cannot hold it (`bytes_to_cost`).
fn bytes_cost(bytes: u64) -> Option<Rate> {
    let chunks = u32::try_from(bytes >> BYTE_SHIFT).ok()?.checked_add(1)?;
    Some(Rate::Bytes(u32::MAX / chunks)).filter(|rate| rate.cost(0) > 0)
}

/// Reads `100`, `5k`, `2m`.
pub(super) fn bytes_read(text: &str) -> Option<u64> {
    let (unit, multiple) = UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
    number(text.strip_suffix(unit)?, u64::MAX)?.checked_mul(*multiple)
}
