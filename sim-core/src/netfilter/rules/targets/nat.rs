//! `-j DNAT`, `SNAT`, `MASQUERADE`, `REDIRECT`, `NETMAP` (net/netfilter/xt_nat.c, xt_MASQUERADE.c, …): the
//! ranges a new connection's address and ports are taken from. Taking them is [`crate::netfilter::nat`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Kind, RuleFacts};
use crate::netfilter::hooks::Hook;
use crate::netfilter::nat::{Manip, NatRange};
use crate::netfilter::rules::evaluate::Verdict;
use crate::netfilter::rules::matches::ports::port;
use crate::netfilter::rules::packet::RulePacket;
use crate::netfilter::rules::rule::Selector;
use crate::netfilter::rules::table::TableName;
use crate::netfilter::text::rule::network;
use crate::netfilter::text::{Given, TextError};
use crate::wire::ip::Family;

/// Which end of a connection is translated, and where its new address comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NatKind {
    /// The destination, to [`Nat::addrs`].
    Dnat,
    /// The source, to [`Nat::addrs`].
    Snat,
    /// The source, to the address of the leaving device.
    Masquerade,
    /// The destination, to the address of the entering device (127.0.0.1 for a local packet).
    Redirect,
    /// The end that the hook changes, to the same host of the network [`Nat::addrs`].
    Netmap,
}

/// What a new connection is translated to (the text's form of [`NatRange`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nat {
    /// Which end.
    pub kind: NatKind,
    /// First and last address; `None` keeps the address, or means the device's.
    pub addrs: Option<(IpAddr, IpAddr)>,
    /// First and last port; `None` keeps the port if it is free.
    pub ports: Option<(u16, u16)>,
    /// `/BASE` after a port range: port p becomes first + (p - BASE) (`NF_NAT_RANGE_PROTO_OFFSET`).
    pub base_port: Option<u16>,
    /// `--random`: the search for a port begins at a hash.
    pub random: bool,
    /// `--random-fully`: every port is drawn.
    pub random_fully: bool,
    /// `--persistent`: the same client gets the same address, whatever its destination.
    pub persistent: bool,
}

impl Nat {
    /// Nothing but which end.
    pub const fn new(kind: NatKind) -> Self {
        Self { kind, addrs: None, ports: None, base_port: None, random: false, random_fully: false, persistent: false }
    }

    /// To one address, and one port if there is one.
    pub const fn to(kind: NatKind, addr: IpAddr, port: Option<u16>) -> Self {
        let ports = match port {
            Some(port) => Some((port, port)),
            None => None,
        };
        Self { addrs: Some((addr, addr)), ports, ..Self::new(kind) }
    }

    /// What [`crate::netfilter::nat::setup`] may choose from; the caller adds the device's address for MASQUERADE and
    /// REDIRECT. `--random` and `--random-fully` are the same since Linux 5.0.
    pub fn range(&self) -> NatRange {
        NatRange {
            addrs: self.addrs,
            ports: self.ports,
            base_port: self.base_port,
            random: self.random || self.random_fully,
            persistent: self.persistent,
            masq_dev: None,
        }
    }

    /// Which end is changed; NETMAP leaves that to the hook.
    pub fn manip(&self) -> Option<Manip> {
        match self.kind {
            NatKind::Dnat | NatKind::Redirect => Some(Manip::Dst),
            NatKind::Snat | NatKind::Masquerade => Some(Manip::Src),
            NatKind::Netmap => None,
        }
    }

    /// `addr` with its host bits in the network of NETMAP (`netmap_tg4`).
    pub(crate) fn mapped(&self, addr: IpAddr) -> IpAddr {
        match (self.addrs, addr) {
            (Some((IpAddr::V4(first), IpAddr::V4(last))), IpAddr::V4(addr)) => {
                let host_bits = first.to_bits() ^ last.to_bits();
                Ipv4Addr::from_bits(addr.to_bits() & host_bits | first.to_bits()).into()
            }
            (Some((IpAddr::V6(first), IpAddr::V6(last))), IpAddr::V6(addr)) => {
                let host_bits = first.to_bits() ^ last.to_bits();
                Ipv6Addr::from_bits(addr.to_bits() & host_bits | first.to_bits()).into()
            }
            _ => addr,
        }
    }

