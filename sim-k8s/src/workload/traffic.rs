//! The traffic file: calls that someone wrote down.

use serde::Deserialize;
use sim_core::engine::time::Duration;

use crate::api::{Objects, Protocol, Service, ServicePort};
use crate::manifest::{Finding, ListFile, SourceFile, shown};

use super::call::{Call, Caller, Target, Why};
use super::infer::{OUTSIDE, is_open};

/// Calls that one entry may ask for.
const MAX_COUNT: u32 = 1_000_000;

/// One entry of the file.
#[derive(Deserialize)]
#[serde(default)]
struct Entry {
    from: String,
    to: String,
    count: i64,
    every: String,
    #[serde(rename = "sourcePort")]
    source_port: Option<i64>,
}

impl Default for Entry {
    fn default() -> Self {
        Self { from: String::new(), to: String::new(), count: 1, every: "1s".into(), source_port: None }
    }
}

/// Reads a traffic file: a YAML list of calls between the `objects`.
///
/// ```yaml
/// - from: shop/loadgenerator   # namespace/workload; without a namespace: default. "world": from outside the cluster;
///                              # "node": from the nodes, by turns
///   to: shop/frontend:http     # namespace/service:port, the port by number or name; it may be left out if there is one.
///                              # "world": a web server outside the cluster
///   count: 10                  # how many calls; 1 if left out
///   every: 200ms               # time from one to the next, in ns, us, ms, s or m; 1s if left out
///   sourcePort: 4000           # the port they come from; if left out the caller's kernel chooses
/// ```
///
/// The error holds everything that is wrong with the file.
pub fn read_traffic(file: &SourceFile, objects: &Objects) -> Result<Vec<Call>, Vec<Finding>> {
    let mut entries = ListFile::<Entry>::read(file, &["from", "to", "count", "every", "sourcePort"])?;
    let list = std::mem::take(&mut entries.items);
    let mut calls = Vec::new();
    for (index, entry) in list.iter().enumerate() {
        let mut fault = |field: &str, (message, advice): (String, &str)| entries.fault(index, field, message, advice);
        let to = target(&entry.to, objects).map_err(|problem| fault("to", problem));
        let from = caller(&entry.from, objects).map_err(|problem| fault("from", problem));
        let every = duration(&entry.every).map_err(|problem| fault("every", problem));
        let count = count(entry.count).map_err(|problem| fault("count", problem));
        let source_port = source_port(entry.source_port).map_err(|problem| fault("sourcePort", problem));
        let (Ok((to, port, protocol)), Ok(from), Ok(every), Ok(count), Ok(source_port)) =
            (to, from, every, count, source_port)
        else {
            continue;
        };
        if let (Caller::World, Err(problem)) = (&from, from_outside(&to, objects)) {
            fault("to", problem);
            continue;
        }
        calls.push(Call { from, to, port, protocol, source_port, count, every, why: Why::TrafficFile });
    }
    entries.finish().map(|()| calls)
}

/// What is wrong, and what to do.
type Problem = (String, &'static str);

fn caller(text: &str, objects: &Objects) -> Result<Caller, Problem> {
    if text == "world" {
        return Ok(Caller::World);
    }
    if text == "node" {
        return Ok(Caller::Node);
    }
    let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
    let mut workloads = objects.workloads.iter();
    match workloads.find(|w| w.key.namespace == namespace && w.key.name == name) {
        Some(workload) => Ok(Caller::Workload(workload.reference())),
        None => Err((format!("there is no workload \"{}\"", shown(text)), "write namespace/workload, world or node")),
    }
}

/// Whether whoever is outside can call `to`.
fn from_outside(to: &Target, objects: &Objects) -> Result<(), Problem> {
    let Some(key) = to.service() else {
        return Err(("a call from the world to the world is none of the cluster's".into(), "call a Service"));
    };
    match objects.services.iter().any(|service| service.key == *key && is_open(service)) {
        true => Ok(()),
        false => Err((
            format!("nothing outside the cluster reaches Service {key}"),
            "call a Service of type NodePort or LoadBalancer, or one with externalIPs",
        )),
    }
}

fn target(text: &str, objects: &Objects) -> Result<(Target, u16, Protocol), Problem> {
    if text == "world" {
        let (host, port) = OUTSIDE;
        return Ok((Target::Outside(host), port, Protocol::Tcp));
    }
    let (service, port) = service_port(text, objects)?;
    Ok((Target::Service(service.key.clone()), port.port, port.protocol))
}

fn service_port<'a>(text: &str, objects: &'a Objects) -> Result<(&'a Service, &'a ServicePort), Problem> {
    let (service, port) = text.split_once(':').map_or((text, None), |(service, port)| (service, Some(port)));
    let (namespace, name) = service.split_once('/').unwrap_or(("default", service));
    let mut services = objects.services.iter();
    let Some(service) = services.find(|s| s.key.namespace == namespace && s.key.name == name) else {
        return Err((format!("there is no Service \"{}\"", shown(service)), "write namespace/service:port"));
    };
    let found = match port {
        None if service.ports.len() == 1 => service.ports.first(),
        None => None,
        Some(port) => service.ports.iter().find(|p| p.name == port || p.port.to_string() == port),
    };
    found.map(|port| (service, port)).ok_or_else(|| {
        let ports: Vec<String> = service.ports.iter().map(described).collect();
        let message = match port {
            Some(port) => format!("Service {} has no port \"{}\", but {}", service.key, shown(port), ports.join(", ")),
            None => format!("Service {} has several ports: {}", service.key, ports.join(", ")),
        };
        (message, "write namespace/service:port with one of its ports")
    })
}

fn described(port: &ServicePort) -> String {
    let protocol = if port.protocol == Protocol::Tcp { String::new() } else { format!("/{}", port.protocol) };
    let name = if port.name.is_empty() { String::new() } else { format!(" ({})", port.name) };
    format!("{}{protocol}{name}", port.port)
}

fn count(count: i64) -> Result<u32, Problem> {
    let fits = u32::try_from(count).ok().filter(|count| (1..=MAX_COUNT).contains(count));
    fits.ok_or_else(|| (format!("{count} calls cannot be made"), "write 1 to 1000000"))
}

fn source_port(port: Option<i64>) -> Result<Option<u16>, Problem> {
    let number = |port: i64| u16::try_from(port).ok().filter(|port| *port > 0);
    let problem = |port| (format!("{port} is no port"), "write 1 to 65535, or leave it out");
    port.map(|port| number(port).ok_or_else(|| problem(port))).transpose()
}

/// A time like `200ms`.
fn duration(text: &str) -> Result<Duration, Problem> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        _ => 0,
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let nanos = digits.parse().ok().and_then(|number: u64| number.checked_mul(unit)).filter(|_| plain && unit > 0);
    let problem =
        || (format!("\"{}\" is no time", shown(text)), "write a whole number with ns, us, ms, s or m, like 200ms");
    nanos.map(Duration::from_nanos).ok_or_else(problem)
}

#[cfg(test)]
mod tests;
