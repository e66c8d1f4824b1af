//! What an agent (kube-proxy, flannel, a CNI plugin) asks of a netns, in the words of the tools.
//!
//! An agent is a pure function from its inputs to a list of [`Command`]s; whoever runs the agent
//! hands them, one by one, to the netns' netlink door. A command that the door refuses is an
//! error for that agent alone, as a failed `exec` is in life.

use sim_core::wire::ip::Family;
mod run;

use std::fmt;

pub use run::CommandFailed;

/// One operation on a netns. Each is one event: a crash may happen between any two of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// A line as for `ip -batch`, for example `link set cni0 up`.
    Ip(String),
    /// A line as for `bridge -batch`, for example `link set dev vethX hairpin on`.
    Bridge(String),
    /// `sysctl -w key=value`, the key with dots as separators but for a device name that has dots of its own.
    Sysctl {
        /// For example `net.ipv4.ip_forward`.
        key: String,
        /// For example `1`.
        value: String,
    },
    /// A line as for `conntrack`, for example `-D -p udp --orig-port-dst 53`; not an error if no entry matches.
    Conntrack(String),
    /// `iptables -t table -N chain`; not an error if the chain is there.
    EnsureChain {
        /// Whose tables: of IPv6 the tool is `ip6tables`.
        family: Family,
        /// `filter`, `nat` or `mangle`.
        table: &'static str,
        /// Name of the chain.
        chain: String,
    },
    /// `iptables -t table -C chain rule`, and only if that fails the rule is added.
    EnsureRule {
        /// Whose tables: of IPv6 the tool is `ip6tables`.
        family: Family,
        /// `filter`, `nat` or `mangle`.
        table: &'static str,
        /// Name of the chain.
        chain: String,
        /// Matches and target, for example `-m comment --comment "…" -j KUBE-SERVICES`.
        rule: String,
        /// Where the rule goes if it is missing.
        place: Place,
    },
    /// `iptables-restore --noflush --counters`, of IPv6 `ip6tables-restore`, of this text: only the chains it declares are emptied.
    /// Each table's COMMIT takes effect as a whole or not at all.
    Restore(Family, String),
}

/// Where a missing rule is added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// `iptables -I`: before all rules of the chain.
    First,
    /// `iptables -A`: after all rules of the chain.
    Last,
}

impl Command {
    /// `sysctl -w key=value`.
    pub fn sysctl(key: impl Into<String>, value: impl ToString) -> Self {
        Self::Sysctl { key: key.into(), value: value.to_string() }
    }

    /// The operations this consists of: of a restore each table's COMMIT is one, so that packets come in between.
    pub fn operations(self) -> Vec<Self> {
        match self {
            Self::Restore(family, text) => {
                text.split_inclusive("COMMIT\n").map(|table| Self::Restore(family, table.into())).collect()
            }
            other => vec![other],
        }
    }

    /// Lines of rules that this writes.
    pub fn lines(&self) -> usize {
        match self {
            Self::Restore(_, text) => text.lines().count(),
            _ => 1,
        }
    }
}

impl fmt::Display for Command {
    /// The command as typed into a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(line) => write!(f, "ip {line}"),
            Self::Bridge(line) => write!(f, "bridge {line}"),
            Self::Sysctl { key, value } => write!(f, "sysctl -w {key}={value}"),
            Self::Conntrack(line) => write!(f, "conntrack {line} 2>/dev/null || true"),
            Self::EnsureChain { family, table, chain } => {
                write!(f, "{} -t {table} -N {chain} 2>/dev/null || true", tool(*family))
            }
            Self::EnsureRule { family, table, chain, rule, place } => {
                let (tool, add) = (tool(*family), if *place == Place::First { "-I" } else { "-A" });
                write!(f, "{tool} -t {table} -C {chain} {rule} 2>/dev/null || {tool} -t {table} {add} {chain} {rule}")
            }
            Self::Restore(family, text) => {
                write!(f, "{}-restore --noflush --counters <<'EOF'\n{text}EOF", tool(*family))
            }
        }
    }
}

/// The tool that writes the rules of a family.
fn tool(family: Family) -> &'static str {
    if family == Family::V6 { "ip6tables" } else { "iptables" }
}

#[cfg(test)]
pub(crate) mod kernel;
