//! `-m state`: the older spelling of `-m conntrack --ctstate` (an alias since Linux 3.0, with five states).

use std::fmt;

use super::conntrack::CtStates;
use super::{Answer, Kind, Question};
use crate::netfilter::rules::rule::Cond;
use crate::netfilter::text::{Given, TextError};

/// The older spelling of `conntrack --ctstate`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct State {
    /// `--state`; always there in a finished rule.
    pub states: Option<Cond<CtStates>>,
}

impl Kind for State {
    const NAME: &'static str = "state";
    const NEEDS_CONNTRACK: bool = true;

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        if given.name() != "--state" {
            return Ok(false);
        }
        self.states = Some(given.cond(|text| CtStates::read(text, 5))?);
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.states.map(|_| ()).ok_or_else(|| "--state is missing".into())
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        self.states.is_none_or(|s| s.says(s.value.fit(&question.packet.ct))).into()
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.states.map_or(Ok(()), |s| write!(f, " {}--state {}", s.bang(), s.value))
    }
}
