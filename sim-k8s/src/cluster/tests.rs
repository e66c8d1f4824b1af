//! What a cluster does: packets on every way through it, and what it refuses.

mod balancers;
mod bench;
mod churn;
mod cloud;
mod refusals;

use std::net::{IpAddr, SocketAddr};

use bench::Bench;
use sim_core::engine::errno::Errno;

use super::*;

/// Two echo servers on each of two nodes, and Services of each sort before them.
const ECHO: &str = "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: echo}
spec:
  replicas: 4
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      containers:
      - name: echo
        ports: [{name: answer, containerPort: 7000, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec:
  type: NodePort
  selector: {app: echo}
  externalIPs: [192.0.2.77]
  ports: [{port: 7, targetPort: answer, protocol: UDP, nodePort: 30007}]
---
apiVersion: v1
kind: Service
metadata: {name: one}
spec:
  selector: {statefulset.kubernetes.io/pod-name: echo-1}
  ports: [{port: 7, targetPort: answer, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec:
  clusterIP: None
  selector: {app: echo}
  ports: [{port: 7000, protocol: UDP}]
";

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn udp(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip, port)
}

#[test]
fn pods_are_spread_over_nodes_and_numbered_within_them() {
    let bench = Bench::new(ECHO, 2);
    let pods = bench.pods("echo");
    let on = |node: usize| pods.iter().filter(|pod| pod.node == node).map(|pod| pod.ip()).collect::<Vec<_>>();
    assert_eq!((on(0).len(), on(1).len()), (2, 2), "the scheduler spreads them");
    for node in [0, 1] {
        let network = bench.pod_network(node);
        assert!(on(node).iter().all(|ip| network.contains(ip)), "{pods:?}");
    }
    assert_eq!(bench.cluster.nodes[1].ip(), ip("10.240.0.12"));
}

#[test]
fn pods_of_one_node_speak_over_its_bridge() {
    let mut bench = Bench::new(ECHO, 2);
    let [a, b] = bench.on_node("echo", 0).try_into().expect("two");
    assert_eq!(bench.call(a.netns, udp(b.ip(), 7000)), (b.key.to_string(), a.ip()));
    assert!(bench.path().iter().all(|hop| !hop.contains("flannel") && !hop.contains("n1/eth0")));
    assert_eq!(bench.ping(a.netns, b.ip()), Some(b.ip()));
}

#[test]
fn pods_of_two_nodes_speak_over_vxlan() {
    let mut bench = Bench::new(ECHO, 2);
    let [a, b] = [0, 1].map(|node| bench.on_node("echo", node)[0].clone());
    let answer = bench.call(a.netns, udp(b.ip(), 7000));
    assert_eq!(answer, (b.key.to_string(), a.ip()), "no NAT between pods");
    let path = bench.path();
    let turns = format!("{}/eth0 out", b.key);
    let there: Vec<&str> = path.iter().take_while(|hop| **hop != turns).map(String::as_str).collect();
    let [veth_a, veth_b] = [&a, &b].map(|pod| match pod.ip() {
        IpAddr::V4(ip) => format!("veth{:08x}", u32::from(ip)),
        IpAddr::V6(_) => unreachable!("pods have IPv4"),
    });
    let wanted = [
        &format!("{}/eth0 out", a.key),
        &format!("n1/{veth_a} in"),
        "n1/cni0 in",
        "n1/flannel.1 out",
        "n1/eth0 out",
        "ul/p-n1 in",
        "ul/p-n2 out",
        "n2/eth0 in",
        "n2/flannel.1 in",
        "n2/cni0 out",
        &format!("n2/{veth_b} out"),
        &format!("{}/eth0 in", b.key),
    ];
    assert_eq!(there, wanted);
}

#[test]
fn a_service_leads_to_a_pod_of_another_node() {
    let mut bench = Bench::new(ECHO, 2);
    let vip = bench.vip("one");
    let served_on = bench.pods("echo")[1].node;
    let client = bench.on_node("echo", 1 - served_on)[0].clone();
    assert_eq!(bench.call(client.netns, vip), ("default/echo-1".into(), client.ip()));
}

#[test]
fn a_service_is_spread_over_all_its_pods() {
    let mut bench = Bench::new(ECHO, 2);
    let (client, vip) = (bench.pods("echo")[0].netns, bench.vip("echo"));
    let answers: std::collections::BTreeSet<String> = (0..40).map(|_| bench.call(client, vip).0).collect();
    assert_eq!(answers.len(), 4, "{answers:?}");
}

#[test]
fn a_pod_reaches_itself_by_its_own_service() {
    let mut bench = Bench::new(ECHO, 2);
    let (pod, vip) = (bench.pods("echo")[1].clone(), bench.vip("one"));
    let bridge = bench.pod_network(pod.node).hosts().next().expect("a /24");
    assert_eq!(bench.call(pod.netns, vip), ("default/echo-1".into(), bridge), "hairpin: masqueraded by the node");
}

#[test]
fn a_node_reaches_a_service() {
    let mut bench = Bench::new(ECHO, 2);
    let (nodes, vip) = (bench.cluster.nodes.clone(), bench.vip("one"));
    let served_on = bench.pods("echo")[1].node;
    assert_eq!(bench.call(nodes[served_on].netns, vip).0, "default/echo-1");
    let other = 1 - served_on;
    let vtep = bench.pod_network(other).network();
    assert_eq!(bench.call(nodes[other].netns, vip), ("default/echo-1".into(), vtep), "from where it leaves the node");
}

#[test]
fn the_world_reaches_a_node_port_of_any_node() {
    let mut bench = Bench::new(ECHO, 2);
    let (world, nodes) = (bench.cluster.world_netns, bench.cluster.nodes.clone());
    for node in nodes {
        let (pod, _) = bench.call(world, udp(node.public_ip(), 30007));
        assert!(pod.starts_with("default/echo-"), "{pod}");
    }
}

#[test]
fn with_a_local_policy_the_world_reaches_only_nodes_that_have_an_endpoint_and_keeps_its_address() {
    let local = ECHO.replace("type: NodePort\n", "type: NodePort\n  externalTrafficPolicy: Local\n");
    let mut bench = Bench::new(&local.replace("replicas: 4", "replicas: 1"), 2);
    let (world, nodes) = (bench.cluster.world_netns, bench.cluster.nodes.clone());
    let with = bench.pods("echo")[0].node;
    let without = &nodes[1 - with];
    let answer = bench.call(world, udp(nodes[with].public_ip(), 30007));
    assert_eq!(answer, ("default/echo-0".into(), ip("192.0.2.2")));
    assert_eq!(bench.try_call(world, udp(without.public_ip(), 30007)), Err(Errno::ETIMEDOUT), "dropped, not refused");
    assert!(bench.try_call(without.netns, udp(without.ip(), 30007)).is_ok(), "a node itself is let through");
}

#[test]
fn a_service_without_pods_refuses() {
    let mut bench = Bench::new(&ECHO.replace("selector: {app: echo}", "selector: {app: nobody}"), 2);
    let (client, vip) = (bench.pods("echo")[0].netns, bench.vip("echo"));
    assert_eq!(bench.try_call(client, vip), Err(Errno::ECONNREFUSED));
}

#[test]
fn an_external_address_leads_to_its_service() {
    let mut bench = Bench::new(ECHO, 2);
    let client = bench.pods("echo")[0].netns;
    let (pod, _) = bench.call(client, udp(ip("192.0.2.77"), 7));
    assert!(pod.starts_with("default/echo-"), "{pod}");
}

#[test]
fn a_pod_that_calls_the_world_has_its_nodes_address() {
    let mut bench = Bench::new(ECHO, 2);
    let client = bench.pods("echo")[0].netns;
    assert_eq!(bench.ping(client, ip("8.8.8.8")), Some(ip("8.8.8.8")));
}

#[test]
fn a_headless_service_has_endpoints_and_no_address() {
    let bench = Bench::new(ECHO, 2);
    let service = bench.service("headless");
    assert_eq!(service.cluster_ip(), None);
    let mut pods: Vec<SocketAddr> = bench.pods("echo").iter().map(|pod| udp(pod.ip(), 7000)).collect();
    pods.sort_unstable();
    assert_eq!(service.ports[0].endpoints, pods);
    let rules = bench.world.iptables_save(bench.cluster.nodes[0].netns, false);
    assert!(!rules.contains("default/headless"));
}

/// A DaemonSet in its nodes' netns and one with a host port, each with a Service.
const HOST: &str = "
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      hostNetwork: true
      containers:
      - name: agent
        ports: [{containerPort: 9100, protocol: UDP}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: dns}
spec:
  selector: {matchLabels: {app: dns}}
  template:
    metadata: {labels: {app: dns}}
    spec:
      containers:
      - name: dns
        ports: [{containerPort: 53, hostPort: 5353, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: agent}
spec:
  selector: {app: agent}
  ports: [{port: 9100, protocol: UDP}]
";

#[test]
fn a_host_port_leads_to_the_nodes_pod() {
    let mut bench = Bench::new(HOST, 2);
    let (world, nodes) = (bench.cluster.world_netns, bench.cluster.nodes.clone());
    let dns = [0, 1].map(|node| bench.on_node("dns", node)[0].clone());
    assert_eq!(bench.call(world, udp(nodes[1].public_ip(), 5353)).0, dns[1].key.to_string());
    assert_eq!(bench.call(nodes[0].netns, udp(nodes[0].ip(), 5353)).0, dns[0].key.to_string());
    assert_eq!(bench.call(dns[0].netns, udp(nodes[0].ip(), 5353)).0, dns[0].key.to_string(), "hairpin");
}

#[test]
fn a_host_network_pod_has_its_nodes_netns_and_serves_a_service() {
    let mut bench = Bench::new(HOST, 2);
    let (client, vip) = (bench.pods("dns")[0].clone(), bench.vip("agent"));
    let agents = [0, 1].map(|node| bench.on_node("agent", node)[0].clone());
    assert_eq!((agents[1].netns, agents[1].ip()), (bench.cluster.nodes[1].netns, bench.cluster.nodes[1].ip()));
    let answers: std::collections::BTreeSet<String> = (0..20).map(|_| bench.call(client.netns, vip).0).collect();
    assert_eq!(answers, agents.iter().map(|pod| pod.key.to_string()).collect());
}

#[test]
fn the_same_objects_and_seed_make_the_same_world() {
    let fingerprint = || Bench::new(ECHO, 2).world.fingerprint().value();
    assert_eq!(fingerprint(), fingerprint());
}

#[test]
fn nodes_with_the_same_rules_share_them_and_print_the_same() {
    let bench = Bench::new(ECHO, 3);
    let of_proxy = |node: &Node| {
        let rules = bench.world.iptables_save(node.netns, false);
        rules.lines().filter(|line| line.contains("KUBE-")).map(str::to_owned).collect::<Vec<_>>()
    };
    let nodes = &bench.cluster.nodes;
    assert!(of_proxy(&nodes[0]).len() > 20);
    assert_eq!(of_proxy(&nodes[0]), of_proxy(&nodes[2]));
}
