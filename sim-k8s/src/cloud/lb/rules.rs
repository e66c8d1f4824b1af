//! What makes `lb` a load balancer: rules and routes.
//!
//! ```text
//! mangle PREROUTING   connection known: its mark; else BALANCE
//!   BALANCE           -d ADDRESS                → LB-ADDRESS
//!   LB-ADDRESS        --dport PORT [-s RANGE]   → NODES-ADDRESS; another client: DROP
//!   NODES-ADDRESS     HMARK: hash of the flow modulo the number of nodes, then that node's mark, kept by CONNMARK
//! ```
//!
//! With a passthrough balancer `ip rule fwmark M lookup M` and a default route via the node do the rest: the packet goes
//! there with its destination kept. Its answers never come by here, so a SYN is left untracked: conntrack would wait for the
//! SYN-ACK and call everything after it invalid. The first ACK goes where its SYN went, by the same hash, and is picked up
//! as established (`nf_conntrack_tcp_loose`); from then on the connection stays where it is. That is as in Google's
//! balancers, where a SYN is always chosen anew.
//!
//! With NAT the mark chooses the DNAT rule of its node, MASQUERADE brings the answers back, and conntrack knows the rest;
//! what it does not know it answers with a RST.

use sim_core::wire::ip::Family;
use std::fmt::Write;
use std::net::IpAddr;

use ipnet::IpNet;
use sim_core::engine::time::Duration;

use super::super::INSIDE;
use super::balancer::{Balancer, Port};
use super::config::{LbConfig, LbKind};
use crate::command::Command;

/// The smallest mark of a node. Below are places in the list of one balancer's nodes.
pub(super) const FIRST_MARK: u32 = 1001;
/// Comment of the rule that drops clients that a Service does not admit.
pub const NOT_ADMITTED: &str = "not of loadBalancerSourceRanges";
/// Comment of the rule that drops what no load balancer is asked for.
pub const NO_SUCH_PORT: &str = "no such port of a load balancer";
/// Comment of the rule that drops what there is no node for.
pub const NO_NODE: &str = "no node";

/// A node to which load balancers send packets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    /// Its address.
    pub(super) ip: IpAddr,
    /// Its mark, which is also the number of its route table; never another node's, even after it has gone.
    pub(super) mark: u32,
}

/// A netns that balances nothing yet.
pub(super) fn start(config: &LbConfig, family: Family) -> Vec<Command> {
    let seconds = |time: Duration| time.as_secs().max(1);
    let idle = |name: &str| (format!("net.netfilter.nf_conntrack_{name}"), seconds(config.idle));
    let mut sysctls = match family {
        Family::V4 => vec![
            ("net.ipv4.ip_forward".to_owned(), 1),
            ("net.ipv4.conf.all.send_redirects".to_owned(), 0),
            (format!("net.ipv4.conf.{INSIDE}.send_redirects"), 0),
        ],
        Family::V6 => vec![("net.ipv6.conf.all.forwarding".to_owned(), 1)],
    };
    sysctls.extend(["tcp_timeout_established", "udp_timeout", "udp_timeout_stream"].map(idle));
    let text = match config.kind {
        LbKind::Passthrough => {
            // One direction alone is in no window.
            sysctls
                .extend([("net.netfilter.nf_conntrack_tcp_be_liberal".into(), 1), idle("tcp_timeout_unacknowledged")]);
            format!(
                "*raw\n-A PREROUTING -i {INSIDE} -p tcp --syn -j CT --notrack\nCOMMIT\n\
                 *mangle\n:BALANCE - [0:0]\n-A PREROUTING -i {INSIDE} -j CONNMARK --restore-mark\n\
                 -A PREROUTING -i {INSIDE} -m mark --mark 0 -j BALANCE\nCOMMIT\n\
                 *filter\n:FORWARD DROP [0:0]\n-A FORWARD -m mark ! --mark 0 -j ACCEPT\n\
                 -A FORWARD -m comment --comment \"{NO_SUCH_PORT}\" -j DROP\nCOMMIT\n"
            )
        }
        LbKind::Nat => {
            sysctls.push(("net.netfilter.nf_conntrack_tcp_loose".into(), 0));
            format!(
                "*mangle\n:BALANCE - [0:0]\n-A PREROUTING -i {INSIDE} -m conntrack --ctstate NEW -j BALANCE\nCOMMIT\n\
                 *nat\n:BALANCE - [0:0]\n-A PREROUTING -m mark ! --mark 0 -j BALANCE\n\
                 -A POSTROUTING -m mark ! --mark 0 -j MASQUERADE\nCOMMIT\n\
                 *filter\n:FORWARD DROP [0:0]\n-A FORWARD -p tcp -m conntrack --ctstate INVALID -j REJECT --reject-with tcp-reset\n\
                 -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -m mark ! --mark 0 -j ACCEPT\n\
                 -A FORWARD -m comment --comment \"{NO_SUCH_PORT}\" -j DROP\nCOMMIT\n"
            )
        }
    };
    sysctls
        .into_iter()
        .map(|(key, value)| Command::sysctl(key, value))
        .chain([Command::Restore(family, text)])
        .collect()
}

