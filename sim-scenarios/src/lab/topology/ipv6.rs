//! IPv6 of the lab's cluster: it is switched on when all else is built.

use super::{Setup, ip};
use crate::lab::cluster::Cluster;
use crate::lab::spec::Topo;

/// The gateway's address on the underlay.
const GATEWAY: &str = "fd00:10:240::1";

/// Everything that gives the cluster IPv6, in order.
pub(super) fn setup(out: &mut Vec<Setup>, topo: &Topo, cluster: &Cluster) {
    for netns in cluster.netns.iter().filter(|netns| *netns != "ul") {
        switch_on(out, topo, cluster, netns);
    }
    for node in &cluster.nodes {
        ip(out, &node.name, node_lines(topo, cluster, node.number));
    }
    for (name, pod) in &cluster.pods {
        let gateway = cluster.nodes[usize::from(pod.node) - 1].bridge_addr6();
        let lines = [
            format!("addr add {}/64 dev eth0{}", pod.addr6, nodad(topo)),
            format!("route add default via {gateway} dev eth0"),
        ];
        ip(out, name, lines.map(of_ipv6));
    }
    if topo.world {
        world(out);
    }
    for (netns, lines) in &topo.ip6 {
        ip(out, netns, lines.iter().cloned().map(of_ipv6));
    }
}

/// The kernel's defaults are on, but nobody asks for routers, or for duplicates, unless the spec wants it: then of addresses
/// that are added from now on.
fn switch_on(out: &mut Vec<Setup>, topo: &Topo, cluster: &Cluster, netns: &str) {
    let is_node = cluster.nodes.iter().any(|node| node.name == netns);
    let present = cluster.devices(netns).filter(|dev| *dev != "flannel.1" || !topo.no_vxlan);
    let devices: Vec<String> = std::iter::once("lo").chain(present).map(super::sysctl_key).collect();
    let confs = || ["all", "default"].into_iter().chain(devices.iter().map(String::as_str));
    let quiet = ["router_solicitations", "accept_ra"];
    for key in confs().flat_map(|conf| quiet.map(|key| format!("net.ipv6.conf.{conf}.{key}"))) {
        out.push(Setup::Repeatable(netns.into(), key, "0".into()));
    }
    let mut values = Vec::new();
    for dad in [0, topo.dad] {
        for conf in confs() {
            values.push((format!("net.ipv6.conf.{conf}.accept_dad"), dad.to_string()));
            values.push((format!("net.ipv6.conf.{conf}.dad_transmits"), dad.to_string()));
        }
        values.push(("net.ipv6.conf.all.disable_ipv6".into(), "0".into()));
    }
    values.extend(devices.iter().map(|dev| (format!("net.ipv6.neigh.{dev}.delay_first_probe_time"), "600".into())));
    values.push(("net.ipv6.icmp.ratelimit".into(), "0".into()));
    if is_node || netns == "gw" {
        values.push(("net.ipv6.conf.all.forwarding".into(), "1".into()));
    }
    let bridged = is_node && !topo.brnf0;
    values.push(("net.bridge.bridge-nf-call-ip6tables".into(), u8::from(bridged).to_string()));
    if is_node && topo.brnf0 {
        values.push(("net.bridge.bridge-nf-call-iptables".into(), "0".into()));
    }
    out.extend(values.into_iter().map(|(key, value)| Setup::Sysctl(netns.into(), key, value)));
}

fn node_lines(topo: &Topo, cluster: &Cluster, number: u8) -> Vec<String> {
    let node = &cluster.nodes[usize::from(number) - 1];
    let nodad = nodad(topo);
    let mut lines = vec![
        format!("addr add {}/64 dev eth0{nodad}", node.addr6()),
        format!("addr add {}/64 dev cni0{nodad}", node.bridge_addr6()),
    ];
    if topo.world || topo.default_route {
        lines.push(format!("route add default via {GATEWAY} dev eth0"));
    }
    if !topo.no_vxlan {
        lines.push(format!("addr add {}/128 dev flannel.1{nodad}", node.vtep_addr6()));
        for peer in cluster.nodes.iter().filter(|peer| peer.number != number) {
            let (addr, mac) = (peer.vtep_addr6(), peer.vtep_mac());
            lines.push(format!("neigh replace {addr} lladdr {mac} dev flannel.1 nud permanent"));
            lines.push(format!("route replace {addr}/64 via {addr} dev flannel.1 onlink"));
        }
    }
    lines.into_iter().map(of_ipv6).collect()
}

/// A world without translation at the gateway.
fn world(out: &mut Vec<Setup>) {
    let gateway = [
        "addr add fd00:10:240::1/64 dev eth0 nodad",
        "addr add 2001:db8:ee::1/64 dev ext0 nodad",
        "route add default via 2001:db8:ee::2",
    ];
    ip(out, "gw", gateway.map(|line| of_ipv6(line.into())));
    let world = [
        "addr add 2001:db8:ee::2/64 dev eth0 nodad",
        "addr add 2001:db8:8::8/128 dev lo nodad",
        "addr add 2001:db8:7::7/128 dev lo nodad",
        "route add fd00:10:240::/64 via 2001:db8:ee::1",
    ];
    ip(out, "world", world.map(|line| of_ipv6(line.into())));
}

const fn nodad(topo: &Topo) -> &'static str {
    if topo.dad == 0 { " nodad" } else { "" }
}

fn of_ipv6(line: String) -> String {
    format!("-6 {line}")
}
