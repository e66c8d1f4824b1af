//! `kubectl get`: the cluster's objects, in kubectl's columns.

use sim_core::engine::time::{Duration, Instant};
use sim_k8s::api::{Labels, ObjectKey, ServiceType};
use sim_k8s::cluster::{Cluster, Node, Service};
use sim_k8s::manifest::shown;

use super::session::Network;
use super::{Answer, NotUnderstood, Output};

pub(super) const USAGE: &[&str] =
    &["kubectl get pods|services|endpointslices|nodes [NAME] [-n NAMESPACE|-A] [-o wide]"];

/// What `kubectl get` is told.
struct Get<'w> {
    kind: Kind,
    name: Option<&'w str>,
    /// `None` is all of them.
    namespace: Option<&'w str>,
    wide: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pods,
    Services,
    EndpointSlices,
    Nodes,
}

/// An object's row; nodes have no namespace.
struct Row {
    key: ObjectKey,
    cells: Vec<String>,
}

pub(super) fn run(net: &Network<'_>, words: &[&str]) -> Answer {
    let ["get", words @ ..] = words else { return Err(NotUnderstood::word(words.first().unwrap_or(&""), "get")) };
    let get = Get::read(words)?;
    let age = age(net.world().now().since(Instant::START));
    let (mut titles, rows) = match get.kind {
        Kind::Pods => pods(net.cluster(), &age, get.wide),
        Kind::Services => services(net, &age, get.wide),
        Kind::EndpointSlices => endpoint_slices(net.cluster(), &age),
        Kind::Nodes => nodes(net.cluster(), &age, get.wide),
    };
    let namespaced = get.kind != Kind::Nodes;
    let all = namespaced && get.namespace.is_none();
    let fits = |row: &Row| {
        get.name.is_none_or(|name| row.key.name == name)
            && (!namespaced || get.namespace.is_none_or(|namespace| row.key.namespace == namespace))
    };
    let mut rows: Vec<Row> = rows.into_iter().filter(fits).collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    if rows.is_empty() {
        return Ok(nothing(&get));
    }
    if all {
        titles.insert(0, "NAMESPACE");
        rows.iter_mut().for_each(|row| row.cells.insert(0, row.key.namespace.clone()));
    }
    let titles = titles.into_iter().map(str::to_owned).collect();
    Ok(Output::lines(columns(std::iter::once(titles).chain(rows.into_iter().map(|row| row.cells)).collect())))
}

