//! `resolv.conf`: what a resolver is told, and what the kubelet writes into a pod's (pkg/kubelet/network/dns/dns.go).

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use crate::api::{DnsPolicy, PodTemplate};

/// Most servers a resolver asks (`MAXNS` of glibc and musl, `MaxDNSNameservers` of Kubernetes).
const MAX_NAMESERVERS: usize = 3;
/// Most domains of a search list, and most characters of it (`MaxDNSSearchPaths`, `MaxDNSSearchListChars`).
const MAX_SEARCH: (usize, usize) = (32, 2048);
/// A longer domain makes some resolvers abort (`DNS1123SubdomainMaxLength`).
const MAX_DOMAIN: usize = 253;

/// The content of a `resolv.conf`. Default: empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ResolvConf {
    /// Whom to ask, in this order.
    pub nameservers: Vec<IpAddr>,
    /// Domains to complete a name with, in this order.
    pub search: Vec<String>,
    /// Options with their values; empty for one that has none.
    pub options: BTreeMap<String, String>,
}

/// What a kubelet knows of its cluster's DNS (`clusterDNS`, `clusterDomain`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterDns {
    /// Its address.
    pub nameserver: IpAddr,
    /// The cluster's domain: `cluster.local`.
    pub domain: String,
}

impl ResolvConf {
    /// Reads one; what makes no sense is passed over, as resolvers do. The last `search` line counts; options add up.
    pub fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    conf.nameservers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()))
                }
                Some("search") => {
                    conf.search = words.map(|word| word.strip_suffix('.').unwrap_or(word).to_owned()).collect();
                }
                Some("options") => conf.options.extend(words.map(|word| {
                    let (name, value) = word.split_once(':').unwrap_or((word, ""));
                    (name.to_owned(), value.to_owned())
                })),
                _ => {}
            }
        }
        conf
    }

    /// The one of a pod of `namespace` on a node that has `node` itself (`GetPodDNS`).
    pub fn of_pod(template: &PodTemplate, namespace: &str, cluster: &ClusterDns, node: &Self) -> Self {
        let in_cluster = Self {
            nameservers: vec![cluster.nameserver],
            search: [
                format!("{namespace}.svc.{}", cluster.domain),
                format!("svc.{}", cluster.domain),
                cluster.domain.clone(),
            ]
            .into_iter()
            .chain(node.search.iter().cloned())
            .collect(),
            options: [("ndots".to_owned(), "5".to_owned())].into(),
        };
        let own = &template.dns;
        let mut conf = match own.policy {
            DnsPolicy::None => Self::default(),
            DnsPolicy::Default => node.clone(),
            DnsPolicy::ClusterFirst if template.host_network => node.clone(),
            DnsPolicy::ClusterFirst | DnsPolicy::ClusterFirstWithHostNet => in_cluster,
        };
        conf.nameservers.extend(&own.nameservers);
        conf.search.extend(own.searches.iter().cloned());
        conf.options.extend(own.options.clone());
        conf.fit()
    }

    /// Leaves out what is there twice and what is too much (`formDNSConfigFitsLimits`).
    fn fit(mut self) -> Self {
        fn once<T: PartialEq>(list: Vec<T>) -> Vec<T> {
            list.into_iter().fold(Vec::new(), |mut kept, item| {
                if !kept.contains(&item) {
                    kept.push(item);
                }
                kept
            })
        }
        self.nameservers = once(self.nameservers);
        self.nameservers.truncate(MAX_NAMESERVERS);
        self.search = once(self.search);
        self.search.truncate(MAX_SEARCH.0);
        self.search.retain(|domain| domain.len() <= MAX_DOMAIN);
        while self.search.join(" ").len() > MAX_SEARCH.1 {
            self.search.pop();
        }
        self
    }

    /// The value of a number among the options, cut to `max`.
    pub(super) fn number(&self, option: &str, default: u64, max: u64) -> u64 {
        self.options.get(option).and_then(|value| value.parse().ok()).unwrap_or(default).min(max)
    }

    /// Whether an option is there.
    pub(super) fn has(&self, option: &str) -> bool {
        self.options.contains_key(option)
    }
}

