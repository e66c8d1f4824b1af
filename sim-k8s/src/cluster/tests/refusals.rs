//! What a cluster cannot be, and what it passes over.

use super::bench::{Bench, objects};
use super::*;

fn build(yaml: &str, nodes: u32) -> Result<Cluster, ClusterError> {
    let config = ClusterConfig { nodes, ..ClusterConfig::default() };
    Cluster::build(&objects(yaml), &config).map(|(_, cluster)| cluster)
}

fn error(yaml: &str, nodes: u32) -> String {
    build(yaml, nodes).expect_err("it cannot be").to_string()
}

fn deployment(replicas: u32, ports: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, ports: [{ports}]}}]}}
"
    )
}

fn service(name: &str, spec: &str) -> String {
    format!("---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

#[test]
fn a_cluster_has_between_one_and_244_nodes() {
    assert_eq!(error("", 0), "a cluster has 1 to 244 nodes, not 0");
    assert_eq!(error("", 245), "a cluster has 1 to 244 nodes, not 245");
    let most = build("", 244).expect("a cluster");
    assert_eq!(most.nodes[243].ip(), ip("10.240.0.254"));
}

#[test]
fn a_pod_whose_host_port_is_taken_everywhere_stays_pending() {
    let bench = Bench::new(&deployment(3, "{containerPort: 80, hostPort: 8080}"), 2);
    let pods = bench.cluster.objects().pods.values().filter(|pod| pod.key.namespace == "default");
    let (pending, running): (Vec<_>, Vec<_>) = pods.partition(|pod| pod.node_name.is_none());
    assert_eq!((running.len(), pending.len()), (2, 1));
    let why = pending[0].status.unschedulable.as_deref().expect("the scheduler says why");
    assert!(why.starts_with("0/2 nodes are available") && why.contains("ports"), "{why}");
}

#[test]
fn addresses_asked_for_come_before_addresses_given_out() {
    let open = service("a", "{ports: [{port: 80}], type: NodePort}");
    let fixed = service("b", "{ports: [{port: 80, nodePort: 30086}], type: NodePort, clusterIP: 10.96.1.1}");
    let cluster = build(&(open + &fixed), 1).expect("a cluster");
    let shown = |i: usize| (cluster.services()[i].cluster_ip(), cluster.services()[i].ports[0].node_port);
    assert_eq!(shown(0), (Some(ip("10.96.1.2")), Some(30087)));
    assert_eq!(shown(1), (Some(ip("10.96.1.1")), Some(30086)));
}

#[test]
fn one_node_port_for_two_services_is_refused_even_if_their_protocols_differ() {
    let tcp = service("a", "{ports: [{port: 80, nodePort: 30080}], type: NodePort}");
    let udp = service("b", "{ports: [{port: 80, nodePort: 30080, protocol: UDP}], type: NodePort}");
    let refused = "Service default/b: node port 30080 is already allocated to default/a";
    assert_eq!(error(&(tcp + &udp), 1), refused);
}

#[test]
fn an_address_of_another_clusters_service_network_is_kept_but_not_one_of_a_pod() {
    let cluster = build(&service("a", "{ports: [{port: 80}], clusterIP: 172.20.0.10}"), 1).expect("a cluster");
    assert_eq!(cluster.services()[0].cluster_ip(), Some(ip("172.20.0.10")));
    for taken in ["10.244.1.2", "10.240.0.11", "127.0.0.1"] {
        let yaml = service("a", &format!("{{ports: [{{port: 80}}], clusterIP: {taken}}}"));
        let wanted = format!(
            "Service default/a: ClusterIP {taken} is not in the valid range of the service network 10.96.0.0/12"
        );
        assert_eq!(error(&yaml, 1), wanted);
    }
}

#[test]
fn a_load_balancer_has_node_ports_unless_it_needs_none() {
    let with = service("a", "{ports: [{port: 80}], type: LoadBalancer, externalTrafficPolicy: Local}");
    let without = service("b", "{ports: [{port: 80}], type: LoadBalancer, allocateLoadBalancerNodePorts: false}");
    let cluster = build(&(with + &without), 1).expect("a cluster");
    let shown = |i: usize| {
        let service = cluster.objects().services.values().nth(i).expect("two");
        (service.ports[0].node_port, service.health_check_node_port)
    };
    assert_eq!(shown(0), (Some(30086), Some(30087)));
    assert_eq!(shown(1), (None, None));
}

#[test]
fn an_external_name_is_not_reached() {
    let yaml = service("a", "{type: ExternalName, externalName: db.example.com, ports: [{port: 5432}]}");
    let cluster = build(&yaml, 1).expect("a cluster");
    assert!(cluster.services()[0].cluster_ip().is_none() && cluster.services()[0].ports.is_empty());
}

const BY_HAND: &str = "
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{name: '', port: 5432, protocol: TCP}]
endpoints:
- addresses: [192.168.7.1]
- addresses: [192.168.7.2]
  conditions: {ready: false}
";

#[test]
fn endpoints_written_by_hand_serve_a_service_without_selector() {
    let cluster = build(&(service("db", "{ports: [{port: 5432}]}") + BY_HAND), 1).expect("a cluster");
    let shown: Vec<String> = cluster.services()[0].ports[0].endpoints.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["192.168.7.1:5432", "192.168.7.2:5432"]);
    assert!(cluster.not_applied.is_empty());
}

#[test]
fn endpoints_of_no_service_are_told() {
    let cluster = build(BY_HAND, 1).expect("a cluster");
    assert_eq!(cluster.not_applied, ["EndpointSlice default/db-1: it belongs to no Service of the manifests"]);
}
