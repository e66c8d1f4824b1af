//! The Node objects of a cluster's machines: what their kubelets say of themselves, and what manifests say of them.

use crate::api::{HOSTNAME, Node, ZONE};

use super::ClusterConfig;

/// Keys of the labels that every kubelet sets, and the old ones that the node lifecycle controller still keeps equal
/// (`labelReconcileInfo`).
const PLATFORM: [(&str, &str); 4] = [
    ("kubernetes.io/os", "linux"),
    ("kubernetes.io/arch", "amd64"),
    ("beta.kubernetes.io/os", "linux"),
    ("beta.kubernetes.io/arch", "amd64"),
];

/// Taints of this prefix are the node lifecycle controller's to set, by how a node is.
const CONTROLLED: &str = "node.kubernetes.io/";

/// The Nodes that the kubelets of `n1`, `n2`, … register; and what of `declared` finds no machine, in words.
///
/// A declared Node adds its labels, taints and the like to the machine of its name, else to the first machine that
/// nobody else has named: a dump of another cluster (`kubectl get nodes -o yaml`) has other names.
pub fn node_objects(config: &ClusterConfig, declared: &[Node]) -> (Vec<Node>, Vec<String>) {
    let mut nodes: Vec<Node> = (0..config.nodes).map(|index| machine(index, config.zones)).collect();
    let of_this_name = |node: &&Node| nodes.iter().any(|machine| machine.name() == node.name());
    let (named, others): (Vec<&Node>, Vec<&Node>) = declared.iter().partition(of_this_name);
    let is_named = |machine: &Node| named.iter().any(|node| node.name() == machine.name());
    let free: Vec<usize> = (0..nodes.len()).filter(|index| !is_named(&nodes[*index])).collect();
    for node in &named {
        let index = nodes.iter().position(|machine| machine.name() == node.name()).expect("of this name");
        describe(&mut nodes[index], node);
    }
    for (node, index) in others.iter().zip(&free) {
        describe(&mut nodes[*index], node);
    }
    let left_over = others.iter().skip(free.len());
    let notes = left_over.map(|node| format!("Node {}: the cluster has only {} nodes", node.name(), config.nodes));
    (nodes, notes.collect())
}

fn machine(index: u32, zones: u32) -> Node {
    let mut node = Node::new(format!("n{}", index + 1));
    node.labels.extend(PLATFORM.map(|(key, value)| (key.to_owned(), value.to_owned())));
    node.labels.insert(HOSTNAME.into(), node.key.name.clone());
    if let Some(zone) = index.checked_rem(zones) {
        node.labels.insert(ZONE.into(), format!("z{}", zone + 1));
    }
    node
}

fn describe(machine: &mut Node, declared: &Node) {
    machine.labels.extend(declared.labels.clone());
    let taints = declared.taints.iter().filter(|taint| !taint.key.starts_with(CONTROLLED));
    machine.taints.extend(taints.cloned());
    machine.unschedulable = declared.unschedulable;
    machine.allocatable.clone_from(&declared.allocatable);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Taint, TaintEffect};

    fn declared(name: &str, label: &str) -> Node {
        let mut node = Node::new(name);
        node.labels.insert(label.into(), "yes".into());
        node
    }

    fn with(nodes: u32, zones: u32) -> ClusterConfig {
        ClusterConfig { nodes, zones, ..ClusterConfig::default() }
    }

    #[test]
    fn machines_are_dealt_to_the_zones_in_turn() {
        let (nodes, _) = node_objects(&with(5, 2), &[]);
        assert_eq!(nodes.iter().map(Node::zone).collect::<Vec<_>>(), ["z1", "z2", "z1", "z2", "z1"]);
        assert_eq!(nodes[4].labels[HOSTNAME], "n5");
        assert_eq!(node_objects(&with(1, 0), &[]).0[0].zone(), "");
    }

    #[test]
    fn a_declared_node_is_the_machine_of_its_name_or_the_first_free_one() {
        let mut worker = declared("worker", "a");
        let taint = |key: &str| Taint { key: key.into(), value: String::new(), effect: TaintEffect::NoSchedule };
        worker.taints = vec![taint("gpu"), taint("node.kubernetes.io/not-ready")];
        let (nodes, notes) =
            node_objects(&with(3, 0), &[worker, declared("n1", "b"), declared("x", "c"), declared("y", "d")]);
        let with_label = |label: &str| nodes.iter().find(|node| node.labels.contains_key(label)).map(Node::name);
        assert_eq!(["a", "b", "c", "d"].map(with_label), [Some("n2"), Some("n1"), Some("n3"), None]);
        assert_eq!(nodes[1].taints, [taint("gpu")], "whether it is ready its kubelet says");
        assert_eq!(notes, ["Node y: the cluster has only 3 nodes"]);
    }
}
