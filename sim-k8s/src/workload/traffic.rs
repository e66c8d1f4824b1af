//! The traffic file: calls that someone wrote down.

use serde::Deserialize;
use sim_core::engine::time::Duration;

use crate::api::{Objects, Protocol, Service, ServicePort};
use crate::manifest::{Finding, ListFile, SourceFile, shown};

use super::call::{Call, Caller, Target, Why};
use super::infer::is_open;

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
}

impl Default for Entry {
    fn default() -> Self {
        Self { from: String::new(), to: String::new(), count: 1, every: "1s".into() }
    }
}

/// Reads a traffic file: a YAML list of calls between the `objects`.
///
/// ```yaml
/// - from: shop/loadgenerator   # namespace/workload; without a namespace: default. "world": from outside the cluster;
///                              # "node": from the nodes, by turns
///   to: shop/frontend:http     # namespace/service:port, the port by number or name; it may be left out if there is one
///   count: 10                  # how many calls; 1 if left out
///   every: 200ms               # time from one to the next, in ns, us, ms, s or m; 1s if left out
/// ```
///
/// The error holds everything that is wrong with the file.
pub fn read_traffic(file: &SourceFile, objects: &Objects) -> Result<Vec<Call>, Vec<Finding>> {
    let mut entries = ListFile::<Entry>::read(file, &["from", "to", "count", "every"])?;
    let list = std::mem::take(&mut entries.items);
    let mut calls = Vec::new();
    for (index, entry) in list.iter().enumerate() {
        let mut fault = |field: &str, (message, advice): (String, &str)| entries.fault(index, field, message, advice);
        let to = target(&entry.to, objects).map_err(|problem| fault("to", problem));
        let from = caller(&entry.from, objects).map_err(|problem| fault("from", problem));
        let every = duration(&entry.every).map_err(|problem| fault("every", problem));
        let count = count(entry.count).map_err(|problem| fault("count", problem));
        let (Ok((service, port)), Ok(from), Ok(every), Ok(count)) = (to, from, every, count) else { continue };
        if from == Caller::World && !is_open(service) {
            let message = format!("nothing outside the cluster reaches Service {}", service.key);
            fault("to", (message, "call a Service of type NodePort or LoadBalancer, or one with externalIPs"));
            continue;
        }
        let (port, protocol) = (port.port, port.protocol);
        let to = Target::Service(service.key.clone());
        calls.push(Call { from, to, port, protocol, count, every, why: Why::TrafficFile });
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

fn target<'a>(text: &str, objects: &'a Objects) -> Result<(&'a Service, &'a ServicePort), Problem> {
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
