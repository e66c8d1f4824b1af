//! The words of `ip`, `bridge` and `conntrack`, read into operations. What is not understood is refused, never passed over.

mod conntrack;

pub use conntrack::{conntrack, conntrack_entries};

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::{LinkChange, Mode, NewAddr, NewKind, NewLink, Op, RouteWords};
use crate::dev::vxlan::DEFAULT_PORT;
use crate::engine::errno::Errno;
use crate::engine::time::Duration;
use crate::netns::fib::{PolicyRule, RouteKind, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN};
use crate::netns::neigh::Nud;
use crate::wire::eth::MacAddr;
use crate::wire::ip::Family;

/// Longest line read, in bytes.
const MAX_LINE: usize = 4096;

/// Why a line was not carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommandError {
    /// The words are not understood.
    Syntax {
        /// The word it stopped at; empty at the end of the line.
        at: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The kernel refused.
    Refused(Errno),
    /// There is no netns of that name.
    NoNetns(String),
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { at, expected } if at.is_empty() => write!(f, "expected {expected} at the end of the line"),
            Self::Syntax { at, expected } => write!(f, "expected {expected} at {at:?}"),
            Self::Refused(errno) => write!(f, "RTNETLINK answers: {errno}"),
            Self::NoNetns(name) => write!(f, "no netns is called {name:?}"),
        }
    }
}

impl std::error::Error for CommandError {}

impl From<Errno> for CommandError {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

/// Reads a line as `ip -batch` takes it (without the word `ip`, but with its `-4` and `-6`): `link`, `addr`, `route`,
/// `neigh`, `rule`.
///
/// # Errors
/// The first word that is not understood.
pub fn ip(line: &str) -> Result<Op, CommandError> {
    let mut w = Words::new(line)?;
    w.read_family();
    let op = match w.next("an object")? {
        "link" | "l" => link(&mut w),
        "addr" | "address" | "a" => addr(&mut w),
        "route" | "ro" | "r" => route(&mut w),
        "neigh" | "neighbour" | "neighbor" | "n" => neigh(&mut w),
        "rule" | "ru" => rule(&mut w),
        other => Err(syntax(other, "link, addr, route, neigh or rule")),
    }?;
    w.end()?;
    Ok(op)
}

/// Reads a line as `bridge -batch` takes it (without the word `bridge`): `fdb`, `link set`.
///
/// # Errors
/// The first word that is not understood.
pub fn bridge(line: &str) -> Result<Op, CommandError> {
    let mut w = Words::new(line)?;
    let op = match w.next("an object")? {
        "fdb" => fdb(&mut w),
        "link" => {
            w.literal("set")?;
            port(&mut w)
        }
        other => Err(syntax(other, "fdb or link")),
    }?;
    w.end()?;
    Ok(op)
}

fn syntax(at: &str, expected: &'static str) -> CommandError {
    CommandError::Syntax { at: at.chars().take(80).collect(), expected }
}

/// The words of a line, one after the other.
struct Words<'a> {
    rest: std::iter::Peekable<std::str::SplitWhitespace<'a>>,
    /// The family that `-4` or `-6` asks for.
    family: Option<Family>,
}

impl<'a> Words<'a> {
    fn new(line: &'a str) -> Result<Self, CommandError> {
        if line.len() > MAX_LINE {
            return Err(syntax(line, "a line of at most 4096 bytes"));
        }
        Ok(Self { rest: line.split_whitespace().peekable(), family: None })
    }

    /// Reads `-4` or `-6`, if it comes next.
    fn read_family(&mut self) {
        let wanted = Family::ALL.into_iter().zip(["-4", "-6"]);
        for (family, word) in wanted {
            if self.skip(word) {
                self.family = Some(family);
            }
        }
    }

    fn next(&mut self, expected: &'static str) -> Result<&'a str, CommandError> {
        self.rest.next().ok_or_else(|| syntax("", expected))
    }

    fn option(&mut self) -> Option<&'a str> {
        self.rest.next()
    }

    fn value<T: FromStr>(&mut self, expected: &'static str) -> Result<T, CommandError> {
        let word = self.next(expected)?;
        word.parse().map_err(|_| syntax(word, expected))
    }

    fn literal(&mut self, word: &'static str) -> Result<(), CommandError> {
        let got = self.next(word)?;
        if got == word { Ok(()) } else { Err(syntax(got, word)) }
    }

