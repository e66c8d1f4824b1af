//! Load balancers before real nodes and pods: who answers, whom he saw, and which way the packets went.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use sim_core::engine::time::Duration;
use sim_core::wire::ip::Family;

use super::bench::Bench;
use super::{ip, udp};
use crate::cloud::lb::{LbConfig, LbKind};
use crate::cluster::ClusterConfig;
use crate::flannel;

/// Echo servers behind a load balancer.
fn front(replicas: u32, spec: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: echo}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: echo}}}}
  template:
    metadata: {{labels: {{app: echo}}}}
    spec:
      containers:
      - name: echo
        ports: [{{name: answer, containerPort: 7000, protocol: UDP}}]
---
apiVersion: v1
kind: Service
metadata: {{name: front}}
spec:
  type: LoadBalancer
  selector: {{app: echo}}
  ports: [{{port: 7, targetPort: answer, protocol: UDP}}]
{spec}"
    )
}

fn config(nodes: u32) -> ClusterConfig {
    ClusterConfig { nodes, ..ClusterConfig::default() }
}

/// Where the load balancer is reached.
fn balancer(bench: &Bench) -> SocketAddr {
    udp(bench.service("front").external_ips[0], 7)
}

/// Nodes in the order in which a packet from outside comes in at their `eth0`.
fn nodes_on_the_way(bench: &mut Bench) -> Vec<String> {
    let path = bench.path();
    let there = path.iter().take_while(|hop| !hop.starts_with("default/"));
    there
        .filter_map(|hop| hop.strip_suffix("/eth0 in"))
        .filter(|host| host.starts_with('n'))
        .map(str::to_owned)
        .collect()
}

/// What 30 calls from outside saw: callers as the pods see them, and ways through the nodes.
fn thirty_calls(bench: &mut Bench) -> (BTreeSet<IpAddr>, BTreeSet<Vec<String>>) {
    let (world, to) = (bench.cluster.world_netns, balancer(bench));
    let mut seen = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..30 {
        let (_, caller) = bench.call(world, to);
        seen.0.insert(caller);
        seen.1.insert(nodes_on_the_way(bench));
    }
    seen
}

#[test]
fn a_balancer_chooses_a_node_that_may_need_a_second_hop_under_its_own_address() {
    let mut bench = Bench::with(&front(1, ""), config(2));
    let pod = bench.pods("echo")[0].clone();
    let (callers, ways) = thirty_calls(&mut bench);
    let [with, without] = if pod.node == 0 { ["n1", "n2"] } else { ["n2", "n1"] };
    let ways: Vec<Vec<String>> = ways.into_iter().collect();
    let wanted = BTreeSet::from([vec![with.to_owned()], vec![without.to_owned(), with.to_owned()]]);
    assert_eq!(ways.into_iter().collect::<BTreeSet<_>>(), wanted);
    assert_eq!(callers.len(), 2, "each node masquerades: {callers:?}");
    assert!(callers.iter().all(|caller| caller.to_string().starts_with("10.244.")), "{callers:?}");
}

#[test]
fn with_a_local_policy_the_source_is_kept_and_nodes_without_a_pod_are_out_of_rotation() {
    let mut bench = Bench::with(&front(1, "  externalTrafficPolicy: Local\n"), config(3));
    let pod = bench.pods("echo")[0].clone();
    let (callers, ways) = thirty_calls(&mut bench);
    assert_eq!(callers, BTreeSet::from([ip("192.0.2.2")]));
    assert_eq!(ways, BTreeSet::from([vec![format!("n{}", pod.node + 1)]]), "one hop, to the node that has the pod");
}