/// As the runtime writes it.
impl fmt::Display for ResolvConf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.search.is_empty() {
            writeln!(f, "search {}", self.search.join(" "))?;
        }
        for nameserver in &self.nameservers {
            writeln!(f, "nameserver {nameserver}")?;
        }
        let written = |(name, value): (&String, &String)| {
            if value.is_empty() { name.clone() } else { format!("{name}:{value}") }
        };
        if !self.options.is_empty() {
            writeln!(f, "options {}", self.options.iter().map(written).collect::<Vec<_>>().join(" "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::PodDns;

    fn conf(policy: DnsPolicy, change: impl FnOnce(&mut PodTemplate)) -> String {
        let mut template = PodTemplate { dns: PodDns { policy, ..PodDns::default() }, ..PodTemplate::default() };
        change(&mut template);
        let cluster = ClusterDns { nameserver: "10.96.0.10".parse().unwrap(), domain: "cluster.local".into() };
        let node = ResolvConf::parse("nameserver 8.8.8.8\nsearch corp.example.com.\n");
        ResolvConf::of_pod(&template, "shop", &cluster, &node).to_string()
    }

    const CLUSTER: &str = "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example.com\n\
                           nameserver 10.96.0.10\noptions ndots:5\n";
    const NODE: &str = "search corp.example.com\nnameserver 8.8.8.8\n";

    #[test]
    fn a_pod_asks_the_cluster_first_and_completes_names_with_its_namespace() {
        assert_eq!(conf(DnsPolicy::ClusterFirst, |_| ()), CLUSTER);
    }

    #[test]
    fn a_pod_on_its_nodes_network_asks_as_the_node_does_unless_it_says_otherwise() {
        assert_eq!(conf(DnsPolicy::ClusterFirst, |pod| pod.host_network = true), NODE);
        assert_eq!(conf(DnsPolicy::ClusterFirstWithHostNet, |pod| pod.host_network = true), CLUSTER);
        assert_eq!(conf(DnsPolicy::Default, |_| ()), NODE);
    }

    #[test]
    fn a_pods_own_settings_come_after_those_of_its_policy() {
        let own = |policy| PodDns {
            policy,
            nameservers: vec!["1.1.1.1".parse().unwrap()],
            searches: vec!["svc.cluster.local".into(), "b.example".into()],
            options: [("ndots".to_owned(), "2".to_owned()), ("edns0".to_owned(), String::new())].into(),
            ..PodDns::default()
        };
        assert_eq!(
            conf(DnsPolicy::None, |pod| pod.dns = own(DnsPolicy::None)),
            "search svc.cluster.local b.example\nnameserver 1.1.1.1\noptions edns0 ndots:2\n"
        );
        let both = conf(DnsPolicy::ClusterFirst, |pod| pod.dns = own(DnsPolicy::ClusterFirst));
        assert!(both.contains("cluster.local corp.example.com b.example\nnameserver 10.96.0.10\nnameserver 1.1.1.1\n"));
        assert!(both.ends_with("options edns0 ndots:2\n"), "{both}");
    }

    #[test]
    fn what_is_too_much_is_left_out() {
        let own = PodDns {
            policy: DnsPolicy::None,
            nameservers: (1..6).map(|n| IpAddr::from([10, 0, 0, n])).collect(),
            searches: (0..40).map(|n| format!("{n}.{}", "x".repeat(60))).chain(["y".repeat(254)]).collect(),
            ..PodDns::default()
        };
        let conf = ResolvConf::parse(&conf(DnsPolicy::None, |pod| pod.dns = own));
        assert_eq!((conf.nameservers.len(), conf.search.len()), (3, 32));
    }

    #[test]
    fn what_is_printed_can_be_read() {
        for text in [CLUSTER, NODE, ""] {
            assert_eq!(ResolvConf::parse(text).to_string(), text);
        }
        let odd =
            ResolvConf::parse("# nothing\nnameserver\nnameserver x\nsearch a\nsearch b. c\noptions\noptions ndots:x");
        assert_eq!(
            (odd.nameservers.len(), odd.search.clone(), odd.number("ndots", 1, 15)),
            (0, vec!["b".into(), "c".into()], 1)
        );
    }
}
