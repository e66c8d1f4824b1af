//! `-m hashlimit` (net/netfilter/xt_hashlimit.c): a token bucket for each address, port or pair of them.
//!
//! Rates are packets per time; those in bytes and `--hashlimit-rate-match` are not there.

mod table;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

pub(crate) use self::table::HashTables;
use super::{Answer, Kind, Question, rate};
use crate::netfilter::text::{Given, TextError, number};

/// Parts of a second in which an interval is kept (`XT_HASHLIMIT_SCALE_v2`).
const SCALE: u64 = 1_000_000;
/// Packets at once unless said otherwise (extensions/libxt_hashlimit.c, `XT_HASHLIMIT_BURST`).
const BURST: u32 = 5;
/// Most packets at once (`XT_HASHLIMIT_BURST_MAX`).
const MAX_BURST: u64 = 1_048_576;
/// Milliseconds between two collections of old buckets, unless said otherwise (`XT_HASHLIMIT_GCINTERVAL`).
const GC_INTERVAL: u32 = 1000;
/// Longest name of a table (`struct xt_hashlimit_mtinfo3`, NAME_MAX with the final zero).
const MAX_NAME: usize = 254;

/// What packets of one bucket have in common (`--hashlimit-mode`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mode {
    /// The source address.
    pub srcip: bool,
    /// The source port.
    pub srcport: bool,
    /// The destination address.
    pub dstip: bool,
    /// The destination port.
    pub dstport: bool,
}

impl Mode {
    fn read(text: &str) -> Result<Self, String> {
        let mut mode = Self::default();
        for word in text.split(',') {
            *match word {
                "srcip" => &mut mode.srcip,
                "srcport" => &mut mode.srcport,
                "dstip" => &mut mode.dstip,
                "dstport" => &mut mode.dstport,
                _ => return Err(format!("bad mode {word:?}: srcip, srcport, dstip or dstport is expected")),
            } = true;
        }
        Ok(mode)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [(self.srcip, "srcip"), (self.srcport, "srcport"), (self.dstip, "dstip"), (self.dstport, "dstport")];
        let words: Vec<_> = all.into_iter().filter(|(set, _)| *set).map(|(_, word)| word).collect();
        f.write_str(&words.join(","))
    }
}

/// How a table counts. The first rule that asks a table decides for all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Time per packet in microseconds; at least 1 in a finished rule.
    pub interval: u64,
    /// `--hashlimit-burst`: how many may come at once; at least 1.
    pub burst: u32,
    /// `--hashlimit-mode`.
    pub mode: Mode,
    /// `--hashlimit-srcmask`: how many bits of a source address count.
    pub srcmask: u8,
    /// `--hashlimit-dstmask`: how many bits of a destination address count.
    pub dstmask: u8,
    /// `--hashlimit-htable-size`: hash buckets; 0 leaves it to the kernel.
    pub size: u32,
    /// `--hashlimit-htable-max`: most buckets of tokens; 0 is eight for each hash bucket.
    pub max: u32,
    /// `--hashlimit-htable-gcinterval`, in ms.
    pub gc_interval: u32,
    /// `--hashlimit-htable-expire`: a bucket nobody has asked for so long is forgotten; in ms, the unit of
    /// the rate unless given.
    pub expire: u32,
}

/// So many per time of each kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hashlimit {
    /// `--hashlimit-name`: the table, one for all rules of the netns; never empty in a finished rule.
    pub name: Arc<str>,
    /// `--hashlimit-above`: fits what is too much, and not what is not.
    pub above: bool,
    /// How the table counts.
    pub limits: Limits,
}

impl Default for Hashlimit {
    fn default() -> Self {
        let limits = Limits {
            interval: 0,
            burst: BURST,
            mode: Mode::default(),
            srcmask: 32,
            dstmask: 32,
            size: 0,
            max: 0,
            gc_interval: GC_INTERVAL,
            expire: 0,
        };
        Self { name: "".into(), above: false, limits }
    }
}

fn name(text: &str) -> Result<Arc<str>, String> {
    match text.len() {
        1..=MAX_NAME if text.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b'"') && text != "." => {
            Ok(text.into())
        }
        _ => Err(format!("a table has a name of 1 to {MAX_NAME} visible characters without / and quotes")),
    }
}

