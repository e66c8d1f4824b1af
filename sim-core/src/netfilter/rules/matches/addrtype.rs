//! `-m addrtype` (net/netfilter/xt_addrtype.c, `addrtype_mt_v1`).

use std::fmt;
use std::net::IpAddr;

use super::{Answer, Kind, Question};
use crate::netfilter::hooks::Hook;
use crate::netfilter::rules::packet::AddrType as Of;
use crate::netfilter::rules::rule::{Cond, Selector, all_say};
use crate::netfilter::text::{Given, TextError};
use crate::wire::ip::Family;

/// The types by name, in the order they are printed (include/uapi/linux/rtnetlink.h, `RTN_*`).
const TYPES: [(&str, Of); 9] = [
    ("UNSPEC", Of::Unspec),
    ("UNICAST", Of::Unicast),
    ("LOCAL", Of::Local),
    ("BROADCAST", Of::Broadcast),
    ("ANYCAST", Of::Anycast),
    ("MULTICAST", Of::Multicast),
    ("BLACKHOLE", Of::Blackhole),
    ("UNREACHABLE", Of::Unreachable),
    ("PROHIBIT", Of::Prohibit),
];

/// A set of address types.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AddrTypeSet(u16);

impl AddrTypeSet {
    fn read(text: &str) -> Result<Self, String> {
        let bits = text.split(',').try_fold(0, |bits, name| {
            match TYPES.iter().position(|(known, _)| known.eq_ignore_ascii_case(name)) {
                Some(i) => Ok(bits | 1 << i),
                None => {
                    let known: Vec<_> = TYPES.iter().map(|(known, _)| *known).collect();
                    Err(format!("unknown address type {name:?}: {} are known", known.join(", ")))
                }
            }
        })?;
        Ok(Self(bits))
    }

    /// What IPv6 knows of types; of several groups of them all must fit (`match_type6`).
    fn fits_v6(self, addr: IpAddr, of_route: impl Fn() -> Of) -> bool {
        let unicast = !addr.is_multicast() && !addr.is_unspecified();
        let shapes =
            [(Of::Multicast, addr.is_multicast()), (Of::Unicast, unicast), (Of::Unspec, addr.is_unspecified())];
        let routed = [Of::Local, Of::Anycast, Of::Unreachable].iter().any(|of| self.has(*of));
        shapes.iter().all(|(of, is)| *is || !self.has(*of)) && (!routed || self.has(of_route()))
    }

    fn has(self, wanted: Of) -> bool {
        TYPES.iter().position(|(_, t)| *t == wanted).is_some_and(|i| self.0 & 1 << i != 0)
    }
}

impl fmt::Display for AddrTypeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = TYPES.iter().enumerate().filter(|(i, _)| self.0 & 1 << i != 0).map(|(_, (name, _))| *name);
        f.write_str(&set.collect::<Vec<_>>().join(","))
    }
}

/// On which device alone an address is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LimitDev {
    /// On all of them.
    #[default]
    None,
    /// The one the packet came in by.
    In,
    /// The one it leaves by.
    Out,
}

/// What kind of address it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AddrType {
    /// `--src-type`.
    pub src: Option<Cond<AddrTypeSet>>,
    /// `--dst-type`.
    pub dst: Option<Cond<AddrTypeSet>>,
    /// `--limit-iface-in`, `--limit-iface-out`.
    pub limit: LimitDev,
}

impl Kind for AddrType {
    const NAME: &'static str = "addrtype";

    fn check(&self, _: &Selector, hooks: &[Hook]) -> Result<(), String> {
        let (option, wrong) = match self.limit {
            LimitDev::None => return Ok(()),
            LimitDev::In => ("--limit-iface-in", [Hook::Postrouting, Hook::Output]),
            LimitDev::Out => ("--limit-iface-out", [Hook::Prerouting, Hook::Input]),
        };
        match hooks.iter().find(|h| wrong.contains(h)) {
            Some(hook) => Err(format!("{option} cannot be used in {}", hook.chain())),
            None => Ok(()),
        }
    }

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        match given.name() {
            "--src-type" | "--dst-type" => {
                let set = given.cond(AddrTypeSet::read)?;
                // `addrtype_mt_checkentry_v1`
                let unknown = [Of::Broadcast, Of::Blackhole, Of::Prohibit].iter().any(|of| set.value.has(*of));
                if given.family() == Family::V6 && unknown {
                    return Err(given.fail("IPv6 has no types BROADCAST, BLACKHOLE and PROHIBIT"));
                }
                *(if given.name() == "--src-type" { &mut self.src } else { &mut self.dst }) = Some(set);
            }
            "--limit-iface-in" | "--limit-iface-out" if self.limit != LimitDev::None => {
                return Err(given.fail("only one of --limit-iface-in and --limit-iface-out can be used"));
            }
            "--limit-iface-in" => self.limit = LimitDev::In,
            "--limit-iface-out" => self.limit = LimitDev::Out,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        if self.src.is_none() && self.dst.is_none() {
            return Err("one of --src-type and --dst-type is missing".into());
        }
        Ok(())
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let packet = &question.packet;
        let dev = match self.limit {
            LimitDev::None => None,
            LimitDev::In => Some(packet.in_dev),
            LimitDev::Out => Some(packet.out_dev),
        };
        let fits = |set: &AddrTypeSet, addr: IpAddr| match addr {
            IpAddr::V4(_) => set.has(packet.fib.addr_type(addr, dev)),
            IpAddr::V6(_) => set.fits_v6(addr, || packet.fib.addr_type(addr, dev)),
        };
        let fit = all_say(&self.src, |s| fits(s, packet.ip.src)) && all_say(&self.dst, |d| fits(d, packet.ip.dst));
        fit.into()
    }
}

impl fmt::Display for AddrType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (cond, option) in [(self.src, "--src-type"), (self.dst, "--dst-type")] {
            if let Some(cond) = cond {
                write!(f, " {}{option} {}", cond.bang(), cond.value)?;
            }
        }
        f.write_str(match self.limit {
            LimitDev::None => "",
            LimitDev::In => " --limit-iface-in",
            LimitDev::Out => " --limit-iface-out",
        })
    }
}
