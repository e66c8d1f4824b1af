//! The whole text for a small cluster with every feature, and what the real tools say to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::chains::{self, ServiceChains, endpoint_chain};
use super::*;
use crate::api::{ObjectKey, Protocol};
use crate::command::kernel;
use crate::kubeproxy::endpoints::collect;
use crate::kubeproxy::{DetectLocal, Endpoint, ServiceMap, ServicePort, ServicePortName};

fn name(namespace: &str, service: &str, port: &str, protocol: Protocol) -> ServicePortName {
    ServicePortName::new(ObjectKey::new(namespace, service), port, protocol).expect("labels")
}

fn endpoint(addr: &str, node: &str) -> Endpoint {
    Endpoint::ready(addr.parse().expect("an address with a port"), Some(node))
}

fn port(cluster_ip: [u8; 4], number: u16, endpoints: &[Endpoint]) -> ServicePort {
    ServicePort { endpoints: collect(endpoints.iter().cloned()), ..ServicePort::new(cluster_ip.into(), number) }
}

fn node() -> Node {
    let addresses = ["127.0.0.1", "192.168.0.2", "10.244.1.1"].map(|ip| ip.parse().expect("an address")).to_vec();
    Node { name: "n1".into(), ip: addresses[1], addresses, zone: String::new(), cores: 4 }
}

fn config() -> Config {
    Config { detect_local: DetectLocal::Cidrs(vec!["10.244.0.0/16".parse().expect("a network")]), ..Config::default() }
}

/// One service for each feature.
fn services() -> ServiceMap {
    let near = |port: u16| endpoint(&format!("10.244.1.2:{port}"), "n1");
    let far = |port: u16| endpoint(&format!("10.244.2.2:{port}"), "n2");
    let third = endpoint("10.244.2.11:80", "n2");
    let lb = ["1.2.3.4", "5.6.7.8"].map(|ip| ip.parse().expect("an address")).to_vec();
    let ranges = ["192.168.0.0/24", "203.0.113.0/25"].map(|net| net.parse().expect("a network")).to_vec();
    ServiceMap::from([
        (name("shop", "plain", "http", Protocol::Tcp), port([10, 96, 0, 20], 80, &[near(80), far(80), third])),
        (name("shop", "dns", "", Protocol::Udp), port([10, 96, 0, 21], 53, &[far(53)])),
        (
            name("shop", "sticky", "http", Protocol::Tcp),
            ServicePort { affinity_seconds: Some(10800), ..port([10, 96, 0, 22], 80, &[near(80), far(80)]) },
        ),
        (
            name("shop", "nodeport", "http", Protocol::Tcp),
            ServicePort { node_port: 30080, ..port([10, 96, 0, 23], 80, &[near(8080)]) },
        ),
        (
            name("shop", "lb", "https", Protocol::Tcp),
            ServicePort {
                node_port: 30443,
                lb_vips: lb.clone(),
                source_ranges: ranges,
                external_policy_local: true,
                health_check_node_port: 32000,
                ..port([10, 96, 0, 24], 443, &[near(8443), far(8443)])
            },
        ),
        (
            name("shop", "away", "http", Protocol::Tcp),
            ServicePort {
                node_port: 30081,
                lb_vips: lb[..1].to_vec(),
                external_ips: vec![[192, 168, 99, 11].into()],
                external_policy_local: true,
                internal_policy_local: true,
                ..port([10, 96, 0, 25], 81, &[far(80)])
            },
        ),
        (
            name("shop", "empty", "http", Protocol::Tcp),
            ServicePort {
                node_port: 30082,
                external_ips: vec![[192, 168, 99, 12].into()],
                ..port([10, 96, 0, 26], 80, &[])
            },
        ),
        (
            name("shop", "here", "sctp", Protocol::Sctp),
            ServicePort { internal_policy_local: true, ..port([10, 96, 0, 27], 9, &[near(9), far(9)]) },
        ),
    ])
}

fn sync(config: &Config, services: &ServiceMap, scope: &Scope, existing: Option<&BTreeSet<String>>) -> Vec<Command> {
    Iptables.sync(&Work { config, node: &node(), services, scope, existing_chains: existing })
}

fn restore_text(commands: &[Command]) -> &str {
    match commands.last() {
        Some(Command::Restore(_, text)) => text,
        other => panic!("a sync ends with a restore, not {other:?}"),
    }
}

#[test]
fn chain_names_are_upstreams() {
    let dns = name("kube-system", "kube-dns", "dns", Protocol::Udp);
    assert_eq!(ServiceChains::of(&dns).cluster, "KUBE-SVC-TCOU7JCQXEZGVUNU");
    let unnamed = name("default", "nginx", "", Protocol::Tcp);
    assert_eq!(ServiceChains::of(&unnamed).firewall, "KUBE-FW-2CMXP7HKUVJN7L6M");
    let svc4 = name("ns4", "svc4", "p80", Protocol::Tcp);
    let addr: SocketAddr = "10.180.0.5:80".parse().expect("an address with a port");
    assert_eq!(endpoint_chain(&svc4, addr), "KUBE-SEP-C6EBXVWJJZMIWKLZ");
}

