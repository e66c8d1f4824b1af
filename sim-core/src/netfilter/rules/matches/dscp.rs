//! `-m dscp` (net/netfilter/xt_dscp.c, `dscp_mt`): the differentiated services code point (RFC 2474).

use std::fmt;

use super::{Answer, Kind, Question};
use crate::netfilter::rules::rule::Cond;
use crate::netfilter::text::{Given, TextError, number};

/// The code point: the upper six bits of the type of service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Dscp {
    /// `--dscp`, below 64; always there in a finished rule.
    pub dscp: Option<Cond<u8>>,
}

/// Classes by name (RFC 2474 4.2.2.2, RFC 2597 6, RFC 3246 2.7; extensions/dscp_helper.c).
const CLASSES: [(&str, u8); 22] = [
    ("CS0", 0),
    ("CS1", 8),
    ("CS2", 16),
    ("CS3", 24),
    ("CS4", 32),
    ("CS5", 40),
    ("CS6", 48),
    ("CS7", 56),
    ("BE", 0),
    ("AF11", 10),
    ("AF12", 12),
    ("AF13", 14),
    ("AF21", 18),
    ("AF22", 20),
    ("AF23", 22),
    ("AF31", 26),
    ("AF32", 28),
    ("AF33", 30),
    ("AF41", 34),
    ("AF42", 36),
    ("AF43", 38),
    ("EF", 46),
];

/// Reads a code point by number.
pub(crate) fn code_point(text: &str) -> Result<u8, String> {
    number(text, 63).map(|n| n as u8).ok_or_else(|| format!("invalid DSCP {text:?}: a number from 0 to 63 is expected"))
}

/// Reads a code point by the name of its class.
pub(crate) fn class(text: &str) -> Result<u8, String> {
    let known = CLASSES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    known.map(|&(_, dscp)| dscp).ok_or_else(|| format!("invalid DSCP class {text:?}"))
}

impl Kind for Dscp {
    const NAME: &'static str = "dscp";

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        let dscp = match given.name() {
            "--dscp" => given.cond(code_point)?,
            "--dscp-class" => given.cond(class)?,
            _ => return Ok(false),
        };
        match self.dscp.replace(dscp) {
            Some(_) => Err(given.fail("only one of --dscp and --dscp-class can be used")),
            None => Ok(true),
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        self.dscp.map(|_| ()).ok_or_else(|| "one of --dscp and --dscp-class is missing".into())
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let dscp = question.packet.ip.tos >> 2;
        self.dscp.is_none_or(|c| c.says(c.value == dscp)).into()
    }
}

impl fmt::Display for Dscp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.dscp.map_or(Ok(()), |c| write!(f, " {}--dscp {:#04x}", c.bang(), c.value))
    }
}