/// A node can be a target from now on.
pub(super) fn add_target(kind: LbKind, target: &Target) -> Vec<Command> {
    let Target { ip, mark } = target;
    let six = family_flag(*ip);
    let lines = [
        format!("{six}route replace default via {ip} dev {INSIDE} table {mark}"),
        format!("{six}rule add fwmark {mark} lookup {mark} priority {mark}"),
    ];
    // With NAT the packet's destination is the node's address.
    if kind == LbKind::Nat { Vec::new() } else { lines.map(Command::Ip).into() }
}

/// A node is nobody's target any more.
pub(super) fn remove_target(kind: LbKind, target: &Target) -> Vec<Command> {
    let Target { ip, mark } = target;
    let six = family_flag(*ip);
    let lines = [
        format!("{six}rule del fwmark {mark} lookup {mark} priority {mark}"),
        format!("{six}route del default via {ip} dev {INSIDE} table {mark}"),
    ];
    let routed = if kind == LbKind::Nat { Vec::new() } else { lines.map(Command::Ip).into() };
    let family = if ip.is_ipv6() { " -f ipv6" } else { "" };
    [routed, vec![Command::Conntrack(format!("-D{family} -m {mark}"))]].concat()
}

/// What `ip` has to be told where no address says the family.
fn family_flag(ip: IpAddr) -> &'static str {
    if ip.is_ipv6() { "-6 " } else { "" }
}

/// Which connections of a balancer to a node are to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cut {
    All,
    Udp,
}

/// The balancer forgets its connections to a node.
pub(super) fn cut(balancer: &Balancer, target: &Target, what: Cut) -> Command {
    let protocol = if what == Cut::Udp { " -p udp" } else { "" };
    Command::Conntrack(format!("-D{protocol} -d {} -m {}", balancer.ip, target.mark))
}

/// Programs one balancer: `balancers` are all there are, this one among them, `nodes` those that get new connections.
pub(super) fn program<'b>(
    kind: LbKind,
    balancers: impl Iterator<Item = &'b Balancer> + Clone,
    balancer: &Balancer,
    nodes: &[Target],
) -> Command {
    let [front, choice] = chains(balancer.ip);
    let mut text = format!("*mangle\n:BALANCE - [0:0]\n:{front} - [0:0]\n:{choice} - [0:0]\n");
    text += &addresses(balancers.clone());
    for port in &balancer.ports {
        let asked = asked(port);
        let Some(ranges) = &balancer.source_ranges else {
            line(&mut text, &format!("-A {front} {asked} -g {choice}"));
            continue;
        };
        for range in ranges {
            line(&mut text, &format!("-A {front} -s {} {asked} -g {choice}", range.trunc()));
        }
        line(&mut text, &format!("-A {front} {asked} -m comment --comment \"{NOT_ADMITTED}\" -j DROP"));
    }
    text += &choose(balancer, &choice, nodes);
    text += "COMMIT\n";
    if kind == LbKind::Nat {
        text += &format!("*nat\n:BALANCE - [0:0]\n:{front} - [0:0]\n");
        text += &addresses(balancers);
        for (port, node) in balancer.ports.iter().flat_map(|port| nodes.iter().map(move |node| (port, node))) {
            let (asked, mark) = (asked(port), node.mark);
            let to = std::net::SocketAddr::new(node.ip, port.node_port.unwrap_or(port.port));
            line(&mut text, &format!("-A {front} {asked} -m mark --mark {mark} -j DNAT --to-destination {to}"));
        }
        text += "COMMIT\n";
    }
    Command::Restore(Family::of(balancer.ip), text)
}

/// Takes down the balancer at `ip`; `balancers` are the ones that stay.
pub(super) fn remove<'b>(
    kind: LbKind,
    balancers: impl Iterator<Item = &'b Balancer> + Clone,
    ip: IpAddr,
) -> Vec<Command> {
    let [front, choice] = chains(ip);
    let without = |table: &str, chains: &[&String]| {
        let mut text = format!("*{table}\n:BALANCE - [0:0]\n");
        chains.iter().for_each(|chain| line(&mut text, &format!(":{chain} - [0:0]")));
        text += &addresses(balancers.clone());
        chains.iter().for_each(|chain| line(&mut text, &format!("-X {chain}")));
        text + "COMMIT\n"
    };
    let mut text = without("mangle", &[&front, &choice]);
    if kind == LbKind::Nat {
        text += &without("nat", &[&front]);
    }
    vec![Command::Restore(Family::of(ip), text), Command::Conntrack(format!("-D -d {ip}"))]
}

