//! `-m tcp` (net/netfilter/xt_tcpudp.c, `tcp_mt`).

use std::fmt;

use super::ports::PortPair;
use super::{Answer, Kind, Question};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::rule::{Cond, Selector, all_say};
use crate::netfilter::text::{Given, TextError};
use crate::wire::ip::TCP;
use crate::wire::l4::{ACK, FIN, PSH, RST, SYN, TcpHeader, URG};

/// The flags by name, in the order they are printed. ECN's two have no name here, as in iptables.
const FLAGS: [(&str, u8); 6] = [("FIN", FIN), ("SYN", SYN), ("RST", RST), ("PSH", PSH), ("ACK", ACK), ("URG", URG)];

/// Where the flags stand in the header.
const FLAGS_AT: usize = 13;

/// Of the flags in `mask`, exactly those in `set` are set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TcpFlags {
    /// The flags looked at.
    pub mask: u8,
    /// Those that must be set.
    pub set: u8,
}

/// TCP ports, flags and options.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tcp {
    /// `--sport`, `--dport`.
    pub ports: PortPair,
    /// `--tcp-flags MASK SET`, or `--syn`.
    pub flags: Option<Cond<TcpFlags>>,
    /// `--tcp-option NUMBER`.
    pub option: Option<Cond<u8>>,
}

impl Kind for Tcp {
    const NAME: &'static str = "tcp";

    fn check(&self, selector: &Selector, _: &[Hook]) -> Result<(), String> {
        super::needs_proto(selector, &[TCP], "-p tcp")
    }

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        match given.name() {
            "--syn" => {
                let flags = TcpFlags { mask: SYN | RST | ACK | FIN, set: SYN };
                self.flags = Some(Cond { value: flags, invert: given.bang() });
            }
            "--tcp-flags" => {
                let invert = given.bang();
                let mask = given.value(flags)?;
                let set = given.value(flags)?;
                self.flags = Some(Cond { value: TcpFlags { mask, set }, invert });
            }
            "--tcp-option" => {
                let cond = given.cond(|text| match crate::netfilter::text::number(text, 255) {
                    Some(0) | None => Err(format!("invalid TCP option {text:?}: a number from 1 to 255 is expected")),
                    Some(n) => Ok(n as u8),
                })?;
                self.option = Some(cond);
            }
            _ => return self.ports.option(given),
        }
        Ok(true)
    }

    /// Only a rule that asks for an option uses the match of xtables, which drops what is cut (net/netfilter/xt_tcpudp.c);
    /// for all others iptables-nft uses nft's own expressions (iptables/nft.c, `add_nft_tcp`).
    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let Some(option) = self.option else {
            let flags = || question.l4_bytes(FLAGS_AT).map(|[flags]: [u8; 1]| flags);
            let flags_fit =
                |c: Cond<TcpFlags>| flags().is_some_and(|flags| c.says(flags & c.value.mask == c.value.set));
            return (self.ports.fit_loaded(question) && self.flags.is_none_or(flags_fit)).into();
        };
        let packet = &question.packet;
        match packet.ip.frag_offset {
            0 => {}
            // A fragment that would overwrite the flags of the first one (RFC 1858).
            8 => return Answer::Hotdrop,
            _ => return Answer::No,
        }
        let fixed = match question.upper(20) {
            Ok(bytes) => bytes,
            Err(answer) => return answer,
        };
        let flags = fixed[13];
        let (sport, dport) = (u16::from_be_bytes([fixed[0], fixed[1]]), u16::from_be_bytes([fixed[2], fixed[3]]));
        if !self.ports.fit(sport, dport) || !all_say(&self.flags, |f| flags & f.mask == f.set) {
            return Answer::No;
        }
        match TcpHeader::read(fixed) {
            Some(header) => option.says(has_option(&fixed[20..usize::from(header.header_len)], option.value)).into(),
            None => Answer::Hotdrop,
        }
    }
}

/// Whether the option list holds `wanted` (`tcp_find_option`).
fn has_option(mut options: &[u8], wanted: u8) -> bool {
    while let Some(&kind) = options.first() {
        if kind == wanted {
            return true;
        }
        // End and no-operation are one byte; a length of zero would stand still, the kernel steps one byte.
        let len = if kind < 2 { 1 } else { options.get(1).map_or(1, |&len| usize::from(len).max(1)) };
        options = options.get(len..).unwrap_or_default();
    }
    false
}

/// Reads `SYN,ACK`, `ALL` or `NONE`.
fn flags(text: &str) -> Result<u8, String> {
    text.split(',').try_fold(0, |all, name| match name {
        "ALL" => Ok(all | 0x3f),
        "NONE" => Ok(all),
        _ => match FLAGS.iter().find(|(n, _)| name.eq_ignore_ascii_case(n)) {
            Some((_, bit)) => Ok(all | bit),
            None => Err(format!("unknown TCP flag {name:?}: FIN, SYN, RST, PSH, ACK, URG, ALL or NONE are known")),
        },
    })
}

impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |bits: u8| {
            let names: Vec<_> = FLAGS.iter().filter(|(_, bit)| bits & bit != 0).map(|(name, _)| *name).collect();
            if names.is_empty() { "NONE".to_owned() } else { names.join(",") }
        };
        write!(f, "{} {}", list(self.mask), list(self.set))
    }
}

impl fmt::Display for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ports)?;
        if let Some(option) = &self.option {
            write!(f, " {}--tcp-option {}", option.bang(), option.value)?;
        }
        if let Some(flags) = &self.flags {
            write!(f, " {}--tcp-flags {}", flags.bang(), flags.value)?;
        }
        Ok(())
    }
}
