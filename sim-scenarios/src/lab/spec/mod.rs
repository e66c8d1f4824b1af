//! The reference lab's spec and golden, as types.
//!
//! Strict: a key nobody knows, a name that is not in the cluster, a number that does not fit are errors
//! with line and column. Names are resolved while reading: what is left is addresses. Of the lab's second
//! series nftables is recognised and refused as not supported yet.

mod client;
mod common;
mod frame;
mod object;
mod script;
mod server;
mod step;

#[cfg(test)]
mod tests;

use indexmap::IndexMap;
use serde_json::Value;

pub use self::client::{Client, ManyUdp, Payload, Ping, Sets};
pub use self::common::{Common, Wanted};
pub use self::frame::{Arp, Body, Chain, Ext, Header, Icmp, Ip, L4, L4Checksum, RawFrame, Single, Tcp, Udp};
pub use self::object::{Place, SpecError};
pub use self::script::{Call, PEER, POD, PeerError, PeerOptions, PeerSegment, ROUTER, Script, ScriptStep, SetOption};
pub use self::server::{Mode, Proto, Server};
pub use self::step::{Forge, Forged, Op, Step};

use self::object::{Node, Object};
use super::cluster::Cluster;

/// What a file of the lab holds.
#[derive(Clone, Debug)]
pub struct Document {
    /// What to build and to do.
    pub asked: Asked,
    /// The spec as it stands in the file, to be written out again.
    pub source: Value,
    /// What the kernel did, one object per step; absent in a bare spec.
    pub result: Option<Value>,
}

/// What a spec asks for.
#[derive(Clone, Debug)]
pub enum Asked {
    /// Steps in a cluster.
    Steps(Box<Spec>),
    /// A script for one pod's TCP.
    Script(Box<Script>),
}

/// A cluster and what is done to it.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The cluster's shape.
    pub topo: Topo,
    /// The cluster's names and addresses.
    pub cluster: Cluster,
    /// iptables-save text per netns.
    pub rules: IndexMap<String, String>,
    /// ip6tables-save text per netns.
    pub rules6: IndexMap<String, String>,
    /// ipset-save text per netns, loaded before the rules.
    pub sets: IndexMap<String, String>,
    /// Sysctls in the order in which they are set: netns, key, value.
    pub sysctl: Vec<(String, String, String)>,
    /// Sysctls that are set after the rules.
    pub sysctl_late: Vec<(String, String, String)>,
    /// Whether a bridge port may send a frame back where it came from.
    pub hairpin: bool,
    /// Whether ARP hops are listed.
    pub show_arp: bool,
    /// Whether hops of neighbour discovery are listed.
    pub show_nd: bool,
    /// The netns whose rule verdicts are listed.
    pub trace: Vec<String>,
    /// Whether conntrack timeouts are listed.
    pub timeouts: bool,
    /// Whose conntrack tables are listed after a step.
    pub ct: Wanted,
    /// Servers that run from the start.
    pub servers: Vec<Server>,
    /// Ports shown as they are; every other one as its class. `None`: all are.
    pub known_ports: Option<Vec<u16>>,
    /// Identifiers of echo messages shown as they are; every other one as drawn. `None`: all are.
    pub known_echoes: Option<Vec<u16>>,
    /// IP ids shown as they are and not as letters.
    pub keep_ids: Vec<u16>,
    /// Whether sequence numbers of several connections are told apart.
    pub many_conns: bool,
    /// Whether a neighbour in use is probed again after 5 s (the kernel's default) and not after 600 s.
    pub nud_probes: bool,
    /// Keys left out when comparing.
    pub ignore: Vec<String>,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// The cluster's shape.
#[derive(Clone, Debug)]
pub struct Topo {
    /// How many nodes; at most 200.
    pub nodes: u8,
    /// The node of every pod.
    pub pods: IndexMap<String, u8>,
    /// Whether there is a gateway and a world beyond it.
    pub world: bool,
    /// MTU of the underlay in bytes.
    pub mtu: u32,
    /// MTU of pods and their bridge in bytes.
    pub pod_mtu: u32,
    /// MTU of the VTEP in bytes.
    pub vxlan_mtu: u32,
    /// Leaves out the VTEP and its routes.
    pub no_vxlan: bool,
    /// Gives nodes a default route even without a world.
    pub default_route: bool,
    /// Whether there is IPv6.
    pub v6: bool,
    /// How often a new IPv6 address is asked for before it is used.
    pub dad: u8,
    /// Bridged packets do not pass the rules of nodes.
    pub brnf0: bool,
    /// Lines as for `ip -6 -batch`, per netns, run when all else of IPv6 is built.
    pub ip6: IndexMap<String, Vec<String>>,
    /// Lines as for `ip -batch`, per netns, run when all else is built.
    pub ip: IndexMap<String, Vec<String>>,
}

/// Keys of the second series; see the lab's README, "Second part".
const SECOND_SERIES: &[&str] = &["nft", "nft_trace", "ct6"];

