//! `-m conntrack` (net/netfilter/xt_conntrack.c, `conntrack_mt`).

use std::fmt;

use ipnet::IpNet;

use super::ports::Ports;
use super::{Answer, Kind, Question};
use crate::netfilter::conntrack::{Dir, Status};
use crate::netfilter::rules::packet::{CtFacts, CtState};
use crate::netfilter::rules::rule::{Cond, all_say};
use crate::netfilter::text::rule::{network, protocol};
use crate::netfilter::text::{Given, TextError, number};

/// A set of connection states, and of the two kinds of NAT that `--ctstate` lists among them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CtStates(u8);

/// The states in the order they are printed (extensions/libxt_conntrack.c, `print_state`).
const STATES: [&str; 7] = ["INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT"];

impl CtStates {
    /// Reads `NEW,ESTABLISHED`, of the first `known` states.
    pub(super) fn read(text: &str, known: usize) -> Result<Self, String> {
        let known = &STATES[..known];
        names(text, known, "state").map(|bits| Self(bits as u8))
    }

    /// Whether the packet's state is one of these; with `nat`, also whether its connection is translated so.
    pub(super) fn fit(self, ct: &CtFacts<'_>) -> bool {
        let state = match ct.state {
            CtState::Invalid => 0,
            CtState::New => 1,
            CtState::Related => 2,
            CtState::Established => 3,
            CtState::Untracked => 4,
        };
        let has = |bit| u8::from(ct.flow.is_some_and(|(entry, _)| entry.status.has(bit)));
        let nat = has(Status::SRC_NAT) << 5 | has(Status::DST_NAT) << 6;
        self.0 & (1 << state | nat) != 0
    }
}

impl fmt::Display for CtStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&listed(u32::from(self.0), &STATES))
    }
}

/// Status bits in the order they are printed. Nothing is EXPECTED here: no helper opens a second connection.
const STATUS: [&str; 4] = ["EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED"];

/// A set of status bits, one for each of [`STATUS`]; an empty one is printed as NONE and fits nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct CtStatus(u8);

impl CtStatus {
    fn read(text: &str) -> Result<Self, String> {
        if text == "NONE" { Ok(Self(0)) } else { names(text, &STATUS, "status").map(|bits| Self(bits as u8)) }
    }

    fn fit(self, status: Status) -> bool {
        let bits = [Status::SEEN_REPLY, Status::ASSURED, Status::CONFIRMED];
        bits.into_iter().enumerate().any(|(i, bit)| self.0 & 2 << i != 0 && status.has(bit))
    }
}

impl fmt::Display for CtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("NONE") } else { f.write_str(&listed(u32::from(self.0), &STATUS)) }
    }
}

/// The bits of the names in a list.
fn names(text: &str, known: &[&str], what: &str) -> Result<u32, String> {
    text.split(',').try_fold(0, |bits, name| match known.iter().position(|k| k.eq_ignore_ascii_case(name)) {
        Some(i) => Ok(bits | 1 << i),
        None => Err(format!("unknown connection {what} {name:?}: {} are known", known.join(", "))),
    })
}

fn listed(bits: u32, known: &[&str]) -> String {
    let names: Vec<_> = known.iter().enumerate().filter(|(i, _)| bits & 1 << i != 0).map(|(_, n)| *n).collect();
    names.join(",")
}

/// A range of seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seconds {
    min: u32,
    max: u32,
}

impl Seconds {
    fn read(text: &str) -> Result<Self, String> {
        let (min, max) = text.split_once(':').unwrap_or((text, text));
        let read = |text| number(text, u64::from(u32::MAX)).map(|n| n as u32);
        match (read(min), read(max)) {
            (Some(min), Some(max)) if min <= max => Ok(Self { min, max }),
            _ => Err(format!("invalid time {text:?}: seconds, or a range FIRST:LAST, are expected")),
        }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.min)?;
        if self.max != self.min {
            write!(f, ":{}", self.max)?;
        }
        Ok(())
    }
}

/// What is asked; boxed, because few rules ask more than the state.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Asked {
    states: Option<Cond<CtStates>>,
    proto: Option<Cond<u8>>,
    /// Original source and destination, reply source and destination.
    nets: [Option<Cond<IpNet>>; 4],
    ports: [Option<Cond<Ports>>; 4],
    status: Option<Cond<CtStatus>>,
    expire: Option<Cond<Seconds>>,
    dir: Option<Dir>,
}

