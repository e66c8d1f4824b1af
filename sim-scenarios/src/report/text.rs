//! The report for people.

use std::fmt;

use sim_core::engine::time::Duration;

use super::outside;
use super::table::table;
use super::{EdgeReport, EndpointReport, RaceReport, Report};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = Duration::from_nanos(self.ended_ns);
        writeln!(
            f,
            "seed {}, {} nodes, {} pods, settled after {}, {time} of simulated time\n",
            self.seed,
            self.nodes,
            self.pods,
            Duration::from_nanos(self.settled_ns)
        )?;
        f.write_str(&edges(self))?;
        f.write_str(&spread(self))?;
        f.write_str(&outside::text(&self.outside))?;
        f.write_str(&drops(self))?;
        f.write_str(&races(self))?;
        list(f, "Pods that fit on no node", &self.pending)?;
        list(f, "Faults", &self.faults)?;
        list(f, "Not called, not served", &self.not_called)?;
        list(f, "Warnings", &self.warnings)?;
        list(f, "In the manifests, but without effect here", &self.not_applied)?;
        list(f, "Files", &self.files)?;
        let calls = self.calls;
        writeln!(f, "{} calls: {} answered, {} failed", calls.sent, calls.answered, calls.failed)?;
        writeln!(f, "fingerprint {} of {} events, {} hops", self.fingerprint, self.events, self.hops)
    }
}

/// Who called whom: one line an edge, below it why calls failed.
fn edges(report: &Report) -> String {
    let head = ["client", "Service", "speaks", "sent", "answered", "failed", "min", "median", "p99"];
    let mut rows = vec![head.map(str::to_owned)];
    for edge in &report.edges {
        let shown = |ns: u64| Duration::from_nanos(ns).to_string();
        let [min, median, p99] =
            edge.latency.map_or_else(Default::default, |l| [l.min_ns, l.median_ns, l.p99_ns].map(shown));
        let numbers = [edge.calls.sent, edge.calls.answered, edge.calls.failed].map(|n| n.to_string());
        let [sent, answered, failed] = numbers;
        let service = format!("→ {}", port(&edge.service, edge.port, &edge.protocol));
        rows.push([edge.from.clone(), service, edge.speaks.to_owned(), sent, answered, failed, min, median, p99]);
    }
    let mut lines = table(&rows, 3).lines().map(str::to_owned).collect::<Vec<_>>();
    // From the last edge on, so that the lines before keep their places.
    for (nth, edge) in report.edges.iter().enumerate().rev() {
        lines.splice(nth + 2..nth + 2, failures(edge));
    }
    lines.join("\n") + "\n\n"
}

fn failures(edge: &EdgeReport) -> Vec<String> {
    let line = |failure: &super::FailureReport| {
        let place = if failure.place.is_empty() { String::new() } else { format!(": {}", failure.place) };
        format!("    {} × {}{place}", failure.count, failure.reason)
    };
    edge.failures.iter().map(line).collect()
}

/// How the answers of every called Service port spread over its endpoints.
fn spread(report: &Report) -> String {
    let mut rows = vec![["Service", "answered", "by"].map(str::to_owned)];
    for service in report.services.iter().filter(|service| service.calls > 0) {
        let name = port(&service.service, service.port, &service.protocol);
        let mut first = [name, format!("{} of {}", service.answered, service.calls)];
        for EndpointReport { pod, answered } in &service.endpoints {
            let [name, count] = std::mem::take(&mut first);
            rows.push([name, count, format!("{answered:>4} {pod}")]);
        }
        if service.endpoints.is_empty() {
            let [name, count] = first;
            rows.push([name, count, "   - no endpoint".into()]);
        }
    }
    table(&rows, 3) + "\n"
}

fn drops(report: &Report) -> String {
    if report.drops.is_empty() {
        return "No packet was dropped.\n\n".into();
    }
    let mut rows = vec![["dropped because of", "at", "packets"].map(str::to_owned)];
    rows.extend(report.drops.iter().map(|drop| [drop.reason.clone(), drop.place.clone(), drop.count.to_string()]));
    table(&rows, 2) + "\n"
}

fn races(report: &Report) -> String {
    if report.races.is_empty() {
        return String::new();
    }
    let mut rows = vec![["conntrack of", "clash_resolve", "insert_failed"].map(str::to_owned)];
    let row = |race: &RaceReport| [race.netns.clone(), race.clash_resolve.to_string(), race.insert_failed.to_string()];
    rows.extend(report.races.iter().map(row));
    table(&rows, 1) + "\n"
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "{title}:")?;
    lines.iter().try_for_each(|line| writeln!(f, "  {}", line.replace('\n', "\n    ")))?;
    writeln!(f)
}

/// `namespace/service:80`, with the protocol if it is not TCP.
pub(crate) fn port(service: &str, port: u16, protocol: &str) -> String {
    let protocol = if protocol == "TCP" { String::new() } else { format!("/{protocol}") };
    format!("{service}:{port}{protocol}")
}
