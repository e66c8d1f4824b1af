//! The words people know, answered by a netns: `ip`, `bridge`, `ipset`, `iptables`, `conntrack`, `ss`, `sysctl`.
//!
//! [`exec`] carries out one command in one netns and answers as the tool would: iproute2 6.1, iptables 1.8.9
//! (nf_tables), ipset 7.17, conntrack 1.4.7, procps 4.0, less blanks at the end of lines. It is the one interpreter: the reference
//! lab's specs use it, and a [`session::Session`], in which time passes too (`ping`, `nc`, `run 5s`) and the cluster
//! answers (`kubectl get`, `ls`).
//!
//! One tool is one file and one line of `TOOLS`.

mod bridge;
mod conntrack;
mod ip;
mod ipset;
mod iptables;
mod kubectl;
mod line;
mod nc;
mod probe;
pub mod session;
mod ss;
mod sysctl;

use sim_core::engine::arena::NetnsId;
use sim_core::wire::ip::Family;
use sim_core::world::{RulesOf, World};

/// What a command printed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Output {
    /// Its exit status.
    pub status: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// Success, with these lines.
    fn lines(lines: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        Self { stdout: join(lines), ..Self::default() }
    }

    /// A refusal in the words of the tool.
    fn refused(status: i32, message: impl AsRef<str>) -> Self {
        Self { status, stderr: join([message]), ..Self::default() }
    }

    /// The same with a remark on standard error.
    fn remark(mut self, line: impl AsRef<str>) -> Self {
        self.stderr += &join([line]);
        self
    }
}

fn join(lines: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    lines.into_iter().fold(String::new(), |text, line| text + line.as_ref() + "\n")
}

/// Words that are not understood. The real tool may well know them.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what}\n  understood: {understood}")]
pub struct NotUnderstood {
    /// What is wrong.
    pub what: String,
    /// What would be understood there.
    pub understood: String,
}

impl NotUnderstood {
    /// This word is not understood; these would be.
    fn word(word: &str, understood: &str) -> Self {
        let what =
            if word.is_empty() { "a word is missing at the end".to_owned() } else { format!("not understood: {word}") };
        Self { what, understood: understood.to_owned() }
    }
}

/// What a tool answers.
type Answer = Result<Output, NotUnderstood>;

/// A tool that looks at one netns, or changes it, in no time.
struct Tool {
    name: &'static str,
    /// How it is used, for `help`.
    usage: &'static [&'static str],
    run: fn(&mut World, NetnsId, &[&str]) -> Answer,
}

/// All of them.
const TOOLS: [Tool; 12] = [
    Tool { name: "ip", usage: ip::USAGE, run: ip::run },
    Tool { name: "bridge", usage: bridge::USAGE, run: bridge::run },
    Tool { name: "ipset", usage: ipset::USAGE, run: ipset::run },
    Tool {
        name: "iptables",
        usage: iptables::USAGE,
        run: |world, netns, words| iptables::run(world, netns.into(), words),
    },
    Tool { name: "ip6tables", usage: &[], run: |world, netns, words| iptables::run(world, of_v6(netns), words) },
    Tool {
        name: "iptables-save",
        usage: iptables::SAVE_USAGE,
        run: |world, netns, words| iptables::save(world, netns.into(), words),
    },
    Tool { name: "ip6tables-save", usage: &[], run: |world, netns, words| iptables::save(world, of_v6(netns), words) },
    Tool { name: "conntrack", usage: conntrack::USAGE, run: conntrack::run },
    Tool { name: "ss", usage: ss::USAGE, run: ss::run },
    Tool { name: "nstat", usage: ss::COUNTERS_USAGE, run: ss::counters },
    Tool { name: "sysctl", usage: sysctl::USAGE, run: sysctl::run },
    Tool { name: "cat", usage: sysctl::CAT_USAGE, run: sysctl::cat },
];

/// The ip6tables of a netns.
const fn of_v6(netns: NetnsId) -> RulesOf {
    RulesOf { netns, family: Family::V6 }
}

/// Carries out a command inside `netns`.
///
/// # Errors
/// Words that are not understood; nothing is changed then.
pub fn exec(world: &mut World, netns: NetnsId, words: &[&str]) -> Answer {
    let (name, words) = words.split_first().unwrap_or((&"", &[]));
    match TOOLS.iter().find(|tool| tool.name == *name) {
        Some(tool) => (tool.run)(world, netns, words),
        None => Err(NotUnderstood::word(name, &TOOLS.map(|tool| tool.name).join(", "))),
    }
}

#[cfg(test)]
mod tests;
