//! Rows that ask which endpoints a service port may use on a node.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use sim_k8s::kubeproxy::endpoints::{Chooser, categorize};
use sim_k8s::kubeproxy::{Endpoint, ServicePort};

use super::objects::is_local;
use super::table::{Conditions, Selection};
use super::{Outcome, Row};

/// The node that asks, if the row does not name it.
const NODE: &str = "test-node";

/// The ClusterIP of the service port; it plays no part.
const CLUSTER_IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 30, 0, 1));

pub(super) fn run(row: &Selection, outcome: &mut Outcome) {
    match selected(row) {
        Ok(got) => {
            let mut emitted = json!({ "selection": row.id });
            if let (Some(emitted), Some(got)) = (emitted.as_object_mut(), got.as_object()) {
                emitted.extend(got.clone());
            }
            outcome.rows.push(Row {
                case: row.id.clone(),
                step: None,
                flow: None,
                name: "endpoint_selection".to_owned(),
                backend: None,
                expected: row.expect.as_ref().map(sorted),
                got,
                emitted: Some(emitted),
            });
        }
        Err(reason) => outcome.not_run(row.id.clone(), None, None, None, reason),
    }
}

/// What kube-proxy selects, in the table's words.
fn selected(row: &Selection) -> Result<Value, String> {
    let node = row.node_name.as_deref().unwrap_or(NODE);
    let mut port = ServicePort::new(CLUSTER_IP, 80);
    port.node_port = row.service.node_port.unwrap_or(0);
    port.internal_policy_local = is_local(row.service.internal_traffic_policy.as_deref());
    port.external_policy_local = is_local(row.service.external_traffic_policy.as_deref());
    for endpoint in &row.endpoints {
        let addr = endpoint.endpoint.parse().map_err(|_| format!("{:?} is no endpoint", endpoint.endpoint))?;
        port.endpoints.push(conditioned(addr, endpoint.local.then_some(node), &endpoint.conditions));
    }
    let chooser = Chooser { node, zone: &row.node_zone, node_hints: row.prefer_same_gate.unwrap_or(true) };
    let chosen = categorize(&port, chooser);
    let list = |endpoints: &[&Endpoint]| endpoints.iter().map(|e| e.addr.to_string()).collect::<Vec<_>>();
    let used = |used: bool, endpoints: &[&Endpoint]| used.then(|| list(endpoints));
    Ok(sorted(&json!({
        "cluster": used(port.uses_cluster_endpoints(), &chosen.cluster),
        "local": used(port.uses_local_endpoints(), &chosen.local),
        "reachable": list(&chosen.reachable),
        "has_any": chosen.has_any,
    })))
}

/// An endpoint as kube-proxy sees it, with the API's defaults for what is left out.
fn conditioned(addr: SocketAddr, node: Option<&str>, conditions: &Conditions) -> Endpoint {
    Endpoint {
        ready: conditions.ready.unwrap_or(true),
        serving: conditions.serving.unwrap_or(true),
        terminating: conditions.terminating.unwrap_or(false),
        zone_hints: conditions.zone_hints.iter().cloned().collect(),
        node_hints: conditions.node_hints.iter().cloned().collect(),
        ..Endpoint::ready(addr, node)
    }
}

/// The same with every list in order.
fn sorted(value: &Value) -> Value {
    let order = |value: &Value| match value.as_array() {
        Some(list) => {
            let mut list: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            list.sort_unstable();
            json!(list)
        }
        None => value.clone(),
    };
    value.as_object().map_or_else(|| value.clone(), |map| map.iter().map(|(k, v)| (k.clone(), order(v))).collect())
}
