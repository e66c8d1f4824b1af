//! `-j REJECT` (net/ipv4/netfilter/ipt_REJECT.c, net/ipv6/netfilter/ip6t_REJECT.c).

use std::fmt;

use super::{Kind, RuleFacts};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::evaluate::Verdict;
use crate::netfilter::rules::packet::RulePacket;
use crate::netfilter::rules::table::TableName;
use crate::netfilter::text::{Given, TextError};
use crate::wire::icmp::{HOST_UNREACH, NET_UNREACH, PKT_FILTERED, PORT_UNREACH, PROT_UNREACH};
use crate::wire::icmpv6;
use crate::wire::ip::{Family, TCP};

/// What the sender is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RejectWith {
    /// "Destination unreachable" of the family, with this code.
    Unreachable(Family, u8),
    /// A TCP RST.
    TcpReset,
}

use RejectWith::{TcpReset, Unreachable};

/// Each with its name and its short name (extensions/libipt_REJECT.c, libip6t_REJECT.c).
const KINDS: [(RejectWith, &str, &str); 13] = [
    (Unreachable(Family::V4, NET_UNREACH), "icmp-net-unreachable", "net-unreach"),
    (Unreachable(Family::V4, HOST_UNREACH), "icmp-host-unreachable", "host-unreach"),
    (Unreachable(Family::V4, PROT_UNREACH), "icmp-proto-unreachable", "proto-unreach"),
    (Unreachable(Family::V4, PORT_UNREACH), "icmp-port-unreachable", "port-unreach"),
    (Unreachable(Family::V4, NET_PROHIBITED), "icmp-net-prohibited", "net-prohib"),
    (Unreachable(Family::V4, HOST_PROHIBITED), "icmp-host-prohibited", "host-prohib"),
    (Unreachable(Family::V4, PKT_FILTERED), "icmp-admin-prohibited", "admin-prohib"),
    (Unreachable(Family::V6, icmpv6::NO_ROUTE), "icmp6-no-route", "no-route"),
    (Unreachable(Family::V6, icmpv6::ADM_PROHIBITED), "icmp6-adm-prohibited", "adm-prohibited"),
    (Unreachable(Family::V6, icmpv6::ADDR_UNREACH), "icmp6-addr-unreachable", "addr-unreach"),
    (Unreachable(Family::V6, icmpv6::PORT_UNREACH), "icmp6-port-unreachable", "port-unreach"),
    (Unreachable(Family::V6, icmpv6::POLICY_FAIL), "icmp6-policy-fail", "policy-fail"),
    (Unreachable(Family::V6, icmpv6::REJECT_ROUTE), "icmp6-reject-route", "reject-route"),
];

/// The name of [`TcpReset`] and its short name.
const TCP_RESET: [&str; 2] = ["tcp-reset", "tcp-rst"];
/// Codes of "destination unreachable" that only a rule sends.
const NET_PROHIBITED: u8 = 9;
const HOST_PROHIBITED: u8 = 10;

impl RejectWith {
    fn read(family: Family, text: &str) -> Result<Self, String> {
        let own = || KINDS.iter().filter(|row| matches!(row.0, Unreachable(of, _) if of == family));
        if TCP_RESET.contains(&text) {
            return Ok(TcpReset);
        }
        own().find(|row| text == row.1 || text == row.2).map(|row| row.0).ok_or_else(|| {
            let names: Vec<_> = own().map(|row| row.1).collect();
            format!("unknown reject type {text:?}: {}, {} are known", names.join(", "), TCP_RESET[0])
        })
    }

    /// The name after `--reject-with`.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|row| row.0 == self).map_or(TCP_RESET[0], |row| row.1)
    }

    /// The code of "destination unreachable"; `None` for a TCP reset.
    pub fn icmp_code(self) -> Option<u8> {
        match self {
            Unreachable(_, code) => Some(code),
            TcpReset => None,
        }
    }
}

impl Default for RejectWith {
    fn default() -> Self {
        Unreachable(Family::V4, PORT_UNREACH)
    }
}

/// Ends here, and tells the sender.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reject {
    /// `--reject-with`.
    pub with: RejectWith,
}

impl Kind for Reject {
    const NAME: &'static str = "REJECT";
    const TABLES: &'static [TableName] = &[TableName::Filter];
    const HOOKS: &'static [Hook] = &[Hook::Input, Hook::Forward, Hook::Output];

    fn of(family: Family) -> Self {
        let port = match family {
            Family::V4 => PORT_UNREACH,
            Family::V6 => icmpv6::PORT_UNREACH,
        };
        Self { with: Unreachable(family, port) }
    }

    fn check(&self, rule: &RuleFacts<'_>) -> Result<(), String> {
        if self.with == TcpReset && rule.selector.only_proto() != Some(TCP) {
            return Err("tcp-reset needs -p tcp in the same rule".into());
        }
        Ok(())
    }

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        if given.name() != "--reject-with" {
            return Ok(false);
        }
        let family = given.family();
        self.with = given.value(|text| RejectWith::read(family, text))?;
        Ok(true)
    }

    fn act(&self, _: &mut RulePacket<'_>) -> Option<Verdict> {
        Some(Verdict::Reject(self.with))
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " --reject-with {}", self.with.name())
    }
}