fn chains(ip: IpAddr) -> [String; 2] {
    [format!("LB-{ip}"), format!("NODES-{ip}")]
}

/// The rules that lead from BALANCE to each address' chain.
fn addresses<'b>(balancers: impl Iterator<Item = &'b Balancer>) -> String {
    let mut text = String::new();
    for balancer in balancers {
        let (address, [front, _]) = (IpNet::from(balancer.ip), chains(balancer.ip));
        let comment = format!("-m comment --comment \"{}\"", balancer.service);
        line(&mut text, &format!("-A BALANCE -d {address} {comment} -j {front}"));
    }
    text
}

/// What a packet for this port looks like.
fn asked(port: &Port) -> String {
    let protocol = port.protocol.to_string().to_ascii_lowercase();
    format!("-p {protocol} -m {protocol} --dport {}", port.port)
}

/// The choice of a node for a new connection.
fn choose(balancer: &Balancer, chain: &str, nodes: &[Target]) -> String {
    if nodes.is_empty() {
        return format!("-A {chain} -m comment --comment \"{NO_NODE}\" -j DROP\n");
    }
    let flow = if balancer.affinity { "src,dst" } else { "src,dst,sport,dport,proto" };
    let (seed, count) = (balancer.seed, nodes.len());
    let mut text =
        format!("-A {chain} -j HMARK --hmark-tuple {flow} --hmark-rnd {seed} --hmark-mod {count} --hmark-offset 1\n");
    for (place, node) in nodes.iter().enumerate() {
        line(&mut text, &format!("-A {chain} -m mark --mark {} -j MARK --set-mark {}", place + 1, node.mark));
    }
    text + &format!("-A {chain} -j CONNMARK --save-mark\n")
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a String takes all");
}

#[cfg(test)]
mod tests {
    use super::super::probe::CheckTarget;
    use super::*;
    use crate::api::{ObjectKey, Protocol};
    use crate::command::kernel;

    fn balancer(ip: &str, source_ranges: Option<Vec<IpNet>>) -> Balancer {
        let port = |protocol, port| Port { protocol, port, node_port: Some(30000 + port) };
        Balancer {
            service: ObjectKey::new("default", "web"),
            ip: ip.parse().expect("an address"),
            ports: vec![port(Protocol::Tcp, 80), port(Protocol::Udp, 53)],
            source_ranges,
            affinity: false,
            seed: 7,
            check: (CheckTarget::Http(10256), LbConfig::default().cluster_check),
        }
    }

    #[test]
    fn a_kernel_takes_balancers_and_lets_them_go() {
        let devs = ["link add eth0 type bridge", "link set eth0 up", "addr add 10.240.0.2/24 dev eth0"];
        let devs = devs.map(|line| Command::Ip(line.into()));
        let ranges = vec!["198.51.100.0/25".parse().expect("a network")];
        let balancers = [balancer("198.18.0.1", None), balancer("198.18.0.2", Some(ranges))];
        let targets = [11, 12].map(|n| Target { ip: [10, 240, 0, n].into(), mark: 990 + u32::from(n) });
        for config in [LbConfig::passthrough(), LbConfig::nat()] {
            let kind = config.kind;
            let mut commands = [devs.to_vec(), start(&config, Family::V4)].concat();
            // The sysctls of conntrack are there only once its module is.
            commands.retain(|command| !matches!(command, Command::Sysctl { key, .. } if key.contains("nf_conntrack")));
            let empty = commands.clone();
            commands.extend(targets.iter().flat_map(|target| add_target(kind, target)));
            commands.push(program(kind, balancers[..1].iter(), &balancers[0], &targets));
            commands.push(program(kind, balancers.iter(), &balancers[1], &targets[..1]));
            let full = commands.clone();
            commands.extend(remove(kind, balancers[1..].iter(), balancers[0].ip));
            commands.extend(remove(kind, [].iter(), balancers[1].ip));
            commands.extend(targets.iter().flat_map(|target| remove_target(kind, target)));
            for flavour in kernel::FLAVOURS {
                let show = "iptables-save | grep -e '-A'; ip rule; ip route show table all";
                let [empty, full, gone] = [&empty, &full, &commands].map(|all| kernel::run(flavour, all, show));
                let (Some(empty), Some(full), Some(gone)) = (empty, full, gone) else { return };
                assert_eq!(empty, gone, "{kind:?}");
                assert_eq!(full.matches("HMARK").count(), 2, "{full}");
                assert_eq!(full.contains("lookup 1001"), kind == LbKind::Passthrough, "{full}");
                assert_eq!(full.contains("--to-destination 10.240.0.12:30080"), kind == LbKind::Nat, "{full}");
            }
        }
    }
}
