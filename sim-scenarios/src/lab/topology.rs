//! How the lab's cluster is built: the words of the usual tools, netns by netns, in the lab's order.
//!
//! Order matters: a bridge floods to its ports in the order in which they were added, and a device's
//! index follows its making.

mod ipv6;

use std::fmt;

use sim_core::engine::time::Duration;
use sim_core::wire::ip::Family;

use super::bench::{Bench, Refused};
use super::cluster::{Cluster, GATEWAY};
use super::spec::{Spec, Topo};

/// One operation of the building.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Setup {
    /// Makes a netns.
    Netns(String),
    /// A line as for `ip -batch`: netns, line.
    Ip(String, String),
    /// A line as for `bridge -batch`: netns, line.
    Bridge(String, String),
    /// Sets a sysctl: netns, key, value.
    Sysctl(String, String, String),
    /// Sets a sysctl that need not exist: netns, key, value.
    Repeatable(String, String, String),
    /// `ipset restore`: netns, text.
    Sets(String, String),
    /// `iptables-restore` or `ip6tables-restore`: netns, which of the two, text.
    Rules(String, Family, String),
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Netns(name) => write!(f, "ip netns add {name}"),
            Self::Ip(netns, _) => write!(f, "ip -n {netns}"),
            Self::Bridge(netns, _) => write!(f, "bridge -n {netns}"),
            Self::Sysctl(netns, key, value) | Self::Repeatable(netns, key, value) => {
                write!(f, "sysctl -w {key}={value} in {netns}")
            }
            Self::Sets(netns, _) => write!(f, "ipset restore in {netns}"),
            Self::Rules(netns, Family::V4, _) => write!(f, "iptables-restore in {netns}"),
            Self::Rules(netns, Family::V6, _) => write!(f, "ip6tables-restore in {netns}"),
        }
    }
}

/// Everything that builds the cluster of `spec`, in order. Sysctls that are set for every device of a
/// netns need its devices and come after, see [`no_late_probes`].
pub fn setup(spec: &Spec) -> Vec<Setup> {
    let (topo, cluster) = (&spec.topo, &spec.cluster);
    let mut out = Vec::new();
    for netns in &cluster.netns {
        out.push(Setup::Netns(netns.clone()));
        out.extend(EVERYWHERE.iter().map(|(k, v)| Setup::Repeatable(netns.clone(), (*k).into(), (*v).into())));
    }
    underlay(&mut out, topo, cluster);
    for number in 0..cluster.nodes.len() {
        node(&mut out, spec, number);
    }
    for name in cluster.pods.keys() {
        pod(&mut out, cluster, name);
    }
    if topo.world {
        world(&mut out, topo, cluster);
    }
    for node in &cluster.nodes {
        sysctls(&mut out, &node.name, NODES);
    }
    for (netns, key, value) in &spec.sysctl {
        out.push(Setup::Sysctl(netns.clone(), sysctl_key(key), value.clone()));
    }
    for (netns, lines) in &topo.ip {
        out.extend(lines.iter().map(|line| Setup::Ip(netns.clone(), line.clone())));
    }
    for (netns, text) in &spec.sets {
        out.push(Setup::Sets(netns.clone(), text.clone()));
    }
    for (netns, text) in &spec.rules {
        out.push(Setup::Rules(netns.clone(), Family::V4, text.clone()));
    }
    if topo.v6 {
        ipv6::setup(&mut out, topo, cluster);
    }
    for (netns, text) in &spec.rules6 {
        out.push(Setup::Rules(netns.clone(), Family::V6, text.clone()));
    }
    for (netns, key, value) in &spec.sysctl_late {
        out.push(Setup::Sysctl(netns.clone(), sysctl_key(key), value.clone()));
    }
    out
}

/// How long a cluster is left alone when it is built. With IPv6, listeners report and duplicates are looked for.
pub fn settling(topo: &Topo) -> Duration {
    Duration::from_millis(match topo {
        Topo { v6: true, dad: 0, .. } => 150,
        Topo { v6: true, .. } => 2500,
        _ => 20,
    })
}

