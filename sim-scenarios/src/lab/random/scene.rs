//! The cluster of a random spec: its shape, its sysctls, its servers, and who can be talked to.

use serde_json::{Map, Value, json};
use sim_core::wire::ip::Family;

use super::dice::Dice;
use super::words::Words;

/// A small cluster.
#[derive(Clone, Copy)]
pub(super) struct Scene {
    /// How many nodes.
    pub nodes: u8,
    /// Pods and their nodes.
    pub pods: &'static [(&'static str, u8)],
    /// Whether there is a gateway and a world beyond it.
    pub world: bool,
    /// The family that is spoken where only one can be.
    pub words: &'static Words,
    families: &'static [&'static Words],
    mtu: Option<(&'static str, u32)>,
    plain: bool,
}

/// Pods and their nodes; the third only where there are two nodes.
const PODS: &[(&str, u8)] = &[("a", 1), ("b", 1), ("c", 2)];

impl Scene {
    /// Draws one: mostly two pods on the first node and one on the second.
    pub(super) fn draw(dice: &mut Dice, families: &'static [&'static Words]) -> Self {
        let nodes = dice.weighed(&[(2, 1), (6, 2), (1, 3)]);
        let pods = if nodes > 1 { PODS } else { &PODS[..2] };
        let mtu = dice.weighed(&[
            (4, None),
            (1, Some(("pod_mtu", 1300))),
            (1, Some(("pod_mtu", 1500))),
            (2, Some(("vxlan_mtu", 1200))),
            (1, Some(("pod_mtu", 1400))),
        ]);
        let (world, plain) = (dice.one_in(3), nodes > 1 && dice.one_in(5));
        let mut scene = Self { nodes, pods, world, words: families[0], families, mtu, plain };
        if scene.speaks(Family::V6) {
            // A device with less has no IPv6 (RFC 8200 section 5).
            scene.mtu = mtu.map(|(key, value)| (key, value.max(1280)));
        }
        scene
    }

    /// Whether packets of `family` are sent.
    pub(super) fn speaks(&self, family: Family) -> bool {
        self.families.iter().any(|words| words.family == family)
    }

    /// The same cluster in the words of each family that is spoken.
    pub(super) fn in_each_family(self) -> impl Iterator<Item = Self> {
        self.families.iter().map(move |words| Self { words, ..self })
    }

    /// The same cluster in the words of one of them.
    pub(super) fn in_one_family(self, dice: &mut Dice) -> Self {
        Self { words: if self.families.len() > 1 { dice.pick(self.families) } else { self.words }, ..self }
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
            for words in self.families {
                let all = || 1..=self.nodes;
                let to = |at: usize| format!("route add {} via {}", words.pod_nets[at], words.nodes[at]);
                let routes = |node: u8| all().filter(move |peer| *peer != node).map(|peer| to(usize::from(peer) - 1));
                let of = |node: u8| (format!("n{node}"), json!(routes(node).collect::<Vec<_>>()));
                topo.insert(words.ip.into(), all().map(of).collect());
            }
        }
        if self.speaks(Family::V6) {
            topo.insert("v6".into(), true.into());
        }
        topo.into()
    }

    /// The member `sysctl`. A SYN is answered once, and no segment is repeated while later steps run.
    pub(super) fn sysctls(&self, dice: &mut Dice) -> Value {
        let mut everywhere = Map::new();
        everywhere.insert("net.ipv4.tcp_synack_retries".into(), "0".into());
        everywhere.insert("net.ipv4.tcp_rto_min_us".into(), "60000000".into());
        let mut nodes = Map::new();
        for (key, values) in self.words.sysctls {
            if dice.one_in(if key.ends_with("rp_filter") { 5 } else { 8 }) {
                nodes.insert((*key).into(), dice.pick(values).into());
            }
        }
        json!({ "*": everywhere, "nodes": nodes })
    }

    /// The member `servers`: two in each pod, and two on the first node. One for IPv6 is for IPv4 too.
    pub(super) fn servers(&self) -> Value {
        let pods = self.pods.iter().map(|(pod, _)| *pod);
        let netns: Vec<_> = pods.chain(["n1"]).chain(self.world.then_some("world")).collect();
        let of = |ns: &str, proto: &str| match self.speaks(Family::V6) {
            true => json!({ "ns": ns, "proto": proto, "port": 8080, "v6": true }),
            false => json!({ "ns": ns, "proto": proto, "port": 8080 }),
        };
        netns.iter().flat_map(|ns| [of(ns, "udp"), of(ns, "tcp")]).collect()
    }

    /// One of the servers that can be stopped.
    pub(super) fn server(&self, dice: &mut Dice) -> String {
        let server = dice.pick(&["a/udp/8080", "b/udp/8080", "n1/udp/8080"]);
        format!("{server}{}", if self.speaks(Family::V6) { "/6" } else { "" })
    }

    /// The UDP data that just fits between nodes, and whether a pod can send more in one packet.
    pub(super) fn fits(&self) -> (u32, bool) {
        let headers = self.words.header_len + 8;
        match self.mtu {
            Some(("vxlan_mtu", mtu)) => (mtu - headers, true),
            Some((_, mtu)) if mtu > 1450 => (1450 - headers, true),
            Some((_, mtu)) => (mtu - headers, false),
            None => (1450 - headers, false),
        }
    }

    /// A netns that sends: mostly a pod.
    pub(super) fn sender(&self, dice: &mut Dice) -> String {
        match dice.below(8) {
            0 => format!("n{}", dice.between(1, self.nodes.into())),
            1 if self.world => "world".into(),
            _ => dice.pick(self.pods).0.into(),
        }
    }

    /// An address of the cluster, of its pods most often.
    pub(super) fn addr(&self, dice: &mut Dice) -> &'static str {
        let (words, node) = (self.words, dice.below(self.nodes.into()) as usize);
        match dice.below(12) {
            0 => words.nodes[node],
            1 => words.bridges[node],
            2 if self.world => dice.pick(&[words.world, words.outside[node]]),
            3 | 4 => words.vip,
            5 => dice.pick(words.strange),
            _ => self.pod_addr(dice),
        }
    }

    /// The address of a pod.
    pub(super) fn pod_addr(&self, dice: &mut Dice) -> &'static str {
        self.words.pods[dice.below(self.pods.len() as u32) as usize]
    }

    /// A network that rules name.
    pub(super) fn net(&self, dice: &mut Dice) -> String {
        match dice.below(4) {
            0 => dice.pick(&self.words.nets).into(),
            _ => format!("{}/{}", self.addr(dice), self.words.bits),
        }
    }
}
