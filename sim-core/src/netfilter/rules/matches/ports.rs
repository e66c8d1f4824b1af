//! Port ranges, shared by the matches of TCP, UDP and SCTP.

use std::fmt;

use super::Question;
use crate::netfilter::rules::rule::Cond;
use crate::netfilter::text::{Given, TextError};

/// A range of ports, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ports {
    /// The first.
    pub min: u16,
    /// The last, not below the first.
    pub max: u16,
}

impl Ports {
    /// Every port.
    pub const ALL: Self = Self { min: 0, max: u16::MAX };

    /// Whether `port` is one of them.
    pub const fn has(&self, port: u16) -> bool {
        self.min <= port && port <= self.max
    }

    /// Reads `80`, `http`, `1:5`, `:5` or `80:`.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let one = |text: &str, open: u16| if text.is_empty() { Ok(open) } else { port(text) };
        let ports = match text.split_once(':') {
            Some((min, max)) => Self { min: one(min, 0)?, max: one(max, u16::MAX)? },
            None => port(text).map(|p| Self { min: p, max: p })?,
        };
        if ports.min > ports.max {
            return Err(format!("invalid port range {text:?}: its first port is above its last"));
        }
        Ok(ports)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.min)?;
        if self.max != self.min {
            write!(f, ":{}", self.max)?;
        }
        Ok(())
    }
}

/// A port by number, or by one of the names that rules files use (/etc/services).
pub(crate) fn port(text: &str) -> Result<u16, String> {
    const NAMES: [(&str, u16); 12] = [
        ("ftp", 21),
        ("ssh", 22),
        ("telnet", 23),
        ("smtp", 25),
        ("domain", 53),
        ("http", 80),
        ("ntp", 123),
        ("snmp", 161),
        ("https", 443),
        ("nfs", 2049),
        ("bootps", 67),
        ("bootpc", 68),
    ];
    let named = || NAMES.iter().find(|(name, _)| *name == text).map(|&(_, number)| number);
    crate::netfilter::text::number(text, u64::from(u16::MAX))
        .map(|n| n as u16)
        .or_else(named)
        .ok_or_else(|| format!("invalid port/service {text:?}: a number from 0 to 65535 is expected"))
}

/// Source and destination ports, as `-m tcp`, `-m udp` and `-m sctp` ask for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PortPair {
    /// `--sport`.
    pub sport: Option<Cond<Ports>>,
    /// `--dport`.
    pub dport: Option<Cond<Ports>>,
}

impl PortPair {
    /// Takes `--sport` and `--dport` in their spellings. Every port without `!` asks nothing and is
    /// forgotten, as the kernel's form does not keep it.
    pub(crate) fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        let slot = match given.name() {
            "--sport" | "--source-port" => &mut self.sport,
            "--dport" | "--destination-port" => &mut self.dport,
            _ => return Ok(false),
        };
        let cond = given.cond(Ports::read)?;
        *slot = Some(cond).filter(|c| c.invert || c.value != Ports::ALL);
        Ok(true)
    }

    /// Whether a packet fits, as nft's own expressions ask.
    pub(crate) fn fit_loaded(&self, question: &Question<'_, '_>) -> bool {
        let says = |cond: &Option<Cond<Ports>>, at| {
            let port = || question.l4_bytes(at).map(u16::from_be_bytes);
            cond.is_none_or(|cond| port().is_some_and(|port| cond.says(cond.value.has(port))))
        };
        says(&self.sport, 0) && says(&self.dport, 2)
    }

    /// Whether a packet with these ports fits.
    pub(crate) fn fit(&self, sport: u16, dport: u16) -> bool {
        self.sport.is_none_or(|c| c.says(c.value.has(sport))) && self.dport.is_none_or(|c| c.says(c.value.has(dport)))
    }
}

impl fmt::Display for PortPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (cond, option) in [(&self.sport, "--sport"), (&self.dport, "--dport")] {
            if let Some(cond) = cond {
                write!(f, " {}{option} {}", cond.bang(), cond.value)?;
            }
        }
        Ok(())
    }
}