impl Document {
    /// Reads a spec, or a golden with a spec inside.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place in `text`.
    pub fn read(text: &str) -> Result<Self, SpecError> {
        let root = Node::root(text)?;
        let mut top = root.object()?;
        let Some(spec) = top.take("spec") else {
            return Ok(Self { asked: Asked::read(root.object()?)?, source: root.read()?, result: None });
        };
        for note in ["name", "about", "made_with", "backend", "repeatable", "same_with_legacy", "same_with_nft"] {
            top.take(note);
        }
        for trace in ["trace_legacy", "trace_nft"] {
            top.take(trace);
        }
        let result = top.take("result").map(|node| node.list().and_then(|_| node.read())).transpose()?;
        top.end()?;
        Ok(Self { asked: Asked::read(spec.object()?)?, source: spec.read()?, result })
    }

    /// The steps in a cluster; `None` for a script.
    pub fn steps(self) -> Option<Spec> {
        match self.asked {
            Asked::Steps(spec) => Some(*spec),
            Asked::Script(_) => None,
        }
    }
}

impl Asked {
    fn read(o: Object<'_>) -> Result<Self, SpecError> {
        if o.has("script") {
            Ok(Self::Script(Box::new(Script::read(o)?)))
        } else {
            Ok(Self::Steps(Box::new(Spec::read(o)?)))
        }
    }
}

impl Spec {
    fn read(mut o: Object<'_>) -> Result<Self, SpecError> {
        o.refuse_unsupported(SECOND_SERIES)?;
        for note in ["name", "about", "backends"] {
            o.take(note);
        }
        let topo = match o.take("topo") {
            Some(node) => Topo::read(node.object()?)?,
            None => Topo::read(Node::root("{}")?.object()?)?,
        };
        let cluster = Cluster::new(&topo);
        let nodes: Vec<String> = cluster.nodes.iter().map(|n| n.name.clone()).collect();
        let traced = read_map(&mut o, "trace_ns", &cluster)?;
        let trace = match (o.or("trace", false)?, traced.is_empty()) {
            (false, _) => Vec::new(),
            (true, true) => nodes,
            (true, false) => traced.into_iter().map(|(netns, _): (String, Value)| netns).collect(),
        };
        let spec = Self {
            rules: read_map(&mut o, "rules", &cluster)?.into_iter().collect(),
            rules6: read_map(&mut o, "rules6", &cluster)?.into_iter().collect(),
            sets: read_map(&mut o, "ipset", &cluster)?.into_iter().collect(),
            sysctl: read_sysctl(&mut o, "sysctl", &cluster)?,
            sysctl_late: read_sysctl(&mut o, "sysctl_late", &cluster)?,
            hairpin: o.or("hairpin", true)?,
            show_arp: o.optional::<String>("arp")?.is_some_and(|a| a == "show"),
            show_nd: o.optional::<String>("nd")?.is_some_and(|nd| nd == "show"),
            trace,
            timeouts: o.or("timeouts", false)?,
            ct: Wanted::read(o.take("ct"), &cluster)?.unwrap_or(Wanted::Nodes),
            servers: read_servers(&mut o, &cluster)?,
            known_ports: o.optional("known_ports")?,
            known_echoes: o.optional("known_echoes")?,
            keep_ids: o.or("keep_ids", Vec::new())?,
            many_conns: o.or("many_conns", false)?,
            nud_probes: o.or("nud_probes", false)?,
            ignore: read_compare(&mut o)?,
            steps: o.need("steps")?.list()?.into_iter().map(|n| Step::read(n, &cluster)).collect::<Result<_, _>>()?,
            topo,
            cluster,
        };
        o.end()?;
        Ok(spec)
    }
}

impl Topo {
    fn read(mut o: Object<'_>) -> Result<Self, SpecError> {
        let nodes: u8 = o.or("nodes", 2)?;
        if nodes > 200 {
            return Err(o.error(format!("{nodes} nodes: the underlay 10.240.0.0/24 has room for 200")));
        }
        let topo = Self {
            nodes,
            pods: read_pods(&mut o, nodes)?,
            world: o.or("world", false)?,
            mtu: o.or("mtu", 1500)?,
            pod_mtu: o.or("pod_mtu", 1450)?,
            vxlan_mtu: o.or("vxlan_mtu", 1450)?,
            no_vxlan: o.or("no_vxlan", false)?,
            default_route: o.or("default_route", false)?,
            v6: o.or("v6", false)?,
            dad: o.or("dad", 0)?,
            brnf0: o.or("brnf0", false)?,
            ip6: read_lines(&mut o, "ip6")?,
            ip: read_lines(&mut o, "ip")?,
        };
        o.end()?;
        Ok(topo)
    }
}

/// `{netns: [line, …]}`.
fn read_lines(o: &mut Object<'_>, key: &'static str) -> Result<IndexMap<String, Vec<String>>, SpecError> {
    let Some(node) = o.take(key) else { return Ok(IndexMap::new()) };
    node.object()?.entries().into_iter().map(|(netns, lines)| Ok((netns, lines.read()?))).collect()
}