fn rate_read(text: &str) -> Result<(u64, u64), String> {
    let digits = text.split('/').next().unwrap_or_default();
    if text.ends_with("b/s") || text.ends_with("b/sec") || digits.ends_with('b') {
        return Err(format!("{text:?}: rates in bytes are not supported"));
    }
    rate::read(text, SCALE)
}

impl Hashlimit {
    fn rate(&mut self, above: bool, given: &mut Given<'_, '_>) -> Result<(), TextError> {
        if self.limits.interval != 0 {
            return Err(given.fail("only one of --hashlimit-upto and --hashlimit-above can be used"));
        }
        // `! --hashlimit-upto` is `--hashlimit-above`.
        self.above = above != given.bang();
        let (interval, seconds) = given.value(rate_read)?;
        self.limits.interval = interval;
        if self.limits.expire == 0 {
            self.limits.expire = seconds as u32 * 1000;
        }
        Ok(())
    }
}

fn from_one(given: &mut Given<'_, '_>, max: u64) -> Result<u32, TextError> {
    let name = given.name();
    given.value(|text| match number(text, max) {
        Some(n @ 1..) => Ok(n as u32),
        _ => Err(format!("{name} needs a number from 1 to {max}")),
    })
}

impl Kind for Hashlimit {
    const NAME: &'static str = "hashlimit";

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        let any = u64::from(u32::MAX);
        match given.name() {
            "--hashlimit-upto" | "--hashlimit" => self.rate(false, given)?,
            "--hashlimit-above" => self.rate(true, given)?,
            "--hashlimit-burst" => self.limits.burst = from_one(given, MAX_BURST)?,
            "--hashlimit-mode" => self.limits.mode = given.value(Mode::read)?,
            "--hashlimit-name" => self.name = given.value(name)?,
            "--hashlimit-srcmask" => self.limits.srcmask = given.number(32)? as u8,
            "--hashlimit-dstmask" => self.limits.dstmask = given.number(32)? as u8,
            "--hashlimit-htable-size" => self.limits.size = given.number(any)? as u32,
            "--hashlimit-htable-max" => self.limits.max = given.number(any)? as u32,
            "--hashlimit-htable-gcinterval" => self.limits.gc_interval = from_one(given, any)?,
            "--hashlimit-htable-expire" => self.limits.expire = from_one(given, any)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        match (self.limits.interval, self.name.is_empty()) {
            (0, _) => Err("one of --hashlimit-upto and --hashlimit-above is missing".into()),
            (_, true) => Err("--hashlimit-name is missing".into()),
            _ => Ok(()),
        }
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let packet = &question.packet;
        let table = question.hashlimits.table(&self.name, &self.limits);
        match table.key(packet).and_then(|key| table.take(key, packet.now)) {
            Some(enough) => (enough != self.above).into(),
            None => Answer::Hotdrop,
        }
    }
}

impl fmt::Display for Hashlimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let l = &self.limits;
        let (rate, seconds) = rate::shown(l.interval, SCALE);
        write!(f, " --hashlimit-{} {rate} --hashlimit-burst {}", if self.above { "above" } else { "upto" }, l.burst)?;
        if l.mode != Mode::default() {
            write!(f, " --hashlimit-mode {}", l.mode)?;
        }
        write!(f, " --hashlimit-name {}", self.name)?;
        for (option, value, default) in [
            ("htable-size", l.size, 0),
            ("htable-max", l.max, 0),
            ("htable-gcinterval", l.gc_interval, GC_INTERVAL),
            ("htable-expire", l.expire, seconds as u32 * 1000),
            ("srcmask", u32::from(l.srcmask), 32),
            ("dstmask", u32::from(l.dstmask), 32),
        ] {
            if value != default {
                write!(f, " --hashlimit-{option} {value}")?;
            }
        }
        Ok(())
    }
}

/// The first `bits` bits of an address.
fn masked(addr: IpAddr, bits: u8) -> IpAddr {
    ipnet::IpNet::new(addr, bits).map_or(addr, |net| net.network())
}
