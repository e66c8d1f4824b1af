//! `-m multiport` (net/netfilter/xt_multiport.c).

use std::fmt;

use super::ports::Ports;
use super::{Answer, Kind, Question};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::rule::{Cond, Selector};
use crate::netfilter::text::{Given, TextError};
use crate::wire::ip::{SCTP, TCP, UDP};

/// Most ports of a list; a range counts twice (include/uapi/linux/netfilter/xt_multiport.h, `XT_MULTI_PORTS`).
const MAX_PORTS: usize = 15;

/// UDP-Lite and DCCP, which multiport reads too.
const OTHERS: [u8; 2] = [136, 33];

/// Which ports are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Side {
    /// `--sports`.
    Source,
    /// `--dports`.
    Destination,
    /// `--ports`: either.
    #[default]
    Either,
}

/// Several ports.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Multiport {
    /// Which ports are compared.
    pub side: Side,
    /// The list; never empty in a finished rule.
    pub ports: Cond<Vec<Ports>>,
}

impl Kind for Multiport {
    const NAME: &'static str = "multiport";

    fn check(&self, selector: &Selector, _: &[Hook]) -> Result<(), String> {
        let protos = [TCP, UDP, SCTP, OTHERS[0], OTHERS[1]];
        super::needs_proto(selector, &protos, "-p tcp, udp, udplite, sctp or dccp")
    }

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        self.side = match given.name() {
            "--sports" | "--source-ports" => Side::Source,
            "--dports" | "--destination-ports" => Side::Destination,
            "--ports" => Side::Either,
            _ => return Ok(false),
        };
        if !self.ports.value.is_empty() {
            return Err(given.fail("multiport: only one of --sports, --dports and --ports can be used"));
        }
        self.ports = given.cond(|text| {
            let ports = text.split(',').map(Ports::read).collect::<Result<Vec<_>, _>>()?;
            let places = text.split([',', ':']).count();
            if places > MAX_PORTS {
                return Err(format!("too many ports: at most {MAX_PORTS}, a range counts twice"));
            }
            Ok(ports)
        })?;
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        if self.ports.value.is_empty() {
            return Err("one of --sports, --dports and --ports is missing".into());
        }
        Ok(())
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let (sport, dport) = match question.ports(4) {
            Ok(ports) => ports,
            Err(answer) => return answer,
        };
        let listed = |port| self.ports.value.iter().any(|p| p.has(port));
        let hit = match self.side {
            Side::Source => listed(sport),
            Side::Destination => listed(dport),
            Side::Either => listed(sport) || listed(dport),
        };
        self.ports.says(hit).into()
    }
}

impl fmt::Display for Multiport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let option = match self.side {
            Side::Source => "--sports",
            Side::Destination => "--dports",
            Side::Either => "--ports",
        };
        let list: Vec<_> = self.ports.value.iter().map(Ports::to_string).collect();
        write!(f, " {}{option} {}", self.ports.bang(), list.join(","))
    }
}