impl<'w> Get<'w> {
    fn read(words: &[&'w str]) -> Result<Self, NotUnderstood> {
        let kinds = "pods, services, endpointslices, nodes";
        let (kind, mut words) = words.split_first().ok_or_else(|| NotUnderstood::word("", kinds))?;
        let kind = match *kind {
            "pods" | "pod" | "po" => Kind::Pods,
            "services" | "service" | "svc" => Kind::Services,
            "endpointslices" | "endpointslice" => Kind::EndpointSlices,
            "nodes" | "node" | "no" => Kind::Nodes,
            other => return Err(NotUnderstood::word(other, kinds)),
        };
        let mut get = Self { kind, name: None, namespace: Some("default"), wide: false };
        loop {
            words = match words {
                [] => return Ok(get),
                ["-A" | "--all-namespaces", rest @ ..] => {
                    get.namespace = None;
                    rest
                }
                ["-n" | "--namespace", namespace, rest @ ..] => {
                    get.namespace = Some(namespace);
                    rest
                }
                ["-o" | "--output", "wide", rest @ ..] | ["-owide" | "-o=wide" | "--output=wide", rest @ ..] => {
                    get.wide = true;
                    rest
                }
                [name, rest @ ..] if !name.starts_with('-') && get.name.is_none() => {
                    get.name = Some(name);
                    rest
                }
                [other, ..] => return Err(NotUnderstood::word(other, "a name, -n NAMESPACE, -A, -o wide")),
            }
        }
    }
}

fn nothing(get: &Get<'_>) -> Output {
    let kind = match get.kind {
        Kind::Pods => "pods",
        Kind::Services => "services",
        Kind::EndpointSlices => "endpointslices.discovery.k8s.io",
        Kind::Nodes => "nodes",
    };
    match (get.name, get.namespace) {
        (Some(name), _) => {
            Output::refused(1, format!("Error from server (NotFound): {kind} \"{}\" not found", shown(name)))
        }
        (None, Some(namespace)) => {
            Output::default().remark(format!("No resources found in {} namespace.", shown(namespace)))
        }
        (None, None) => Output::default().remark("No resources found"),
    }
}

fn pods(cluster: &Cluster, age: &str, wide: bool) -> (Vec<&'static str>, Vec<Row>) {
    let mut titles = vec!["NAME", "READY", "STATUS", "RESTARTS", "AGE"];
    if wide {
        titles.extend(["IP", "NODE", "NOMINATED NODE", "READINESS GATES"]);
    }
    let row = |key: &ObjectKey, containers: usize, home: Option<(String, &str)>| {
        let (ready, status) = if home.is_some() { (containers, "Running") } else { (0, "Pending") };
        let (ip, node) = home.unwrap_or_else(|| ("<none>".to_owned(), "<none>"));
        let mut cells: Vec<String> =
            [&key.name, &format!("{ready}/{containers}"), status, "0", age].map(ToOwned::to_owned).into();
        if wide {
            cells.extend([&ip, node, "<none>", "<none>"].map(ToOwned::to_owned));
        }
        Row { key: key.clone(), cells }
    };
    let running = cluster.pods.iter().map(|pod| {
        let home = (pod.ip.to_string(), cluster.nodes[pod.node].name.as_str());
        row(&pod.key, pod.template.containers.len(), Some(home))
    });
    let pending = cluster.pending.iter().map(|p| row(&p.pod.key, p.pod.template.containers.len(), None));
    (titles, running.chain(pending).collect())
}

fn services(net: &Network<'_>, age: &str, wide: bool) -> (Vec<&'static str>, Vec<Row>) {
    let mut titles = vec!["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"];
    if wide {
        titles.push("SELECTOR");
    }
    let row = |service: &Service| {
        let (kind, external) = reached(service);
        let cluster_ip = match (&service.service_type, service.cluster_ip) {
            (ServiceType::ExternalName(_), _) => "<none>".to_owned(),
            (_, ip) => ip.map_or("None".to_owned(), |ip| ip.to_string()),
        };
        let ports = service.ports.iter().map(|port| match port.node_port {
            Some(node_port) => format!("{}:{node_port}/{}", port.port, port.protocol),
            None => format!("{}/{}", port.port, port.protocol),
        });
        let name = service.key.name.clone();
        let mut cells = vec![name, kind.to_owned(), cluster_ip, external, list(ports), age.to_owned()];
        if wide {
            cells.push(net.selector(&service.key).map_or("<none>".to_owned(), labels));
        }
        Row { key: service.key.clone(), cells }
    };
    (titles, net.cluster().services.iter().map(row).collect())
}

/// A Service's type, and where it is reached from outside.
fn reached(service: &Service) -> (&'static str, String) {
    let external = list(service.external_ips.iter().map(ToString::to_string));
    match &service.service_type {
        ServiceType::ClusterIp => ("ClusterIP", external),
        ServiceType::NodePort => ("NodePort", external),
        ServiceType::LoadBalancer if service.external_ips.is_empty() => ("LoadBalancer", "<pending>".to_owned()),
        ServiceType::LoadBalancer => ("LoadBalancer", external),
        ServiceType::ExternalName(name) => ("ExternalName", name.clone()),
    }
}

/// One slice for each Service that has endpoints of its own; a real one has five random letters more in its name.
fn endpoint_slices(cluster: &Cluster, age: &str) -> (Vec<&'static str>, Vec<Row>) {
    /// How many addresses kubectl shows.
    const SHOWN: usize = 3;
    let row = |service: &Service| {
        let mut ports: Vec<u16> = Vec::new();
        let mut ips = Vec::new();
        for endpoint in service.ports.iter().flat_map(|port| &port.endpoints) {
            if !ports.contains(&endpoint.addr.port()) {
                ports.push(endpoint.addr.port());
            }
            if !ips.contains(&endpoint.addr.ip()) {
                ips.push(endpoint.addr.ip());
            }
        }
        let more = ips.len().saturating_sub(SHOWN);
        let mut endpoints = unset(list(ips.iter().take(SHOWN).map(ToString::to_string)));
        if more > 0 {
            endpoints += &format!(" + {more} more...");
        }
        let ports = unset(list(ports.iter().map(ToString::to_string)));
        let cells = vec![service.key.name.clone(), "IPv4".to_owned(), ports, endpoints, age.to_owned()];
        Row { key: service.key.clone(), cells }
    };
    let own = cluster.services.iter().filter(|service| !matches!(service.service_type, ServiceType::ExternalName(_)));
    (vec!["NAME", "ADDRESSTYPE", "PORTS", "ENDPOINTS", "AGE"], own.map(row).collect())
}

fn nodes(cluster: &Cluster, age: &str, wide: bool) -> (Vec<&'static str>, Vec<Row>) {
    let mut titles = vec!["NAME", "STATUS", "ROLES", "AGE"];
    if wide {
        titles.extend(["INTERNAL-IP", "EXTERNAL-IP"]);
    }
    let row = |node: &Node| {
        let mut cells: Vec<String> = [node.name.as_str(), "Ready", "<none>", age].map(ToOwned::to_owned).into();
        if wide {
            cells.extend([node.ip, node.public_ip].map(|ip| ip.to_string()));
        }
        Row { key: ObjectKey::new("", node.name.as_str()), cells }
    };
    (titles, cluster.nodes.iter().map(row).collect())
}

/// Values with commas between them; `<none>` if there are none.
fn list(values: impl Iterator<Item = String>) -> String {
    let values: Vec<String> = values.collect();
    if values.is_empty() { "<none>".to_owned() } else { values.join(",") }
}

fn unset(list: String) -> String {
    if list == "<none>" { "<unset>".to_owned() } else { list }
}

fn labels(labels: &Labels) -> String {
    list(labels.iter().map(|(key, value)| format!("{key}={value}")))
}

/// k8s.io/apimachinery/pkg/util/duration, `HumanDuration`, as far as a run lasts.
fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match (seconds, seconds % 60, minutes % 60) {
        (0..120, ..) => format!("{seconds}s"),
        (120..600, 1.., _) => format!("{minutes}m{}s", seconds % 60),
        (120..10_800, ..) => format!("{minutes}m"),
        (10_800..28_800, _, 1..) => format!("{hours}h{}m", minutes % 60),
        _ => format!("{hours}h"),
    }
}

/// Three blanks after the widest cell of each column (k8s.io/cli-runtime/pkg/printers, `GetNewTabWriter`).
fn columns(rows: Vec<Vec<String>>) -> Vec<String> {
    let rows: Vec<Vec<String>> =
        rows.into_iter().map(|row| row.iter().map(|cell| shown(cell).to_string()).collect()).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}   "));
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
