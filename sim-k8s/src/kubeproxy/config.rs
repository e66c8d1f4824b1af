//! kube-proxy's configuration, and what it knows about its node.
//!
//! Defaults: upstream `pkg/proxy/apis/config/v1alpha1/defaults.go` and `cmd/kube-proxy/app/server_linux.go`.

use std::net::IpAddr;

use ipnet::IpNet;
use sim_core::engine::time::Duration;
use sim_core::wire::ip::Family;

use super::runner::Pace;
use crate::command::Command;

/// How traffic of local pods is told from other traffic (`detectLocalMode`, upstream `localdetector.go`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DetectLocal {
    /// Not at all: mode ClusterCIDR without a CIDR.
    Unknown,
    /// Modes ClusterCIDR and NodeCIDR: by source address, a network of each family at most.
    Cidrs(Vec<IpNet>),
    /// Mode BridgeInterface: by the device it came from.
    BridgeInterface(String),
    /// Mode InterfaceNamePrefix: by the beginning of that device's name.
    InterfaceNamePrefix(String),
}

/// kube-proxy's configuration; the same on every node of a cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// How pods are recognised.
    pub detect_local: DetectLocal,
    /// Bit of the packet mark that says "masquerade"; default 14, at most 31.
    pub masquerade_bit: u8,
    /// Masquerade everything that goes to a ClusterIP; default off.
    pub masquerade_all: bool,
    /// `MASQUERADE --random-fully`, which every iptables since 1.6.2 has; default on.
    pub random_fully: bool,
    /// Networks whose node addresses serve node ports; empty (the default of iptables mode): every local address.
    pub node_port_addresses: Vec<IpNet>,
    /// Whether node ports answer on 127.0.0.0/8, at the price of route_localnet=1; default on.
    pub localhost_node_ports: bool,
    /// kube-proxy sets `nf_conntrack_tcp_be_liberal` (`conntrack.tcpBeLiberal`). Where it is set, by whomever, INVALID
    /// packets are not dropped. Default off.
    pub tcp_be_liberal: bool,
    /// Entries of conntrack for each core of the node (`conntrack.maxPerCore`), 0: the kernel's own limit stays; default 32768 …
    pub conntrack_max_per_core: u32,
    /// … but at least this many (`conntrack.min`); default 131072.
    pub conntrack_min: u32,
    /// `nf_conntrack_tcp_timeout_established`, 0: the kernel's stays; default 24 h.
    pub tcp_established_timeout: Duration,
    /// `nf_conntrack_tcp_timeout_close_wait`, 0: the kernel's stays; default 1 h.
    pub tcp_close_wait_timeout: Duration,
    /// Whether UDP flows of service ports that no endpoint serves, or that are gone, are deleted. Default on; Kubernetes
    /// 1.32 to mid-2026 left them (kubernetes issue 139628).
    pub clean_unserved: bool,
    /// Whether the kernel has nfacct counters, which add a match to two kinds of rules; default off.
    pub nfacct: bool,
    /// Feature gate PreferSameTrafficDistribution; default on (since Kubernetes 1.34).
    pub prefer_same_traffic_distribution: bool,
    /// Above this many endpoints of all service ports together comments are left out and stale
    /// chains are deleted more rarely (`largeClusterEndpointsThreshold`, a constant upstream); default 1000.
    pub large_cluster_endpoints: usize,
    /// How often the canary is looked for and a failed sync is tried again; default 30 s.
    pub sync_period: Duration,
    /// Least time from the end of a sync to the next, for changes to gather; default 1 s.
    pub min_sync_period: Duration,
    /// Older releases: syncs that may follow each other without that rest (`burstSyncs`, 2). Default `None`: not one.
    pub burst_syncs: Option<u32>,
    /// What any sync takes; default 60 ms (kubernetes issue 34006; small clusters are said to need 50 to 150 ms) …
    pub sync_cost: Duration,
    /// … and for each line that it writes; default 70 us (kubernetes issue 138073: 2.8 s for 38,841 lines).
    pub sync_cost_per_line: Duration,
    /// A full sync at least this often (`FullSyncPeriod`, a constant upstream); default 1 h.
    pub full_sync_period: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            detect_local: DetectLocal::Unknown,
            masquerade_bit: 14,
            masquerade_all: false,
            random_fully: true,
            node_port_addresses: Vec::new(),
            localhost_node_ports: true,
            tcp_be_liberal: false,
            conntrack_max_per_core: 32_768,
            conntrack_min: 131_072,
            tcp_established_timeout: Duration::from_secs(24 * 3600),
            tcp_close_wait_timeout: Duration::from_secs(3600),
            clean_unserved: true,
            nfacct: false,
            prefer_same_traffic_distribution: true,
            large_cluster_endpoints: 1000,
            sync_period: Duration::from_secs(30),
            min_sync_period: Duration::from_secs(1),
            burst_syncs: None,
            sync_cost: Duration::from_millis(60),
            sync_cost_per_line: Duration::from_micros(70),
            full_sync_period: Duration::from_secs(3600),
        }
    }
}

