//! The gateway `gw`: every node has an address outside, 1:1, and nobody else has one. A node's IPv6 address is global as it
//! is, and nothing is translated.
//!
//! A load balancer's address needs no translation: its packets come in with it as their destination, and its answers,
//! which nodes send straight here, leave with it as their source. Any other source inside is a pod that its node did
//! not masquerade: the outside would not know where to answer, and a cloud drops it. That is a rule of its own, with a
//! comment and a counter.
//!
//! Routers of a cloud send no redirects: that two machines are on one switch is nobody's business.

use sim_core::wire::ip::Family;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{INSIDE, OUTSIDE};
use crate::command::Command;

/// Comment of the rule that drops what has no address outside.
pub const NOT_MASQUERADED: &str = "no address outside: a pod, not masqueraded";
/// Comment of the rule that drops what is for nobody here.
pub const NOBODY: &str = "no such address inside";

/// A gateway that nothing of a family passes yet.
pub fn start(family: Family) -> Vec<Command> {
    let router: &[(&str, u8)] = match family {
        Family::V4 => &[
            ("net.ipv4.ip_forward", 1),
            ("net.ipv4.conf.all.send_redirects", 0),
            ("net.ipv4.conf.eth0.send_redirects", 0),
        ],
        // Redirects of IPv6 cannot be switched off; nodes are routers, which take none (RFC 4861, section 8.2).
        Family::V6 => &[("net.ipv6.conf.all.forwarding", 1)],
    };
    let mut commands: Vec<Command> = router.iter().map(|(key, value)| Command::sysctl(*key, value)).collect();
    commands.push(Command::Restore(
        family,
        format!(
            "*filter\n:FORWARD DROP [0:0]\n:INSIDE - [0:0]\n:OUTSIDE - [0:0]\n\
         -A FORWARD -m conntrack --ctstate RELATED -j ACCEPT\n\
         -A FORWARD -i {INSIDE} -j INSIDE\n\
         -A FORWARD -i {INSIDE} -m comment --comment \"{NOT_MASQUERADED}\" -j DROP\n\
         -A FORWARD -i {OUTSIDE} -j OUTSIDE\n\
         -A FORWARD -i {OUTSIDE} -m comment --comment \"{NOBODY}\" -j DROP\nCOMMIT\n"
        ),
    ));
    commands
}

/// A node's address gets one outside, or is one itself.
pub fn attach(inside: IpAddr, outside: IpAddr) -> Vec<Command> {
    translate("-A", inside, outside).into_iter().chain([pass("-A", inside)]).collect()
}

/// A node has gone, and its address outside with it.
pub fn detach(inside: IpAddr, outside: IpAddr) -> Vec<Command> {
    translate("-D", inside, outside).into_iter().chain([pass("-D", inside)]).collect()
}

fn translate(action: &str, inside: IpAddr, outside: IpAddr) -> Option<Command> {
    let (inside_net, outside_net) = (IpNet::from(inside), IpNet::from(outside));
    let rules = format!(
        "*nat\n{action} PREROUTING -i {OUTSIDE} -d {outside_net} -j DNAT --to-destination {inside}\n\
         {action} POSTROUTING -o {OUTSIDE} -s {inside_net} -j SNAT --to-source {outside}\nCOMMIT\n"
    );
    (inside != outside).then(|| Command::Restore(Family::of(inside), rules))
}

/// An address may be spoken to from outside, and may speak.
fn pass(action: &str, ip: IpAddr) -> Command {
    let (family, ip) = (Family::of(ip), IpNet::from(ip));
    Command::Restore(
        family,
        format!("*filter\n{action} INSIDE -s {ip} -j ACCEPT\n{action} OUTSIDE -d {ip} -j ACCEPT\nCOMMIT\n"),
    )
}

/// A load balancer's address leads to `balancer`, and answers may leave with it.
pub fn publish(ip: IpAddr, balancer: IpAddr) -> Vec<Command> {
    let route = format!("route replace {} via {balancer} dev {INSIDE}", IpNet::from(ip));
    vec![Command::Ip(route), pass("-A", ip)]
}

/// Nobody has a load balancer's address any more.
pub fn withdraw(ip: IpAddr, balancer: IpAddr) -> Vec<Command> {
    vec![pass("-D", ip), Command::Ip(format!("route del {} via {balancer} dev {INSIDE}", IpNet::from(ip)))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::kernel;

    #[test]
    fn a_kernel_takes_nodes_and_addresses_and_lets_them_go() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let (node, outside, vip, lb) = (ip("10.240.0.11"), ip("203.0.113.11"), ip("198.18.0.1"), ip("10.240.0.2"));
        let devs = ["link add eth0 type bridge", "link set eth0 up", "addr add 10.240.0.1/24 dev eth0"];
        let mut commands: Vec<_> = devs.map(|line| Command::Ip(line.into())).to_vec();
        commands.extend(start(Family::V4));
        let there = [commands.clone(), attach(node, outside), publish(vip, lb)].concat();
        let gone = [there.clone(), withdraw(vip, lb), detach(node, outside)].concat();
        for flavour in kernel::FLAVOURS {
            let show = "iptables-save | grep -e '-A'; ip route show via 10.240.0.2";
            let [before, after, gone] = [&commands, &there, &gone].map(|commands| kernel::run(flavour, commands, show));
            let (Some(before), Some(after), Some(gone)) = (before, after, gone) else { return };
            assert_eq!(before, gone);
            for line in [
                "-A PREROUTING -d 203.0.113.11/32 -i ext0 -j DNAT --to-destination 10.240.0.11",
                "-A INSIDE -s 198.18.0.1/32 -j ACCEPT",
                "198.18.0.1 dev eth0",
            ] {
                assert!(after.contains(line) && !gone.contains(line), "{line}\n{after}\n{gone}");
            }
        }
    }
}
