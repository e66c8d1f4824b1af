//! Rows that ask for the names of chains.

use serde_json::{Map, Value, json};
use sim_k8s::api::ObjectKey;
use sim_k8s::kubeproxy::ServicePortName;
use sim_k8s::kubeproxy::iptables::chains::{ServiceChains, endpoint_chain};

use super::objects::protocol;
use super::table::{EndpointChain, ServicePortChains};
use super::{Outcome, Row};

const BACKEND: Option<&str> = Some("iptables");

/// The four chains of a service port, and the hash that their names end with.
pub(super) fn service_port(row: &ServicePortChains, outcome: &mut Outcome) {
    let port = match service_port_name(&row.name, &row.protocol) {
        Ok(port) => port,
        Err(reason) => return outcome.not_run(row.name.clone(), None, None, BACKEND, reason),
    };
    let ServiceChains { cluster, local, external, firewall } = ServiceChains::of(&port);
    let hash = cluster.rsplit('-').next().unwrap_or_default().to_owned();
    let named = [
        ("hash", &row.hash, hash.clone()),
        ("cluster", &row.cluster, cluster),
        ("local", &row.local, local),
        ("external", &row.external, external),
        ("firewall", &row.firewall, firewall),
    ];
    let emitted = json!({ "name": row.name, "protocol": row.protocol, "endpoint": null, "hash": hash });
    let asked = named.iter().filter_map(|(key, expected, _)| Some((*key, expected.as_deref()?.into())));
    let expected: Map<String, Value> = asked.map(|(key, text): (&str, Value)| (key.to_owned(), text)).collect();
    let wanted = |key: &str| expected.is_empty() || expected.contains_key(key);
    let got: Map<String, Value> =
        named.iter().filter(|(key, ..)| wanted(key)).map(|(key, _, got)| ((*key).to_owned(), json!(got))).collect();
    let expected = (!expected.is_empty()).then(|| expected.into());
    outcome.rows.push(row_of(&row.name, "service_ports", expected, got.into(), emitted));
}

/// The chain of an endpoint.
pub(super) fn endpoint(row: &EndpointChain, outcome: &mut Outcome) {
    let port = service_port_name(&row.name, &row.protocol);
    let addr = row.endpoint.parse().map_err(|_| format!("{:?} is no endpoint", row.endpoint));
    match port.and_then(|port| Ok(endpoint_chain(&port, addr?))) {
        Ok(chain) => {
            let emitted =
                json!({ "name": row.name, "protocol": row.protocol, "endpoint": row.endpoint, "chain": chain });
            let expected = row.chain.as_ref().map(|chain| json!(chain));
            outcome.rows.push(row_of(&row.name, &row.endpoint, expected, json!(chain), emitted));
        }
        Err(reason) => outcome.not_run(row.name.clone(), None, None, BACKEND, reason),
    }
}

fn row_of(case: &str, name: &str, expected: Option<Value>, got: Value, emitted: Value) -> Row {
    Row {
        case: case.to_owned(),
        step: None,
        flow: None,
        name: name.to_owned(),
        backend: BACKEND.map(str::to_owned),
        expected,
        got,
        emitted: Some(emitted),
    }
}

/// `namespace/service:port`, or `namespace/service` if the port has no name.
fn service_port_name(name: &str, protocol_name: &str) -> Result<ServicePortName, String> {
    let (service, port) = name.split_once(':').unwrap_or((name, ""));
    let (namespace, service) = service.split_once('/').ok_or_else(|| format!("{name:?} has no namespace"))?;
    let service = ObjectKey::new(namespace, service);
    ServicePortName::new(service, port, protocol(Some(protocol_name))?).map_err(|e| e.to_string())
}
