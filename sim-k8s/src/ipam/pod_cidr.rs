//! A pod network for each node, cut from the cluster's of one family: what the node IPAM controller does.

use ipnet::IpNet;

use super::{IpamError, nth, offset_in};

/// The cluster's pod network and the parts of it that nodes have.
#[derive(Clone, Debug)]
pub struct PodCidrs {
    cluster: IpNet,
    node_prefix: u8,
    /// By index; `None`: free.
    owners: Vec<Option<String>>,
}

impl PodCidrs {
    /// Cuts `cluster` (usually 10.244.0.0/16) into networks of `node_prefix` bits (`--node-cidr-mask-size`, IPv4: 24).
    ///
    /// # Errors
    /// [`IpamError::BadRange`] if `node_prefix` is shorter than the cluster's or leaves a node no address for a pod,
    /// or if there would be more than 65536 of them (`clusterSubnetMaxDiff`, upstream).
    pub fn new(cluster: IpNet, node_prefix: u8) -> Result<Self, IpamError> {
        let bad = |why| Err(IpamError::BadRange { net: cluster, why });
        if node_prefix < cluster.prefix_len() {
            return bad("a node's network would be larger");
        }
        if node_prefix > cluster.max_prefix_len() - 2 {
            return bad("a node's network would have no address for a pod");
        }
        if node_prefix - cluster.prefix_len() > 16 {
            return bad("there would be more than 65536 node networks");
        }
        Ok(Self { cluster: cluster.trunc(), node_prefix, owners: Vec::new() })
    }

    /// The lowest free network, for `node`.
    ///
    /// # Errors
    /// [`IpamError::Exhausted`] if every network has a node.
    pub fn allocate(&mut self, node: &str) -> Result<IpNet, IpamError> {
        let free = self.owners.iter().position(Option::is_none).unwrap_or(self.owners.len());
        let bits_below = u32::from(self.cluster.max_prefix_len() - self.node_prefix);
        let Some(first) = nth(self.cluster, (free as u128) << bits_below) else {
            return Err(IpamError::Exhausted { what: format!("pod network {}", self.cluster) });
        };
        if free == self.owners.len() {
            self.owners.push(None);
        }
        self.owners[free] = Some(node.to_owned());
        Ok(IpNet::new_assert(first, self.node_prefix))
    }

    /// `node` has `network` already. What is not one of the networks to give is nobody's business here.
    pub fn occupy(&mut self, network: IpNet, node: &str) {
        let fits = network.prefix_len() == self.node_prefix && self.cluster.contains(&network);
        let Some(offset) = offset_in(self.cluster, network.network()).filter(|_| fits) else { return };
        let bits_below = u32::from(self.cluster.max_prefix_len() - self.node_prefix);
        let index = (offset >> bits_below) as usize;
        if index >= self.owners.len() {
            self.owners.resize(index + 1, None);
        }
        self.owners[index].get_or_insert_with(|| node.to_owned());
    }

    /// The node is gone: its network may be given to another.
    pub fn release(&mut self, node: &str) {
        for owner in self.owners.iter_mut().filter(|owner| owner.as_deref() == Some(node)) {
            *owner = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a network")
    }

    #[test]
    fn nodes_get_one_network_after_the_other_and_a_free_one_is_used_again() {
        let mut cidrs = PodCidrs::new(net("10.244.0.0/16"), 24).expect("a good range");
        assert_eq!(cidrs.allocate("n0"), Ok(net("10.244.0.0/24")));
        assert_eq!(cidrs.allocate("n1"), Ok(net("10.244.1.0/24")));
        cidrs.release("n0");
        assert_eq!(cidrs.allocate("n2"), Ok(net("10.244.0.0/24")));
    }

    #[test]
    fn a_network_that_a_node_has_already_is_not_given_to_another() {
        let mut cidrs = PodCidrs::new(net("10.244.0.0/16"), 24).expect("a good range");
        cidrs.occupy(net("10.244.1.0/24"), "n9");
        cidrs.occupy(net("10.245.0.0/24"), "elsewhere");
        cidrs.occupy(net("10.244.0.0/25"), "of another size");
        assert_eq!(cidrs.allocate("n0"), Ok(net("10.244.0.0/24")));
        assert_eq!(cidrs.allocate("n1"), Ok(net("10.244.2.0/24")));
    }

    #[test]
    fn the_257th_node_finds_no_network() {
        let mut cidrs = PodCidrs::new(net("10.244.0.0/16"), 24).expect("a good range");
        for i in 0..256 {
            cidrs.allocate(&format!("n{i}")).expect("a free network");
        }
        let error = cidrs.allocate("n256").expect_err("exhausted");
        assert_eq!(error.to_string(), "pod network 10.244.0.0/16 is exhausted");
    }

    #[test]
    fn ranges_that_cannot_be_divided_are_refused() {
        for (cluster, prefix) in [("10.0.0.0/16", 8), ("10.0.0.0/16", 31), ("10.0.0.0/8", 25), ("fd00::/48", 65)] {
            assert!(PodCidrs::new(net(cluster), prefix).is_err(), "{cluster} {prefix}");
        }
        let mut v6 = PodCidrs::new(net("fd00:10:244::/48"), 64).expect("a good range");
        v6.allocate("n0").expect("a free network");
        assert_eq!(v6.allocate("n1"), Ok(net("fd00:10:244:1::/64")));
    }
}
