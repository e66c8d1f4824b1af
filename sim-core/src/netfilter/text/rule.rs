//! One rule as text: everything after `-A CHAIN`.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::words::{Given, Words};
use super::{TextError, number};
use crate::netfilter::rules::matches::{self, Match};
use crate::netfilter::rules::rule::{Cond, Counters, DevPattern, Rule, Selector, Target};
use crate::netfilter::rules::targets::Action;
use crate::wire::ip::{Family, ICMP, ICMPV6, MOBILITY, SCTP, TCP, UDP};

/// Most rules one line may become (`-s` and `-d` take lists).
const MAX_RULES_PER_LINE: usize = 4096;

/// Protocols by name: those of libxtables (`xtables_chain_protos`) and the usual ones of /etc/protocols.
const PROTOCOLS: [(&str, u8); 18] = [
    ("tcp", TCP),
    ("udp", UDP),
    ("icmp", ICMP),
    ("sctp", SCTP),
    ("udplite", 136),
    ("dccp", 33),
    ("esp", 50),
    ("ah", 51),
    ("gre", 47),
    ("igmp", 2),
    ("ospf", 89),
    ("ipv6-icmp", ICMPV6),
    ("icmpv6", ICMPV6),
    ("vrrp", 112),
    ("ipv6", 41),
    ("mobility-header", MOBILITY),
    ("ipv6-mh", MOBILITY),
    ("mh", MOBILITY),
];

/// Targets of iptables that are not here; any other unknown name is that of a chain.
const OTHER_TARGETS: [&str; 23] = [
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CLUSTERIP",
    "CONNSECMARK",
    "DNPT",
    "ECN",
    "IDLETIMER",
    "LED",
    "MIRROR",
    "NFQUEUE",
    "QUEUE",
    "RATEEST",
    "SAME",
    "SECMARK",
    "SNPT",
    "SYNPROXY",
    "TARPIT",
    "TCPOPTSTRIP",
    "TEE",
    "TOS",
    "TPROXY",
    "ULOG",
];

/// A protocol by name or number; 0 is every protocol.
pub(crate) fn protocol(text: &str) -> Result<u8, String> {
    if text.eq_ignore_ascii_case("all") {
        return Ok(0);
    }
    let named = PROTOCOLS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|&(_, n)| n);
    named
        .or_else(|| number(text, 255).map(|n| n as u8))
        .ok_or_else(|| format!("unknown protocol {text:?}: a name such as tcp, or a number from 0 to 255, is expected"))
}

/// The name of a protocol, or its number.
pub(crate) fn protocol_name(proto: u8) -> String {
    PROTOCOLS.iter().find(|(_, n)| *n == proto).map_or_else(|| proto.to_string(), |(name, _)| (*name).to_owned())
}

/// A network: `10.0.0.1`, `10.0.0.0/8` or `10.0.0.0/255.0.0.0`, `fd00::/8`; bits outside the mask are cleared.
pub(crate) fn network(family: Family, text: &str) -> Result<IpNet, String> {
    let (addr, mask) = text.split_once('/').map_or((text, None), |(a, m)| (a, Some(m)));
    let foreign = || match family {
        Family::V4 => format!("{text:?} is an IPv6 address in IPv4 rules"),
        Family::V6 => format!("{text:?} is an IPv4 address in IPv6 rules"),
    };
    let addr: IpAddr = match (addr.parse::<IpAddr>(), family) {
        (Ok(addr), _) if Family::of(addr) == family => addr,
        (Ok(_), _) => return Err(foreign()),
        (Err(_), Family::V4) => abbreviated(addr).ok_or_else(|| not_numeric(text))?.into(),
        (Err(_), Family::V6) => return Err(not_numeric(text)),
    };
    let most = IpNet::from(addr).max_prefix_len();
    let len = match mask {
        None => Some(most),
        Some(mask) => match mask.parse::<IpAddr>() {
            Ok(mask) if Family::of(mask) == family => match ipnet::ip_mask_to_prefix(mask) {
                Ok(len) => Some(len),
                Err(_) => return Err(format!("mask {mask} has holes: only a length such as /24 is supported")),
            },
            Ok(_) => return Err(foreign()),
            Err(_) => number(mask, u64::from(most)).map(|n| n as u8),
        },
    };
    let net = len.and_then(|len| IpNet::new(addr, len).ok());
    net.map(|net| net.trunc()).ok_or_else(|| format!("invalid mask {:?} specified", mask.unwrap_or_default()))
}

