//! A small cluster to ask about, for tests.

use sim_core::engine::rng::Seed;
use sim_core::engine::time::Instant;

use hickory_proto::op::{Edns, Message};
use hickory_proto::rr::RecordType;
use hickory_proto::serialize::binary::NameEncoding;

use super::message;
use super::server::{Client, Output, Server};
use super::{Records, Transport, name};
use crate::api::Object;
use crate::apiserver::{Action, Change};
use crate::manifest::{SourceFile, load};

/// A Service with two ports, a headless one with named and nameless endpoints of which one is not ready, aliases that lead
/// inside, outside and in a circle, the DNS Service itself.
pub(super) const CLUSTER: &str = r#"
apiVersion: v1
kind: List
items:
- {kind: Service, apiVersion: v1, metadata: {name: web}, spec: {clusterIP: 10.96.0.20, ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}]}}
- {kind: Service, apiVersion: v1, metadata: {name: db, namespace: shop}, spec: {clusterIP: None, ports: [{name: sql, port: 5432}]}}
- {kind: Service, apiVersion: v1, metadata: {name: empty}, spec: {clusterIP: None, ports: [{port: 1}]}}
- {kind: Service, apiVersion: v1, metadata: {name: portless}, spec: {clusterIP: None}}
- {kind: Service, apiVersion: v1, metadata: {name: inside}, spec: {type: ExternalName, externalName: web.default.svc.cluster.local}}
- {kind: Service, apiVersion: v1, metadata: {name: twice}, spec: {type: ExternalName, externalName: inside.default.svc.cluster.local}}
- {kind: Service, apiVersion: v1, metadata: {name: outside}, spec: {type: ExternalName, externalName: api.example.com}}
- {kind: Service, apiVersion: v1, metadata: {name: round}, spec: {type: ExternalName, externalName: about.default.svc.cluster.local}}
- {kind: Service, apiVersion: v1, metadata: {name: about}, spec: {type: ExternalName, externalName: round.default.svc.cluster.local}}
- {kind: Service, apiVersion: v1, metadata: {name: dangling}, spec: {type: ExternalName, externalName: nobody.default.svc.cluster.local}}
- {kind: Service, apiVersion: v1, metadata: {name: kube-dns, namespace: kube-system}, spec: {clusterIP: 10.96.0.10, ports: [{name: dns, port: 53, protocol: UDP}]}}
- kind: EndpointSlice
  apiVersion: discovery.k8s.io/v1
  metadata: {name: web-x, labels: {kubernetes.io/service-name: web}}
  addressType: IPv4
  endpoints: [{addresses: [10.244.1.9]}]
  ports: [{name: http, port: 8080}]
- kind: EndpointSlice
  apiVersion: discovery.k8s.io/v1
  metadata: {name: db-x, namespace: shop, labels: {kubernetes.io/service-name: db}}
  addressType: IPv4
  endpoints:
  - {addresses: [10.244.1.5], hostname: db-0}
  - {addresses: [10.244.2.5], hostname: db-1}
  - {addresses: [10.244.3.5], hostname: db-2, conditions: {ready: false}}
  - {addresses: [10.244.1.6]}
  ports: [{name: sql, port: 5432}]
- kind: EndpointSlice
  apiVersion: discovery.k8s.io/v1
  metadata: {name: db-y, namespace: shop, labels: {kubernetes.io/service-name: db}}
  addressType: IPv6
  endpoints: [{addresses: ["fd00::5"], hostname: db-0}]
  ports: [{name: sql, port: 5432}]
- kind: EndpointSlice
  apiVersion: discovery.k8s.io/v1
  metadata: {name: portless-x, labels: {kubernetes.io/service-name: portless}}
  addressType: IPv4
  endpoints: [{addresses: [10.244.1.7], hostname: first}]
- kind: EndpointSlice
  apiVersion: discovery.k8s.io/v1
  metadata: {name: kube-dns-x, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
  addressType: IPv4
  endpoints: [{addresses: [10.244.1.2]}, {addresses: [10.244.2.2]}]
  ports: [{name: dns, port: 53, protocol: UDP}]
"#;

/// The Services and EndpointSlices of these manifests.
pub(super) fn objects(manifests: &str) -> Vec<Object> {
    let file = SourceFile { name: "test.yaml".into(), text: manifests.into() };
    let objects = load(&[file]).expect("manifests without mistakes").objects;
    let services = objects.services.into_iter().map(|service| Object::Service(service.into()));
    services.chain(objects.endpoint_slices.into_iter().map(|slice| Object::EndpointSlice(slice.into()))).collect()
}

/// The records of these manifests, told at second `100`, for a server with address 10.244.1.2.
pub(super) fn records(manifests: &str) -> Records {
    let namespaces = ["default", "kube-system"].map(str::to_owned);
    let mut records = Records::new("cluster.local", namespaces, vec!["10.244.1.2".parse().unwrap()]);
    records.set_synced();
    for object in objects(manifests) {
        records.apply(at(100), &Change { action: Action::Added, object });
    }
    records
}

/// Manifests of a headless Service `crowd` with `count` endpoints.
pub(super) fn crowd(count: u32) -> String {
    let endpoints: Vec<_> =
        (0..count).map(|n| format!("{{addresses: [10.244.{}.{}]}}", n / 200, n % 200 + 1)).collect();
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: crowd}}\nspec: {{clusterIP: None, ports: [{{port: 1}}]}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\nports: [{{port: 1}}]\n\
         metadata: {{name: x, labels: {{kubernetes.io/service-name: crowd}}}}\nendpoints: [{}]\n",
        endpoints.join(", ")
    )
}

pub(super) fn server() -> Server {
    Server::new("cluster.local", records(CLUSTER), Seed(1).stream("coredns", 0))
}

pub(super) fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

pub(super) const UDP: Client = Client {
    transport: Transport::Udp,
    peer: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 244, 1, 9)), 4000),
};

/// A query as `dig +noedns` sends it, with id 7.
pub(super) fn query(asked: &str, record_type: RecordType) -> Message {
    message::query(7, name::absolute(asked).unwrap(), record_type)
}

/// The same with room for `payload` bytes.
pub(super) fn with_edns(mut query: Message, payload: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    query.edns = Some(edns);
    query
}

pub(super) fn bytes(message: &Message) -> Vec<u8> {
    message::encode(message, NameEncoding::Uncompressed).unwrap()
}

/// The one answer among `outputs`.
pub(super) fn answer(outputs: &[Output]) -> Vec<u8> {
    let answers = outputs.iter().filter_map(|output| match output {
        Output::Answer { message, .. } => Some(message.clone()),
        _ => None,
    });
    let answers: Vec<_> = answers.collect();
    assert_eq!(answers.len(), 1, "{outputs:?}");
    answers.into_iter().next().unwrap()
}
