//! `-m mac` (net/netfilter/xt_mac.c, `mac_mt`): the source hardware address the packet came with.

use std::fmt;

use super::{Answer, Kind, Question};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::rule::{Cond, Selector};
use crate::netfilter::text::{Given, TextError};
use crate::wire::eth::MacAddr;

/// The source hardware address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mac {
    /// `--mac-source`; always there in a finished rule.
    pub source: Option<Cond<MacAddr>>,
}

/// What asks for the hardware address a packet came with can do so only where packets come in.
pub(super) fn check_received(hooks: &[Hook]) -> Result<(), String> {
    match hooks.iter().find(|hook| matches!(hook, Hook::Output | Hook::Postrouting)) {
        Some(hook) => Err(format!("used from hook {}, but only usable from PREROUTING/INPUT/FORWARD", hook.chain())),
        None => Ok(()),
    }
}

impl Kind for Mac {
    const NAME: &'static str = "mac";

    fn check(&self, _: &Selector, hooks: &[Hook]) -> Result<(), String> {
        check_received(hooks)
    }

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        if given.name() != "--mac-source" {
            return Ok(false);
        }
        self.source = Some(given.cond(|text| text.parse().map_err(|_| format!("bad hardware address {text:?}")))?);
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.source.map(|_| ()).ok_or_else(|| "--mac-source is missing".into())
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let (Some(wanted), Some(mac)) = (self.source, question.packet.mac) else { return Answer::No };
        wanted.says(wanted.value == mac).into()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.map_or(Ok(()), |c| write!(f, " {}--mac-source {}", c.bang(), c.value))
    }
}