#[derive(serde::Deserialize)]
struct NameTable {
    service_ports: Vec<NameRow>,
    endpoints: Vec<NameRow>,
}

/// A row of either kind: a service port has the first four, an endpoint the last two.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct NameRow {
    name: String,
    protocol: String,
    cluster: String,
    external: String,
    endpoint: Option<SocketAddr>,
    chain: String,
}

#[test]
fn chain_names_agree_with_the_shared_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/cases/kube-proxy-chains.yaml");
    let Ok(text) = std::fs::read(path) else {
        eprintln!("skipped: no {path}");
        return;
    };
    let table: NameTable = serde_saphyr::from_slice(&text).expect("the form of the shared cases");
    assert!(!table.service_ports.is_empty() && !table.endpoints.is_empty());
    for row in table.service_ports.iter().chain(&table.endpoints) {
        assert_eq!(row.protocol, "tcp", "the table has no other");
        let (namespace, rest) = row.name.split_once('/').expect("namespace/service:port");
        let (service, port) = rest.split_once(':').unwrap_or((rest, ""));
        let key = name(namespace, service, port, Protocol::Tcp);
        if let Some(endpoint) = row.endpoint {
            assert_eq!(endpoint_chain(&key, endpoint), row.chain);
        } else {
            let ServiceChains { cluster, external, .. } = ServiceChains::of(&key);
            assert_eq!((cluster, external), (row.cluster.clone(), row.external.clone()));
        }
    }
}

#[test]
fn ipv6_takes_the_same_path_without_localhost_node_ports() {
    let v6 = |ip: &str| ip.parse().expect("an address");
    let node = Node { ip: v6("fd00:10:240::11"), addresses: vec![v6("::1"), v6("fd00:10:240::11")], ..node() };
    let endpoints = collect([endpoint("[fd00:10:244:1::2]:80", "n1")]);
    let port = ServicePort { node_port: 30080, endpoints, ..ServicePort::new(v6("fd00:10:96::20"), 80) };
    let services = ServiceMap::from([(name("shop", "six", "", Protocol::Tcp), port)]);
    let work = Work { config: &config(), node: &node, services: &services, scope: &Scope::Full, existing_chains: None };
    let commands = Iptables.sync(&work);
    let text = restore_text(&commands);
    assert!(text.contains("--to-destination [fd00:10:244:1::2]:80\n"), "{text}");
    assert!(text.contains("-m addrtype --dst-type LOCAL ! -d ::1/128 -j KUBE-NODEPORTS"), "{text}");
    assert!(!text.contains("KUBE-FIREWALL") && !text.contains("127.0.0.0"), "{text}");
    assert!(!Iptables.start(&config(), &node).iter().any(|c| matches!(c, Command::Sysctl { .. })));
}

#[test]
fn the_text_of_a_node_is_what_upstream_writes() {
    insta::assert_snapshot!(restore_text(&sync(&config(), &services(), &Scope::Full, None)));
}

#[test]
fn a_full_sync_ensures_the_jumps_and_a_partial_one_does_not() {
    let script: Vec<_> = sync(&config(), &ServiceMap::new(), &Scope::Full, None)
        .iter()
        .filter(|c| matches!(c, Command::EnsureRule { .. }))
        .map(Command::to_string)
        .collect();
    insta::assert_snapshot!(script.join("\n"));
    let partial = sync(&config(), &ServiceMap::new(), &Scope::Partial(BTreeSet::new()), None);
    assert_eq!(partial.len(), 1);
}

