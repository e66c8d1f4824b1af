//! The form of a truth table, as a file has it. What is not named here has no effect and is told.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Keys that are remarks for the reader, and plans of addresses that only explain the rows.
const REMARKS: [&str; 14] = [
    "schema",
    "note",
    "derived",
    "upstream_test",
    "why",
    "evidence",
    "prefixes",
    "masquerade_mark",
    "address_plan",
    "service_cidrs",
    "not_used",
    "ipFamilies",
    "ipFamilyPolicy",
    "targetPort",
];

/// Why a file is no table.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct TableError {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// What is wrong there.
    pub message: String,
}

/// One file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Table {
    pub(super) defaults: Defaults,
    pub(super) cases: Vec<Case>,
    pub(super) endpoint_selection: Vec<Selection>,
    pub(super) conntrack_cleanup: Vec<Cleanup>,
    pub(super) service_ports: Vec<ServicePortChains>,
    pub(super) endpoints: Vec<EndpointChain>,
    pub(super) nftables: Vec<BTreeMap<String, serde_json::Value>>,
    /// Keys that have no effect, with the way to them.
    #[serde(skip)]
    pub passed_over: Vec<String>,
}

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// Text that is no YAML, a value of the wrong type, a row that lacks something.
    pub fn read(text: &str) -> Result<Self, TableError> {
        let mut passed_over = Vec::new();
        let table: Result<Self, serde_saphyr::Error> = serde_saphyr::with_deserializer_from_str(text, |yaml| {
            serde_ignored::deserialize(yaml, |path| {
                let path = path.to_string();
                let key = path.rsplit('.').next().unwrap_or_default();
                if !REMARKS.contains(&key) {
                    passed_over.push(path);
                }
            })
        });
        let table = table.map_err(|error| {
            let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
            let message = error.without_snippet().to_string();
            TableError { line, column, message: message.lines().next().unwrap_or_default().to_owned() }
        })?;
        Ok(Self { passed_over, ..table })
    }

    /// Whether it holds no row of any kind.
    pub fn is_empty(&self) -> bool {
        let lists = [self.cases.len(), self.endpoint_selection.len(), self.conntrack_cleanup.len()];
        let chains = [self.service_ports.len(), self.endpoints.len(), self.nftables.len()];
        lists.iter().chain(&chains).all(|len| *len == 0)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Defaults {
    pub(super) node: NodeKeys,
    pub(super) by_backend: BTreeMap<String, NodeKeys>,
}

/// A node and its kube-proxy; what is left out comes from the defaults.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeKeys {
    pub(super) name: Option<String>,
    pub(super) zone: Option<String>,
    pub(super) node_ip: Option<PerFamily>,
    pub(super) local_ips: Option<Vec<String>>,
    pub(super) family: Option<String>,
    pub(super) detect_local: Option<String>,
    pub(super) detect_local_cidr: Option<PerFamily>,
    pub(super) masquerade_all: Option<bool>,
    pub(super) nodeport_addresses: Option<Vec<String>>,
    pub(super) localhost_nodeports: Option<bool>,
    pub(super) expect_localnet_drop_rule: Option<bool>,
}