/// Keeps neighbours in use from being probed again 5 s after a use, at no fixed place in a run.
pub fn no_late_probes(spec: &Spec) -> Vec<Setup> {
    let mut out = Vec::new();
    if spec.nud_probes {
        return out;
    }
    for netns in &spec.cluster.netns {
        for dev in ["default", "lo"].map(String::from).into_iter().chain(devices(spec, netns)) {
            let key = sysctl_key(&format!("net.ipv4.neigh.{dev}.delay_first_probe_time"));
            out.push(Setup::Repeatable(netns.clone(), key, "600".into()));
        }
    }
    out
}

impl Setup {
    /// Whether `next` can be given to the same run of a tool.
    pub fn is_one_batch_with(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Ip(netns, _), Self::Ip(other, _)) | (Self::Bridge(netns, _), Self::Bridge(other, _)) => {
                netns == other
            }
            _ => false,
        }
    }

    fn line(&self) -> Option<&str> {
        match self {
            Self::Ip(_, line) | Self::Bridge(_, line) => Some(line),
            _ => None,
        }
    }
}

/// Does the operations of one batch, see [`Setup::is_one_batch_with`].
///
/// # Errors
/// What the bench says.
pub fn apply(bench: &mut dyn Bench, batch: &[Setup]) -> Result<(), Refused> {
    let lines: Vec<&str> = batch.iter().filter_map(Setup::line).collect();
    let Some(first) = batch.first() else { return Ok(()) };
    match first {
        Setup::Netns(name) => bench.add_netns(name),
        Setup::Ip(netns, _) => bench.ip(netns, &lines),
        Setup::Bridge(netns, _) => bench.bridge(netns, &lines),
        Setup::Sets(netns, text) => bench.ipset_restore(netns, text),
        Setup::Rules(netns, family, text) => bench.iptables_restore(netns, *family, text),
        Setup::Sysctl(netns, key, value) => bench.set_sysctl(netns, key, value),
        Setup::Repeatable(netns, key, value) => match bench.set_sysctl(netns, key, value) {
            Err(Refused::NotYet(_)) => Ok(()),
            result => result,
        },
    }
}

/// A sysctl's name with the dot of `flannel.1` written `/`, as sysctl(8) wants it.
pub fn sysctl_key(key: &str) -> String {
    key.replace("flannel.1", "flannel/1")
}

/// What makes runs of the kernel repeatable. What the emulator does not have does not disturb it.
pub(super) const EVERYWHERE: &[(&str, &str)] = &[
    ("net.ipv4.icmp_ratelimit", "0"),
    ("net.ipv4.ip_local_port_range", "32768\t60999"),
    ("net.ipv4.tcp_timestamps", "0"),
    ("net.bridge.bridge-nf-call-iptables", "0"),
    ("net.bridge.bridge-nf-call-arptables", "0"),
    ("net.bridge.bridge-nf-call-ip6tables", "0"),
    ("net.netfilter.nf_conntrack_acct", "1"),
];

const NODES: &[(&str, &str)] = &[
    ("net.ipv4.ip_forward", "1"),
    ("net.bridge.bridge-nf-call-iptables", "1"),
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    ("net.ipv4.conf.eth0.rp_filter", "0"),
    ("net.ipv4.conf.cni0.rp_filter", "0"),
];

fn sysctls(out: &mut Vec<Setup>, netns: &str, values: &[(&str, &str)]) {
    out.extend(values.iter().map(|(k, v)| Setup::Sysctl(netns.into(), (*k).into(), (*v).into())));
}

fn ip(out: &mut Vec<Setup>, netns: &str, lines: impl IntoIterator<Item = String>) {
    out.extend(lines.into_iter().map(|line| Setup::Ip(netns.into(), line)));
}

