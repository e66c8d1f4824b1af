//! How pods resolve names, as it is written and as it is mistaken.

use super::mistakes::refused_one;
use super::{deployment, loaded};
use crate::api::{DnsPolicy, PodDns};

fn dns(fields: &str) -> PodDns {
    loaded(&(deployment("web", "") + fields)).objects.workloads[0].template.dns.clone()
}

#[test]
fn a_pod_that_says_nothing_asks_the_cluster() {
    assert_eq!(dns(""), PodDns::default());
    assert_eq!(dns("      dnsPolicy: Default\n").policy, DnsPolicy::Default);
}

#[test]
fn a_pods_own_servers_domains_options_and_names_are_read() {
    let dns = dns("      dnsPolicy: None
      dnsConfig:
        nameservers: [1.1.1.1, 'fd00::53']
        searches: [my.svc.cluster.local, _tcp.example.com., '.']
        options: [{name: ndots, value: '2'}, {name: edns0}]
      hostAliases:
      - {ip: 10.0.0.7, hostnames: [db, db.example.com]}
      - {ip: 10.0.0.8, hostnames: [db]}
");
    assert_eq!((dns.policy, dns.nameservers.len(), dns.searches.len()), (DnsPolicy::None, 2, 3));
    assert_eq!(
        dns.options.into_iter().collect::<Vec<_>>(),
        [("edns0".into(), "".into()), ("ndots".into(), "2".into())]
    );
    assert_eq!(dns.host_aliases["db"].len(), 2);
    assert_eq!(dns.host_aliases["db.example.com"].len(), 1);
}

#[test]
fn what_no_resolver_could_use_is_refused() {
    let fields = "      dnsPolicy: Cluster
      dnsConfig:
        nameservers: [1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4, x]
        searches: [a..b]
        options: [{value: '2'}]
      hostAliases: [{ip: y, hostnames: [a b]}]
";
    insta::assert_snapshot!(refused_one(&(deployment("web", "") + fields)));
    insta::assert_snapshot!("nobody_to_ask", refused_one(&(deployment("web", "") + "      dnsPolicy: None\n")));
}
