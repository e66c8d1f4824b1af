//! Which node each pod runs on.
//!
//! The scheduler's filters for node name, node selector and node ports, then the node with the fewest pods.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use crate::api::{Labels, Protocol};

use super::pod::Pod;

/// A Kubernetes node.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: Labels,
}

impl Node {
    /// `count` nodes `n1`, `n2`, … with the labels every kubelet sets.
    pub fn numbered(count: u32) -> Vec<Self> {
        let node = |number| {
            let name = format!("n{number}");
            let labels = [
                ("kubernetes.io/hostname", name.as_str()),
                ("kubernetes.io/os", "linux"),
                ("kubernetes.io/arch", "amd64"),
                // Their old names, which the node lifecycle controller still keeps (`labelReconcileInfo`).
                ("beta.kubernetes.io/os", "linux"),
                ("beta.kubernetes.io/arch", "amd64"),
            ];
            let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            Self { name, labels }
        };
        (1..=count).map(node).collect()
    }

    /// Whether it carries the labels of a node selector.
    pub fn fits(&self, node_selector: &Labels) -> bool {
        node_selector.iter().all(|(key, value)| self.labels.get(key) == Some(value))
    }
}

/// Where the pods run.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Placement {
    /// Each pod with the index of its node, in the order of the pods.
    pub placed: Vec<(Pod, usize)>,
    /// Pods that fit nowhere; in a cluster they would stay Pending.
    pub unplaced: Vec<Unplaced>,
}

/// A pod that fits nowhere.
#[derive(Clone, PartialEq, Debug)]
pub struct Unplaced {
    /// The pod.
    pub pod: Pod,
    /// Why.
    pub obstacle: Obstacle,
}

impl fmt::Display for Unplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod {}: {}", self.pod.key, self.obstacle)
    }
}

/// Why a pod fits nowhere.
#[derive(Clone, PartialEq, Debug)]
pub enum Obstacle {
    /// It names a node that does not exist.
    NoSuchNode(String),
    /// No node carries the labels of its node selector.
    NodeSelector(Labels),
    /// A port it needs of its node is taken, on every node it may run on.
    HostPort(Protocol, u16),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchNode(name) => write!(f, "there is no node {name}"),
            Self::NodeSelector(labels) => {
                let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
                write!(f, "no node carries {}", labels.join(", "))
            }
            Self::HostPort(protocol, port) => write!(f, "{protocol} port {port} of every node it may run on is taken"),
        }
    }
}

/// Chooses a node for each of `pods`: of those that fit, the one with the fewest pods, the first of equals. Pods that are
/// settled ([`Pod::node_name`]) come first, as they do not ask.
pub fn place(pods: Vec<Pod>, nodes: &[Node]) -> Placement {
    let mut load: Vec<Load> = vec![Load::default(); nodes.len()];
    let mut choices = vec![None; pods.len()];
    let settled = (0..pods.len()).filter(|i| pods[*i].node_name.is_some());
    let free = (0..pods.len()).filter(|i| pods[*i].node_name.is_none());
    for index in settled.chain(free) {
        let choice = choose(&pods[index], nodes, &load);
        if let Ok(node) = choice {
            load[node].take(&pods[index]);
        }
        choices[index] = Some(choice);
    }
    let mut placement = Placement::default();
    for (pod, choice) in pods.into_iter().zip(choices.into_iter().flatten()) {
        match choice {
            Ok(node) => placement.placed.push((pod, node)),
            Err(obstacle) => placement.unplaced.push(Unplaced { pod, obstacle }),
        }
    }
    placement
}

/// What a node has taken on.
#[derive(Clone, Default)]
struct Load {
    pods: usize,
    /// The addresses that are taken of each port; `None` stands for all of them.
    host_ports: BTreeMap<(Protocol, u16), Vec<Option<IpAddr>>>,
}

impl Load {
    fn take(&mut self, pod: &Pod) {
        self.pods += 1;
        for (port, address) in host_ports(pod) {
            self.host_ports.entry(port).or_default().push(address);
        }
    }

    /// Whether `port` is free at `address`. One address and all addresses exclude each other
    /// (`HostPortInfo.CheckConflict`, pkg/scheduler/framework/types.go).
    fn is_free(&self, port: (Protocol, u16), address: Option<IpAddr>) -> bool {
        let excludes = |taken: &Option<IpAddr>| address.is_none() || taken.is_none() || *taken == address;
        !self.host_ports.get(&port).is_some_and(|addresses| addresses.iter().any(excludes))
    }
}

fn host_ports(pod: &Pod) -> impl Iterator<Item = ((Protocol, u16), Option<IpAddr>)> {
    let ports = pod.template.containers.iter().flat_map(|container| &container.ports);
    ports.filter_map(|p| Some(((p.protocol, p.host_port?), p.host_ip)))
}

fn choose(pod: &Pod, nodes: &[Node], load: &[Load]) -> Result<usize, Obstacle> {
    let mut candidates: Vec<usize> = match &pod.node_name {
        Some(name) => (0..nodes.len()).filter(|i| nodes[*i].name == *name).collect(),
        None => (0..nodes.len()).filter(|i| nodes[*i].fits(&pod.template.node_selector)).collect(),
    };
    if candidates.is_empty() {
        return Err(match &pod.node_name {
            Some(name) => Obstacle::NoSuchNode(name.clone()),
            None => Obstacle::NodeSelector(pod.template.node_selector.clone()),
        });
    }
    for (port, address) in host_ports(pod) {
        candidates.retain(|i| load[*i].is_free(port, address));
        if candidates.is_empty() {
            return Err(Obstacle::HostPort(port.0, port.1));
        }
    }
    Ok(candidates.into_iter().min_by_key(|i| load[*i].pods).expect("an empty list has returned above"))
}

#[cfg(test)]
mod tests;
