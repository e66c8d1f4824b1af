//! `-j CT` (net/netfilter/xt_CT.c): what conntrack, which comes after the raw table, shall do with the packet.

use std::fmt;

use super::Kind;
use crate::netfilter::conntrack::{Zone, ZoneDir};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::evaluate::Verdict;
use crate::netfilter::rules::packet::RulePacket;
use crate::netfilter::rules::table::TableName;
use crate::netfilter::text::{Given, TextError, number};

/// How conntrack shall treat a packet it has not seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CtTemplate {
    /// Not at all: the packet is UNTRACKED.
    Notrack,
    /// In this zone.
    Zone(Zone),
}

/// Tells conntrack how to treat the packet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ct {
    /// What it is told; `None` is nothing (`-j CT` alone).
    pub template: Option<CtTemplate>,
}

impl Kind for Ct {
    const NAME: &'static str = "CT";
    const TABLES: &'static [TableName] = &[TableName::Raw];
    const HOOKS: &'static [Hook] = &[Hook::Prerouting, Hook::Output];

    /// A template switches tracking on; an exemption does not (`xt_ct_tg_check`).
    fn needs_conntrack(&self) -> bool {
        self.template != Some(CtTemplate::Notrack)
    }

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        let dir = match given.name() {
            "--notrack" => {
                self.take(CtTemplate::Notrack, given)?;
                return Ok(true);
            }
            "--zone" => ZoneDir::Both,
            "--zone-orig" => ZoneDir::Orig,
            "--zone-reply" => ZoneDir::Reply,
            _ => return Ok(false),
        };
        let id = given.value(|text| match number(text, u64::from(u16::MAX)) {
            Some(id) => Ok(id as u16),
            None if text == "mark" => Err("a zone taken from the mark is not supported: give its number".into()),
            None => Err(format!("invalid zone {text:?}: a number from 0 to 65535 is expected")),
        })?;
        self.take(CtTemplate::Zone(Zone { id, dir }), given)?;
        Ok(true)
    }

    fn act(&self, packet: &mut RulePacket<'_>) -> Option<Verdict> {
        packet.template = packet.template.or(self.template);
        None
    }
}

impl Ct {
    fn take(&mut self, template: CtTemplate, given: &Given<'_, '_>) -> Result<(), TextError> {
        match self.template.replace(template) {
            Some(_) => Err(given.fail("CT: only one of --notrack, --zone, --zone-orig and --zone-reply can be used")),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Ct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.template {
            None => Ok(()),
            Some(CtTemplate::Notrack) => f.write_str(" --notrack"),
            Some(CtTemplate::Zone(zone)) => {
                let option = match zone.dir {
                    ZoneDir::Both => "--zone",
                    ZoneDir::Orig => "--zone-orig",
                    ZoneDir::Reply => "--zone-reply",
                };
                write!(f, " {option} {}", zone.id)
            }
        }
    }
}
