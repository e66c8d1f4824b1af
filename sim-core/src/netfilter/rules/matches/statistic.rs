//! `-m statistic` (net/netfilter/xt_statistic.c, `statistic_mt`).

use std::fmt;

use super::{Answer, Kind, Question};
use crate::netfilter::rules::rule::Cond;
use crate::netfilter::rules::state::MatchMemory;
use crate::netfilter::text::{Given, TextError};

/// Probability 1 in the kernel's fixed point.
const ONE: u32 = 1 << 31;

/// Decimals of a printed probability (extensions/libxt_statistic.c, `%.11f`).
const DECIMALS: u32 = 11;

/// A probability in units of 2⁻³¹, as the kernel keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Probability(pub u32);

impl Probability {
    /// Reads a decimal number from 0 to 1, rounded to the nearest unit (`lround(0x80000000 * p)`).
    fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("invalid probability {text:?}: a decimal number from 0 to 1 is expected");
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || (whole.is_empty() && decimals.is_empty()) {
            return Err(wrong());
        }
        // More decimals than these are far below one unit.
        let decimals = &decimals[..decimals.len().min(18)];
        let scale = 10u64.pow(decimals.len() as u32);
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
        let part: u64 = if decimals.is_empty() { 0 } else { decimals.parse().map_err(|_| wrong())? };
        if whole > 1 || (whole == 1 && part > 0) {
            return Err(wrong());
        }
        Ok(Self::fixed(whole * scale + part, scale))
    }

    fn fixed(numerator: u64, denominator: u64) -> Self {
        let (n, d) = (u128::from(numerator), u128::from(denominator));
        Self(((n * u128::from(ONE) * 2 + d) / (d * 2)) as u32)
    }
}

impl fmt::Display for Probability {
    /// Eleven decimals, rounded half to even as printf does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = 10u64.pow(DECIMALS);
        let exact = u128::from(self.0) * u128::from(scale);
        let (down, rest) = (exact / u128::from(ONE), exact % u128::from(ONE));
        let half = u128::from(ONE / 2);
        let up = rest > half || (rest == half && down % 2 == 1);
        let units = down as u64 + u64::from(up);
        write!(f, "{}.{:0width$}", units / scale, units % scale, width = DECIMALS as usize)
    }
}

/// How the packets are chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// Not said yet.
    #[default]
    Unset,
    /// `--mode random --probability`.
    Random(Cond<Probability>),
    /// `--mode nth --every --packet`.
    Nth {
        /// One packet of so many fits; at least 1.
        every: Cond<u32>,
        /// Which one: 0 is the first.
        packet: u32,
    },
}

/// A share of the packets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Statistic {
    /// How the packets are chosen.
    pub mode: Mode,
    /// Options read so far; none in a finished rule.
    draft: Draft,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Draft {
    mode: Option<bool>,
    probability: Option<Cond<Probability>>,
    every: Option<Cond<u32>>,
    packet: Option<u32>,
}

impl Kind for Statistic {
    const NAME: &'static str = "statistic";

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        match given.name() {
            "--mode" => {
                self.draft.mode = Some(given.value(|text| match text {
                    "random" => Ok(true),
                    "nth" => Ok(false),
                    _ => Err(format!("bad mode {text:?}: random or nth is expected")),
                })?);
            }
            "--probability" => self.draft.probability = Some(given.cond(Probability::read)?),
            "--every" => {
                let invert = given.bang();
                let value = given.number(u64::from(u32::MAX))? as u32;
                if value == 0 {
                    return Err(given.fail("--every needs at least 1"));
                }
                self.draft.every = Some(Cond { value, invert });
            }
            "--packet" => self.draft.packet = Some(given.number(u64::from(u32::MAX))? as u32),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.mode = match std::mem::take(&mut self.draft) {
            Draft { mode: None, .. } => return Err("--mode is missing".into()),
            Draft { mode: Some(true), probability: Some(p), every: None, packet: None } => Mode::Random(p),
            Draft { mode: Some(true), .. } => return Err("--mode random needs --probability and nothing else".into()),
            Draft { mode: Some(false), every: Some(every), packet: Some(packet), probability: None } => {
                if packet >= every.value {
                    return Err("--packet must be below --every".into());
                }
                Mode::Nth { every, packet }
            }
            Draft { .. } => return Err("--mode nth needs --every and --packet and nothing else".into()),
        };
        Ok(())
    }

    fn memory(&self) -> MatchMemory {
        match self.mode {
            // How many packets passed since the last that fitted.
            Mode::Nth { every, packet } => MatchMemory::Nth(every.value - 1 - packet),
            _ => MatchMemory::None,
        }
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        match (self.mode, &mut question.memory) {
            (Mode::Random(p), _) => p.says((question.packet.rng.next_u32() & (ONE - 1)) < p.value.0).into(),
            (Mode::Nth { every, .. }, MatchMemory::Nth(count)) => {
                *count = if *count == every.value - 1 { 0 } else { *count + 1 };
                every.says(*count == 0).into()
            }
            (mode, memory) => unreachable!("statistic {mode:?} with memory {memory:?}"),
        }
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mode {
            Mode::Unset => Ok(()),
            Mode::Random(p) => write!(f, " --mode random {}--probability {}", p.bang(), p.value),
            Mode::Nth { every, packet } => {
                write!(f, " --mode nth {}--every {} --packet {packet}", every.bang(), every.value)
            }
        }
    }
}
