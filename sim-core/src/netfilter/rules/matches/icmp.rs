//! `-m icmp` (net/ipv4/netfilter/ip_tables.c, `icmp_match`).

use std::fmt;

use super::{Answer, Kind, Question};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::rule::{Cond, Selector};
use crate::netfilter::text::{Given, TextError, number};
use crate::wire::ip::{Family, ICMP};

/// A type, with one code or any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IcmpType {
    /// Every message.
    Any,
    /// One type, any code.
    Type(u8),
    /// One type and code.
    Code(u8, u8),
}

use IcmpType::{Any, Code, Type};

/// The names of extensions/libxt_icmp.h.
const NAMES: [(&str, IcmpType); 40] = [
    ("any", Any),
    ("echo-reply", Type(0)),
    ("pong", Type(0)),
    ("destination-unreachable", Type(3)),
    ("network-unreachable", Code(3, 0)),
    ("host-unreachable", Code(3, 1)),
    ("protocol-unreachable", Code(3, 2)),
    ("port-unreachable", Code(3, 3)),
    ("fragmentation-needed", Code(3, 4)),
    ("source-route-failed", Code(3, 5)),
    ("network-unknown", Code(3, 6)),
    ("host-unknown", Code(3, 7)),
    ("network-prohibited", Code(3, 9)),
    ("host-prohibited", Code(3, 10)),
    ("TOS-network-unreachable", Code(3, 11)),
    ("TOS-host-unreachable", Code(3, 12)),
    ("communication-prohibited", Code(3, 13)),
    ("host-precedence-violation", Code(3, 14)),
    ("precedence-cutoff", Code(3, 15)),
    ("source-quench", Type(4)),
    ("redirect", Type(5)),
    ("network-redirect", Code(5, 0)),
    ("host-redirect", Code(5, 1)),
    ("TOS-network-redirect", Code(5, 2)),
    ("TOS-host-redirect", Code(5, 3)),
    ("echo-request", Type(8)),
    ("ping", Type(8)),
    ("router-advertisement", Type(9)),
    ("router-solicitation", Type(10)),
    ("time-exceeded", Type(11)),
    ("ttl-exceeded", Type(11)),
    ("ttl-zero-during-transit", Code(11, 0)),
    ("ttl-zero-during-reassembly", Code(11, 1)),
    ("parameter-problem", Type(12)),
    ("ip-header-bad", Code(12, 0)),
    ("required-option-missing", Code(12, 1)),
    ("timestamp-request", Type(13)),
    ("timestamp-reply", Type(14)),
    ("address-mask-request", Type(17)),
    ("address-mask-reply", Type(18)),
];

impl IcmpType {
    fn read(text: &str) -> Result<Self, String> {
        let kind = Self::written(text, &NAMES);
        // 255 is how the kernel's form spells "any".
        let kind = kind.map(|kind| if kind == Type(255) { Any } else { kind });
        kind.ok_or_else(|| format!("invalid ICMP type {text:?}: a name, TYPE or TYPE/CODE is expected"))
    }

    /// One of `names`, `TYPE` or `TYPE/CODE`.
    pub(super) fn written(text: &str, names: &[(&str, Self)]) -> Option<Self> {
        let named = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|&(_, t)| t);
        let byte = |text| number(text, 255).map(|n| n as u8);
        let numbered = || match text.split_once('/') {
            Some((kind, code)) => Some(Code(byte(kind)?, byte(code)?)),
            None => byte(text).map(Type),
        };
        named.or_else(numbered)
    }

    /// Whether a packet's message is of the kind. One that is cut is dropped, a later fragment fits nothing.
    pub(super) fn asks(kind: Option<Cond<Self>>, question: &Question<'_, '_>) -> Answer {
        let packet = &question.packet;
        if packet.ip.frag_offset != 0 {
            return Answer::No;
        }
        match question.upper(8) {
            Ok(header) => kind.is_none_or(|k| k.says(k.value.covers(header[0], header[1]))).into(),
            Err(answer) => answer,
        }
    }

    /// The name of one type and code, if they have one; that of a type stands for its code 0.
    pub(crate) fn name_of(kind: u8, code: u8) -> Option<&'static str> {
        let named = |wanted| NAMES.iter().find(|(_, t)| *t == wanted).map(|&(name, _)| name);
        named(Code(kind, code)).or_else(|| named(Type(kind)).filter(|_| code == 0))
    }

    /// One type and code by name or as `TYPE/CODE`; a type alone stands for its code 0.
    pub(crate) fn code_of(text: &str) -> Option<(u8, u8)> {
        match Self::read(text).ok()? {
            Any => None,
            // `ipset` takes no type without its code by number.
            Type(kind) => Some((kind, 0)).filter(|_| !text.starts_with(|c: char| c.is_ascii_digit())),
            Code(kind, code) => Some((kind, code)),
        }
    }

    pub(super) fn covers(self, kind: u8, code: u8) -> bool {
        match self {
            Any => true,
            Type(t) => t == kind,
            Code(t, c) => t == kind && c == code,
        }
    }
}

impl fmt::Display for IcmpType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Any => f.write_str("any"),
            Type(kind) => write!(f, "{kind}"),
            Code(kind, code) => write!(f, "{kind}/{code}"),
        }
    }
}

/// ICMP type and code.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Icmp {
    /// `--icmp-type`; always there in a finished rule.
    pub kind: Option<Cond<IcmpType>>,
}

impl Kind for Icmp {
    const NAME: &'static str = "icmp";
    const FAMILY: Option<Family> = Some(Family::V4);

    fn check(&self, selector: &Selector, _: &[Hook]) -> Result<(), String> {
        super::needs_proto(selector, &[ICMP], "-p icmp")
    }

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        if given.name() != "--icmp-type" {
            return Ok(false);
        }
        self.kind = Some(given.cond(IcmpType::read)?);
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.kind.map(|_| ()).ok_or_else(|| "--icmp-type is missing".into())
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        IcmpType::asks(self.kind, question)
    }
}

impl fmt::Display for Icmp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.map_or(Ok(()), |k| write!(f, " {}--icmp-type {}", k.bang(), k.value))
    }
}