/// What one kube-proxy knows about the node it runs on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// The node's name, as in an endpoint's `nodeName`.
    pub name: String,
    /// Its primary address; its family is the proxier's family.
    pub ip: IpAddr,
    /// Every address of its devices, the loopback ones included.
    pub addresses: Vec<IpAddr>,
    /// Its label `topology.kubernetes.io/zone`, empty if it has none.
    pub zone: String,
    /// How many cores it has.
    pub cores: u32,
}

impl Node {
    /// What listens on every address: where there is IPv6, Go opens one socket for both families, whichever unspecified
    /// address it is told (`favoriteAddrFamily` of package net).
    pub(super) fn all_addresses(&self) -> IpAddr {
        let families = self.addresses.iter().chain([&self.ip]).copied().map(Family::of);
        families.max().expect("the family of its primary address").unspecified()
    }
}

/// Which addresses of a node serve node ports (upstream `nodeport_addresses.go`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum NodePortAddresses {
    /// Every address of type LOCAL.
    All,
    /// Only these, in the order of the node's.
    These(Vec<IpAddr>),
}

impl Config {
    /// The networks of the node's family; empty if all addresses serve node ports.
    fn node_port_networks(&self, node: &Node) -> Vec<IpNet> {
        let nets = self.node_port_addresses.iter().filter(|net| net.addr().is_ipv4() == node.ip.is_ipv4());
        let nets: Vec<IpNet> = nets.copied().collect();
        if nets.iter().any(|net| net.prefix_len() == 0) { Vec::new() } else { nets }
    }

    pub(super) fn node_port_addresses(&self, node: &Node) -> NodePortAddresses {
        let nets = self.node_port_networks(node);
        if nets.is_empty() {
            return NodePortAddresses::All;
        }
        let mut these = Vec::new();
        for ip in &node.addresses {
            if nets.iter().any(|net| net.contains(ip)) && !these.contains(ip) {
                these.push(*ip);
            }
        }
        NodePortAddresses::These(these)
    }

    /// Where health check node ports listen: where node ports are served.
    pub(super) fn health_check_addresses(&self, node: &Node) -> Vec<IpAddr> {
        match self.node_port_addresses(node) {
            NodePortAddresses::All => vec![node.all_addresses()],
            NodePortAddresses::These(these) => these,
        }
    }

    /// When syncs run.
    pub(super) fn pace(&self) -> Pace {
        let (min, retry, max) = (self.min_sync_period, self.sync_period, self.full_sync_period);
        Pace { min, retry, max, burst: self.burst_syncs }
    }

    /// Localhost node ports work only with IPv4, and only if the networks contain a loopback address.
    pub(super) fn serves_localhost(&self, node: &Node) -> bool {
        let nets = self.node_port_networks(node);
        let loopback = |net: &IpNet| net.addr().is_loopback() || net.contains(&IpAddr::from([127, 0, 0, 0]));
        self.localhost_node_ports && node.ip.is_ipv4() && (nets.is_empty() || nets.iter().any(loopback))
    }