fn not_numeric(text: &str) -> String {
    format!("host/network {text:?} not found: only numeric addresses can be used")
}

/// `10` or `10.1` for 10.0.0.0 and 10.1.0.0 (libxtables, `ip_parse_any` through `xtables_numeric_to_ipaddr`).
fn abbreviated(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let parts: Vec<_> = text.split('.').collect();
    if parts.len() > 4 {
        return None;
    }
    for (octet, part) in octets.iter_mut().zip(&parts) {
        *octet = part.parse().ok()?;
    }
    Some(octets.into())
}

/// An extension of the rule being read, and the options it was given.
struct Loaded {
    extension: Extension,
    column: u32,
    given: Vec<String>,
}

enum Extension {
    Match(Match),
    Action(Action),
}

impl Extension {
    fn name(&self) -> &'static str {
        match self {
            Self::Match(m) => m.name(),
            Self::Action(a) => a.name(),
        }
    }

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        match self {
            Self::Match(m) => m.option(given),
            Self::Action(a) => a.option(given),
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        match self {
            Self::Match(m) => m.finish(),
            Self::Action(a) => a.finish(),
        }
    }
}

/// A rule being read.
#[derive(Default)]
struct Draft {
    selector: Selector,
    sources: Option<Cond<Vec<IpNet>>>,
    destinations: Option<Cond<Vec<IpNet>>>,
    loaded: Vec<Loaded>,
    target: Option<Target>,
    has_target: bool,
    counters: Counters,
}

/// Reads what stands after `-A CHAIN`: one rule, or several if `-s` or `-d` lists addresses.
pub fn parse_rule(family: Family, text: &str) -> Result<Vec<Rule>, TextError> {
    parse(&mut Words::split(family, 1, text)?, Counters::default())
}

/// Reads the rest of a line: one rule, or several if `-s` or `-d` lists addresses.
pub(crate) fn parse(words: &mut Words, counters: Counters) -> Result<Vec<Rule>, TextError> {
    let mut draft = Draft { counters, ..Draft::default() };
    let mut bang: Option<u32> = None;
    while let Some(word) = words.next() {
        let (text, column, quoted) = (word.text.clone(), word.column, word.quoted);
        if text == "!" && !quoted {
            if bang.replace(column).is_some() {
                return Err(words.fail(column, "multiple consecutive ! not allowed"));
            }
            continue;
        }
        if quoted || !text.starts_with('-') || text.len() < 2 {
            return Err(words.fail(column, format!("bad argument {text:?}: an option is expected here")));
        }
        let name = match text.split_once('=') {
            Some((name, value)) if name.starts_with("--") => {
                words.push_back(value, column + name.chars().count() as u32 + 1);
                name
            }
            _ => &text,
        };
        let mut given = Given::new(words, name, column, bang.take().is_some());
        if !draft.own_option(&mut given)? && !draft.extension_option(&mut given)? {
            return Err(draft.unknown(&given));
        }
        given.done()?;
    }
    if let Some(column) = bang {
        return Err(words.fail(column, "nothing follows this !"));
    }
    draft.finish(words)
}

/// Stores a condition that can be given once.
fn once<T>(slot: &mut Option<T>, value: T, given: &Given<'_, '_>) -> Result<(), TextError> {
    match slot.replace(value) {
        Some(_) => Err(given.fail(format!("multiple {} flags not allowed", given.name()))),
        None => Ok(()),
    }
}

