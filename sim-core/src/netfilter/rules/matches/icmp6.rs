//! `-m icmp6` (net/ipv6/netfilter/ip6_tables.c, `icmp6_match`).

use std::fmt;

use super::icmp::IcmpType::{self, Code, Type};
use super::{Answer, Kind, Question};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::rule::{Cond, Selector};
use crate::netfilter::text::{Given, TextError};
use crate::wire::ip::{Family, ICMPV6};

/// The names of extensions/libip6t_icmp6.h.
const NAMES: [(&str, IcmpType); 28] = [
    ("destination-unreachable", Type(1)),
    ("no-route", Code(1, 0)),
    ("communication-prohibited", Code(1, 1)),
    ("beyond-scope", Code(1, 2)),
    ("address-unreachable", Code(1, 3)),
    ("port-unreachable", Code(1, 4)),
    ("failed-policy", Code(1, 5)),
    ("reject-route", Code(1, 6)),
    ("packet-too-big", Type(2)),
    ("time-exceeded", Type(3)),
    ("ttl-exceeded", Type(3)),
    ("ttl-zero-during-transit", Code(3, 0)),
    ("ttl-zero-during-reassembly", Code(3, 1)),
    ("parameter-problem", Type(4)),
    ("bad-header", Code(4, 0)),
    ("unknown-header-type", Code(4, 1)),
    ("unknown-option", Code(4, 2)),
    ("echo-request", Type(128)),
    ("ping", Type(128)),
    ("echo-reply", Type(129)),
    ("pong", Type(129)),
    ("router-solicitation", Type(133)),
    ("router-advertisement", Type(134)),
    ("neighbour-solicitation", Type(135)),
    ("neighbour-advertisement", Type(136)),
    ("neighbor-solicitation", Type(135)),
    ("neighbor-advertisement", Type(136)),
    ("redirect", Type(137)),
];

fn read(text: &str) -> Result<IcmpType, String> {
    let kind = IcmpType::written(text, &NAMES);
    kind.ok_or_else(|| format!("invalid ICMPv6 type {text:?}: a name, TYPE or TYPE/CODE is expected"))
}

/// ICMPv6 type and code.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Icmp6 {
    /// `--icmpv6-type`; always there in a finished rule.
    pub kind: Option<Cond<IcmpType>>,
}

impl Kind for Icmp6 {
    const NAME: &'static str = "icmp6";
    const FAMILY: Option<Family> = Some(Family::V6);

    fn check(&self, selector: &Selector, _: &[Hook]) -> Result<(), String> {
        super::needs_proto(selector, &[ICMPV6], "-p icmpv6")
    }

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        if given.name() != "--icmpv6-type" {
            return Ok(false);
        }
        self.kind = Some(given.cond(read)?);
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.kind.map(|_| ()).ok_or_else(|| "--icmpv6-type is missing".into())
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        IcmpType::asks(self.kind, question)
    }
}

impl fmt::Display for Icmp6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.map_or(Ok(()), |k| write!(f, " {}--icmpv6-type {}", k.bang(), k.value))
    }
}
