//! The cluster of a random spec: its shape, its sysctls, its servers, and who can be talked to.

use serde_json::{Map, Value, json};

use super::dice::Dice;

/// A small cluster.
pub(super) struct Scene {
    /// How many nodes.
    pub nodes: u8,
    /// Pods and their nodes.
    pub pods: Vec<(&'static str, u8)>,
    /// Whether there is a gateway and a world beyond it.
    pub world: bool,
    mtu: Option<(&'static str, u32)>,
    plain: bool,
}

/// The address of the Service that many rules know.
pub(super) const VIP: &str = "10.96.0.10";

impl Scene {
    /// Draws one: mostly two pods on the first node and one on the second.
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let nodes = dice.weighed(&[(2, 1), (6, 2), (1, 3)]);
        let mut pods = vec![("a", 1), ("b", 1)];
        if nodes > 1 {
            pods.push(("c", 2));
        }
        let mtu = dice.weighed(&[
            (4, None),
            (1, Some(("pod_mtu", 1300))),
            (1, Some(("pod_mtu", 1500))),
            (2, Some(("vxlan_mtu", 1200))),
            (1, Some(("pod_mtu", 1400))),
        ]);
        Self { nodes, pods, world: dice.one_in(3), mtu, plain: nodes > 1 && dice.one_in(5) }
    }

    /// The member `topo`. Without the overlay nodes reach each other's pods by routes.
    pub(super) fn topo(&self) -> Value {
        let mut topo = Map::new();
        topo.insert("nodes".into(), self.nodes.into());
        topo.insert("pods".into(), self.pods.iter().map(|(name, node)| ((*name).to_owned(), json!(node))).collect());
        if self.world {
            topo.insert("world".into(), true.into());
        }
        if let Some((key, value)) = self.mtu {
            topo.insert(key.into(), value.into());
        }
        if self.plain {
            topo.insert("no_vxlan".into(), true.into());
            let to = |peer: u8| format!("route add 10.244.{peer}.0/24 via 10.240.0.{}", 10 + peer);
            let all = || 1..=self.nodes;
            let routes = |node: u8| all().filter(move |peer| *peer != node).map(to).collect::<Vec<_>>();
            topo.insert("ip".into(), all().map(|node| (format!("n{node}"), json!(routes(node)))).collect());
        }
        topo.into()
    }

    /// The member `sysctl`. A SYN is answered once, and no segment is repeated while later steps run.
    pub(super) fn sysctls(&self, dice: &mut Dice) -> Value {
        let mut everywhere = Map::new();
        everywhere.insert("net.ipv4.tcp_synack_retries".into(), "0".into());
        everywhere.insert("net.ipv4.tcp_rto_min_us".into(), "60000000".into());
        let mut nodes = Map::new();
        for (key, values) in SYSCTLS {
            if dice.one_in(if key.ends_with("rp_filter") { 5 } else { 8 }) {
                nodes.insert((*key).into(), dice.pick(values).into());
            }
        }
        json!({ "*": everywhere, "nodes": nodes })
    }

    /// The member `servers`: two in each pod, and one on the first node.
    pub(super) fn servers(&self) -> Value {
        let of = |ns: &str, proto: &str| json!({ "ns": ns, "proto": proto, "port": 8080 });
        let mut servers: Vec<_> = self.pods.iter().flat_map(|(pod, _)| [of(pod, "udp"), of(pod, "tcp")]).collect();
        servers.extend([of("n1", "udp"), of("n1", "tcp")]);
        if self.world {
            servers.extend([of("world", "udp"), of("world", "tcp")]);
        }
        servers.into()
    }

    /// The UDP data that just fits between nodes, and whether a pod can send more in one packet.
    pub(super) fn fits(&self) -> (u32, bool) {
        match self.mtu {
            Some(("vxlan_mtu", mtu)) => (mtu - 28, true),
            Some((_, mtu)) if mtu > 1450 => (1450 - 28, true),
            Some((_, mtu)) => (mtu - 28, false),
            None => (1450 - 28, false),
        }
    }

    /// A netns that sends: mostly a pod.
    pub(super) fn sender(&self, dice: &mut Dice) -> String {
        match dice.below(8) {
            0 => format!("n{}", dice.between(1, self.nodes.into())),
            1 if self.world => "world".into(),
            _ => dice.pick(&self.pods).0.into(),
        }
    }

    /// An address of the cluster, of its pods most often.
    pub(super) fn addr(&self, dice: &mut Dice) -> String {
        let node = dice.between(1, self.nodes.into());
        match dice.below(12) {
            0 => format!("10.240.0.{}", 10 + node),
            1 => format!("10.244.{node}.1"),
            2 if self.world => dice.pick(&["8.8.8.8".into(), format!("203.0.113.{}", 10 + node)]),
            3 | 4 => VIP.into(),
            5 => dice.pick(STRANGE).into(),
            _ => self.pod_addr(dice),
        }
    }

    /// The address of a pod.
    pub(super) fn pod_addr(&self, dice: &mut Dice) -> String {
        match dice.pick(&self.pods) {
            ("a", _) => "10.244.1.2",
            ("b", _) => "10.244.1.3",
            _ => "10.244.2.2",
        }
        .into()
    }

    /// A network that rules name.
    pub(super) fn net(&self, dice: &mut Dice) -> String {
        match dice.below(4) {
            0 => dice.pick(&["10.244.0.0/16", "10.244.1.0/24", "10.240.0.0/24", "0.0.0.0/1"]).into(),
            _ => format!("{}/32", self.addr(dice)),
        }
    }
}

/// Addresses that are nobody's, or everybody's. None is on a link: a neighbour that never answers takes seconds.
const STRANGE: &[&str] =
    &["10.99.9.9", "127.0.0.1", "169.254.1.1", "192.0.2.77", "240.0.0.1", "10.244.1.255", "255.255.255.255"];

/// Sysctls of nodes and their values.
const SYSCTLS: &[(&str, &[&str])] = &[
    ("net.bridge.bridge-nf-call-iptables", &["0"]),
    ("net.ipv4.ip_forward", &["0"]),
    ("net.ipv4.ip_default_ttl", &["1", "2", "128"]),
    ("net.ipv4.icmp_echo_ignore_all", &["1"]),
    ("net.ipv4.conf.all.rp_filter", &["1", "2"]),
    ("net.ipv4.conf.cni0.rp_filter", &["1", "2"]),
    ("net.ipv4.conf.eth0.rp_filter", &["1", "2"]),
    ("net.ipv4.conf.all.route_localnet", &["1"]),
    ("net.ipv4.conf.all.accept_local", &["1"]),
    ("net.ipv4.conf.all.send_redirects", &["0"]),
    ("net.ipv4.conf.cni0.send_redirects", &["0"]),
    ("net.ipv4.conf.cni0.forwarding", &["0"]),
    ("net.netfilter.nf_conntrack_checksum", &["0"]),
    ("net.netfilter.nf_conntrack_tcp_loose", &["0"]),
    ("net.netfilter.nf_conntrack_tcp_be_liberal", &["1"]),
    ("net.netfilter.nf_conntrack_tcp_ignore_invalid_rst", &["1"]),
];
