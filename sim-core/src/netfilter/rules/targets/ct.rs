//! `-j CT` (net/netfilter/xt_CT.c): what conntrack, which comes after the raw table, shall do with the packet.
//!
//! Nobody here listens to conntrack's events, so which of them are told is only kept. `--helper` and `--timeout` are
//! refused, as by a kernel that has no helper or timeout policy of that name.

use std::fmt;

use super::Kind;
use crate::netfilter::conntrack::{Zone, ZoneDir};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::evaluate::Verdict;
use crate::netfilter::rules::packet::RulePacket;
use crate::netfilter::rules::table::TableName;
use crate::netfilter::text::{Given, TextError, number};

/// Events of an entry, in the order they are printed (include/uapi/linux/netfilter/nf_conntrack_common.h, `IPCT_*`).
const EVENTS: [&str; 10] =
    ["new", "related", "destroy", "reply", "assured", "protoinfo", "helper", "mark", "natseqinfo", "secmark"];
/// Events of an expectation (`IPEXP_*`).
const EXPECTATION_EVENTS: [&str; 1] = ["new"];

/// How conntrack shall treat a packet it has not seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CtTemplate {
    /// Not at all: the packet is UNTRACKED.
    Notrack,
    /// In this zone.
    Zone(Zone),
    /// In the zone that the lower half of its mark names, for these directions.
    ZoneOfMark(ZoneDir),
}

/// Which zone is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ZoneId {
    Number(u16),
    Mark,
}

/// Tells conntrack how to treat the packet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ct {
    /// `--notrack`, which wins over everything else.
    notrack: bool,
    /// `--zone`, `--zone-orig`, `--zone-reply`: the last of them names the zone, all together the directions.
    zone: Option<(ZoneId, ZoneDir)>,
    /// `--ctevents`, a bit for each of [`EVENTS`].
    events: u16,
    /// `--expevents`, a bit for each of [`EXPECTATION_EVENTS`].
    expectation_events: u16,
}

impl Kind for Ct {
    const NAME: &'static str = "CT";
    const TABLES: &'static [TableName] = &[TableName::Raw];
    const HOOKS: &'static [Hook] = &[Hook::Prerouting, Hook::Output];

    /// A template switches tracking on; an exemption does not (`xt_ct_tg_check`).
    fn needs_conntrack(&self) -> bool {
        !self.notrack
    }

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        match given.name() {
            "--notrack" => self.notrack = true,
            "--ctevents" => self.events = given.value(|text| events(text, &EVENTS))?,
            "--expevents" => self.expectation_events = given.value(|text| events(text, &EXPECTATION_EVENTS))?,
            "--zone" => self.zone(ZoneDir::Both, given)?,
            "--zone-orig" => self.zone(ZoneDir::Orig, given)?,
            "--zone-reply" => self.zone(ZoneDir::Reply, given)?,
            "--helper" | "--timeout" => {
                return Err(given.fail("CT: there are no helpers and no timeout policies (Linux: Invalid argument)"));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn act(&self, packet: &mut RulePacket<'_>) -> Option<Verdict> {
        packet.template = packet.template.or(Some(self.template()));
        None
    }
}

impl Ct {
    /// What conntrack is told. Without options it is the default, which later rules do not change either.
    fn template(&self) -> CtTemplate {
        match self.zone {
            _ if self.notrack => CtTemplate::Notrack,
            None => CtTemplate::Zone(Zone::default()),
            Some((ZoneId::Number(id), dir)) => CtTemplate::Zone(Zone { id, dir }),
            Some((ZoneId::Mark, dir)) => CtTemplate::ZoneOfMark(dir),
        }
    }

    fn zone(&mut self, dir: ZoneDir, given: &mut Given<'_, '_>) -> Result<(), TextError> {
        let id = given.value(|text| match (number(text, u64::from(u16::MAX)), text) {
            (Some(id), _) => Ok(ZoneId::Number(id as u16)),
            (None, "mark") => Ok(ZoneId::Mark),
            _ => Err(format!("invalid zone {text:?}: a number from 0 to 65535, or mark, is expected")),
        })?;
        // Both bits together mean what none of them means: both directions.
        let dir = match (self.zone, dir) {
            (None, dir) => dir,
            (Some((_, before)), dir) if before == dir => dir,
            (Some((_, ZoneDir::Both)), dir) | (Some((_, dir)), ZoneDir::Both) => dir,
            _ => ZoneDir::Both,
        };
        self.zone = Some((id, dir));
        Ok(())
    }
}

/// A bit for each of the events named.
fn events(text: &str, known: &[&str]) -> Result<u16, String> {
    text.split(',').try_fold(0, |bits, name| match known.iter().position(|event| *event == name) {
        Some(i) => Ok(bits | 1 << i),
        None => Err(format!("unknown event type {name:?}: {} are known", known.join(", "))),
    })
}

impl fmt::Display for Ct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.notrack { " --notrack" } else { "" })?;
        for (option, bits, known) in
            [("ctevents", self.events, &EVENTS[..]), ("expevents", self.expectation_events, &EXPECTATION_EVENTS)]
        {
            let names: Vec<_> = (0..).zip(known).filter(|(i, _)| bits & 1 << i != 0).map(|(_, name)| *name).collect();
            if !names.is_empty() {
                write!(f, " --{option} {}", names.join(","))?;
            }
        }
        let Some((id, dir)) = self.zone else { return Ok(()) };
        let option = match dir {
            ZoneDir::Both => "--zone",
            ZoneDir::Orig => "--zone-orig",
            ZoneDir::Reply => "--zone-reply",
        };
        match id {
            // The default zone is not written.
            ZoneId::Number(0) => Ok(()),
            ZoneId::Number(id) => write!(f, " {option} {id}"),
            ZoneId::Mark => write!(f, " {option} mark"),
        }
    }
}