/// One text, or one for each address family.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum PerFamily {
    One(String),
    Each(BTreeMap<String, String>),
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Case {
    pub(super) id: String,
    #[serde(default)]
    pub(super) backends: Option<Vec<String>>,
    #[serde(default)]
    pub(super) node: NodeKeys,
    #[serde(default)]
    pub(super) services: Vec<Service>,
    #[serde(default)]
    pub(super) endpoint_slices: Vec<Slice>,
    #[serde(default)]
    pub(super) flows: Vec<Flow>,
    #[serde(default)]
    pub(super) then: Vec<Step>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Step {
    #[serde(default)]
    pub(super) action: Option<String>,
    #[serde(default)]
    pub(super) endpoint_slices: Vec<Slice>,
    #[serde(default)]
    pub(super) flows: Vec<Flow>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Flow {
    #[serde(default)]
    pub(super) name: String,
    pub(super) src: String,
    pub(super) dst: String,
    pub(super) dport: u16,
    pub(super) proto: String,
    #[serde(default)]
    pub(super) expect: Option<String>,
    #[serde(default)]
    pub(super) to: Vec<String>,
    #[serde(default)]
    pub(super) masq: Option<bool>,
    #[serde(default)]
    pub(super) backends: Option<Vec<String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Service {
    pub(super) namespace: String,
    pub(super) name: String,
    #[serde(default, rename = "type")]
    pub(super) service_type: Option<String>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default, rename = "clusterIP")]
    pub(super) cluster_ip: Option<String>,
    #[serde(default, rename = "clusterIPs")]
    pub(super) cluster_ips: Vec<String>,
    #[serde(default)]
    pub(super) ports: Vec<Port>,
    #[serde(default, rename = "externalIPs")]
    pub(super) external_ips: Vec<String>,
    #[serde(default)]
    pub(super) load_balancer_ingress: Vec<Ingress>,
    #[serde(default)]
    pub(super) load_balancer_source_ranges: Vec<String>,
    #[serde(default)]
    pub(super) internal_traffic_policy: Option<String>,
    #[serde(default)]
    pub(super) external_traffic_policy: Option<String>,
    #[serde(default)]
    pub(super) health_check_node_port: Option<u16>,
    #[serde(default)]
    pub(super) session_affinity: Option<String>,
    #[serde(default)]
    pub(super) session_affinity_config: Option<AffinityConfig>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct AffinityConfig {
    #[serde(rename = "clientIP")]
    pub(super) client_ip: Option<ClientIp>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ClientIp {
    pub(super) timeout_seconds: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ingress {
    #[serde(default)]
    pub(super) ip: Option<String>,
    #[serde(default)]
    pub(super) ip_mode: Option<String>,
}

/// A port of a Service or of a slice. A Service's `targetPort` is the slices' business, so it is a remark here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Port {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) protocol: Option<String>,
    #[serde(default)]
    pub(super) port: Option<u16>,
    #[serde(default)]
    pub(super) node_port: Option<u16>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Slice {
    pub(super) namespace: String,
    pub(super) service: String,
    #[serde(default)]
    pub(super) slice: String,
    /// By its endpoints if it is left out.
    #[serde(default)]
    pub(super) address_type: Option<String>,
    #[serde(default)]
    pub(super) ports: Vec<Port>,
    #[serde(default)]
    pub(super) endpoints: Vec<SliceEndpoint>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SliceEndpoint {
    pub(super) ip: String,
    #[serde(default)]
    pub(super) node: Option<String>,
    #[serde(flatten)]
    pub(super) conditions: Conditions,
}

/// What of an endpoint does not depend on where its address is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Conditions {
    pub(super) ready: Option<bool>,
    pub(super) serving: Option<bool>,
    pub(super) terminating: Option<bool>,
    pub(super) zone_hints: Vec<String>,
    pub(super) node_hints: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Selection {
    pub(super) id: String,
    #[serde(default)]
    pub(super) node_zone: String,
    #[serde(default)]
    pub(super) node_name: Option<String>,
    #[serde(default)]
    pub(super) prefer_same_gate: Option<bool>,
    #[serde(default)]
    pub(super) service: SelectionService,
    #[serde(default)]
    pub(super) endpoints: Vec<SelectionEndpoint>,
    #[serde(default)]
    pub(super) expect: Option<serde_json::Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SelectionService {
    pub(super) internal_traffic_policy: Option<String>,
    pub(super) external_traffic_policy: Option<String>,
    pub(super) node_port: Option<u16>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SelectionEndpoint {
    pub(super) endpoint: String,
    #[serde(default)]
    pub(super) local: bool,
    #[serde(flatten)]
    pub(super) conditions: Conditions,
}

/// An entry of conntrack: where its first packet went, and who answers.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Cleanup {
    pub(super) proto: String,
    #[serde(default)]
    pub(super) orig_dst: Option<String>,
    pub(super) orig_dport: u16,
    pub(super) reply_src: String,
    #[serde(default)]
    pub(super) reply_sport: Option<u16>,
    #[serde(default)]
    pub(super) keep: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ServicePortChains {
    pub(super) name: String,
    pub(super) protocol: String,
    #[serde(default)]
    pub(super) hash: Option<String>,
    #[serde(default)]
    pub(super) cluster: Option<String>,
    #[serde(default)]
    pub(super) local: Option<String>,
    #[serde(default)]
    pub(super) external: Option<String>,
    #[serde(default)]
    pub(super) firewall: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct EndpointChain {
    pub(super) name: String,
    pub(super) protocol: String,
    pub(super) endpoint: String,
    #[serde(default)]
    pub(super) chain: Option<String>,
}
