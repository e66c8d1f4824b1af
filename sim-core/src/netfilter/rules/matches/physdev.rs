//! `-m physdev` (net/netfilter/xt_physdev.c, `physdev_mt`): bridge ports of packets that br_netfilter shows.

use std::fmt;

use super::{Answer, Kind, Question};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::rule::{Cond, DevPattern, Selector};
use crate::netfilter::text::{Given, TextError};

/// Bridge ports.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Physdev {
    /// `--physdev-in`.
    pub input: Option<Cond<DevPattern>>,
    /// `--physdev-out`.
    pub output: Option<Cond<DevPattern>>,
    /// `--physdev-is-in`.
    pub is_in: Option<Cond<()>>,
    /// `--physdev-is-out`.
    pub is_out: Option<Cond<()>>,
    /// `--physdev-is-bridged`.
    pub is_bridged: Option<Cond<()>>,
}

impl Kind for Physdev {
    const NAME: &'static str = "physdev";

    fn check(&self, _: &Selector, hooks: &[Hook]) -> Result<(), String> {
        let bridged = self.is_bridged.is_some_and(|c| !c.invert);
        if (self.output.is_some() || self.is_out.is_some()) && !bridged && hooks.contains(&Hook::Output) {
            return Err("--physdev-out and --physdev-is-out cannot be used in OUTPUT".into());
        }
        Ok(())
    }

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        let name = |text: &str| DevPattern::new(text).map_err(str::to_owned);
        match given.name() {
            "--physdev-in" => self.input = Some(given.cond(name)?),
            "--physdev-out" => self.output = Some(given.cond(name)?),
            "--physdev-is-in" => self.is_in = Some(Cond { value: (), invert: given.bang() }),
            "--physdev-is-out" => self.is_out = Some(Cond { value: (), invert: given.bang() }),
            "--physdev-is-bridged" => self.is_bridged = Some(Cond { value: (), invert: given.bang() }),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        if *self == Self::default() {
            return Err("at least one option is required".into());
        }
        Ok(())
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let (input, output) = (question.packet.physin, question.packet.physout);
        let is = |cond: Option<Cond<()>>, hit: bool| cond.is_none_or(|c| c.says(hit));
        if !is(self.is_in, !input.is_empty())
            || !is(self.is_out, !output.is_empty())
            || !is(self.is_bridged, !output.is_empty())
        {
            return Answer::No;
        }
        if input.is_empty() && output.is_empty() {
            // Not a bridged packet: only what is turned round fits.
            let turned = |c: &Option<Cond<DevPattern>>| c.as_ref().is_none_or(|c| c.invert);
            return (turned(&self.input) && turned(&self.output)).into();
        }
        // With a bridged packet, an unknown port of entry fits whatever is asked, an unknown port of exit nothing.
        let entered = input.is_empty() || self.input.as_ref().is_none_or(|c| c.says(c.value.covers(input)));
        let leaves = self.output.as_ref().is_none_or(|c| !output.is_empty() && c.says(c.value.covers(output)));
        (entered && leaves).into()
    }
}

impl fmt::Display for Physdev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is = |f: &mut fmt::Formatter<'_>, cond: Option<Cond<()>>, option: &str| {
            cond.map_or(Ok(()), |c| write!(f, " {}{option}", c.bang()))
        };
        is(f, self.is_in, "--physdev-is-in")?;
        if let Some(input) = &self.input {
            write!(f, " {}--physdev-in {}", input.bang(), input.value)?;
        }
        is(f, self.is_out, "--physdev-is-out")?;
        if let Some(output) = &self.output {
            write!(f, " {}--physdev-out {}", output.bang(), output.value)?;
        }
        is(f, self.is_bridged, "--physdev-is-bridged")
    }
}