impl Draft {
    /// Options that every rule has.
    fn own_option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        let dev = |text: &str| DevPattern::new(text).map_err(str::to_owned);
        let family = given.family();
        let networks = |text: &str| text.split(',').map(|text| network(family, text)).collect::<Result<Vec<_>, _>>();
        match given.name() {
            "-s" | "--source" | "--src" => {
                let cond = given.cond(networks)?;
                once(&mut self.sources, cond, given)?;
            }
            "-d" | "--destination" | "--dst" => {
                let cond = given.cond(networks)?;
                once(&mut self.destinations, cond, given)?;
            }
            "-i" | "--in-interface" => {
                let cond = given.cond(dev)?;
                once(&mut self.selector.in_dev, cond, given)?;
            }
            "-o" | "--out-interface" => {
                let cond = given.cond(dev)?;
                once(&mut self.selector.out_dev, cond, given)?;
            }
            "-p" | "--protocol" | "--proto" => {
                let cond = given.cond(protocol)?;
                if cond.value == 0 && cond.invert {
                    return Err(given.fail("rule would never match protocol"));
                }
                once(&mut self.selector.proto, cond, given)?;
            }
            "-f" | "--fragment" | "--fragments" if family == Family::V4 => {
                let cond = Cond { value: (), invert: given.bang() };
                once(&mut self.selector.fragment, cond, given)?;
            }
            "-c" | "--set-counters" => {
                let packets = given.number(u64::MAX)?;
                self.counters = Counters { packets, bytes: given.number(u64::MAX)? };
            }
            "-m" | "--match" => self.load_match(given)?,
            "-j" | "--jump" => self.set_target(given, false)?,
            "-g" | "--goto" => self.set_target(given, true)?,
            "-t" | "--table" => return Err(given.fail("the table is the one of the * line above")),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn load_match(&mut self, given: &mut Given<'_, '_>) -> Result<(), TextError> {
        let family = given.family();
        let found = given.value(|name| {
            let known = || format!("match {name:?} is not supported: {}", Match::NAMES.join(", "));
            Match::named(name, family).ok_or_else(known)
        })?;
        self.load(Extension::Match(found), given);
        Ok(())
    }

    fn load(&mut self, extension: Extension, given: &Given<'_, '_>) {
        self.loaded.push(Loaded { extension, column: given.column(), given: Vec::new() });
    }

    fn set_target(&mut self, given: &mut Given<'_, '_>, goto: bool) -> Result<(), TextError> {
        if self.has_target {
            return Err(given.fail(format!("multiple {} flags not allowed", given.name())));
        }
        self.has_target = true;
        let family = given.family();
        let name = given.value(|name| {
            let of_other_family = Action::NAMES.contains(&name) && Action::named(name, family).is_none();
            if !goto && (of_other_family || OTHER_TARGETS.contains(&name)) {
                let known = Action::NAMES.join(", ");
                return Err(format!("target {name:?} is not supported: ACCEPT, DROP, RETURN, a chain, {known}"));
            }
            chain_name(name).map(str::to_owned)
        })?;
        self.target = match (name.as_str(), Action::named(&name, given.family())) {
            _ if goto => Some(Target::Goto(name.into())),
            ("ACCEPT", _) => Some(Target::Accept),
            ("DROP", _) => Some(Target::Drop),
            ("RETURN", _) => Some(Target::Return),
            (_, Some(action)) => {
                self.load(Extension::Action(action), given);
                None
            }
            _ => Some(Target::Jump(name.into())),
        };
        Ok(())
    }

    /// Offers an option to the extensions, the latest first, then to the one that `-p` brings along.
    fn extension_option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        for loaded in self.loaded.iter_mut().rev() {
            if loaded.option(given)? {
                return Ok(true);
            }
        }
        let Some(implied) = self.selector.only_proto().and_then(|proto| matches::implied_by(proto, given.family()))
        else {
            return Ok(false);
        };
        if self.loaded.iter().any(|l| l.extension.name() == implied.name()) {
            return Ok(false);
        }
        let mut loaded = Loaded { extension: Extension::Match(implied), column: given.column(), given: Vec::new() };
        let taken = loaded.option(given)?;
        if taken {
            self.loaded.push(loaded);
        }
        Ok(taken)
    }

    fn unknown(&self, given: &Given<'_, '_>) -> TextError {
        let names: Vec<_> = self.loaded.iter().map(|l| l.extension.name()).collect();
        let error = given.fail(format!("unknown option {:?}", given.name()));
        match names.as_slice() {
            [] => error.with_help("options of a match come after its -m, or after the -p that brings it along"),
            names => error.with_help(format!("neither a rule nor {} knows it", names.join(", "))),
        }
    }

