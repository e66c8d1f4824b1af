//! What each family says for the same things: the one place where random specs tell them apart.

use sim_core::wire::ip::Family;

/// Addresses, rules and headers in the words of one family. Addresses of nodes and pods are listed by number.
pub(super) struct Words {
    /// Whose words these are.
    pub family: Family,
    /// What is behind the names of pods and sets: nothing, or `6`.
    pub suffix: &'static str,
    /// The address of the Service that many rules know.
    pub vip: &'static str,
    /// The pods `a`, `b` and `c`.
    pub pods: [&'static str; 3],
    /// The nodes on the underlay.
    pub nodes: [&'static str; 3],
    /// The nodes on their pod bridges.
    pub bridges: [&'static str; 3],
    /// The nodes as the world knows them; where nobody translates, a second host of the world.
    pub outside: [&'static str; 3],
    /// The world.
    pub world: &'static str,
    /// Destinations that are nobody's, or everybody's. None is on a link: a neighbour that never answers takes seconds.
    pub strange: &'static [&'static str],
    /// Addresses that stand in frames where they should not.
    pub forged: &'static [&'static str],
    /// Networks that rules name: the pods' first.
    pub nets: [&'static str; 4],
    /// The network of the pods of the first node.
    pub pod_net: &'static str,
    /// The network of each node's pods.
    pub pod_nets: [&'static str; 3],
    /// The bits of an address.
    pub bits: &'static str,
    /// All bits of an address.
    pub mask: &'static str,
    /// ICMP in rules and frames.
    pub icmp: Icmp,
    /// Types of REJECT.
    pub rejects: &'static [&'static str],
    /// Those that say that a port is not there, that a network and that a host are prohibited.
    pub answers: [&'static str; 3],
    /// What `addrtype` is asked for.
    pub addr_types: &'static [&'static str],
    /// The time to live in rules: as a match and in options, and as a target.
    pub ttl: [&'static str; 2],
    /// Sysctls of nodes and their values.
    pub sysctls: &'static [(&'static str, &'static [&'static str])],
    /// The sysctl that makes a router.
    pub forwarding: &'static str,
    /// What `conntrack` is told of the family.
    pub conntrack: &'static [&'static str],
    /// Lines for `ip` that change something between packets.
    pub changes: [&'static str; 5],
    /// What packets of rules' text are loaded by: the member of a spec and the operation of a step.
    pub rules: &'static str,
    /// The member of a spec with sysctls: those of IPv6 are there once it is switched on.
    pub sysctl: &'static str,
    /// The member of a frame with the IP header.
    pub ip: &'static str,
    /// Its length in bytes.
    pub header_len: u32,
    /// Members of the IP header and values, as JSON: most are wrong, or rare.
    pub header: &'static [(&'static str, &'static [&'static str])],
    /// Protocols whose header is forged whole. No tunnels (4, 41, 47): whether the kernel answers depends on its modules.
    pub protocols: &'static [u8],
    /// A hardware address of a group.
    pub group_mac: &'static str,
}

/// ICMP of a family.
pub(super) struct Icmp {
    /// Its name as a protocol of rules.
    pub proto: &'static str,
    /// Its number.
    pub number: &'static str,
    /// Its match, and the option before the type.
    pub options: [&'static str; 2],
    /// Types of rules.
    pub types: &'static [&'static str],
    /// The member of a frame.
    pub key: &'static str,
    /// Types of messages that are no errors, by weight.
    pub messages: &'static [(u32, u8)],
    /// Types and codes of errors.
    pub errors: &'static [(u8, u8)],
    /// The type of an echo request.
    pub echo: u8,
}

/// A cluster that sends packets of IPv4 only.
pub(super) const IPV4: &[&Words] = &[&V4];
/// A cluster that sends packets of IPv6 only.
pub(super) const IPV6: &[&Words] = &[&V6];
/// A cluster that sends both.
pub(super) const BOTH: &[&Words] = &[&V4, &V6];