    /// Reads `NET[/LENGTH]` of NETMAP.
    fn read_net(&mut self, family: Family, text: &str) -> Result<(), String> {
        let net = network(family, text)?;
        self.addrs = Some((net.network(), net.broadcast()));
        Ok(())
    }

    /// Takes `--random`, `--random-fully` and `--persistent`, of those in `known`.
    fn flag(&mut self, given: &Given<'_, '_>, known: &[&str]) -> bool {
        let name = given.name();
        let flag = match name {
            "--random" => &mut self.random,
            "--random-fully" => &mut self.random_fully,
            "--persistent" => &mut self.persistent,
            _ => return false,
        };
        let is_known = known.contains(&name);
        *flag |= is_known;
        is_known
    }

    /// Reads `ADDR[-ADDR][:PORT[-PORT][/BASE]]`, of IPv6 `ADDR[-ADDR]` or `[ADDR[-ADDR]]:PORT[-PORT][/BASE]`.
    fn read(&mut self, family: Family, text: &str, with_base: bool) -> Result<(), String> {
        let (addrs, ports) = match (family, text.strip_prefix('[')) {
            (Family::V4, _) => text.split_once(':').map_or((text, None), |(a, p)| (a, Some(p))),
            (Family::V6, None) => text.strip_prefix(':').map_or((text, None), |ports| ("", Some(ports))),
            (Family::V6, Some(rest)) => {
                let (addrs, rest) = rest.split_once(']').ok_or_else(|| format!("{text:?}: ] is missing"))?;
                (addrs, rest.strip_prefix(':').filter(|ports| !ports.is_empty()))
            }
        };
        let read = |text: &str| match text.parse::<IpAddr>() {
            Ok(addr) if Family::of(addr) == family => Ok(addr),
            _ => Err(format!("bad IP address {text:?}")),
        };
        if !addrs.is_empty() {
            let (first, last) = addrs.split_once('-').unwrap_or((addrs, addrs));
            self.addrs = Some((read(first)?, read(last)?));
        }
        match ports {
            Some(ports) => self.read_ports(ports, with_base)?,
            None if addrs.is_empty() => return Err("an address or a port is expected".into()),
            None => {}
        }
        Ok(())
    }

    /// Reads `PORT[-PORT][/BASE]`.
    fn read_ports(&mut self, text: &str, with_base: bool) -> Result<(), String> {
        let (range, base) = match text.split_once('/') {
            Some((range, base)) if with_base => (range, Some(port(base)?)),
            _ => (text, None),
        };
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (port(first)?, port(last)?);
        if last < first {
            return Err(format!("port range {text:?}: its first port is above its last"));
        }
        (self.ports, self.base_port) = (Some((first, last)), base);
        Ok(())
    }

    fn check_ports(&self, selector: &Selector) -> Result<(), String> {
        if self.ports.is_some() && selector.proto.is_none() {
            return Err("a port needs -p tcp, udp, sctp or dccp in the same rule".into());
        }
        Ok(())
    }
}

impl Nat {
    fn fmt_net(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, len) = match self.addrs {
            Some((IpAddr::V4(first), IpAddr::V4(last))) => {
                (IpAddr::V4(first), (first.to_bits() ^ last.to_bits()).leading_zeros())
            }
            Some((IpAddr::V6(first), IpAddr::V6(last))) => {
                (IpAddr::V6(first), (first.to_bits() ^ last.to_bits()).leading_zeros())
            }
            _ => return Ok(()),
        };
        write!(f, " --to {first}/{len}")
    }
}

