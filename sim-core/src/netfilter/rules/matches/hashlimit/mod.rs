//! `-m hashlimit` (net/netfilter/xt_hashlimit.c): a bucket of credits for each address, port or pair of them.

mod bucket;
mod rate;
mod table;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

pub use self::rate::Rate;
pub(crate) use self::table::HashTables;
use super::{Answer, Kind, Question};
use crate::netfilter::text::{Given, TextError, number};

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
        for word in text.split([',', '|']) {
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
    /// `--hashlimit-upto`, `--hashlimit-above`: how much may come.
    pub rate: Rate,
    /// `--hashlimit-burst`: packets at once, at least 1, default 5; or how often a second's worth of bytes may come at
    /// once besides the first, default 0.
    pub burst: u64,
    /// `--hashlimit-rate-match`: count by windows of so many seconds (`--hashlimit-rate-interval`, default the unit of a
    /// rate of packets, 1 s for bytes) instead of by credits.
    pub window: Option<u32>,
    /// `--hashlimit-mode`.
    pub mode: Mode,
    /// `--hashlimit-srcmask`: how many bits of a source address count; `None` is all.
    pub srcmask: Option<u8>,
    /// `--hashlimit-dstmask`: how many bits of a destination address count; `None` is all.
    pub dstmask: Option<u8>,
    /// `--hashlimit-htable-size`: hash buckets; 0 leaves it to the kernel.
    pub size: u32,
    /// `--hashlimit-htable-max`: most buckets of credits; 0 is eight for each hash bucket.
    pub max: u32,
    /// `--hashlimit-htable-gcinterval`, in ms.
    pub gc_interval: u32,
    /// `--hashlimit-htable-expire`: a bucket nobody has asked for so long is forgotten; in ms. Default: the unit of a
    /// rate of packets, 15 s for bytes, 60 s for bytes with a burst.
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
    /// What was written, until the rule is finished.
    written: Written,
}

/// Options whose meaning depends on others that may come later.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Written {
    rate: Option<String>,
    burst: Option<u64>,
    expire: Option<u32>,
    rate_match: bool,
    window: Option<u32>,
}

impl Default for Hashlimit {
    fn default() -> Self {
        let limits = Limits {
            rate: Rate::Packets(1),
            burst: 0,
            window: None,
            mode: Mode::default(),
            srcmask: None,
            dstmask: None,
            size: 0,
            max: 0,
            gc_interval: GC_INTERVAL,
            expire: 0,
        };
        Self { name: "".into(), above: false, limits, written: Written::default() }
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

impl Hashlimit {
    fn rate(&mut self, above: bool, given: &mut Given<'_, '_>) -> Result<(), TextError> {
        if self.written.rate.is_some() {
            return Err(given.fail("only one of --hashlimit-upto and --hashlimit-above can be used"));
        }
        // `! --hashlimit-upto` is `--hashlimit-above`.
        self.above = above != given.bang();
        let read = |text: &str| Rate::read(text).map(|rate| (rate, text.to_owned()));
        let (rate, text) = given.value(read)?;
        self.limits.rate = rate;
        self.written.rate = Some(text);
        Ok(())
    }
}

/// `--hashlimit-burst`: packets, or bytes with their unit.
fn burst(text: &str) -> Result<u64, String> {
    match rate::bytes_read(text.strip_suffix('b').unwrap_or(text)) {
        Some(n @ 1..) => Ok(n),
        _ => Err(format!("invalid burst {text:?}: a number is expected, of bytes with b, kb or mb behind it")),
    }
}

/// Bits of an address that count; `None` is all.
fn mask(given: &mut Given<'_, '_>) -> Result<Option<u8>, TextError> {
    let all = given.family().bits();
    let bits = given.number(u64::from(all))? as u8;
    Ok(Some(bits).filter(|bits| *bits != all))
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
            "--hashlimit-burst" => self.written.burst = Some(given.value(burst)?),
            "--hashlimit-mode" => self.limits.mode = given.value(Mode::read)?,
            "--hashlimit-name" => self.name = given.value(name)?,
            "--hashlimit-srcmask" => self.limits.srcmask = mask(given)?,
            "--hashlimit-dstmask" => self.limits.dstmask = mask(given)?,
            "--hashlimit-htable-size" => self.limits.size = given.number(any)? as u32,
            "--hashlimit-htable-max" => self.limits.max = given.number(any)? as u32,
            "--hashlimit-htable-gcinterval" => self.limits.gc_interval = from_one(given, any)?,
            "--hashlimit-htable-expire" => self.written.expire = Some(from_one(given, any)?),
            "--hashlimit-rate-match" => self.written.rate_match = true,
            "--hashlimit-rate-interval" => self.written.window = Some(from_one(given, any)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        let written = std::mem::take(&mut self.written);
        let Some(text) = written.rate else {
            return Err("one of --hashlimit-upto and --hashlimit-above is missing".into());
        };
        if self.name.is_empty() {
            return Err("--hashlimit-name is missing".into());
        }
        let limits = &mut self.limits;
        limits.burst = limits.rate.burst(written.burst)?;
        limits.expire = written.expire.unwrap_or_else(|| limits.rate.expire(&text, limits.burst));
        if written.rate_match {
            let (rate, seconds) = limits.rate.windowed(&text).ok_or_else(|| format!("rate too fast {text:?}"))?;
            limits.rate = rate;
            limits.window = Some(written.window.unwrap_or(seconds));
        }
        Ok(())
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let packet = &question.packet;
        let table = question.hashlimits.table(&self.name, &self.limits);
        match table.key(packet).and_then(|key| table.take(key, u64::from(packet.ip.total_len), packet.now)) {
            Some(enough) => (enough != self.above).into(),
            None => Answer::Hotdrop,
        }
    }
}

impl fmt::Display for Hashlimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let l = &self.limits;
        let rate = l.rate.to_string();
        write!(f, " --hashlimit-{} {rate}", if self.above { "above" } else { "upto" })?;
        if let Some(burst) = l.rate.shown_burst(l.burst) {
            write!(f, " --hashlimit-burst {burst}")?;
        }
        if l.mode != Mode::default() {
            write!(f, " --hashlimit-mode {}", l.mode)?;
        }
        write!(f, " --hashlimit-name {}", self.name)?;
        let other = |value: u32, default: u32| (value != default).then_some(value);
        for (option, value) in [
            ("htable-size", other(l.size, 0)),
            ("htable-max", other(l.max, 0)),
            ("htable-gcinterval", other(l.gc_interval, GC_INTERVAL)),
            ("htable-expire", other(l.expire, l.rate.expire(&rate, l.burst))),
            ("srcmask", l.srcmask.map(u32::from)),
            ("dstmask", l.dstmask.map(u32::from)),
        ] {
            if let Some(value) = value {
                write!(f, " --hashlimit-{option} {value}")?;
            }
        }
        match l.window {
            None => Ok(()),
            Some(1) => f.write_str(" --hashlimit-rate-match"),
            Some(seconds) => write!(f, " --hashlimit-rate-match --hashlimit-rate-interval {seconds}"),
        }
    }
}

/// The first `bits` bits of an address, or all of it.
fn masked(addr: IpAddr, bits: Option<u8>) -> IpAddr {
    bits.and_then(|bits| ipnet::IpNet::new(addr, bits).ok()).map_or(addr, |net| net.network())
}
