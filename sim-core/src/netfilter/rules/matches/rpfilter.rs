//! `-m rpfilter` (net/ipv4/netfilter/ipt_rpfilter.c, net/ipv6/netfilter/ip6t_rpfilter.c): whether an answer would leave
//! by the device the packet came in by.

use std::fmt;

use super::{Answer, Kind, Question};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::packet::ReversePath;
use crate::netfilter::rules::rule::Selector;
use crate::netfilter::rules::table::TableName;
use crate::netfilter::text::{Given, TextError};

/// Whether the way back is the way it came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rpfilter {
    /// `--loose`: any device will do.
    pub loose: bool,
    /// `--validmark`: the packet's mark takes part in the lookup.
    pub validmark: bool,
    /// `--accept-local`: a source that is this host's own will do.
    pub accept_local: bool,
    /// `--invert`: fits what fails.
    pub invert: bool,
}

impl Kind for Rpfilter {
    const NAME: &'static str = "rpfilter";
    const TABLES: &'static [TableName] = &[TableName::Raw, TableName::Mangle];

    fn check(&self, _: &Selector, hooks: &[Hook]) -> Result<(), String> {
        match hooks.iter().find(|hook| **hook != Hook::Prerouting) {
            Some(hook) => Err(format!("used from hook {}, but only usable from PREROUTING", hook.chain())),
            None => Ok(()),
        }
    }

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        let flag = match given.name() {
            "--loose" => &mut self.loose,
            "--validmark" => &mut self.validmark,
            "--accept-local" => &mut self.accept_local,
            "--invert" => &mut self.invert,
            _ => return Ok(false),
        };
        *flag = true;
        Ok(true)
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let packet = &question.packet;
        let path = ReversePath {
            src: packet.ip.src,
            dst: packet.ip.dst,
            dev: packet.in_dev,
            mark: if self.validmark { packet.mark } else { 0 },
            loose: self.loose,
            accept_local: self.accept_local,
        };
        (packet.fib.reverses(&path) != self.invert).into()
    }
}

impl fmt::Display for Rpfilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (given, option) in [
            (self.loose, " --loose"),
            (self.validmark, " --validmark"),
            (self.accept_local, " --accept-local"),
            (self.invert, " --invert"),
        ] {
            f.write_str(if given { option } else { "" })?;
        }
        Ok(())
    }
}
