//! `-j REJECT` (net/ipv4/netfilter/ipt_REJECT.c).

use std::fmt;

use super::{Kind, RuleFacts};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::evaluate::Verdict;
use crate::netfilter::rules::packet::RulePacket;
use crate::netfilter::rules::table::TableName;
use crate::netfilter::text::{Given, TextError};
use crate::wire::icmp::{HOST_UNREACH, NET_UNREACH, PKT_FILTERED, PORT_UNREACH, PROT_UNREACH};
use crate::wire::ip::TCP;

/// What the sender is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RejectWith {
    /// ICMP 3/0.
    NetUnreachable,
    /// ICMP 3/1.
    HostUnreachable,
    /// ICMP 3/2.
    ProtoUnreachable,
    /// ICMP 3/3.
    #[default]
    PortUnreachable,
    /// ICMP 3/9.
    NetProhibited,
    /// ICMP 3/10.
    HostProhibited,
    /// ICMP 3/13.
    AdminProhibited,
    /// A TCP RST.
    TcpReset,
}

use RejectWith::*;

/// Each with its name, its short name and its code of ICMP "destination unreachable".
const KINDS: [(RejectWith, &str, &str, Option<u8>); 8] = [
    (NetUnreachable, "icmp-net-unreachable", "net-unreach", Some(NET_UNREACH)),
    (HostUnreachable, "icmp-host-unreachable", "host-unreach", Some(HOST_UNREACH)),
    (ProtoUnreachable, "icmp-proto-unreachable", "proto-unreach", Some(PROT_UNREACH)),
    (PortUnreachable, "icmp-port-unreachable", "port-unreach", Some(PORT_UNREACH)),
    (NetProhibited, "icmp-net-prohibited", "net-prohib", Some(9)),
    (HostProhibited, "icmp-host-prohibited", "host-prohib", Some(10)),
    (AdminProhibited, "icmp-admin-prohibited", "admin-prohib", Some(PKT_FILTERED)),
    (TcpReset, "tcp-reset", "tcp-rst", None),
];

impl RejectWith {
    fn row(self) -> &'static (Self, &'static str, &'static str, Option<u8>) {
        KINDS.iter().find(|row| row.0 == self).expect("every kind has its row")
    }

    /// The name after `--reject-with`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The code of ICMP "destination unreachable"; `None` for a TCP reset.
    pub fn icmp_code(self) -> Option<u8> {
        self.row().3
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
        self.with = given.value(|text| {
            let known = |row: &&(RejectWith, &str, &str, Option<u8>)| text == row.1 || text == row.2;
            KINDS.iter().find(known).map(|row| row.0).ok_or_else(|| {
                let names: Vec<_> = KINDS.iter().map(|row| row.1).collect();
                format!("unknown reject type {text:?}: {} are known", names.join(", "))
            })
        })?;
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