    fn finish(self, words: &Words) -> Result<Vec<Rule>, TextError> {
        let mut rule =
            Rule { selector: self.selector, target: self.target, counters: self.counters, ..Rule::default() };
        // -p all and -i + ask nothing.
        rule.selector.proto = rule.selector.proto.filter(|p| p.value != 0);
        for dev in [&mut rule.selector.in_dev, &mut rule.selector.out_dev] {
            *dev = dev.take().filter(|d| d.invert || !d.value.is_any());
        }
        for mut loaded in self.loaded {
            let name = loaded.extension.name();
            loaded.extension.finish().map_err(|why| words.fail(loaded.column, format!("{name}: {why}")))?;
            match loaded.extension {
                Extension::Match(m) => rule.matches.push(m),
                Extension::Action(a) => rule.target = Some(Target::Action(a)),
            }
        }
        let sources = choices(self.sources, words)?;
        let destinations = choices(self.destinations, words)?;
        if sources.len() * destinations.len() > MAX_RULES_PER_LINE {
            return Err(words.fail(1, format!("the lists of -s and -d make more than {MAX_RULES_PER_LINE} rules")));
        }
        let pairs = sources.iter().flat_map(|s| destinations.iter().map(move |d| (*s, *d)));
        Ok(pairs
            .map(|(src, dst)| Rule { selector: Selector { src, dst, ..rule.selector.clone() }, ..rule.clone() })
            .collect())
    }
}

impl Loaded {
    /// Offers an option; one that was taken before is an error.
    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        let name = given.name();
        if self.given.iter().any(|g| g == name) {
            return Err(given.fail(format!("{}: option {name:?} can only be used once", self.extension.name())));
        }
        let taken = self.extension.option(given)?;
        if taken {
            self.given.push(name.to_owned());
        }
        Ok(taken)
    }
}

/// The conditions that a list of networks becomes, one rule each.
fn choices(list: Option<Cond<Vec<IpNet>>>, words: &Words) -> Result<Vec<Option<Cond<IpNet>>>, TextError> {
    let Some(Cond { value, invert }) = list else { return Ok(vec![None]) };
    if invert && value.len() > 1 {
        return Err(words.fail(1, "! not allowed with multiple source or destination IP addresses"));
    }
    let all = |net: &IpNet| net.prefix_len() == 0;
    if invert && value.iter().any(all) {
        return Err(words.fail(1, "! before every address: no packet would ever fit"));
    }
    Ok(value.into_iter().map(|net| Some(Cond { value: net, invert }).filter(|c| !all(&c.value))).collect())
}

/// A name of a chain, or why it cannot be one.
pub(crate) fn chain_name(name: &str) -> Result<&str, String> {
    if name.is_empty() || name.len() > 28 {
        return Err(format!("chain name {name:?} must have 1 to 28 characters"));
    }
    if name.starts_with(['-', '!', '"']) || name.bytes().any(|b| !b.is_ascii_graphic() || b == b'"') {
        return Err(format!("chain name {name:?} must not begin with - or !, nor hold blanks or quotes"));
    }
    Ok(name)
}

/// The line of iptables-save for a rule, without counters: `-A CHAIN …`.
pub fn print(chain: &str, rule: &Rule) -> String {
    let mut line = format!("-A {chain}");
    let s = &rule.selector;
    // Writing to a string never fails.
    let mut add = |text: std::fmt::Arguments<'_>| line.write_fmt(text).expect("a string takes all text");
    for (cond, option) in [(&s.src, "-s"), (&s.dst, "-d")] {
        if let Some(c) = cond {
            add(format_args!(" {}{option} {}", c.bang(), c.value));
        }
    }
    for (cond, option) in [(&s.in_dev, "-i"), (&s.out_dev, "-o")] {
        if let Some(c) = cond {
            add(format_args!(" {}{option} {}", c.bang(), c.value));
        }
    }
    if let Some(c) = &s.proto {
        add(format_args!(" {}-p {}", c.bang(), protocol_name(c.value)));
    }
    if let Some(c) = &s.fragment {
        add(format_args!(" {}-f", c.bang()));
    }
    for m in &rule.matches {
        add(format_args!(" {m}"));
    }
    match &rule.target {
        None => {}
        Some(Target::Accept) => add(format_args!(" -j ACCEPT")),
        Some(Target::Drop) => add(format_args!(" -j DROP")),
        Some(Target::Return) => add(format_args!(" -j RETURN")),
        Some(Target::Jump(chain)) => add(format_args!(" -j {chain}")),
        Some(Target::Goto(chain)) => add(format_args!(" -g {chain}")),
        Some(Target::Action(action)) => add(format_args!(" -j {action}")),
    }
    line
}
