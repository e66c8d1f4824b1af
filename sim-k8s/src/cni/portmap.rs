//! The portmap plugin: host ports, with the iptables backend (upstream `plugins/meta/portmap`).
//!
//! A container's DNAT rules are in a chain of its own, which is easy to take away again.

use sim_core::wire::ip::Family;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use data_encoding::HEXLOWER;
use ipnet::IpNet;
use sha2::{Digest, Sha512};

use super::{NETWORK, SandboxId};
use crate::api::Protocol;
use crate::command::{Command, Place};

const DNAT: &str = "CNI-HOSTPORT-DNAT";
const SET_MARK: &str = "CNI-HOSTPORT-SETMARK";
const MASQ: &str = "CNI-HOSTPORT-MASQ";
/// Bit 13 (`DefaultMarkBit`): Kubernetes has 14 and 15.
const MARK: &str = "0x2000/0x2000";
/// What one multiport match takes.
const MULTIPORT: usize = 15;

/// One `hostPort` of a container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortMapping {
    /// Port at the node.
    pub host_port: u16,
    /// Port in the pod.
    pub container_port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// Only at this address of the node; `None` or an unspecified address: at every one.
    pub host_ip: Option<IpAddr>,
}

/// The host ports of one pod sandbox; made of a non-empty list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Portmap {
    /// The sandbox.
    pub sandbox: SandboxId,
    /// The pod's address with its network's length, for example 10.244.1.2/24.
    pub pod: IpNet,
    /// The ports, in the order of the containers.
    pub mappings: Vec<PortMapping>,
}

impl Portmap {
    /// ADD. For the node's netns.
    pub fn add(&self) -> Vec<Command> {
        let family = Family::of_net(self.pod);
        let mut commands = shared_chains(family);
        let chain = self.chain();
        let set = |chain: &str, rule| ensure(family, chain, rule, Place::Last);
        commands.push(Command::EnsureChain { family, table: "nat", chain: chain.clone() });
        commands.extend(self.rules().into_iter().map(|rule| set(&chain, rule)));
        commands.extend(self.entries().into_iter().map(|rule| set(DNAT, rule)));
        for mapping in self.mappings.iter().filter(|mapping| mapping.protocol == Protocol::Udp) {
            // A flow that was there before the rules would never see them.
            commands.push(Command::Conntrack(format!("-D -p udp --orig-port-dst {}", mapping.host_port)));
        }
        if self.pod.addr().is_ipv4() {
            // So that 127.0.0.1:hostPort can be routed to the pod.
            commands.push(Command::sysctl("net.ipv4.conf.cni0.route_localnet", 1));
        }
        commands
    }

    /// DEL, after an ADD. For the node's netns.
    pub fn remove(&self) -> Command {
        let chain = self.chain();
        let mut text = format!("*nat\n:{chain} - [0:0]\n");
        for entry in self.entries() {
            text += &format!("-D {DNAT} {entry}\n");
        }
        Command::Restore(Family::of_net(self.pod), text + &format!("-X {chain}\nCOMMIT\n"))
    }

    /// `CNI-DN-` and as much of a hash as a chain's name takes (upstream `MustFormatChainNameWithPrefix`).
    fn chain(&self) -> String {
        let mut name = format!("CNI-DN-{}", HEXLOWER.encode(&Sha512::digest(format!("{NETWORK}{}", self.sandbox))));
        name.truncate(28);
        name
    }

    /// Rules that lead from the shared chain into the sandbox's: up to fifteen ports of one protocol each.
    fn entries(&self) -> Vec<String> {
        let comment = format!("-m comment --comment \"dnat name: \\\"{NETWORK}\\\" id: \\\"{}\\\"\"", self.sandbox);
        let mut by_protocol: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for mapping in &self.mappings {
            by_protocol.entry(mapping.protocol.in_rules()).or_default().push(mapping.host_port.to_string());
        }
        let mut entries = Vec::new();
        for (protocol, ports) in by_protocol {
            for ports in ports.chunks(MULTIPORT).map(|some| some.join(",")) {
                let ports = format!("-m multiport -p {protocol} --destination-ports {ports}");
                entries.push(format!("{comment} {ports} -j {}", self.chain()));
            }
        }
        entries
    }

    /// Rules of the sandbox's own chain: what comes from the pod itself or from localhost must be masqueraded.
    fn rules(&self) -> Vec<String> {
        let mut rules = Vec::new();
        let same_family = |ip: &IpAddr| ip.is_ipv4() == self.pod.addr().is_ipv4();
        for mapping in self.mappings.iter().filter(|m| m.host_ip.as_ref().is_none_or(same_family)) {
            let at = match mapping.host_ip {
                Some(ip) if !ip.is_unspecified() => format!(" -d {ip}"),
                _ => String::new(),
            };
            let matches = format!("-p {} --dport {}{at}", mapping.protocol.in_rules(), mapping.host_port);
            rules.push(format!("{matches} -s {} -j {SET_MARK}", self.pod));
            if self.pod.addr().is_ipv4() {
                rules.push(format!("{matches} -s 127.0.0.1 -j {SET_MARK}"));
            }
            let to = SocketAddr::new(self.pod.addr(), mapping.container_port);
            rules.push(format!("{matches} -j DNAT --to-destination {to}"));
        }
        rules
    }
}

fn ensure(family: Family, chain: &str, rule: String, place: Place) -> Command {
    Command::EnsureRule { family, table: "nat", chain: chain.to_owned(), rule, place }
}

/// The chains that all sandboxes share, and the ways into them.
fn shared_chains(family: Family) -> Vec<Command> {
    let ensure = |chain: &str, rule, place| ensure(family, chain, rule, place);
    let chain = |name: &str| Command::EnsureChain { family, table: "nat", chain: name.to_owned() };
    let comment = |text: &str| format!("-m comment --comment \"{text}\"");
    let mark = format!("{} -j MARK --set-xmark {MARK}", comment("CNI portfwd masquerade mark"));
    let masquerade = format!("-m mark --mark {MARK} -j MASQUERADE");
    let leaving = format!("{} -j {MASQ}", comment("CNI portfwd requiring masquerade"));
    let to_node = format!("-m addrtype --dst-type LOCAL -j {DNAT}");
    vec![
        chain(SET_MARK),
        ensure(SET_MARK, mark, Place::Last),
        chain(MASQ),
        ensure(MASQ, masquerade, Place::Last),
        // First, or the masquerading rules of other plugins would come before it.
        ensure("POSTROUTING", leaving, Place::First),
        chain(DNAT),
        ensure("PREROUTING", to_node.clone(), Place::Last),
        ensure("OUTPUT", to_node, Place::Last),
    ]
}