    fn skip(&mut self, word: &str) -> bool {
        self.rest.next_if(|w| *w == word).is_some()
    }

    fn on_off(&mut self) -> Result<bool, CommandError> {
        match self.next("on or off")? {
            "on" => Ok(true),
            "off" => Ok(false),
            other => Err(syntax(other, "on or off")),
        }
    }

    fn mode(&mut self) -> Result<Mode, CommandError> {
        match self.next("add, replace or del")? {
            "add" | "append" => Ok(Mode::Add),
            "replace" | "change" => Ok(Mode::Replace),
            "del" | "delete" => Ok(Mode::Del),
            other => Err(syntax(other, "add, replace or del")),
        }
    }

    fn end(&mut self) -> Result<(), CommandError> {
        self.rest.next().map_or(Ok(()), |w| Err(syntax(w, "the end of the line")))
    }
}

fn link(w: &mut Words<'_>) -> Result<Op, CommandError> {
    match w.next("add, set or del")? {
        "add" => link_add(w),
        "set" => link_set(w),
        "del" | "delete" => {
            w.skip("dev");
            Ok(Op::LinkDel(w.next("a device")?.to_owned()))
        }
        other => Err(syntax(other, "add, set or del")),
    }
}

fn new_link(name: &str) -> NewLink {
    NewLink { name: name.to_owned(), mac: None, mtu: None }
}

fn link_add(w: &mut Words<'_>) -> Result<Op, CommandError> {
    let name = w.next("a device name")?;
    let mut new = new_link(if name == "name" || name == "dev" { w.next("a device name")? } else { name });
    loop {
        match w.next("address, mtu or type")? {
            "address" => new.mac = Some(w.value("a hardware address")?),
            "mtu" => new.mtu = Some(w.value("a number of bytes")?),
            "type" => break,
            other => return Err(syntax(other, "address, mtu or type")),
        }
    }
    let kind = match w.next("bridge, veth or vxlan")? {
        "bridge" => bridge_options(w)?,
        "veth" => veth_options(w)?,
        "vxlan" => vxlan_options(w)?,
        other => return Err(syntax(other, "bridge, veth or vxlan")),
    };
    Ok(Op::LinkAdd(new, kind))
}

/// Only settings that are the emulator's fixed behaviour can be asked for.
fn bridge_options(w: &mut Words<'_>) -> Result<NewKind, CommandError> {
    while let Some(option) = w.option() {
        match option {
            "stp_state" | "mcast_snooping" | "forward_delay" => w.literal("0")?,
            other => return Err(syntax(other, "stp_state 0, mcast_snooping 0 or forward_delay 0")),
        }
    }
    Ok(NewKind::Bridge)
}

fn veth_options(w: &mut Words<'_>) -> Result<NewKind, CommandError> {
    w.literal("peer")?;
    w.skip("name");
    let mut peer = new_link(w.next("the peer's name")?);
    let mut netns = None;
    while let Some(option) = w.option() {
        match option {
            "address" => peer.mac = Some(w.value("a hardware address")?),
            "mtu" => peer.mtu = Some(w.value("a number of bytes")?),
            "netns" => netns = Some(w.next("a netns")?.to_owned()),
            other => return Err(syntax(other, "address, mtu or netns")),
        }
    }
    Ok(NewKind::Veth { peer, netns })
}

fn vxlan_options(w: &mut Words<'_>) -> Result<NewKind, CommandError> {
    let (mut vni, mut local, mut lower, mut port, mut learning) = (None, None, None, DEFAULT_PORT, true);
    while let Some(option) = w.option() {
        match option {
            "id" | "vni" => vni = Some(w.value("a VNI")?),
            "local" => local = Some(w.value("an address")?),
            "dev" => lower = Some(w.next("a device")?.to_owned()),
            "dstport" => port = w.value("a port")?,
            "nolearning" => learning = false,
            other => return Err(syntax(other, "id, local, dev, dstport or nolearning")),
        }
    }
    let vni = vni.filter(|v| *v < 1 << 24).ok_or_else(|| syntax("", "id with a number below 2^24"))?;
    if learning {
        return Err(syntax("", "nolearning: a VTEP that learns from packets is not there"));
    }
    Ok(NewKind::Vxlan { vni, local, lower, port })
}

