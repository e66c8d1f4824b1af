//! flannel's rules (upstream `pkg/trafficmngr/iptables/iptables.go`).
//!
//! Upstream makes or empties its chain with one command and fills it with the next; here one restore
//! does both, so no packet ever meets the empty chain.

use std::fmt::Write;

use ipnet::IpNet;

use crate::command::Command;

/// kube-proxy's mark: what it masquerades is left to it.
const KUBE_PROXY_MARK: &str = "0x4000/0x4000";

/// Whether the jump into flannel's chain is in the base chain already (`iptables -C`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Jump {
    /// It is made.
    Missing,
    /// It is taken out and made again, so that it is the last rule and flannel's rules are together.
    Present,
}

/// `--ip-masq`: pods that leave the pod network take the node's address, and so does the node when it
/// goes to pods. `network` is all pods', `subnet` this node's; `random_fully` is on by default.
pub fn masquerade_rules(network: IpNet, subnet: IpNet, random_fully: bool, jump: Jump) -> Command {
    let random = if random_fully { " --random-fully" } else { "" };
    let multicast = if network.addr().is_ipv4() { "224.0.0.0/4" } else { "ff00::/8" };
    let rules = [
        (format!("-m mark --mark {KUBE_PROXY_MARK}"), "RETURN".to_owned()),
        (format!("-s {subnet} -d {network}"), "RETURN".to_owned()),
        (format!("-s {network} -d {subnet}"), "RETURN".to_owned()),
        // What comes from outside straight to a pod of this node keeps its source.
        (format!("! -s {network} -d {subnet}"), "RETURN".to_owned()),
        (format!("-s {network} ! -d {multicast}"), format!("MASQUERADE{random}")),
        (format!("! -s {network} -d {network}"), format!("MASQUERADE{random}")),
    ];
    restore("nat", "POSTROUTING", "FLANNEL-POSTRTG", "flanneld masq", jump, &rules)
}

/// `--iptables-forward-rules`, on by default: pods' traffic is forwarded whatever the default verdict of FORWARD.
pub fn forward_rules(network: IpNet, jump: Jump) -> Command {
    let rules = [(format!("-s {network}"), "ACCEPT".to_owned()), (format!("-d {network}"), "ACCEPT".to_owned())];
    restore("filter", "FORWARD", "FLANNEL-FWD", "flanneld forward", jump, &rules)
}

fn restore(table: &str, base: &str, chain: &str, comment: &str, jump: Jump, rules: &[(String, String)]) -> Command {
    let comment = format!("-m comment --comment \"{comment}\"");
    let mut text = format!("*{table}\n:{chain} - [0:0]\n");
    if jump == Jump::Present {
        text += &format!("-D {base} {comment} -j {chain}\n");
    }
    text += &format!("-A {base} {comment} -j {chain}\n");
    for (matches, target) in rules {
        writeln!(text, "-A {chain} {matches} {comment} -j {target}").expect("a String takes all");
    }
    Command::Restore(text + "COMMIT\n")
}