    /// The settings of conntrack that kube-proxy makes when it starts (`setupConntrack` of
    /// `cmd/kube-proxy/app/server_linux.go`).
    pub(super) fn conntrack_settings(&self, node: &Node) -> Vec<Command> {
        let max = self.conntrack_max_per_core.saturating_mul(node.cores).max(self.conntrack_min);
        let wanted = [
            (self.conntrack_max_per_core > 0, "max", u64::from(max)),
            (true, "tcp_timeout_established", self.tcp_established_timeout.as_secs()),
            (true, "tcp_timeout_close_wait", self.tcp_close_wait_timeout.as_secs()),
            (self.tcp_be_liberal, "tcp_be_liberal", 1),
        ];
        let wanted = wanted.into_iter().filter(|(wanted, _, value)| *wanted && *value > 0);
        wanted.map(|(_, name, value)| Command::sysctl(format!("net.netfilter.nf_conntrack_{name}"), value)).collect()
    }

    /// The masquerade mark, in kube-proxy's spelling.
    pub(super) fn masquerade_mark(&self) -> String {
        format!("0x{:08x}", 1u32 << u32::from(self.masquerade_bit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        let addresses = ["127.0.0.1", "192.168.0.2", "10.0.0.7"].map(|ip| ip.parse().expect("an address")).to_vec();
        Node { name: "n1".into(), ip: addresses[1], addresses, zone: String::new(), cores: 4 }
    }

    fn with(nets: &[&str]) -> Config {
        let node_port_addresses = nets.iter().map(|net| net.parse().expect("a network")).collect();
        Config { node_port_addresses, ..Config::default() }
    }

    #[test]
    fn networks_of_the_other_family_alone_mean_every_address() {
        let config = with(&["2001:db8::/32"]);
        assert_eq!(config.node_port_addresses(&node()), NodePortAddresses::All);
        assert!(config.serves_localhost(&node()));
    }

    #[test]
    fn localhost_is_served_only_if_a_network_has_a_loopback_address() {
        assert!(!with(&["192.168.0.0/16"]).serves_localhost(&node()));
        assert!(with(&["192.168.0.0/16", "127.0.0.1/32"]).serves_localhost(&node()));
        assert!(with(&["192.168.0.0/16", "0.0.0.0/0"]).serves_localhost(&node()));
        assert!(!Config { localhost_node_ports: false, ..Config::default() }.serves_localhost(&node()));
    }

    #[test]
    fn conntrack_is_given_room_by_the_core() {
        let lines = |cores| {
            let settings = Config::default().conntrack_settings(&Node { cores, ..node() });
            settings.iter().map(Command::to_string).collect::<Vec<_>>()
        };
        let timeouts = ["established=86400", "close_wait=3600"];
        let timeouts = timeouts.map(|set| format!("sysctl -w net.netfilter.nf_conntrack_tcp_timeout_{set}"));
        assert_eq!(lines(2)[0], "sysctl -w net.netfilter.nf_conntrack_max=131072");
        assert_eq!(lines(8)[0], "sysctl -w net.netfilter.nf_conntrack_max=262144");
        assert_eq!(lines(8)[1..], timeouts);
        let none = Config { conntrack_max_per_core: 0, tcp_be_liberal: true, ..Config::default() };
        let none = Config { tcp_established_timeout: Duration::ZERO, tcp_close_wait_timeout: Duration::ZERO, ..none };
        assert_eq!(none.conntrack_settings(&node()), [Command::sysctl("net.netfilter.nf_conntrack_tcp_be_liberal", 1)]);
    }

    #[test]
    fn the_mark_has_eight_digits() {
        assert_eq!(Config::default().masquerade_mark(), "0x00004000");
    }
}
