//! `-j TCPMSS` (net/netfilter/xt_TCPMSS.c): the MSS that a SYN announces.

use std::fmt;

use super::{Kind, RuleFacts};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::evaluate::Verdict;
use crate::netfilter::rules::matches::Match;
use crate::netfilter::rules::packet::RulePacket;
use crate::netfilter::text::{Given, TextError};
use crate::wire::ip::TCP;
use crate::wire::l4::{SYN, TcpHeader};

/// Which MSS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mss {
    /// This one, if the SYN announces more (`--set-mss`).
    Set(u16),
    /// What fits the smaller MTU of both directions' routes (`--clamp-mss-to-pmtu`).
    ClampToPmtu,
}

/// What the rules that a SYN met ask for together: none raises what another has lowered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MssLimit {
    /// The least of the fixed ones; 65535 if there is none.
    pub fixed: u16,
    /// Whether it has to fit the MTUs, too.
    pub pmtu: bool,
}

impl MssLimit {
    /// With one more rule.
    fn and(self, mss: Mss) -> Self {
        match mss {
            Mss::Set(fixed) => Self { fixed: self.fixed.min(fixed), ..self },
            Mss::ClampToPmtu => Self { pmtu: true, ..self },
        }
    }
}

impl Default for MssLimit {
    fn default() -> Self {
        Self { fixed: u16::MAX, pmtu: false }
    }
}

/// Changes the MSS option of a SYN.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tcpmss {
    /// Which MSS; always there in a finished rule.
    pub mss: Option<Mss>,
}

impl Kind for Tcpmss {
    const NAME: &'static str = "TCPMSS";

    fn check(&self, rule: &RuleFacts<'_>) -> Result<(), String> {
        let early = |h: &&Hook| matches!(h, Hook::Prerouting | Hook::Input);
        if let (Some(Mss::ClampToPmtu), Some(hook)) = (self.mss, rule.hooks.iter().find(early)) {
            return Err(format!(
                "--clamp-mss-to-pmtu is only supported in FORWARD, OUTPUT and POSTROUTING, not in {}",
                hook.chain()
            ));
        }
        let only_syn = |m: &Match| match m {
            Match::Tcp(tcp) => tcp.flags.is_some_and(|f| f.value.set & SYN != 0 && !f.invert),
            _ => false,
        };
        if rule.selector.only_proto() != Some(TCP) || !rule.matches.iter().any(only_syn) {
            return Err(
                "it only works on TCP SYN packets: -p tcp --tcp-flags SYN,RST SYN is needed in the same rule".into()
            );
        }
        Ok(())
    }

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        let mss = match given.name() {
            "--set-mss" => Mss::Set(given.number(u64::from(u16::MAX) - 40)? as u16),
            "--clamp-mss-to-pmtu" => Mss::ClampToPmtu,
            _ => return Ok(false),
        };
        match self.mss.replace(mss) {
            Some(_) => Err(given.fail("TCPMSS: only one of --set-mss and --clamp-mss-to-pmtu can be used")),
            None => Ok(true),
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        self.mss.map(|_| ()).ok_or_else(|| "one of --set-mss and --clamp-mss-to-pmtu is missing".into())
    }

    fn act(&self, packet: &mut RulePacket<'_>) -> Option<Verdict> {
        let mss = self.mss.filter(|_| packet.ip.frag_offset == 0)?;
        // `tcpmss_mangle_packet` says -1 of a header that is not all there, which is NF_DROP.
        if packet.upper.and_then(|(_, segment)| TcpHeader::read(segment)).is_none() {
            return Some(Verdict::Drop);
        }
        packet.mss = Some(packet.mss.unwrap_or_default().and(mss));
        None
    }
}

impl fmt::Display for Tcpmss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mss {
            None => Ok(()),
            Some(Mss::Set(mss)) => write!(f, " --set-mss {mss}"),
            Some(Mss::ClampToPmtu) => f.write_str(" --clamp-mss-to-pmtu"),
        }
    }
}
