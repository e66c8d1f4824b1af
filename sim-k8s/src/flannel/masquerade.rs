//! flannel's rules (upstream `pkg/trafficmngr/iptables/iptables.go`).
//!
//! Upstream makes or empties its chain with one command and fills it with the next; here one restore
//! does both, so no packet ever meets the empty chain.

use sim_core::wire::ip::Family;
use std::fmt::Write;

use ipnet::IpNet;

use crate::command::Command;

/// kube-proxy's mark: what it masquerades is left to it.
const KUBE_PROXY_MARK: &str = "0x4000/0x4000";

/// A chain of flannel's with its rules, and the jump into it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleSet {
    /// Whose tables.
    pub family: Family,
    /// `nat` or `filter`.
    pub table: &'static str,
    /// The base chain, which jumps.
    pub base: &'static str,
    /// The chain.
    pub chain: &'static str,
    comment: &'static str,
    /// Matches and targets.
    rules: Vec<(String, String)>,
}

impl RuleSet {
    /// The jump, as a rule of the base chain.
    pub fn jump(&self) -> String {
        format!("-m comment --comment \"{}\" -j {}", self.comment, self.chain)
    }

    /// The rules of the chain, in order.
    pub fn rules(&self) -> impl Iterator<Item = String> {
        let comment = self.comment;
        self.rules.iter().map(move |(matches, to)| format!("{matches} -m comment --comment \"{comment}\" -j {to}"))
    }

    /// Makes chain and jump, or makes them anew. A jump that is there (`iptables -C`) is taken out first, so that it is
    /// the last rule and flannel's rules are together.
    pub fn restore(&self, jump_is_there: bool) -> Command {
        let Self { family, table, base, chain, .. } = self;
        let mut text = format!("*{table}\n:{chain} - [0:0]\n");
        if jump_is_there {
            text += &format!("-D {base} {}\n", self.jump());
        }
        text += &format!("-A {base} {}\n", self.jump());
        for rule in self.rules() {
            writeln!(text, "-A {chain} {rule}").expect("a String takes all");
        }
        Command::Restore(*family, text + "COMMIT\n")
    }
}

/// `--ip-masq`: pods that leave the pod network take the node's address, and so does the node when it
/// goes to pods. `network` is all pods', `subnet` this node's; `random_fully` is on by default.
pub fn masquerade_rules(network: IpNet, subnet: IpNet, random_fully: bool) -> RuleSet {
    let random = if random_fully { " --random-fully" } else { "" };
    let family = Family::of_net(network);
    let multicast = if family == Family::V4 { "224.0.0.0/4" } else { "ff00::/8" };
    let rules = vec![
        (format!("-m mark --mark {KUBE_PROXY_MARK}"), "RETURN".to_owned()),
        (format!("-s {subnet} -d {network}"), "RETURN".to_owned()),
        (format!("-s {network} -d {subnet}"), "RETURN".to_owned()),
        // What comes from outside straight to a pod of this node keeps its source.
        (format!("! -s {network} -d {subnet}"), "RETURN".to_owned()),
        (format!("-s {network} ! -d {multicast}"), format!("MASQUERADE{random}")),
        (format!("! -s {network} -d {network}"), format!("MASQUERADE{random}")),
    ];
    let (table, base, chain, comment) = ("nat", "POSTROUTING", "FLANNEL-POSTRTG", "flanneld masq");
    RuleSet { family, table, base, chain, comment, rules }
}

/// `--iptables-forward-rules`, on by default: pods' traffic is forwarded whatever the default verdict of FORWARD.
pub fn forward_rules(network: IpNet) -> RuleSet {
    let rules = vec![(format!("-s {network}"), "ACCEPT".to_owned()), (format!("-d {network}"), "ACCEPT".to_owned())];
    let (table, base, chain, comment) = ("filter", "FORWARD", "FLANNEL-FWD", "flanneld forward");
    RuleSet { family: Family::of_net(network), table, base, chain, comment, rules }
}
