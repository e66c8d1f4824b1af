//! `-m pkttype` (net/netfilter/xt_pkttype.c, `pkttype_mt`).

use std::fmt;

use super::{Answer, Kind, Question};
use crate::netfilter::rules::rule::Cond;
use crate::netfilter::text::{Given, TextError};
use crate::wire::packet::PacketType;

/// Types by name; the first name of a type is printed (extensions/libxt_pkttype.c).
const NAMES: [(&str, PacketType); 4] = [
    ("unicast", PacketType::Host),
    ("broadcast", PacketType::Broadcast),
    ("multicast", PacketType::Multicast),
    ("host", PacketType::Host),
];

/// To whom the frame was addressed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pkttype {
    /// `--pkt-type`; always there in a finished rule.
    pub pkt_type: Option<Cond<PacketType>>,
}

fn pkt_type(text: &str) -> Result<PacketType, String> {
    let known = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    known
        .map(|&(_, kind)| kind)
        .ok_or_else(|| format!("bad packet type {text:?}: unicast, broadcast or multicast is expected"))
}

impl Kind for Pkttype {
    const NAME: &'static str = "pkttype";

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        if given.name() != "--pkt-type" {
            return Ok(false);
        }
        self.pkt_type = Some(given.cond(pkt_type)?);
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.pkt_type.map(|_| ()).ok_or_else(|| "--pkt-type is missing".into())
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        self.pkt_type.is_none_or(|c| c.says(c.value == question.packet.pkt_type)).into()
    }
}

impl fmt::Display for Pkttype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(cond) = self.pkt_type else { return Ok(()) };
        let name = NAMES.iter().find(|(_, kind)| *kind == cond.value).map_or("", |(name, _)| name);
        write!(f, " {}--pkt-type {name}", cond.bang())
    }
}
