//! The ways from the base chains into kube-proxy's, and the canary.
//!
//! They cannot be part of the restore text, which would have to own all rules of the base chains.

use super::chains::{
    CANARY, EXTERNAL_SERVICES, FORWARD, KUBELET_FIREWALL, NODE_PORTS, POSTROUTING, PROXY_FIREWALL, SERVICES,
};
use crate::command::{Command, Place};
use crate::kubeproxy::monitor::TABLES;
use sim_core::wire::ip::Family;

struct Jump {
    table: &'static str,
    to: &'static str,
    from: &'static str,
    comment: &'static str,
    /// Whether only the first packet of a flow is sent there.
    only_new: bool,
}

const fn jump(
    table: &'static str,
    to: &'static str,
    from: &'static str,
    comment: &'static str,
    only_new: bool,
) -> Jump {
    Jump { table, to, from, comment, only_new }
}

const VISIBLE: &str = "kubernetes externally-visible service portals";
const HEALTH: &str = "kubernetes health check service ports";
const PORTALS: &str = "kubernetes service portals";
const FORWARDING: &str = "kubernetes forwarding rules";
const LB_FIREWALL: &str = "kubernetes load balancer firewall";

/// Upstream's `iptablesJumpChains` and `iptablesKubeletJumpChains`. Each is put before all rules of
/// its base chain, so on a fresh node the last one here is seen first by a packet.
const JUMPS: [Jump; 14] = [
    jump("filter", EXTERNAL_SERVICES, "INPUT", VISIBLE, true),
    jump("filter", EXTERNAL_SERVICES, "FORWARD", VISIBLE, true),
    jump("filter", NODE_PORTS, "INPUT", HEALTH, false),
    jump("filter", SERVICES, "FORWARD", PORTALS, true),
    jump("filter", SERVICES, "OUTPUT", PORTALS, true),
    jump("filter", FORWARD, "FORWARD", FORWARDING, false),
    jump("filter", PROXY_FIREWALL, "INPUT", LB_FIREWALL, true),
    jump("filter", PROXY_FIREWALL, "OUTPUT", LB_FIREWALL, true),
    jump("filter", PROXY_FIREWALL, "FORWARD", LB_FIREWALL, true),
    jump("nat", SERVICES, "OUTPUT", PORTALS, false),
    jump("nat", SERVICES, "PREROUTING", PORTALS, false),
    jump("nat", POSTROUTING, "POSTROUTING", "kubernetes postrouting rules", false),
    jump("filter", KUBELET_FIREWALL, "INPUT", "", false),
    jump("filter", KUBELET_FIREWALL, "OUTPUT", "", false),
];

/// Every chain that is jumped to, then the jump, in upstream's order. A jump that is there stays where it is.
pub(super) fn ensured(family: Family) -> Vec<Command> {
    let both = |jump: &Jump| {
        let new = if jump.only_new { "-m conntrack --ctstate NEW " } else { "" };
        let comment =
            if jump.comment.is_empty() { String::new() } else { format!("-m comment --comment \"{}\" ", jump.comment) };
        let rule = format!("{new}{comment}-j {}", jump.to);
        let (table, chain) = (jump.table, jump.from.to_owned());
        [
            Command::EnsureChain { family, table, chain: jump.to.to_owned() },
            Command::EnsureRule { family, table, chain, rule, place: Place::First },
        ]
    };
    JUMPS.iter().flat_map(both).collect()
}

/// The chains that kube-proxy looks for every sync period (upstream `pkg/util/iptables`, `Monitor`).
pub(super) fn canary(family: Family) -> impl Iterator<Item = Command> {
    TABLES.into_iter().map(move |table| Command::EnsureChain { family, table, chain: CANARY.to_owned() })
}
