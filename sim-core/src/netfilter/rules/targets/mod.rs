//! The targets that are not a plain verdict or jump: one file each, and one line here.

use std::fmt;

use super::evaluate::Verdict;
use super::packet::RulePacket;
use super::rule::Selector;
use super::table::TableName;
use crate::netfilter::hooks::Hook;
use crate::netfilter::text::{Given, TextError};
use crate::wire::ip::Family;

pub mod connmark;
pub mod ct;
pub mod dscp;
pub mod hl;
pub mod hmark;
pub mod log;
pub mod mark;
pub mod nat;
pub mod nflog;
pub mod notrack;
pub mod reject;
pub mod set;
pub mod tcpmss;
pub mod trace;
pub mod ttl;

/// What a target file supplies: its name, its options, its effect. Printing is its `Display`, each option
/// with a blank before it, in the order iptables-save writes them.
pub(crate) trait Kind: Default + fmt::Display {
    /// The name after `-j`.
    const NAME: &'static str;
    /// Whose rules alone may use it; `None`: those of both.
    const FAMILY: Option<Family> = None;
    /// The tables it can be used in (`xt_target.table`); empty is all of them.
    const TABLES: &'static [TableName] = &[];
    /// The hooks its chain may be called from (`xt_target.hooks`).
    const HOOKS: &'static [Hook] = &Hook::ALL;
    /// What it is in rules of a family before any of its options.
    fn of(_: Family) -> Self {
        Self::default()
    }
    /// Whether conntrack must run for it.
    fn needs_conntrack(&self) -> bool {
        false
    }
    /// Why it can only be used in some rules; `Ok` if it can be used in this one.
    fn check(&self, _rule: &RuleFacts<'_>) -> Result<(), String> {
        Ok(())
    }
    /// Takes the option if it is one of its own.
    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError>;
    /// After the last option: what is missing.
    fn finish(&mut self) -> Result<(), String> {
        Ok(())
    }
    /// Acts on the packet; `None` goes on with the next rule.
    fn act(&self, packet: &mut RulePacket<'_>) -> Option<Verdict>;
}

/// What a target may ask about its rule before it is used.
pub(crate) struct RuleFacts<'r> {
    pub(crate) selector: &'r Selector,
    pub(crate) matches: &'r [super::matches::Match],
    pub(crate) hooks: &'r [Hook],
}

macro_rules! register {
    ($($(#[$doc:meta])* $kind:ident($path:path),)*) => {
        /// A target that is an extension.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Action { $($(#[$doc])* $kind($path),)* }

        impl Action {
            /// The names of all such targets.
            pub const NAMES: &'static [&'static str] = &[$(<$path>::NAME),*];

            /// The name after `-j`.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$kind(_) => <$path>::NAME,)* }
            }

            /// The target called `name` in rules of a family, before any of its options.
            pub(crate) fn named(name: &str, family: Family) -> Option<Self> {
                $(if name == <$path>::NAME && <$path>::FAMILY.is_none_or(|only| only == family) {
                    return Some(Self::$kind(<$path>::of(family)));
                })*
                None
            }

            /// The tables it can be used in; empty is all of them.
            pub(crate) fn tables(&self) -> &'static [TableName] {
                match self { $(Self::$kind(_) => <$path>::TABLES,)* }
            }

            /// The hooks its chain may be called from.
            pub(crate) fn hooks(&self) -> &'static [Hook] {
                match self { $(Self::$kind(_) => <$path>::HOOKS,)* }
            }

            /// Whether conntrack must run for it.
            pub fn needs_conntrack(&self) -> bool {
                match self { $(Self::$kind(t) => t.needs_conntrack(),)* }
            }

            pub(crate) fn check(&self, rule: &RuleFacts<'_>) -> Result<(), String> {
                match self { $(Self::$kind(t) => t.check(rule),)* }
            }

            pub(crate) fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
                match self { $(Self::$kind(t) => t.option(given),)* }
            }

            pub(crate) fn finish(&mut self) -> Result<(), String> {
                match self { $(Self::$kind(t) => t.finish(),)* }
            }

            pub(crate) fn act(&self, packet: &mut RulePacket<'_>) -> Option<Verdict> {
                match self { $(Self::$kind(t) => t.act(packet),)* }
            }
        }

        impl fmt::Display for Action {
            /// As iptables-save writes it after `-j`.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$kind(t) => write!(f, "{}{t}", <$path>::NAME),)* }
            }
        }
    };
}

register! {
    /// Changes the connection's mark, or copies it.
    Connmark(connmark::Connmark),
    /// Tells conntrack how to treat the packet.
    Ct(ct::Ct),
    /// Another destination.
    Dnat(nat::Dnat),
    /// Changes the differentiated services code point.
    Dscp(dscp::Dscp),
    /// Changes the hop limit.
    Hl(hl::Hl),
    /// A hash of the flow as the packet's mark.
    Hmark(hmark::Hmark),
    /// Counts, where the kernel would log.
    Log(log::Log),
    /// Changes the packet's mark.
    Mark(mark::Mark),
    /// The leaving device's address as source.
    Masquerade(nat::Masquerade),
    /// The same host of another network.
    Netmap(nat::Netmap),
    /// Counts, where the kernel would log to a socket.
    Nflog(nflog::Nflog),
    /// The older spelling of `CT --notrack`.
    Notrack(notrack::Notrack),
    /// This host as destination.
    Redirect(nat::Redirect),
    /// Ends here, and tells the sender.
    Reject(reject::Reject),
    /// Changes a set.
    Set(set::Set),
    /// Another source.
    Snat(nat::Snat),
    /// Changes the MSS option of a SYN.
    Tcpmss(tcpmss::Tcpmss),
    /// Traces the packet from here on.
    Trace(trace::Trace),
    /// Changes the time to live.
    Ttl(ttl::Ttl),
}
