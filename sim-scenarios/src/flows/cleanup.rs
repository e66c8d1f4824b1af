//! Rows that ask whether an entry of conntrack survives a sync.
//!
//! The set-up is that of upstream's test (`pkg/proxy/conntrack/cleanup_test.go`): a Service loses an endpoint while another
//! stops serving. The entry is made by a packet, kube-proxy syncs and cleans up, and then it is there or not.

use std::net::{IpAddr, SocketAddr};

use serde_json::json;

use super::bench::Bench;
use super::node::Node;
use super::objects::{Objects, address, protocol};
use super::packet::First;
use super::table::{Case, Cleanup, Defaults, Table};
use super::{Outcome, Row};

/// The node and the objects, before (the case) and after (its step).
const SET_UP: &str = r#"
cases:
- id: conntrack_cleanup
  node: {name: test-node, node_ip: 192.168.0.2, detect_local: none}
  services:
  - namespace: ns
    name: svc
    type: LoadBalancer
    clusterIP: 172.30.1.1
    externalIPs: [192.168.99.100]
    loadBalancerIngress: [{ip: 1.2.3.4}]
    ports:
    - {name: udp, protocol: UDP, port: 8000, nodePort: 32000}
    - {name: tcp, protocol: TCP, port: 8000}
    - {name: sctp, protocol: SCTP, port: 8000, nodePort: 32000}
  endpoint_slices:
  - &before
    namespace: ns
    service: svc
    slice: svc-1
    ports: [{name: udp, protocol: UDP, port: 9090}, {name: tcp, port: 9090}, {name: sctp, protocol: SCTP, port: 9090}]
    endpoints: [{ip: 10.240.0.4}, {ip: 10.240.1.5}, {ip: 10.240.2.6}]
  then:
  - endpoint_slices:
    - <<: *before
      endpoints: [{ip: 10.240.0.4}, {ip: 10.240.1.5, ready: false, serving: false}]
"#;

/// Someone outside.
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 2));

/// The target port, which a row need not name.
const TARGET_PORT: u16 = 9090;

pub(super) fn run(index: usize, row: &Cleanup, outcome: &mut Outcome) {
    let (case, flow) = ("conntrack_cleanup".to_owned(), Some(index));
    match kept(row) {
        Ok(kept) => outcome.rows.push(Row {
            case,
            step: None,
            flow,
            name: name(row),
            backend: None,
            expected: row.keep.map(|keep| json!({ "keep": keep })),
            got: json!({ "keep": kept }),
            emitted: Some(json!({ "cleanup": index, "keep": kept })),
        }),
        Err(reason) => outcome.not_run(case, None, flow, None, reason),
    }
}

/// Whether the entry is still there after the clean-up.
fn kept(row: &Cleanup) -> Result<bool, String> {
    let table = Table::read(SET_UP).map_err(|error| error.to_string())?;
    let case: &Case = &table.cases[0];
    let node = Node::new(&Defaults::default(), "iptables", &case.node)?;
    let mut objects = Objects { services: case.services.clone(), slices: case.endpoint_slices.clone() };
    let mut bench = Bench::new(&node, &Default::default(), 0)?;
    bench.sync(&node, &objects.stored()?)?;

    let dst = row.orig_dst.as_deref().map_or(Ok(node.proxied.ip), address)?;
    let dst = SocketAddr::new(dst, row.orig_dport);
    let first = First { src: CLIENT, dst, protocol: protocol(Some(&row.proto))? };
    let answers = SocketAddr::new(address(&row.reply_src)?, row.reply_sport.unwrap_or(TARGET_PORT));
    if !dst.is_ipv4() || !answers.is_ipv4() {
        return Err("the Service of these rows has IPv4 alone".to_owned());
    }
    bench.track(&first, answers)?;
    if !bench.tracks(&first, answers) {
        return Err(format!("no packet to {dst} makes such an entry"));
    }
    objects.change(None, &case.then[0].endpoint_slices)?;
    bench.sync(&node, &objects.stored()?)?;
    Ok(bench.tracks(&first, answers))
}

/// `udp 172.30.1.1:8000 answered by 10.240.0.4:9090`
fn name(row: &Cleanup) -> String {
    let dst = row.orig_dst.as_deref().unwrap_or("*");
    let port = row.reply_sport.map_or("*".to_owned(), |port| port.to_string());
    format!("{} {dst}:{} answered by {}:{port}", row.proto, row.orig_dport, row.reply_src)
}
