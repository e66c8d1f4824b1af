//! One rule: whom it is about, what it asks, what it does.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use super::matches::Match;
use super::packet::RulePacket;
use super::targets::Action;

/// How many packets and bytes a rule or a policy has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Packets.
    pub packets: u64,
    /// Bytes, from the IP header on.
    pub bytes: u64,
}

impl Counters {
    /// Counts one packet of `bytes` bytes.
    pub fn add(&mut self, bytes: u32) {
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(u64::from(bytes));
    }
}

impl fmt::Display for Counters {
    /// As iptables-save writes them: `[packets:bytes]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}:{}]", self.packets, self.bytes)
    }
}

/// A condition that may be inverted with `!`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cond<T> {
    /// What is asked.
    pub value: T,
    /// Whether the answer is turned round.
    pub invert: bool,
}

impl<T> Cond<T> {
    /// The condition without `!`.
    pub const fn plain(value: T) -> Self {
        Self { value, invert: false }
    }

    /// What the condition says when its value fits (`hit`) or not.
    pub const fn says(&self, hit: bool) -> bool {
        hit != self.invert
    }

    /// `! ` if inverted, for printing before the option.
    pub const fn bang(&self) -> &'static str {
        if self.invert { "! " } else { "" }
    }
}

/// Whether every condition that was given says yes.
pub(crate) fn all_say<T>(cond: &Option<Cond<T>>, hit: impl FnOnce(&T) -> bool) -> bool {
    cond.as_ref().is_none_or(|c| c.says(hit(&c.value)))
}

/// A device name, or with a trailing `+` every name that begins so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DevPattern(Arc<str>);

impl DevPattern {
    /// The pattern written `text`; an error if it cannot be a device name (IFNAMSIZ is 16 with the final zero).
    pub fn new(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("a device name cannot be empty");
        }
        if text.len() > 15 {
            return Err("a device name has at most 15 characters");
        }
        if text.chars().any(|c| c == '/' || c.is_whitespace() || c.is_control()) {
            return Err("a device name has no blank, control character or /");
        }
        Ok(Self(text.into()))
    }

    /// Whether every name is meant: `+`.
    pub fn is_any(&self) -> bool {
        &*self.0 == "+"
    }

    /// Whether `name` is meant; the empty name (no device) is meant only by `+`.
    pub fn covers(&self, name: &str) -> bool {
        match self.0.strip_suffix('+') {
            Some(prefix) => name.starts_with(prefix),
            None => name == &*self.0,
        }
    }
}

impl fmt::Display for DevPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What every rule can ask without an extension (`struct ipt_ip`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selector {
    /// `-s`.
    pub src: Option<Cond<IpNet>>,
    /// `-d`.
    pub dst: Option<Cond<IpNet>>,
    /// `-i`.
    pub in_dev: Option<Cond<DevPattern>>,
    /// `-o`.
    pub out_dev: Option<Cond<DevPattern>>,
    /// `-p`, as protocol number.
    pub proto: Option<Cond<u8>>,
    /// `-f`: second and further fragments.
    pub fragment: Option<Cond<()>>,
}

impl Selector {
    /// Whether the packet fits. One without an upper layer has no protocol, nor another one (net/netfilter/nft_meta.c).
    pub(crate) fn fits(&self, packet: &RulePacket<'_>) -> bool {
        let (ip, in_dev, out_dev) = (&packet.ip, packet.in_dev, packet.out_dev);
        all_say(&self.src, |net| net.contains(&ip.src))
            && all_say(&self.dst, |net| net.contains(&ip.dst))
            && all_say(&self.in_dev, |d| d.covers(in_dev))
            && all_say(&self.out_dev, |d| d.covers(out_dev))
            && self.proto.is_none_or(|c| packet.upper.is_some_and(|(proto, _)| c.says(c.value == proto)))
            && all_say(&self.fragment, |()| ip.frag_offset != 0)
    }

    /// The protocol all packets of this rule have, if `-p` says so without `!`.
    pub fn only_proto(&self) -> Option<u8> {
        self.proto.filter(|p| !p.invert).map(|p| p.value)
    }
}

/// What a rule does with a packet that fits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// Ends the hook's walk through this table: the packet goes on.
    Accept,
    /// The packet ends here.
    Drop,
    /// Back to the rule after the jump that led here; in a built-in chain, to its policy.
    Return,
    /// To the chain of this name, and back at its end (`-j`).
    Jump(Arc<str>),
    /// To the chain of this name; its end returns to the last jump instead of to here (`-g`).
    Goto(Arc<str>),
    /// An extension.
    Action(Action),
}

/// One rule.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rule {
    /// Conditions every rule can have.
    pub selector: Selector,
    /// Further conditions, asked in this order.
    pub matches: Vec<Match>,
    /// What happens to a packet that fits; `None` only counts it.
    pub target: Option<Target>,
    /// What the rule's counters start from (`struct ipt_entry`); the live ones are in [`super::RuleState`].
    pub counters: Counters,
}

impl Rule {
    /// Whether it is about every packet (`unconditional`, net/ipv4/netfilter/ip_tables.c).
    pub fn is_unconditional(&self) -> bool {
        self.matches.is_empty() && self.selector == Selector::default()
    }

    /// Whether both say the same; what they have counted does not matter.
    pub fn same(&self, other: &Self) -> bool {
        self.selector == other.selector && self.matches == other.matches && self.target == other.target
    }

    /// The chain it leads to, if any.
    pub fn leads_to(&self) -> Option<&Arc<str>> {
        match &self.target {
            Some(Target::Jump(chain) | Target::Goto(chain)) => Some(chain),
            _ => None,
        }
    }

    /// Whether it cannot be asked without connection tracking.
    pub fn needs_conntrack(&self) -> bool {
        self.matches.iter().any(Match::needs_conntrack)
            || matches!(&self.target, Some(Target::Action(action)) if action.needs_conntrack())
    }

    /// The ipsets it names.
    pub(crate) fn sets(&self) -> impl Iterator<Item = &Arc<str>> {
        let asked =
            self.matches.iter().filter_map(|m| if let Match::Set(set) = m { set.wanted.as_ref() } else { None });
        let target = match &self.target {
            Some(Target::Action(Action::Set(set))) => Some(set),
            _ => None,
        };
        let changed = target.into_iter().flat_map(|set| set.add.iter().chain(&set.del));
        asked.map(|(name, ..)| name).chain(changed.map(|(name, _)| name))
    }
}