#[test]
fn a_partial_sync_writes_the_chains_of_changed_services_only() {
    let changed = name("shop", "plain", "http", Protocol::Tcp);
    let scope = Scope::Partial(BTreeSet::from([changed.service().clone()]));
    // A chain that is not written is still in use: it must not be taken for stale.
    let full = sync(&config(), &services(), &Scope::Full, None);
    let full = restore_text(&full);
    let all = declared(full);
    let commands = sync(&config(), &services(), &scope, Some(&all));
    let text = restore_text(&commands);
    let own: Vec<_> = declared(text).into_iter().filter(|chain| chains::is_service_chain(chain)).collect();
    assert_eq!(own.len(), 4, "one SVC and three SEP: {own:?}");
    assert!(own.contains(&ServiceChains::of(&changed).cluster));
    assert!(!text.contains("-X "), "{text}");
    let shared =
        |text: &str| text.lines().filter(|l| l.starts_with("-A KUBE-SERVICES")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(shared(text), shared(full));
}

#[test]
fn chains_of_services_that_are_gone_are_emptied_and_deleted() {
    let existing = ["KUBE-SVC-GONE", "KUBE-SEP-GONE", "KUBE-SERVICES", "CNI-DN-1", "PREROUTING"];
    let existing = existing.map(str::to_owned).into();
    let commands = sync(&config(), &services(), &Scope::Partial(BTreeSet::new()), Some(&existing));
    let text = restore_text(&commands);
    let deleted: Vec<_> = text.lines().filter(|line| line.starts_with("-X")).collect();
    assert_eq!(deleted, ["-X KUBE-SEP-GONE", "-X KUBE-SVC-GONE"]);
    assert!(text.contains(":KUBE-SVC-GONE - [0:0]\n"));
}

#[test]
fn a_large_cluster_leaves_out_the_comments_of_endpoints_only() {
    let config = Config { large_cluster_endpoints: 3, ..config() };
    let commands = sync(&config, &services(), &Scope::Full, None);
    let text = restore_text(&commands);
    assert!(!text.contains(" -> "), "{text}");
    assert!(text.lines().filter(|l| l.starts_with("-A KUBE-SEP")).all(|l| !l.contains("comment")), "{text}");
    assert!(text.contains("shop/plain:http cluster IP"));
}

#[test]
fn knobs_change_just_their_rules() {
    let knobs = [
        Config { masquerade_all: true, ..config() },
        Config { detect_local: DetectLocal::Unknown, ..config() },
        Config { detect_local: DetectLocal::InterfaceNamePrefix("veth".into()), ..config() },
        Config { localhost_node_ports: false, ..config() },
        Config { node_port_addresses: vec!["192.168.0.0/16".parse().expect("a network")], ..config() },
        Config { tcp_be_liberal: true, random_fully: false, masquerade_bit: 15, ..config() },
        Config { nfacct: true, ..config() },
    ];
    let service = name("shop", "nodeport", "http", Protocol::Tcp);
    let one: ServiceMap = services().into_iter().filter(|(name, _)| *name == service).collect();
    let before = sync(&config(), &one, &Scope::Full, None);
    let mut report = String::new();
    for knob in knobs {
        let after = sync(&knob, &one, &Scope::Full, None);
        let (before, after) = (restore_text(&before), restore_text(&after));
        report += "\n";
        let (before, after): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
        for line in before.iter().filter(|line| !after.contains(line)) {
            report += &format!("- {line}\n");
        }
        for line in after.iter().filter(|line| !before.contains(line)) {
            report += &format!("+ {line}\n");
        }
    }
    insta::assert_snapshot!(report);
}

fn declared(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|l| l.strip_prefix(':')?.split(' ').next()).map(str::to_owned).collect()
}

/// Rules per chain, in a save or restore text.
fn rules_per_chain(text: &str) -> BTreeMap<&str, usize> {
    let mut count = BTreeMap::new();
    for chain in text.lines().filter_map(|line| line.strip_prefix("-A ")?.split(' ').next()) {
        *count.entry(chain).or_default() += 1;
    }
    count
}

#[test]
fn a_kernel_takes_every_rule_and_a_second_full_sync_changes_nothing() {
    let node = node();
    let mut commands = Iptables.start(&config(), &node);
    commands.extend(Iptables.canary(&node));
    commands.extend(sync(&config(), &services(), &Scope::Full, None));
    for flavour in kernel::FLAVOURS {
        let save = "for table in filter nat; do iptables-save -t $table | grep '^[-:]' | sed 's/ \\[.*//'; done";
        let Some(once) = kernel::run(flavour, &commands, save) else { continue };
        let again: Vec<_> = commands.iter().chain(&commands[1..]).cloned().collect();
        assert_eq!(kernel::run(flavour, &again, save).as_ref(), Some(&once), "{flavour}: idempotent");

        let saved = rules_per_chain(&once);
        for (chain, rules) in rules_per_chain(restore_text(&commands)) {
            assert_eq!(saved.get(chain), Some(&rules), "{flavour}: {chain}");
        }
        let from = |base: &str| {
            let prefix = format!("-A {base} ");
            let targets = once.lines().filter(|line| line.starts_with(&prefix));
            targets.map(|line| line.rsplit(' ').next().expect("a target").to_owned()).collect::<Vec<_>>()
        };
        let forward = ["KUBE-PROXY-FIREWALL", "KUBE-FORWARD", "KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES"];
        assert_eq!(from("FORWARD"), forward, "{flavour}");
        let input = ["KUBE-FIREWALL", "KUBE-PROXY-FIREWALL", "KUBE-NODEPORTS", "KUBE-EXTERNAL-SERVICES"];
        assert_eq!(from("INPUT"), input, "{flavour}");
    }
}

#[test]
fn a_kernel_deletes_the_chains_of_a_service_that_is_gone() {
    let mut before = sync(&config(), &services(), &Scope::Full, None);
    let existing = declared(restore_text(&before));
    let gone = name("shop", "sticky", "http", Protocol::Tcp);
    let after: ServiceMap = services().into_iter().filter(|(name, _)| *name != gone).collect();
    let scope = Scope::Partial(BTreeSet::from([gone.service().clone()]));
    before.extend(sync(&config(), &after, &scope, Some(&existing)));
    for flavour in kernel::FLAVOURS {
        let save = "iptables-save -t nat";
        let Some(saved) = kernel::run(flavour, &before, save) else { continue };
        assert!(!saved.contains(&ServiceChains::of(&gone).cluster) && !saved.contains("recent"), "{flavour}: {saved}");
        assert!(saved.contains("shop/plain:http -> "), "{flavour}: {saved}");
    }
}
