//! `-m connmark` (net/netfilter/xt_connmark.c, `connmark_mt`).

use std::fmt;

use super::mark::Masked;
use super::{Answer, Kind, Question};
use crate::netfilter::rules::rule::Cond;
use crate::netfilter::text::{Given, TextError};

/// The connection's mark.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Connmark {
    /// `--mark VALUE/MASK`; always there in a finished rule.
    pub mark: Option<Cond<Masked>>,
}

impl Kind for Connmark {
    const NAME: &'static str = "connmark";
    const NEEDS_CONNTRACK: bool = true;

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        if given.name() != "--mark" {
            return Ok(false);
        }
        self.mark = Some(given.cond(Masked::read)?);
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.mark.map(|_| ()).ok_or_else(|| "--mark is missing".into())
    }

    /// A packet without connection fits neither way round.
    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let ct = &question.packet.ct;
        (ct.flow.is_some() && self.mark.is_none_or(|m| m.says(m.value.is(ct.mark)))).into()
    }
}

impl fmt::Display for Connmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mark.map_or(Ok(()), |m| write!(f, " {}--mark {}", m.bang(), m.value))
    }
}