fn link_set(w: &mut Words<'_>) -> Result<Op, CommandError> {
    w.skip("dev");
    let dev = w.next("a device")?.to_owned();
    let mut changes = Vec::new();
    while let Some(option) = w.option() {
        changes.push(match option {
            "up" => LinkChange::Up(true),
            "down" => LinkChange::Up(false),
            "mtu" => LinkChange::Mtu(w.value("a number of bytes")?),
            "address" => LinkChange::Address(w.value("a hardware address")?),
            "master" => LinkChange::Master(Some(w.next("a bridge")?.to_owned())),
            "nomaster" => LinkChange::Master(None),
            "type" => {
                w.literal("bridge")?;
                w.literal("ageing_time")?;
                let centiseconds: u64 = w.value("hundredths of a second")?;
                LinkChange::AgeingTime(Duration::from_millis(10).saturating_mul(centiseconds))
            }
            other => return Err(syntax(other, "up, down, mtu, address, master, nomaster or type bridge ageing_time")),
        });
    }
    Ok(Op::LinkSet(dev, changes))
}

fn addr(w: &mut Words<'_>) -> Result<Op, CommandError> {
    let mode = w.mode()?;
    let net = prefix(w.next("an address")?, w.family)?;
    let (mut broadcast, mut dev, mut nodad) = (None, None, false);
    while let Some(option) = w.option() {
        match option {
            "brd" | "broadcast" if w.skip("+") => broadcast = Some(None),
            "brd" | "broadcast" => broadcast = Some(Some(w.value("+ or an address")?)),
            "dev" => dev = Some(w.next("a device")?.to_owned()),
            "nodad" => nodad = true,
            other => return Err(syntax(other, "brd, dev or nodad")),
        }
    }
    let dev = dev.ok_or_else(|| syntax("", "dev"))?;
    Ok(Op::Addr(mode, NewAddr { net, broadcast, dev, nodad }))
}

/// An address or prefix; without a length the whole address; `default` for all of `family`.
fn prefix(word: &str, family: Option<Family>) -> Result<IpNet, CommandError> {
    if word == "default" || word == "all" {
        return Ok(IpNet::new_assert(family.unwrap_or(Family::V4).unspecified(), 0));
    }
    let host = || word.parse::<IpAddr>().ok().map(IpNet::from);
    word.parse().ok().or_else(host).ok_or_else(|| syntax(word, "an address or prefix"))
}

fn table(w: &mut Words<'_>) -> Result<u32, CommandError> {
    let word = w.next("a table")?;
    match word {
        "local" => Ok(TABLE_LOCAL),
        "main" => Ok(TABLE_MAIN),
        "default" => Ok(TABLE_DEFAULT),
        number => number.parse().map_err(|_| syntax(number, "a table")),
    }
}

fn route(w: &mut Words<'_>) -> Result<Op, CommandError> {
    let mode = w.mode()?;
    let mut word = w.next("a destination")?;
    let kind = match word {
        "unicast" => Some(RouteKind::Unicast),
        "local" => Some(RouteKind::Local),
        "broadcast" => Some(RouteKind::Broadcast),
        "anycast" => Some(RouteKind::Anycast),
        "multicast" => Some(RouteKind::Multicast),
        "blackhole" => Some(RouteKind::Blackhole),
        "unreachable" => Some(RouteKind::Unreachable),
        "prohibit" => Some(RouteKind::Prohibit),
        "throw" => Some(RouteKind::Throw),
        _ => None,
    };
    if kind.is_some() {
        word = w.next("a destination")?;
    }
    let kind = kind.unwrap_or(RouteKind::Unicast);
    let dst = prefix(word, w.family)?;
    let table_default = if matches!(kind, RouteKind::Local | RouteKind::Broadcast) { TABLE_LOCAL } else { TABLE_MAIN };
    let mut r = RouteWords {
        dst,
        kind,
        dev: None,
        via: None,
        src: None,
        metric: 0,
        onlink: false,
        mtu: None,
        advmss: None,
        table: table_default,
    };
    while let Some(option) = w.option() {
        match option {
            "via" => r.via = Some(w.value("an address")?),
            "dev" => r.dev = Some(w.next("a device")?.to_owned()),
            "src" => r.src = Some(w.value("an address")?),
            "metric" | "preference" => r.metric = w.value("a number")?,
            "onlink" => r.onlink = true,
            "mtu" => r.mtu = Some(w.value("a number of bytes")?),
            "advmss" => r.advmss = Some(w.value("a number of bytes")?),
            "table" => r.table = table(w)?,
            "scope" | "proto" | "protocol" => drop(w.next("a name")?),
            other => return Err(syntax(other, "via, dev, src, metric, onlink, mtu, advmss, table, scope or proto")),
        }
    }
    // `default` is of the family of its next hop.
    if let Some(via) = r.via.filter(|_| matches!(word, "default" | "all") && w.family.is_none()) {
        r.dst = prefix(word, Some(Family::of(via)))?;
    }
    Ok(Op::Route(mode, r))
}