/// Prints `FIRST[-LAST]`.
fn span<T: PartialEq + fmt::Display>(f: &mut fmt::Formatter<'_>, (first, last): (T, T)) -> fmt::Result {
    write!(f, "{first}")?;
    if first == last { Ok(()) } else { write!(f, "-{last}") }
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            NatKind::Dnat => f.write_str(" --to-destination ")?,
            NatKind::Snat => f.write_str(" --to-source ")?,
            NatKind::Masquerade | NatKind::Redirect if self.ports.is_some() => f.write_str(" --to-ports ")?,
            NatKind::Masquerade | NatKind::Redirect => {}
            NatKind::Netmap => return self.fmt_net(f),
        }
        if let Some(addrs) = self.addrs {
            let brackets = addrs.0.is_ipv6() && self.ports.is_some();
            f.write_str(if brackets { "[" } else { "" })?;
            span(f, addrs)?;
            f.write_str(if brackets { "]" } else { "" })?;
        }
        if let Some(ports) = self.ports {
            let has_addr_part = matches!(self.kind, NatKind::Dnat | NatKind::Snat);
            f.write_str(if has_addr_part { ":" } else { "" })?;
            span(f, ports)?;
            self.base_port.map_or(Ok(()), |base| write!(f, "/{base}"))?;
        }
        for (set, flag) in
            [(self.random, "--random"), (self.random_fully, "--random-fully"), (self.persistent, "--persistent")]
        {
            if set {
                write!(f, " {flag}")?;
            }
        }
        Ok(())
    }
}

macro_rules! nat_target {
    ($(#[$doc:meta])* $name:ident, $text:literal, $hooks:expr, $option:pat => $takes:expr, $flags:expr, $needs:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct $name(pub Nat);

        impl Default for $name {
            fn default() -> Self {
                Self(Nat::new(NatKind::$name))
            }
        }

        impl Kind for $name {
            const NAME: &'static str = $text;
            const TABLES: &'static [TableName] = &[TableName::Nat];
            const HOOKS: &'static [Hook] = $hooks;

            fn needs_conntrack(&self) -> bool {
                true
            }

            fn check(&self, rule: &RuleFacts<'_>) -> Result<(), String> {
                self.0.check_ports(rule.selector)
            }

            fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
                match given.name() {
                    $option => {
                        let take: fn(&mut Nat, Family, &str) -> Result<(), String> = $takes;
                        let family = given.family();
                        given.value(|text| take(&mut self.0, family, text))?;
                        Ok(true)
                    }
                    _ => Ok(self.0.flag(given, $flags)),
                }
            }

            fn finish(&mut self) -> Result<(), String> {
                match $needs {
                    needed if !needed.is_empty() && self.0.addrs.is_none() && self.0.ports.is_none() => {
                        Err(format!("{needed} is missing"))
                    }
                    _ => Ok(()),
                }
            }

            fn act(&self, _: &mut RulePacket<'_>) -> Option<Verdict> {
                Some(Verdict::Nat(self.0))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

nat_target! {
    /// Another destination.
    Dnat, "DNAT", &[Hook::Prerouting, Hook::Output],
    "--to-destination" | "--to" => |nat, family, text| nat.read(family, text, true),
    &["--random", "--persistent"], "--to-destination"
}

nat_target! {
    /// Another source.
    Snat, "SNAT", &[Hook::Postrouting, Hook::Input],
    "--to-source" | "--to" => |nat, family, text| nat.read(family, text, false),
    &["--random", "--random-fully", "--persistent"], "--to-source"
}

nat_target! {
    /// The leaving device's address as source.
    Masquerade, "MASQUERADE", &[Hook::Postrouting],
    "--to-ports" | "--to-port" => |nat, _, text| nat.read_ports(text, false),
    &["--random", "--random-fully"], ""
}

nat_target! {
    /// This host as destination.
    Redirect, "REDIRECT", &[Hook::Prerouting, Hook::Output],
    "--to-ports" | "--to-port" => |nat, _, text| nat.read_ports(text, false),
    &["--random"], ""
}

nat_target! {
    /// The same host of another network.
    Netmap, "NETMAP", &[Hook::Prerouting, Hook::Output, Hook::Input, Hook::Postrouting],
    "--to" => |nat, family, text| nat.read_net(family, text),
    &[], "--to"
}