/// IPv4's words.
static V4: Words = Words {
    family: Family::V4,
    suffix: "",
    vip: "10.96.0.10",
    pods: ["10.244.1.2", "10.244.1.3", "10.244.2.2"],
    nodes: ["10.240.0.11", "10.240.0.12", "10.240.0.13"],
    bridges: ["10.244.1.1", "10.244.2.1", "10.244.3.1"],
    outside: ["203.0.113.11", "203.0.113.12", "203.0.113.13"],
    world: "8.8.8.8",
    strange: &["10.99.9.9", "127.0.0.1", "169.254.1.1", "192.0.2.77", "240.0.0.1", "10.244.1.255", "255.255.255.255"],
    forged: &[
        "127.0.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.5",
        "10.244.1.1",
        "10.99.0.1",
        "240.0.0.9",
        "10.244.2.2",
    ],
    nets: ["10.244.0.0/16", "10.244.1.0/24", "10.240.0.0/24", "0.0.0.0/1"],
    pod_net: "10.244.1.0/24",
    pod_nets: ["10.244.1.0/24", "10.244.2.0/24", "10.244.3.0/24"],
    bits: "32",
    mask: "255.255.255.255",
    icmp: Icmp {
        proto: "icmp",
        number: "1",
        options: ["icmp", "icmp-type"],
        types: &["8", "0", "3", "3/3", "11", "any", "echo-request", "fragmentation-needed", "5"],
        key: "icmp",
        messages: &[(3, 8), (1, 0), (1, 4), (1, 13), (1, 17), (1, 10), (1, 30), (1, 200)],
        errors: &[(3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0), (5, 1), (4, 0)],
        echo: 8,
    },
    rejects: &[
        "icmp-net-unreachable",
        "icmp-host-unreachable",
        "icmp-port-unreachable",
        "icmp-proto-unreachable",
        "icmp-net-prohibited",
        "icmp-host-prohibited",
        "icmp-admin-prohibited",
    ],
    answers: ["icmp-port-unreachable", "icmp-net-prohibited", "icmp-host-prohibited"],
    addr_types: &["LOCAL", "UNICAST", "BROADCAST", "MULTICAST", "LOCAL,BROADCAST"],
    ttl: ["ttl", "TTL"],
    sysctls: &[
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
    ],
    forwarding: "net.ipv4.ip_forward",
    conntrack: &[],
    changes: [
        "route add blackhole 10.99.0.0/16",
        "route add unreachable 10.99.0.0/16",
        "route add prohibit 10.96.0.0/12",
        "link set cni0 mtu 1300",
        "link set eth0 mtu 1280",
    ],
    rules: "rules",
    sysctl: "sysctl",
    ip: "ip",
    header_len: 20,
    header: &[
        ("ttl", &["0", "1", "2", "255"]),
        ("ck", &[r#""bad""#]),
        ("df", &["1"]),
        ("tos", &["4", "184", "255"]),
        ("len", &["19", "20", "27", "30", "60", "1500", "65535"]),
        ("off", &["8", "65528"]),
        ("mf", &["1"]),
        // Options that say nothing to a router, and one that asks it to look. docs/differences.md has what is not there.
        ("opt", &[r#""01010101""#, r#""00000000""#, r#""94040000""#, r#""82040000""#, r#""99040000""#]),
    ],
    protocols: &[0, 1, 2, 6, 17, 58, 132, 253],
    group_mac: "01:00:5e:00:00:05",
};

/// IPv6's words.
static V6: Words = Words {
    family: Family::V6,
    suffix: "6",
    vip: "fd00:10:96::10",
    pods: ["fd00:10:244:1::2", "fd00:10:244:1::3", "fd00:10:244:2::2"],
    nodes: ["fd00:10:240::11", "fd00:10:240::12", "fd00:10:240::13"],
    bridges: ["fd00:10:244:1::1", "fd00:10:244:2::1", "fd00:10:244:3::1"],
    outside: ["2001:db8:7::7"; 3],
    world: "2001:db8:8::8",
    strange: &["2001:db8:99::9", "::1", "fd00:99::1", "ff02::1", "fe80::1", "::ffff:10.244.1.3", "ff0e::5", "::"],
    forged: &[
        "::1",
        "::",
        "ff02::5",
        "fe80::99",
        "fd00:10:244:1::1",
        "2001:db8:99::1",
        "::ffff:10.244.1.3",
        "fd00:10:244:2::2",
    ],
    nets: ["fd00:10:244::/48", "fd00:10:244:1::/64", "fd00:10:240::/64", "::/1"],
    pod_net: "fd00:10:244:1::/64",
    pod_nets: ["fd00:10:244:1::/64", "fd00:10:244:2::/64", "fd00:10:244:3::/64"],
    bits: "128",
    mask: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    icmp: Icmp {
        proto: "ipv6-icmp",
        number: "58",
        options: ["icmp6", "icmpv6-type"],
        types: &["128", "129", "1", "1/4", "3", "2", "echo-request", "packet-too-big", "4/1"],
        key: "icmp6",
        messages: &[(3, 128), (1, 129), (1, 130), (1, 131), (1, 139), (1, 100), (1, 144), (1, 200)],
        errors: &[(1, 0), (1, 1), (1, 3), (1, 4), (1, 5), (2, 0), (3, 0), (3, 1), (4, 0), (4, 1)],
        echo: 128,
    },
    rejects: &[
        "icmp6-no-route",
        "icmp6-addr-unreachable",
        "icmp6-port-unreachable",
        "icmp6-reject-route",
        "icmp6-policy-fail",
        "icmp6-adm-prohibited",
    ],
    answers: ["icmp6-port-unreachable", "icmp6-policy-fail", "icmp6-adm-prohibited"],
    addr_types: &["LOCAL", "UNICAST", "ANYCAST", "MULTICAST", "LOCAL,MULTICAST"],
    ttl: ["hl", "HL"],
    sysctls: &[
        ("net.bridge.bridge-nf-call-ip6tables", &["0"]),
        ("net.ipv6.conf.all.forwarding", &["0"]),
        ("net.ipv6.conf.all.hop_limit", &["1", "2", "128"]),
        ("net.ipv6.conf.cni0.hop_limit", &["1", "2", "128"]),
        ("net.ipv6.conf.eth0.hop_limit", &["1", "2", "128"]),
        ("net.ipv6.conf.cni0.forwarding", &["0"]),
        ("net.netfilter.nf_conntrack_checksum", &["0"]),
        ("net.netfilter.nf_conntrack_tcp_loose", &["0"]),
        ("net.netfilter.nf_conntrack_tcp_be_liberal", &["1"]),
    ],
    forwarding: "net.ipv6.conf.all.forwarding",
    conntrack: &["-f", "ipv6"],
    changes: [
        "-6 route add blackhole fd00:99::/32",
        "-6 route add unreachable fd00:99::/32",
        "-6 route add prohibit fd00:10:96::/64",
        "link set cni0 mtu 1300",
        "link set eth0 mtu 1380",
    ],
    rules: "rules6",
    sysctl: "sysctl_late",
    ip: "ip6",
    header_len: 40,
    header: &[
        ("hl", &["0", "1", "2", "255"]),
        ("tc", &["4", "184", "255"]),
        ("flow", &["1", "1048575"]),
        ("len", &["39", "40", "47", "50", "80", "1500", "65535"]),
        (
            "ext",
            &[
                r#"[{"hbh": "010400000000"}]"#,
                r#"[{"hbh": "050200000100"}]"#,
                r#"[{"hbh": "c20400000000"}]"#,
                r#"[{"hbh": "1e0400000000"}]"#,
                r#"[{"dst": "010400000000"}]"#,
                r#"[{"dst": "9e0400000000"}]"#,
                r#"[{"dst": "5e0400000000"}, {"hbh": "010400000000"}]"#,
                r#"[{"hbh": "010400000000"}, {"dst": "010400000000"}, {"rt": "000000000000"}]"#,
                r#"[{"rt": "000100000000"}]"#,
                r#"[{"rt": "000100000000fd000000000000000000000000000001"}]"#,
                r#"[{"hbh": "000000010100"}, {"dst": "01f000000000"}]"#,
                r#"[{"rt": "040100000000"}, {"dst": "010400000000"}]"#,
            ],
        ),
        (
            "ext",
            &[
                r#"[{"frag": {"off": 0, "mf": 0}}]"#,
                r#"[{"frag": {"off": 8, "mf": 0}}]"#,
                r#"[{"frag": {"off": 65528, "mf": 1}}]"#,
                r#"[{"dst": "010400000000"}, {"frag": {"off": 0, "mf": 1}}]"#,
            ],
        ),
    ],
    protocols: &[0, 1, 2, 6, 17, 43, 44, 58, 59, 60, 132, 253],
    group_mac: "33:33:00:00:00:01",
};

impl Words {
    /// An address with a port or a range of them, as targets name it.
    pub(super) fn with_ports(&self, addr: &str, ports: &str) -> String {
        match self.family {
            Family::V6 if !ports.is_empty() => format!("[{addr}]{ports}"),
            _ => format!("{addr}{ports}"),
        }
    }
}