/// The address of `netns/dev`; every device of the cluster has one.
fn mac(cluster: &Cluster, netns: &str, dev: &str) -> String {
    cluster.mac(&format!("{netns}/{dev}")).unwrap_or_default().to_string()
}

fn bridge_line(dev: &str, mac: &str, mtu: u32) -> String {
    format!("link add {dev} address {mac} mtu {mtu} type bridge stp_state 0 mcast_snooping 0 forward_delay 0")
}

fn veth_line(dev: &str, mac: &str, mtu: u32, peer: &str, peer_mac: &str, netns: &str) -> String {
    format!(
        "link add {dev} address {mac} mtu {mtu} type veth peer name {peer} address {peer_mac} mtu {mtu} netns {netns}"
    )
}

fn underlay(out: &mut Vec<Setup>, topo: &Topo, cluster: &Cluster) {
    let mut lines = vec!["link set lo up".into(), bridge_line("br0", &mac(cluster, "ul", "br0"), topo.mtu)];
    for (host, _) in cluster.underlay_hosts(topo) {
        let port = format!("p-{host}");
        let (port_mac, host_mac) = (mac(cluster, "ul", &port), mac(cluster, &host, "eth0"));
        lines.push(veth_line(&port, &port_mac, topo.mtu, "eth0", &host_mac, &host));
        lines.push(format!("link set {port} master br0 up"));
    }
    lines.push("link set br0 up".into());
    ip(out, "ul", lines);
}

fn node(out: &mut Vec<Setup>, spec: &Spec, index: usize) {
    let (topo, cluster) = (&spec.topo, &spec.cluster);
    let node = &cluster.nodes[index];
    let peers: Vec<_> = cluster.nodes.iter().filter(|peer| peer.number != node.number).collect();
    let mut lines =
        vec!["link set lo up".into(), "link set eth0 up".into(), format!("addr add {}/24 brd + dev eth0", node.addr())];
    if topo.world || topo.default_route {
        lines.push(format!("route add default via {GATEWAY} dev eth0"));
    }
    lines.extend([
        bridge_line("cni0", &mac(cluster, &node.name, "cni0"), topo.pod_mtu),
        format!("addr add {}/24 brd + dev cni0", node.bridge_addr()),
        "link set cni0 up".into(),
    ]);
    if !topo.no_vxlan {
        lines.extend([
            format!(
                "link add flannel.1 address {} type vxlan id 1 local {} dev eth0 dstport 8472 nolearning",
                node.vtep_mac(),
                node.addr()
            ),
            format!("link set flannel.1 mtu {}", topo.vxlan_mtu),
            format!("addr add {}/32 dev flannel.1", node.vtep_addr()),
            "link set flannel.1 up".into(),
        ]);
        for peer in &peers {
            let (addr, mac) = (peer.vtep_addr(), peer.vtep_mac());
            lines.push(format!("neigh replace {addr} lladdr {mac} dev flannel.1 nud permanent"));
            lines.push(format!("route replace {addr}/24 via {addr} dev flannel.1 onlink"));
        }
    }
    let pods: Vec<_> = cluster.pods.iter().filter(|(_, pod)| pod.node == node.number).map(|(name, _)| name).collect();
    for name in &pods {
        let port = format!("veth-{name}");
        let (port_mac, pod_mac) = (mac(cluster, &node.name, &port), mac(cluster, name, "eth0"));
        lines.push(veth_line(&port, &port_mac, topo.pod_mtu, "eth0", &pod_mac, name));
        lines.push(format!("link set {port} master cni0 up"));
    }
    ip(out, &node.name, lines);
    if !topo.no_vxlan {
        out.extend(peers.iter().map(|peer| {
            let line = format!("fdb replace {} dev flannel.1 dst {} self permanent", peer.vtep_mac(), peer.addr());
            Setup::Bridge(node.name.clone(), line)
        }));
    }
    if spec.hairpin {
        let line = |name: &str| format!("link set dev veth-{name} hairpin on");
        out.extend(pods.iter().map(|name| Setup::Bridge(node.name.clone(), line(name))));
    }
}