fn neigh(w: &mut Words<'_>) -> Result<Op, CommandError> {
    let mode = w.mode()?;
    let ip = w.value("an address")?;
    let (mut mac, mut dev, mut state) = (None, None, Nud::Permanent);
    while let Some(option) = w.option() {
        match option {
            "lladdr" => mac = Some(w.value::<MacAddr>("a hardware address")?),
            "dev" => dev = Some(w.next("a device")?.to_owned()),
            "nud" => {
                state = match w.next("a state")? {
                    "permanent" => Nud::Permanent,
                    "reachable" => Nud::Reachable,
                    "stale" => Nud::Stale,
                    "noarp" => Nud::Noarp,
                    other => return Err(syntax(other, "permanent, reachable, stale or noarp")),
                }
            }
            other => return Err(syntax(other, "lladdr, dev or nud")),
        }
    }
    let dev = dev.ok_or_else(|| syntax("", "dev"))?;
    Ok(Op::Neigh { mode, ip, mac, dev, state })
}

fn rule(w: &mut Words<'_>) -> Result<Op, CommandError> {
    let mode = w.mode()?;
    let mut r = PolicyRule::all(w.family.unwrap_or(Family::V4), 32765, TABLE_MAIN);
    let mut iif = None;
    while let Some(option) = w.option() {
        match option {
            "from" => r.from = Some(prefix(w.next("a prefix")?, w.family)?).filter(|n| n.prefix_len() != 0),
            "to" => r.to = Some(prefix(w.next("a prefix")?, w.family)?).filter(|n| n.prefix_len() != 0),
            "fwmark" => r.fwmark = Some(mark(w.next("a mark")?)?),
            "iif" | "dev" => iif = Some(w.next("a device")?.to_owned()),
            "table" | "lookup" => r.table = table(w)?,
            "priority" | "pref" | "prio" => r.priority = w.value("a number")?,
            other => return Err(syntax(other, "from, to, fwmark, iif, table or priority")),
        }
    }
    r.family = r.from.or(r.to).map_or(r.family, |net| Family::of(net.addr()));
    Ok(Op::Rule(mode, r, iif))
}

fn mark(word: &str) -> Result<(u32, u32), CommandError> {
    let number = |s: &str| match s.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => s.parse().ok(),
    };
    let (value, mask) = word.split_once('/').unwrap_or((word, "0xffffffff"));
    number(value).zip(number(mask)).ok_or_else(|| syntax(word, "a mark"))
}

fn fdb(w: &mut Words<'_>) -> Result<Op, CommandError> {
    let mode = w.mode()?;
    let mac = w.value("a hardware address")?;
    let (mut dev, mut dst) = (None, None);
    while let Some(option) = w.option() {
        match option {
            "dev" => dev = Some(w.next("a device")?.to_owned()),
            "dst" => dst = Some(w.value("an address")?),
            "self" | "master" | "permanent" | "static" => {}
            other => return Err(syntax(other, "dev, dst, self, master, permanent or static")),
        }
    }
    let dev = dev.ok_or_else(|| syntax("", "dev"))?;
    Ok(Op::Fdb { mode, mac, dev, dst })
}

fn port(w: &mut Words<'_>) -> Result<Op, CommandError> {
    w.skip("dev");
    let dev = w.next("a device")?.to_owned();
    let mut changes = Vec::new();
    while let Some(option) = w.option() {
        changes.push(match option {
            "hairpin" => LinkChange::Hairpin(w.on_off()?),
            "learning" => LinkChange::Learning(w.on_off()?),
            other => return Err(syntax(other, "hairpin or learning")),
        });
    }
    Ok(Op::LinkSet(dev, changes))
}