const NETS: [&str; 4] = ["--ctorigsrc", "--ctorigdst", "--ctreplsrc", "--ctrepldst"];
const PORTS: [&str; 4] = ["--ctorigsrcport", "--ctorigdstport", "--ctreplsrcport", "--ctrepldstport"];

/// What conntrack knows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Conntrack(Box<Asked>);

impl Kind for Conntrack {
    const NAME: &'static str = "conntrack";
    const NEEDS_CONNTRACK: bool = true;

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        let asked = &mut *self.0;
        match given.name() {
            "--ctstate" => asked.states = Some(given.cond(|text| CtStates::read(text, STATES.len()))?),
            "--ctproto" => asked.proto = Some(given.cond(protocol)?),
            "--ctstatus" => asked.status = Some(given.cond(CtStatus::read)?),
            "--ctexpire" => asked.expire = Some(given.cond(Seconds::read)?),
            "--ctdir" => {
                asked.dir = Some(given.value(|text| match text.to_ascii_uppercase().as_str() {
                    "ORIGINAL" => Ok(Dir::Orig),
                    "REPLY" => Ok(Dir::Reply),
                    _ => Err(format!("unknown direction {text:?}: ORIGINAL or REPLY is expected")),
                })?);
            }
            name => {
                if let Some(i) = NETS.iter().position(|n| *n == name) {
                    let family = given.family();
                    asked.nets[i] = Some(given.cond(|text| network(family, text))?);
                } else if let Some(i) = PORTS.iter().position(|n| *n == name) {
                    asked.ports[i] = Some(given.cond(Ports::read)?);
                } else {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        if *self.0 == Asked::default() {
            return Err("at least one option is required".into());
        }
        Ok(())
    }

    fn asks(&self, question: &mut Question<'_, '_>) -> Answer {
        let (asked, ct) = (&*self.0, &question.packet.ct);
        if !all_say(&asked.states, |s| s.fit(ct)) {
            return Answer::No;
        }
        // Without an entry nothing else can be said: the state decides alone, whatever else is asked.
        let Some((entry, dir)) = &ct.flow else { return asked.states.is_some().into() };
        let (o, r) = (&entry.orig, &entry.reply);
        let ports = [o.src_key(), o.dst_key(), r.src_key(), r.dst_key()];
        let fit = asked.dir.is_none_or(|d| d == *dir)
            && all_say(&asked.proto, |&p| p == o.proto)
            && asked.nets.iter().zip([o.src, o.dst, r.src, r.dst]).all(|(c, a)| all_say(c, |net| net.contains(&a)))
            && asked.ports.iter().zip(ports).all(|(c, p)| all_say(c, |x| x.has(p)))
            && all_say(&asked.status, |s| s.fit(entry.status))
            && all_say(&asked.expire, |s| {
                let seconds = entry.expires_in(question.packet.now).as_secs();
                u64::from(s.min) <= seconds && seconds <= u64::from(s.max)
            });
        fit.into()
    }
}

impl fmt::Display for Conntrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn one<T: fmt::Display>(f: &mut fmt::Formatter<'_>, name: &str, cond: &Option<Cond<T>>) -> fmt::Result {
            cond.as_ref().map_or(Ok(()), |c| write!(f, " {}{name} {}", c.bang(), c.value))
        }
        let asked = &*self.0;
        one(f, "--ctstate", &asked.states)?;
        one(f, "--ctproto", &asked.proto)?;
        for (name, net) in NETS.iter().zip(&asked.nets) {
            one(f, name, &net.map(|c| Cond { value: bare(c.value), invert: c.invert }))?;
        }
        for (name, ports) in PORTS.iter().zip(&asked.ports) {
            one(f, name, ports)?;
        }
        one(f, "--ctstatus", &asked.status)?;
        one(f, "--ctexpire", &asked.expire)?;
        match asked.dir {
            Some(Dir::Orig) => f.write_str(" --ctdir ORIGINAL"),
            Some(Dir::Reply) => f.write_str(" --ctdir REPLY"),
            None => Ok(()),
        }
    }
}

/// A network as this match prints it: one address without its length.
fn bare(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}