fn pod(out: &mut Vec<Setup>, cluster: &Cluster, name: &str) {
    let pod = &cluster.pods[name];
    let node = &cluster.nodes[usize::from(pod.node) - 1];
    let gateway = node.bridge_addr();
    ip(
        out,
        name,
        [
            "link set lo up".into(),
            "link set eth0 up".into(),
            format!("addr add {}/24 brd + dev eth0", pod.addr),
            format!("route add default via {gateway} dev eth0"),
            format!("route add 10.244.0.0/16 via {gateway} dev eth0"),
        ],
    );
}

fn world(out: &mut Vec<Setup>, topo: &Topo, cluster: &Cluster) {
    let (gateway_mac, world_mac) = (mac(cluster, "gw", "ext0"), mac(cluster, "world", "eth0"));
    let gateway = [
        "link set lo up".into(),
        "link set eth0 up".into(),
        format!("addr add {GATEWAY}/24 brd + dev eth0"),
        veth_line("ext0", &gateway_mac, topo.mtu, "eth0", &world_mac, "world"),
        "addr add 192.0.2.1/24 brd + dev ext0".into(),
        "link set ext0 up".into(),
        "route add default via 192.0.2.2".into(),
    ];
    ip(out, "gw", gateway);
    let world = [
        "link set lo up",
        "link set eth0 up",
        "addr add 192.0.2.2/24 brd + dev eth0",
        "addr add 8.8.8.8/32 dev lo",
        "addr add 198.51.100.7/32 dev lo",
        "addr add 198.51.100.8/32 dev lo",
        "route add 203.0.113.0/24 via 192.0.2.1",
    ];
    ip(out, "world", world.map(String::from));
    sysctls(out, "gw", &[("net.ipv4.ip_forward", "1"), ("net.ipv4.conf.all.rp_filter", "0")]);
    out.push(Setup::Rules("gw".into(), Family::V4, gateway_rules(cluster)));
}

/// One-to-one NAT between each node and an outside address of its own; everything else is dropped.
fn gateway_rules(cluster: &Cluster) -> String {
    let base = |chain: &str, verdict: &str| format!(":{chain} {verdict} [0:0]");
    let mut nat = vec!["*nat".to_owned()];
    nat.extend(["PREROUTING", "POSTROUTING", "INPUT", "OUTPUT"].map(|chain| base(chain, "ACCEPT")));
    let mut filter =
        vec!["*filter".to_owned(), base("INPUT", "ACCEPT"), base("FORWARD", "DROP"), base("OUTPUT", "ACCEPT")];
    filter.push("-A FORWARD -m conntrack --ctstate RELATED -j ACCEPT".into());
    for node in &cluster.nodes {
        let (inside, outside) = (node.addr(), format!("203.0.113.{}", node.addr().octets()[3]));
        nat.push(format!("-A PREROUTING -i ext0 -d {outside}/32 -j DNAT --to-destination {inside}"));
        nat.push(format!("-A POSTROUTING -o ext0 -s {inside}/32 -j SNAT --to-source {outside}"));
        filter.push(format!("-A FORWARD -i eth0 -o ext0 -s {inside}/32 -j ACCEPT"));
        filter.push(format!("-A FORWARD -i ext0 -o eth0 -d {inside}/32 -j ACCEPT"));
    }
    for table in [&mut nat, &mut filter] {
        table.push("COMMIT".into());
    }
    nat.extend(filter);
    nat.join("\n") + "\n"
}

/// The devices of a netns besides `lo`.
fn devices(spec: &Spec, netns: &str) -> Vec<String> {
    spec.cluster.devices(netns).filter(|dev| *dev != "flannel.1" || !spec.topo.no_vxlan).map(String::from).collect()
}