fn read_pods(o: &mut Object<'_>, nodes: u8) -> Result<IndexMap<String, u8>, SpecError> {
    let mut pods = IndexMap::new();
    let mut count = [0u8; 256];
    let Some(list) = o.take("pods") else { return Ok(pods) };
    for (name, node) in list.object()?.entries() {
        // The node's end of the pod's veth is called veth-<pod>, and IFNAMSIZ leaves it 15 characters.
        let fits = (1..=10).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let taken = matches!(name.as_str(), "ul" | "gw" | "world") || node_number(&name, nodes).is_some();
        if !fits || taken {
            let help = "1 to 10 letters, digits or '-', and not a node, ul, gw or world";
            return Err(node.error(format!("{name:?} cannot be the name of a pod")).help(help));
        }
        let number = if node.is_string() { node_number(&node.read::<String>()?, nodes) } else { Some(node.read()?) };
        let number = number.filter(|n| (1..=nodes).contains(n));
        let number = number.ok_or_else(|| node.error(format!("no such node: there are {nodes}")))?;
        count[usize::from(number)] += 1;
        if count[usize::from(number)] > 250 {
            return Err(node.error(format!("node {number} has no room for another pod: its network is a /24")));
        }
        pods.insert(name, number);
    }
    Ok(pods)
}

fn node_number(name: &str, nodes: u8) -> Option<u8> {
    name.strip_prefix('n')?.parse().ok().filter(|n| (1..=nodes).contains(n))
}

/// A map from netns to something.
fn read_map<T: serde::de::DeserializeOwned>(
    o: &mut Object<'_>,
    key: &'static str,
    cluster: &Cluster,
) -> Result<Vec<(String, T)>, SpecError> {
    let Some(node) = o.take(key) else { return Ok(Vec::new()) };
    let entries = node.object()?.entries().into_iter();
    entries.map(|(netns, node)| Ok((known_netns(netns, &node, cluster)?, node.read()?))).collect()
}

/// `{"nodes" | "pods" | "*" | netns: {key: value}}`, told netns by netns.
fn read_sysctl(
    o: &mut Object<'_>,
    key: &'static str,
    cluster: &Cluster,
) -> Result<Vec<(String, String, String)>, SpecError> {
    let mut all = Vec::new();
    let Some(node) = o.take(key) else { return Ok(all) };
    for (who, node) in node.object()?.entries() {
        let values = read_sysctl_values(&node)?;
        let whose: Vec<String> = match who.as_str() {
            "nodes" => cluster.nodes.iter().map(|n| n.name.clone()).collect(),
            "pods" => cluster.pods.keys().cloned().collect(),
            "*" => cluster.netns.clone(),
            _ => vec![known_netns(who, &node, cluster)?],
        };
        for netns in whose {
            all.extend(values.iter().map(|(key, value)| (netns.clone(), key.clone(), value.clone())));
        }
    }
    Ok(all)
}

/// `{key: value}`; a value is text or a number.
fn read_sysctl_values(node: &Node<'_>) -> Result<IndexMap<String, String>, SpecError> {
    let entries = node.object()?.entries().into_iter();
    let text = |node: &Node<'_>| {
        Ok(match node.read()? {
            Value::String(s) => s,
            Value::Number(n) => n.to_string(),
            _ => return Err(node.error("a sysctl's value is text or a number")),
        })
    };
    entries.map(|(key, node)| Ok((key, text(&node)?))).collect()
}

fn read_servers(o: &mut Object<'_>, cluster: &Cluster) -> Result<Vec<Server>, SpecError> {
    let Some(node) = o.take("servers") else { return Ok(Vec::new()) };
    node.list()?.into_iter().map(|n| Server::read(n, cluster)).collect()
}

fn read_compare(o: &mut Object<'_>) -> Result<Vec<String>, SpecError> {
    let Some(node) = o.take("compare") else { return Ok(Vec::new()) };
    let mut compare = node.object()?;
    let ignore = compare.or("ignore", Vec::new())?;
    compare.end()?;
    Ok(ignore)
}

/// `name`, if the cluster has such a netns.
fn known_netns(name: String, node: &Node<'_>, cluster: &Cluster) -> Result<String, SpecError> {
    if cluster.netns.contains(&name) {
        return Ok(name);
    }
    let help = format!("the cluster has: {}", cluster.netns.join(", "));
    Err(node.error(format!("no netns is called {name:?}")).help(help))
}

/// The member `key`, which names a netns.
fn read_netns(o: &mut Object<'_>, key: &'static str, cluster: &Cluster) -> Result<String, SpecError> {
    let node = o.need(key)?;
    known_netns(node.read()?, &node, cluster)
}

/// An address or the name of a pod.
fn read_addr(node: &Node<'_>, cluster: &Cluster) -> Result<std::net::IpAddr, SpecError> {
    let text: String = node.read()?;
    cluster.addr(&text).ok_or_else(|| node.error(format!("{text:?} is neither a pod nor an address")))
}
