//! Decisions in words.

use std::fmt::{self, Write};

use super::{Asked, Decision, End, Names, Ruled, Translated};
use crate::engine::arena::NetnsId;
use crate::netfilter::conntrack::Dir;
use crate::netfilter::rules::{CtState, Verdict};
use crate::netfilter::text::rule;

impl Decision {
    /// The decision of a netns in words, one line: `POSTROUTING conntrack: confirmed`.
    pub fn words(&self, netns: NetnsId, names: &dyn Names) -> String {
        let mut out = String::new();
        self.write_words(netns, names, &mut out);
        out
    }

    /// As [`Self::words`], at the end of `out`.
    pub(super) fn write_words(&self, netns: NetnsId, names: &dyn Names, out: &mut String) {
        write(out, self, netns, names).expect("a string takes all text");
    }
}

fn write(out: &mut String, decision: &Decision, netns: NetnsId, names: &dyn Names) -> fmt::Result {
    match decision {
        Decision::Tracked(hook, state, dir) => {
            let reply = if *dir == Some(Dir::Reply) { " reply" } else { "" };
            write!(out, "{} conntrack: {}{reply}", hook.chain(), state_name(*state))
        }
        Decision::Ruled(ruled) => write_ruled(out, ruled),
        Decision::Asked(Asked { hook, table, steps }) => write!(out, "{} {table}: {} steps", hook.chain(), steps.len()),
        Decision::Translated(Translated { hook, source, before, after }) => {
            let end = if *source { "source" } else { "destination" };
            write!(out, "{} nat: {end} {before} → {after}", hook.chain())
        }
        Decision::Confirmed(hook) => write!(out, "{} conntrack: confirmed", hook.chain()),
        Decision::Forwarded { dev, via: Some(via) } => {
            write!(out, "route: via {via} dev {}", names.dev_name(netns, *dev))
        }
        Decision::Forwarded { dev, via: None } => write!(out, "route: dev {}", names.dev_name(netns, *dev)),
        Decision::Switched(port) => write!(out, "bridge: to port {}", names.dev_name(netns, *port)),
        Decision::Flooded => out.write_str("bridge: to all ports"),
        Decision::Encapsulated { vni, remote } => write!(out, "vxlan: VNI {vni} to {remote}"),
    }
}

/// A rule that lets pass is named; of others the whole text is shown, as iptables-save prints it.
fn write_ruled(out: &mut String, ruled: &Ruled) -> fmt::Result {
    let Ruled { hook, table, chain, number, verdict, mark } = ruled;
    write!(out, "{} {table} {} ", hook.chain(), chain.name)?;
    match (chain.rules.get(*number as usize), verdict) {
        (Some(_), Verdict::Accept) => write!(out, "rule {}: ACCEPT", number + 1)?,
        (Some(entry), _) => write!(out, "rule {}: {}", number + 1, rule::print(&chain.name, &entry.rule))?,
        (None, Verdict::Accept) => out.write_str("policy: ACCEPT")?,
        (None, _) => out.write_str("policy: DROP")?,
    }
    match mark {
        Some((before, after)) => write!(out, " (mark {before:#x} → {after:#x})"),
        None => Ok(()),
    }
}

/// As `--ctstate` calls it.
const fn state_name(state: CtState) -> &'static str {
    match state {
        CtState::Invalid => "INVALID",
        CtState::New => "NEW",
        CtState::Established => "ESTABLISHED",
        CtState::Related => "RELATED",
        CtState::Untracked => "UNTRACKED",
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => std::net::SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}
