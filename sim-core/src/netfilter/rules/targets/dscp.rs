//! `-j DSCP` (net/netfilter/xt_DSCP.c, `dscp_tg`).

use std::fmt;

use super::Kind;
use crate::netfilter::rules::evaluate::Verdict;
use crate::netfilter::rules::matches::dscp::{class, code_point};
use crate::netfilter::rules::packet::RulePacket;
use crate::netfilter::rules::table::TableName;
use crate::netfilter::text::{Given, TextError};

/// The bits of the type of service below the code point: ECN (RFC 3168 5).
const ECN: u8 = 0b11;

/// Changes the differentiated services code point.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Dscp {
    /// `--set-dscp`, below 64; always there in a finished rule.
    pub dscp: Option<u8>,
}

impl Kind for Dscp {
    const NAME: &'static str = "DSCP";
    const TABLES: &'static [TableName] = &[TableName::Mangle];

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        let dscp = match given.name() {
            "--set-dscp" => given.value(code_point)?,
            "--set-dscp-class" => given.value(class)?,
            _ => return Ok(false),
        };
        match self.dscp.replace(dscp) {
            Some(_) => Err(given.fail("DSCP: only one of --set-dscp and --set-dscp-class can be used")),
            None => Ok(true),
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        self.dscp.map(|_| ()).ok_or_else(|| "one of --set-dscp and --set-dscp-class is missing".into())
    }

    fn act(&self, packet: &mut RulePacket<'_>) -> Option<Verdict> {
        if let Some(dscp) = self.dscp {
            packet.ip.tos = dscp << 2 | packet.ip.tos & ECN;
        }
        None
    }
}

impl fmt::Display for Dscp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.dscp.map_or(Ok(()), |dscp| write!(f, " --set-dscp {dscp:#04x}"))
    }
}