#[test]
fn a_service_of_both_families_has_a_balancer_of_each_whichever_comes_first() {
    for (primary, other) in [(Family::V4, Family::V6), (Family::V6, Family::V4)] {
        for load_balancer in [LbConfig::passthrough(), LbConfig::nat()] {
            let nat = load_balancer.kind == LbKind::Nat;
            let config = ClusterConfig { nodes: 3, load_balancer, ..ClusterConfig::of(&[primary, other]) };
            let spec = "  ipFamilyPolicy: RequireDualStack\n  externalTrafficPolicy: Local\n";
            let mut bench = Bench::with(&front(1, spec), config);
            // Nodes that joined meanwhile had the addresses told before the first checks were over.
            bench.run(Duration::from_secs(30));
            let (world, service) = (bench.cluster.world_netns, bench.service("front"));
            assert_eq!(service.cluster_ips.iter().copied().map(Family::of).collect::<Vec<_>>(), [primary, other]);
            assert_eq!(service.external_ips, [ip("198.18.0.1"), ip("2001:db8:198:18::1")]);
            let pod = bench.pods("echo")[0].clone();
            assert_eq!(Family::of(pod.ip()), primary);
            for (to, client, balancer) in [
                (service.external_ips[0], "192.0.2.2", "10.240.0.2"),
                (service.external_ips[1], "2001:db8:192::2", "2001:db8:240::2"),
            ] {
                for _ in 0..3 {
                    let (_, caller) = bench.call(world, udp(to, 7));
                    assert_eq!(caller, ip(if nat { balancer } else { client }), "{to}");
                    let way = nodes_on_the_way(&mut bench);
                    assert_eq!(way, [format!("n{}", pod.node + 1)], "{to}: its health check is answered in its family");
                }
            }
        }
    }
}

#[test]
fn answers_leave_by_the_gateway_without_the_balancer() {
    let mut bench = Bench::with(&front(2, ""), config(2));
    let (world, to) = (bench.cluster.world_netns, balancer(&bench));
    bench.call(world, to);
    let path = bench.path();
    let through = path.iter().filter(|hop| *hop == "lb/eth0 in").count();
    assert_eq!(through, 1, "the question alone: {path:?}");
}

#[test]
fn a_pod_that_calls_the_balancers_address_never_leaves_its_cluster() {
    let mut bench = Bench::with(&front(2, ""), config(2));
    let (pod, to) = (bench.pods("echo")[0].clone(), balancer(&bench));
    bench.call(pod.netns, to);
    assert!(bench.path().iter().all(|hop| !hop.starts_with("lb/") && !hop.starts_with("gw/")));
}

#[test]
fn with_ip_mode_proxy_a_pod_goes_through_the_balancer() {
    let load_balancer = LbConfig { is_proxy: true, ..LbConfig::nat() };
    let mut bench = Bench::with(&front(2, ""), ClusterConfig { load_balancer, ..config(2) });
    let (pod, to) = (bench.pods("echo")[0].clone(), balancer(&bench));
    bench.call(pod.netns, to);
    assert!(bench.path().iter().any(|hop| hop == "lb/eth0 in"));
}

#[test]
fn pods_of_two_nodes_speak_over_the_clouds_routes_without_an_overlay() {
    let mut config = ClusterConfig { pod_routes: true, ..config(2) };
    config.flannel.backend = flannel::backend("alloc").expect("a backend");
    let mut bench = Bench::with(&front(2, ""), config);
    let pods = bench.pods("echo");
    assert_eq!(bench.call(pods[0].netns, udp(pods[1].ip(), 7000)).1, pods[0].ip(), "under its own address");
    let path = bench.path();
    let there: Vec<&str> = path.iter().take(8).map(String::as_str).collect();
    let [first, second] = [&pods[0], &pods[1]].map(|pod| format!("n{}", pod.node + 1));
    assert!(path.iter().all(|hop| !hop.contains("flannel")), "{path:?}");
    for hop in [format!("{first}/eth0 out"), "gw/eth0 in".into(), "gw/eth0 out".into(), format!("{second}/eth0 in")] {
        assert!(path.contains(&hop), "{hop} of {there:?}");
    }
    assert_eq!(bench.ping(pods[0].netns, ip("8.8.8.8")), Some(ip("8.8.8.8")), "to the world it is masqueraded");
}
